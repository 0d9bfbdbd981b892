"""Every code block of the documentation runs as a script of its own."""

from __future__ import annotations

import re

import pytest

from newcomer import run_as_newcomer
from programs import ROOT, require
from walking import WALKED

PAGES = [
    *sorted(ROOT.glob("README*.md")),
    *(page for page in sorted((ROOT / "docs").glob("*.md")) if page.stem not in WALKED),
]
BLOCKS = [
    pytest.param(block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(
        re.findall(
            r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
    )
]

FOREIGN = re.compile(r"^(?:import|from) (tensorflow|torch)\b", re.MULTILINE)
"""What a block needs that is not installed everywhere."""


@pytest.mark.parametrize("block", BLOCKS)
def test_l10_the_block_runs_in_an_empty_home(block: str) -> None:
    """L10: A reader who copies it into a file gets no error, and needs no other block."""
    if needs := FOREIGN.search(block):
        require(needs[1])

    run_as_newcomer(block)


def test_there_are_blocks() -> None:
    """The search for blocks finds those that there are, in both languages."""
    assert len(BLOCKS) >= 15
    assert len({page.name for page in PAGES} & {"README.md", "README.zh-CN.md"}) == 2
