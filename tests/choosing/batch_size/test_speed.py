"""The line through seconds an iteration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochwise.choosing.batch_size.speed import fit_speed, timings


@given(st.floats(1e-6, 1.0), st.floats(1e-9, 1e-2))
def test_the_fit_finds_the_line_that_made_the_points(fixed: float, per_sample: float) -> None:
    """Points of a line give it back, small and large sizes alike."""
    curve = fit_speed({size: fixed + per_sample * size for size in (16, 128, 1024, 4096)})

    assert curve.error < 1e-6
    for size in (16, 700, 4096):
        assert curve.seconds(size) == pytest.approx(fixed + per_sample * size, rel=1e-6)


@given(st.dictionaries(st.integers(1, 5000), st.floats(1e-6, 10.0), min_size=1, max_size=9))
def test_no_part_of_the_line_is_negative(measured: dict[int, float]) -> None:
    """However odd the measurements, neither α nor β is below zero."""
    curve = fit_speed(measured)

    assert curve.fixed >= 0
    assert curve.per_sample >= 0
    assert curve.error >= 0


def test_a_small_size_counts_as_much_as_a_large_one() -> None:
    """The error is relative: a tenth off at size 16 weighs as a tenth off at 4,096."""
    measured = {16: 0.0011, 4096: 0.1}

    assert fit_speed(measured).seconds(16) == pytest.approx(0.0011)


def test_devices_share_the_samples_only() -> None:
    """Four devices quarter β; α stays."""
    curve = fit_speed({10: 0.002, 100: 0.011}).on_devices(4)

    assert curve.fixed == pytest.approx(0.001)
    assert curve.per_sample == pytest.approx(0.0001 / 4)


def test_nothing_measured_is_refused() -> None:
    """No measurement, or one of no time, gives no line."""
    with pytest.raises(ValueError, match="no curve"):
        fit_speed({})
    with pytest.raises(ValueError, match="no curve"):
        fit_speed({16: 0.0})


def test_one_slow_round_does_not_move_the_time() -> None:
    """The median is told, with the spread of the quartiles."""
    found = timings([{16: 1.0}] * 4 + [{16: 50.0}])[16]

    assert (found.seconds, found.spread, found.repeats) == (1.0, 0.0, 5)
    assert timings([{16: 2.0}])[16].spread == 0.0
    assert timings([]) == {}


@given(
    st.lists(
        st.tuples(st.floats(0.2, 5.0), st.sets(st.sampled_from([16, 128, 1024]))), min_size=1
    )
)
def test_a_busy_machine_slows_all_sizes_alike(rounds: list[tuple[float, set[int]]]) -> None:
    """However busy it is in each round, sizes that were timed keep their true ratio."""
    true = {8: 1e-3, 16: 2e-3, 128: 9e-3, 1024: 0.07}
    measured = [
        {size: busy * true[size] for size in (8, *sorted(others))} for busy, others in rounds
    ]

    found = timings(measured)

    for size in found:
        assert found[size].seconds / found[8].seconds == pytest.approx(true[size] / true[8])


def test_a_size_timed_in_a_busy_moment_alone_would_seem_slow() -> None:
    """The bound above can fail: without a round of its own with others nothing is known."""
    found = timings([{8: 1.0}, {8: 1.0}, {8: 1.0}, {16: 20.0}])

    assert found[16].seconds == 20.0
