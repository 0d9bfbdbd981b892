"""Programs in processes of their own, so that no test brings a framework into another's.

What a program needs is looked for, not imported: where it is missing, the test is skipped
with its reason.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]


def require(module: str) -> None:
    """Skip the test where a module is not installed."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed; pip install 'epochwise[{module}]'")


def environment(backend: str = "jax") -> dict[str, str]:
    """Return the environment of a program that has Keras on a backend."""
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT / "src"),
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONWARNINGS": "ignore:__array__ implementation:DeprecationWarning",
    }


def run_program(
    *parts: str, needs: str, backend: str = "jax", folder: Path | None = None
) -> Any:
    """Run a program in a fresh process and return the JSON value that it prints last.

    Args:
        *parts: its text, in pieces that are each indented as one likes.
        needs: a module without which the test is skipped.
        backend: Keras's, if the program imports it.
        folder: the current folder of the process.
    """
    require(needs)
    code = "\n".join(textwrap.dedent(part) for part in parts)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env=environment(backend),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
