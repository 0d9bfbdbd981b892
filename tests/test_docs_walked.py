"""The pages that teach are true: what they say a command prints is what it prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from walking import WALKED, check, pages_with_commands, walk


@pytest.mark.parametrize("page", WALKED)
def test_l10_a_reader_who_follows_the_page_sees_what_it_says(page: str, tmp_path: Path) -> None:
    """L10: Every Python block runs and every command prints the counts that are shown."""
    walk(page, tmp_path)


def test_no_page_with_commands_is_left_out() -> None:
    """Whoever adds a console block to a page has it walked."""
    assert {page.stem for page in pages_with_commands()} <= set(WALKED)


@pytest.mark.parametrize(
    ("expected", "printed"),
    [
        ("23 iterations\n", "24 iterations\n"),
        ("23 iterations\n", "23 iterations\nand more\n"),
        ("23 ... 1,437 samples\n", "23 iterations, 1,438 samples\n"),
        ("...\nrun first\n", "run second\n"),
    ],
)
def test_another_count_or_line_is_a_difference(expected: str, printed: str) -> None:
    """The comparison fails where a whole number or a line differs."""
    with pytest.raises(AssertionError):
        check("epochwise", expected, printed)


def test_what_may_differ_is_no_difference() -> None:
    """Decimals, the time in a run's name and what `...` stands for may be anything."""
    check(
        "epochwise",
        "loss 2.0907  23 iterations\n...\nrun runs/2026-01-02-030405-digits\n",
        "loss 2.1  23 iterations\none\ntwo\nrun runs/2027-11-12-131415-digits\n",
    )
