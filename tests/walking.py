"""Pages of the documentation, walked through as a reader does: block after block.

Each block is a process of its own; a page's blocks share a folder and a home, empty at first. A
Python block is a script that needs no name of another; of a `console` block each line that
begins with `$ ` is typed, and what follows it is what a reader is told to expect. Whole
numbers must be those shown; numbers with decimals and the times in names may differ, and
`...` stands for anything, on a line of its own for any lines.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from newcomer import run_as_newcomer
from programs import ROOT

WALKED = ("tutorial", "plan", "train", "data", "batches")
"""The pages of `docs/` that are walked through as a whole."""

_BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_TIME = re.compile(r"\d{4}-\d\d-\d\d-\d{6}")
_SAME_SECOND = re.compile(r"(-digits-mlp)-\d+")
"""Ends the name of a run that was begun in the same second as another."""

_DECIMALS = re.compile(r"\d+(?:\.\d+)+")


def walk(name: str, folder: Path) -> None:
    """Run all blocks of a page in a folder.

    Raises:
        AssertionError: a command printed something else than the page says.
    """
    page = ROOT / "docs" / f"{name}.md"
    home, here = folder / "home", folder / "here"
    home.mkdir()
    here.mkdir()
    for kind, block in _BLOCK.findall(page.read_text(encoding="utf-8")):
        if kind == "python":
            run_as_newcomer(block, home=home, folder=here)
            continue
        for command, expected in _typed(block):
            program, *arguments = shlex.split(command)
            assert program == "epochwise"
            check(command, expected, run_as_newcomer(arguments, home=home, folder=here).stdout)


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
