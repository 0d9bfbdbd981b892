"""Pages of the documentation, walked through as a reader does: block after block.

A page's Python blocks share their names and a folder; of a `console` block each line that
begins with `$ ` is typed, and what follows it is what a reader is told to expect. Whole
numbers must be those shown; numbers with decimals and the times in names may differ, and
`...` stands for anything, on a line of its own for any lines.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from typer.testing import CliRunner

from epochwise import cli
from programs import ROOT

WALKED = ("tutorial", "plan", "train", "data", "batches")
"""The pages of `docs/` that are walked through as a whole."""

_BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_TIME = re.compile(r"\d{4}-\d\d-\d\d-\d{6}")
_SAME_SECOND = re.compile(r"(-digits-mlp)-\d+")
"""Ends the name of a run that was begun in the same second as another."""

_DECIMALS = re.compile(r"\d+(?:\.\d+)+")


def walk(name: str) -> None:
    """Run all blocks of a page in the current folder.

    Raises:
        AssertionError: a command printed something else than the page says.
    """
    page = ROOT / "docs" / f"{name}.md"
    names: dict[str, object] = {"__name__": "__main__"}
    for kind, block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind == "python":
            exec(compile(block, str(page), "exec"), names)
            continue
        for command, expected in _typed(block):
            check(command, expected, _printed(command))


def check(command: str, expected: str, printed: str) -> None:
    """Compare what a command printed with what a page says that it prints.

    Raises:
        AssertionError: they differ.
    """
    pattern = "".join(
        r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*?") + "\n"
        for line in _comparable(expected).splitlines()
    )
    found = _comparable(printed)
    assert re.fullmatch(pattern, found), f"{command}\nprinted:\n{found}\nexpected:\n{expected}"


def _typed(block: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a console block and what is expected after it."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected


def _printed(command: str) -> str:
    """What a command prints; it has to succeed."""
    program, *arguments = shlex.split(command)
    assert program == "epochwise"
    result = CliRunner().invoke(cli.app, arguments)
    assert result.exit_code == 0, f"{command}\n{result.output}"
    return result.stdout


def _comparable(text: str) -> str:
    """The text without what differs from run to run."""
    plain = _SAME_SECOND.sub(r"\1", _DECIMALS.sub("#", _TIME.sub("#", text)))
    return "".join(f"{line.rstrip()}\n" for line in plain.splitlines())


def pages_with_commands() -> list[Path]:
    """The pages that have commands to type."""
    return [
        page
        for page in sorted((ROOT / "docs").glob("*.md"))
        if "```console\n" in page.read_text(encoding="utf-8")
    ]
