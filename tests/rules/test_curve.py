"""Arithmetic on curves, against answers that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from epochwise.rules.curve import (
    forecast,
    lasting_end,
    proportion_error,
    rise_began,
    scatter,
    smoothed,
)


def falling(epochs: int, *, noise: float, seed: int) -> list[float]:
    """A power law with white noise on it."""
    rng = np.random.default_rng(seed)
    course = 0.1 + 2.0 * np.arange(1, epochs + 1) ** -0.7
    return [float(value) for value in course + noise * rng.standard_normal(epochs)]


def test_medians_of_three_keep_what_only_falls() -> None:
    """A spike is gone; a curve that falls all the way is as it was."""
    course = [8.0, 4.0, 2.0, 1.0, 0.5]

    assert smoothed(course) == course
    assert max(smoothed([8.0, 4.0, 99.0, 1.0, 0.5])) == 8.0
    assert smoothed([1.0]) == [1.0]


def test_scatter_is_the_deviation_of_white_noise() -> None:
    """Over many curves its mean is the noise put in; a straight trend adds nothing."""
    rng = np.random.default_rng(0)
    curves = 3.0 - 0.1 * np.arange(40) + 0.05 * rng.standard_normal((400, 40))

    found = [scatter(curve.tolist()) for curve in curves]

    assert np.mean([value for value in found if value is not None]) == pytest.approx(
        0.05, rel=0.05
    )


def test_scatter_is_not_moved_by_a_spike() -> None:
    """One epoch that went wrong leaves the noise what it was."""
    curve = falling(40, noise=0.01, seed=1)
    spiked = [*curve[:20], 5.0, *curve[21:]]

    before, after = scatter(curve), scatter(spiked)

    assert before is not None
    assert after is not None
    assert after < 1.5 * before


def test_the_error_of_a_share_is_that_of_drawing_it() -> None:
    """√(p(1−p)/n) is the deviation over many draws of n samples."""
    rng = np.random.default_rng(2)
    shares = rng.binomial(500, 0.9, 20_000) / 500

    assert proportion_error(0.9, 500) == pytest.approx(float(shares.std()), rel=0.03)


def test_a_share_of_all_is_not_certain() -> None:
    """Where every sample was right, the error is that of half a sample wrong."""
    assert proportion_error(1.0, 50) == proportion_error(0.99, 50)
    assert proportion_error(0.0, 50) == proportion_error(0.01, 50)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5.0, 4.0, 3.0, 2.0], 3),
        ([5.0, 1.0, 1.0, 1.0], 1),
        ([1.0, 1.0, 1.0, 1.0], 0),
        ([5.0, 1.0, 0.9, 0.8, 0.7, 0.6], 2),  # small gains add up
        ([1.0, 1.0, 1.0, 0.1, 1.0, 1.0, 1.0], 0),  # one lucky value is no gain
        ([1.0, 2.0, 3.0], 0),
        ([1.0], 0),
    ],
)
def test_the_lasting_end_looks_at_all_that_comes_after(
    values: list[float], expected: int
) -> None:
    """It is the first place that nothing later beats by more than the error."""
    found = lasting_end(values, 0.35)

    assert found == expected


def test_a_rise_needs_to_last_and_to_exceed_the_error() -> None:
    """One bad epoch at the end is no over-fitting, and neither is a wobble."""
    assert rise_began([3.0, 2.0, 1.0, 1.5, 2.0, 2.5], 0.3) == 2
    assert rise_began([3.0, 2.0, 1.0, 1.1, 1.0, 1.1], 0.3) is None
    assert rise_began([3.0, 2.0, 1.0, 1.0, 1.0, 9.0], 0.3) is None
    assert rise_began([3.0, 2.0, 1.0], 0.3) is None


def test_the_forecast_of_a_power_law_holds_its_future() -> None:
    """Over 200 noisy curves, the 80% interval holds the value in 65 to 95% of them."""
    held = []
    for seed in range(200):
        curve = falling(25, noise=0.01, seed=seed)
        found = forecast(curve[:20], 5)
        assert found is not None
        held.append(found.low <= curve[24] <= found.high)

    assert 0.65 <= np.mean(held) <= 0.99


def test_the_forecast_follows_a_rise() -> None:
    """A curve that over-fits is told to rise further."""
    curve = [1.0 + 0.05 * abs(epoch - 5) for epoch in range(1, 21)]

    found = forecast(curve, 5)

    assert found is not None
    assert found.value > curve[-1]
    assert found.low < found.value < found.high


def test_a_forecast_needs_five_epochs() -> None:
    """Four points fit any course."""
    assert forecast([4.0, 3.0, 2.0, 1.0], 1) is None
    assert math.isfinite(forecast([4.0, 3.0, 2.5, 2.2, 2.0], 1).value)  # type: ignore[union-attr]
