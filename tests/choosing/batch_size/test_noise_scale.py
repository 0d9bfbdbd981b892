"""The noise estimators against gradients whose covariance and mean are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochwise.choosing.batch_size.noise import (
    NoiseDraw,
    from_microbatches,
    noise_scale,
)

DIMENSIONS = 12
MEAN = np.linspace(-0.3, 0.5, DIMENSIONS)
DEVIATIONS = np.linspace(0.5, 3.0, DIMENSIONS)
TRACE, SQUARE = float((DEVIATIONS**2).sum()), float((MEAN**2).sum())
DRAWS = 1000


def linear_model_draw(rng: np.random.Generator, sizes: list[int]) -> NoiseDraw:
    """Draw gradients of a linear model's samples, Gaussian with known mean and covariance.

    The loss of one sample with features x is −x·w, so that its gradient is −x.
    """
    parts = [
        -(-MEAN + DEVIATIONS * rng.normal(size=(size, DIMENSIONS))).mean(axis=0)
        for size in sizes
    ]
    whole = np.average(parts, axis=0, weights=sizes)
    return from_microbatches(sizes, [float(g @ g) for g in parts], float(whole @ whole))


def from_two_sizes(
    *, small: int, small_square: Any, large: int, large_square: Any
) -> NoiseDraw:
    """The estimate from two batches (McCandlish et al. 2018, A.2), for comparison."""
    trace = (small_square - large_square) * small * large / (large - small)
    square = (large * large_square - small * small_square) / (large - small)
    return NoiseDraw(trace=trace, square=square)


def two_size_draw(rng: np.random.Generator) -> NoiseDraw:
    """Draw two independent batches of 4 and of 32 samples."""
    norms = []
    for size in (4, 32):
        gradient = (MEAN + DEVIATIONS * rng.normal(size=(size, DIMENSIONS))).mean(axis=0)
        norms.append(float(gradient @ gradient))
    return from_two_sizes(small=4, small_square=norms[0], large=32, large_square=norms[1])


def off_by(values: list[float], truth: float) -> float:
    """How far the mean of estimates is from the truth, in its standard errors."""
    return abs(np.mean(values) - truth) / (np.std(values, ddof=1) / math.sqrt(len(values)))


@pytest.mark.parametrize(
    "draw",
    [
        lambda rng: linear_model_draw(rng, [4] * 8),
        lambda rng: linear_model_draw(rng, [1, 2, 5, 9, 3]),
        lambda rng: linear_model_draw(rng, [30, 2]),
        two_size_draw,
    ],
    ids=["equal microbatches", "unequal microbatches", "two very unequal", "two sizes"],
)
def test_the_estimates_are_unbiased(draw: Callable[[np.random.Generator], NoiseDraw]) -> None:
    """Over 1,000 draws the means are within three standard errors of tr Σ and |G|²."""
    rng = np.random.default_rng(5)
    draws = [draw(rng) for _ in range(DRAWS)]

    assert off_by([float(one.trace) for one in draws], TRACE) < 3
    assert off_by([float(one.square) for one in draws], SQUARE) < 3


def test_the_test_of_bias_sees_one() -> None:
    """Taking |ḡ|² itself for |G|², or microbatches of 9 for equal ones, is found out."""
    rng = np.random.default_rng(5)
    sizes = [1, 2, 5, 9, 3]
    draws = [linear_model_draw(rng, sizes) for _ in range(DRAWS)]
    naive = [float(one.square + one.trace / sum(sizes)) for one in draws]

    assert off_by(naive, SQUARE) > 3
    assert off_by([float(one.trace) * 1.1 for one in draws], TRACE) > 3


SQUARES = st.fractions(min_value=0, max_value=10**6)


@given(st.integers(1, 500), st.lists(SQUARES, min_size=2, max_size=9), SQUARES)
def test_the_two_forms_agree_exactly(
    size: int, squares: list[Fraction], mean_square: Fraction
) -> None:
    """Of equal microbatches both forms make the very same numbers, in exact arithmetic."""
    parts = len(squares)
    expected = from_microbatches([size] * parts, squares, mean_square)

    found = from_two_sizes(
        small=size,
        small_square=sum(squares) / parts,
        large=size * parts,
        large_square=mean_square,
    )

    assert found == expected


@pytest.mark.parametrize(
    ("sizes", "squares"), [([4], [1.0]), ([4, 4], [1.0]), ([4, 0], [1.0, 1])]
)
def test_too_few_gradients_are_refused(sizes: list[int], squares: list[float]) -> None:
    """One part, a part without a gradient or without samples tells no noise."""
    with pytest.raises(ValueError, match="tell no noise"):
        from_microbatches(sizes, squares, 1.0)


def test_numerator_and_denominator_are_averaged_apart() -> None:
    """The scale is the ratio of the means; the mean of the ratios would be another."""
    draws = [NoiseDraw(trace=1.0, square=1.0), NoiseDraw(trace=1.0, square=0.1)]

    assert noise_scale(draws).scale.value == pytest.approx(1 / 0.55)
    assert np.mean([one.trace / one.square for one in draws]) == pytest.approx(5.5)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """About 95 of 100 intervals from 12 draws hold the true noise scale."""
    rng = np.random.default_rng(11)
    trials, held = 400, 0
    for _ in range(trials):
        found = noise_scale([linear_model_draw(rng, [16] * 6) for _ in range(12)])
        held += found.scale.low <= TRACE / SQUARE <= found.scale.high

    assert 0.91 < held / trials < 0.985


def test_a_gradient_lost_in_noise_sets_no_upper_bound() -> None:
    """Where |G|² cannot be told from 0 the scale is unbounded above, not made up."""
    draws = [NoiseDraw(trace=10.0 + i, square=s) for i, s in enumerate((-1.0, 1.2, -0.4, 0.5))]

    found = noise_scale(draws)

    assert math.isinf(found.scale.high)
    assert found.scale.low > 0


def test_a_negative_square_is_no_negative_scale() -> None:
    """A mean of |G|² below zero gives an infinite scale, and estimates of zero or more."""
    found = noise_scale([NoiseDraw(trace=10.0, square=-s) for s in (1.0, 1.1, 0.9)])

    assert math.isinf(found.scale.value)
    assert found.square.value == 0.0


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(-1e6, 1e6)), min_size=2, max_size=8))
def test_the_interval_holds_the_estimate(draws: list[tuple[float, float]]) -> None:
    """For any draws at all, 0 <= low <= value <= high."""
    found = noise_scale([NoiseDraw(trace=trace, square=square) for trace, square in draws])

    for one in (found.trace, found.square, found.scale):
        assert 0 <= one.low <= one.value <= one.high


def test_one_draw_tells_no_interval() -> None:
    """A single draw is refused."""
    with pytest.raises(ValueError, match="no interval"):
        noise_scale([NoiseDraw(trace=1.0, square=1.0)])
