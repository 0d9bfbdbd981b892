"""Thinning keeps every peak and drop; the smoothed line is the mean it claims to be."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochwise.report.thinning import thin, trailing_mean

VALUES = st.lists(
    st.floats(-1e6, 1e6) | st.sampled_from([math.nan, math.inf, -math.inf]), max_size=300
).map(lambda values: np.array(values, np.float64))


@given(VALUES, st.integers(8, 60))
def test_the_extremes_and_both_ends_stay(values: np.ndarray, points: int) -> None:
    """Highest and lowest finite value, first and last, and every stretch with a NaN."""
    kept = thin(values, points)

    assert kept.size <= max(points, 8)
    assert (np.diff(kept) > 0).all()
    if values.size:
        assert kept[0] == 0
        assert kept[-1] == values.size - 1
    finite = values[np.isfinite(values)]
    if finite.size:
        assert np.nanmax(np.where(np.isfinite(values), values, np.nan)[kept]) == finite.max()
        assert np.nanmin(np.where(np.isfinite(values), values, np.nan)[kept]) == finite.min()
    assert np.isfinite(values[kept]).all() == np.isfinite(values).all()


@given(VALUES, st.integers(8, 60))
def test_a_line_through_what_is_kept_covers_every_value(
    values: np.ndarray, points: int
) -> None:
    """Between two neighbours that are kept nothing lies outside what their stretch keeps."""
    kept = thin(values, points)
    stretches = max(1, (max(points, 8) - 2) // 3)
    length = -(-values.size // stretches) if values.size > max(points, 8) else 1

    for place in np.flatnonzero(np.isfinite(values)):
        begin = place // length * length
        near = [k for k in kept if begin <= k < begin + length and np.isfinite(values[k])]
        assert min(values[near]) <= values[place] <= max(values[near])


@pytest.mark.parametrize("place", [0, 1, 123_456, 777_777, 999_998, 999_999])
@pytest.mark.parametrize("planted", [50.0, -50.0, math.nan, math.inf])
def test_a_planted_peak_or_drop_among_a_million_is_kept(place: int, planted: float) -> None:
    """One odd loss in a million is in the picture, at its own iteration."""
    values = np.random.default_rng(0).normal(size=1_000_000)
    values[place] = planted

    assert place in thin(values, 20_000)


def test_every_second_or_hundredth_point_would_lose_it() -> None:
    """Plain strides, which thinning is not, lose the planted peak."""
    values = np.zeros(1_000_000)
    values[123_457] = 1.0

    assert 123_457 not in np.arange(0, values.size, 50)
    assert 123_457 in thin(values, 20_000)


@given(
    st.lists(st.tuples(st.floats(-1e3, 1e3), st.integers(1, 64)), min_size=1, max_size=80),
    st.integers(1, 100),
)
def test_the_smoothed_loss_is_the_mean_over_samples(
    batches: list[tuple[float, int]], window: int
) -> None:
    """Equal to adding up the window's losses times their samples, one by one (C01)."""
    values = np.array([value for value, _ in batches])
    samples = np.array([size for _, size in batches], np.float64)

    smooth = trailing_mean(values, samples, window)

    for end in range(len(batches)):
        inside = batches[max(0, end + 1 - window) : end + 1]
        total = math.fsum(value * size for value, size in inside)
        expected = total / sum(size for _, size in inside)
        assert smooth[end] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_one_loss_that_is_not_finite_spoils_only_its_window() -> None:
    """The line has a gap as long as the window, and goes on with every digit."""
    values = np.array([1.0, math.nan, 1.0, 1e300, 1.0, 3.0])

    smooth = trailing_mean(values, np.ones(6), 2)

    assert np.isnan(smooth).tolist() == [False, True, True, False, False, False]
    assert smooth[-1] == 2.0
