"""The command `epochwise`: one module for each verb, imported when the verb is used.

This is the one place that turns an `EpochwiseError` into sentences on stderr and exit
code 2. A usage error exits with 2 as well, Ctrl-C with 130; any other exception is a
bug of ours and shows its traceback.

A verb's module holds `app`, a `typer.Typer` with one command, or with several for a
verb that has verbs of its own. To add a verb, add a line to `VERBS`.
"""

from __future__ import annotations

from importlib import import_module, metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from epochwise.cli import console
from epochwise.errors import EpochwiseError

VERBS: dict[str, str] = {
    "plan": "epochwise.cli.plan",
    "train": "epochwise.cli.train",
    "resume": "epochwise.cli.resume",
    "runs": "epochwise.cli.runs",
    "report": "epochwise.cli.report",
