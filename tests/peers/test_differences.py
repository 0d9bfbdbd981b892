"""The deliberate differences from Keras's own tests are told to users."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from peers.keras_tests import ROOT, Difference, compare, differences, stale

LISTED = differences()
ONE = Difference(tests=["*::test_a*"], told=["once"], reason="why", page="p", sentence="s")


@pytest.mark.parametrize("one", LISTED, ids=[one.told[0] for one in LISTED])
def test_the_page_says_it(one: Difference) -> None:
    """Each difference names a page on which its sentence stands, word for word."""
    page = " ".join((ROOT / one.page).read_text(encoding="utf-8").split())
    assert " ".join(one.sentence.split()) in page
    assert one.reason
    assert one.tests
    assert one.told


def test_a_difference_that_is_not_listed_is_a_fault() -> None:
    """Another test, or another failure of a listed one, is a fault, as is one not run."""
    theirs = {
        name: {"outcome": "passed"} for name in ("f::test_a", "f::test_ab", "f::test_b", "f::c")
    }
    ours = {
        "f::test_a": {"outcome": "failed", "why": "E  every sample once."},
        "f::test_ab": {"outcome": "failed", "why": "E  TypeError"},
        "f::test_b": {"outcome": "failed", "why": "E  every sample once."},
    }
    counts, faults = compare(theirs, ours, [ONE])
    assert counts == Counter(same=0, deliberate=1, faults=3)
    assert [fault.partition(":: ")[0].split(": ")[0] for fault in faults] == [
        "f::test_ab",
        "f::test_b",
        "f::c",
    ]


def test_a_difference_that_is_gone_is_told() -> None:
    """A listed difference that no test shows any more has to be taken off the list."""
    theirs = {"f::test_a": {"outcome": "passed"}}
    assert stale(theirs, {"f::test_a": {"outcome": "passed"}}, [ONE])
    assert not stale(theirs, {"f::test_a": {"outcome": "failed", "why": "once"}}, [ONE])


def test_the_adapter_is_short() -> None:
    """Keras's tests are adapted by at most ten lines of code."""
    adapter = Path(__file__).with_name("adapter.py").read_text(encoding="utf-8")
    assert sum(bool(line.strip()) for line in adapter.splitlines()) <= 10
