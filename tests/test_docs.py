"""Every code block of the documentation runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from programs import ROOT, run_program
from walking import WALKED

PAGES = [
    ROOT / "README.md",
    *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.stem not in WALKED),
]
BLOCKS = [
    pytest.param(page, block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(
        re.findall(
            r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
    )
]


FOREIGN = re.compile(r"^(?:import|from) (tensorflow|torch)\b", re.MULTILINE)
"""What a block needs that has a process of its own, and is not installed everywhere."""


@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_the_block_runs(
    page: Path, block: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader who copies it gets no error."""
    if needs := FOREIGN.search(block):
        run_program(block, "print(0)", needs=needs[1], folder=tmp_path)
        return
    monkeypatch.chdir(tmp_path)
    exec(compile(block, str(page), "exec"), {"__name__": "__main__"})


def test_there_are_blocks() -> None:
    """The search for blocks finds those that there are."""
    assert len(BLOCKS) >= 1
