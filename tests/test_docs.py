"""Every code block of the documentation runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = [
    pytest.param(page, block, id=f"{page.name}-{number}")
    for page in PAGES
    for number, block in enumerate(
        re.findall(
            r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
        )
    )
]


@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_the_block_runs(page: Path, block: str) -> None:
    """A reader who copies it gets no error."""
    exec(compile(block, str(page), "exec"), {"__name__": "__main__"})


def test_there_are_blocks() -> None:
    """The search for blocks finds those that there are."""
    assert len(BLOCKS) >= 1
