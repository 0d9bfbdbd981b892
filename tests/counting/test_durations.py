"""Durations carry their unit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochwise.counting.durations import Duration
from epochwise.errors import PlanError

COUNTS = st.integers(1, 10**15)


@pytest.mark.parametrize(
    ("written", "duration"),
    [
        ("1ep", Duration(epochs=1)),
        ("500it", Duration(iterations=500)),
        ("500 it", Duration(iterations=500)),
        ("30s", Duration(seconds=30.0)),
        ("0.5s", Duration(seconds=0.5)),
        ("2min", Duration(seconds=120.0)),
    ],
)
def test_reads_each_unit(written: str, duration: Duration) -> None:
    """Each unit is read as what it says."""
    assert Duration.parse(written) == duration


@pytest.mark.parametrize(
    "written", ["5", 5, "ep", "1.5ep", "0it", "-1ep", "0s", "1e3it", "", None, "3 epochs", True]
)
def test_refuses_what_has_no_unit_or_cannot_be(written: object) -> None:
    """A bare number, another unit, or a number that cannot be is refused with a remedy."""
    with pytest.raises(PlanError, match='write "1ep"'):
        Duration.parse(written)


def test_refuses_two_units() -> None:
    """A duration has one unit."""
    with pytest.raises(PlanError, match="is no duration"):
        Duration(epochs=1, iterations=2)


@given(
    st.one_of(
        st.builds(Duration, epochs=COUNTS),
        st.builds(Duration, iterations=COUNTS),
        st.builds(Duration, seconds=st.integers(1, 10**6).map(lambda ms: ms / 1000)),
    )
)
def test_is_read_as_it_is_written(duration: Duration) -> None:
    """`parse` reads what `str` wrote."""
    assert Duration.parse(str(duration)) == duration
