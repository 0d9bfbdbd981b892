"""Who goes on at a rung, and when there is one."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from epochwise.choosing.sweep import rungs, survivors


@given(epochs=st.integers(1, 500), settings=st.integers(1, 200))
def test_rungs_leave_one_setting_and_lie_before_the_end(epochs: int, settings: int) -> None:
    """Ascending, at least one epoch, below the last; as many as thirds take, or fewer."""
    found = rungs(epochs, settings)

    assert list(found) == sorted(set(found))
    assert all(1 <= rung < epochs for rung in found)
    assert len(found) <= math.ceil(math.log(settings, 3) - 1e-9)
    if settings > 1 and epochs > 3:
        assert found


@given(
    st.dictionaries(
        st.integers(), st.lists(st.floats(0, 9), min_size=1, max_size=3), min_size=1
    )
)
def test_the_better_third_goes_on(values: dict[int, list[float]]) -> None:
    """At least one; nobody who goes on is worse than one who does not."""
    kept = survivors(values)
    means = {key: sum(found) / len(found) for key, found in values.items()}
    dropped = set(values) - set(kept)

    assert len(kept) == math.ceil(len(values) / 3)
    assert all(means[a] <= means[b] + 1e-12 for a in kept for b in dropped)


def test_a_run_that_diverged_takes_its_setting_out() -> None:
    """A mean with a NaN in it is the worst of all."""
    assert survivors({"good": [0.5, 0.5], "lucky": [0.1, math.nan]}) == ["good"]
    assert survivors({"a": [math.nan], "b": [math.nan]}) == ["a"]


def test_halving_costs_less_than_half() -> None:
    """Six settings, 20 epochs each: 35 epochs a seed against 120."""
    spent, left, before = 0, 6, 0
    for rung in (*rungs(20, 6), 20):
        spent += left * (rung - before)
        left, before = math.ceil(left / 3), rung

    assert spent == 35
