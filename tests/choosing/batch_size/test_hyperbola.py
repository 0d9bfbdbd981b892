"""The curve of iterations against batch size, and what follows from it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochwise.choosing.batch_size.hyperbola import (
    Hyperbola,
    best_size,
    fitted,
    through,
)

CRITICAL = st.floats(1.0, 1e5)


@given(CRITICAL, st.floats(1.0, 1e5), st.floats(1.0, 1e5))
def test_iterations_and_samples_are_each_others_inverse(
    critical: float, least: float, size: float
) -> None:
    """(S/S_min − 1)·(E/E_min − 1) is 1 at every batch size."""
    curve = Hyperbola(least_iterations=least, critical_size=critical)

    product = (curve.iterations(size) / curve.least_iterations - 1) * (
        curve.samples(size) / curve.least_samples - 1
    )

    assert product == pytest.approx(1, rel=1e-6)


@given(CRITICAL, st.floats(1.0, 1e5))
def test_the_fit_finds_the_curve_that_made_the_points(critical: float, least: float) -> None:
    """Points of a curve give it back."""
    curve = Hyperbola(least_iterations=least, critical_size=critical)
    points = [(size, curve.iterations(size)) for size in (16, 64, 256, 1024)]

    found = fitted(points)

    assert found is not None
    assert found.critical_size == pytest.approx(critical, rel=1e-4)
    assert found.least_iterations == pytest.approx(least, rel=1e-4)


def test_iterations_that_fall_in_proportion_set_no_critical_size() -> None:
    """Where twice the batch halves the iterations throughout, there is nothing to fit."""
    assert fitted([(16, 1000), (32, 480), (64, 220)]) is None


def test_one_point_is_no_curve() -> None:
    """The same size twice tells nothing either."""
    assert fitted([(16, 1000), (16, 900)]) is None


def test_iterations_that_do_not_fall_have_a_critical_size_of_zero() -> None:
    """Where batches bring nothing, no batch is small enough."""
    found = fitted([(16, 1000), (32, 1100), (64, 1200)])

    assert found is not None
    assert found.critical_size == 0


def test_a_curve_goes_through_its_point() -> None:
    """The one measured point is kept whatever the noise scale."""
    assert through(48, 700, critical_size=5000).iterations(48) == pytest.approx(700)


@given(CRITICAL, st.floats(1e-6, 1.0), st.floats(1e-8, 1e-2))
def test_the_best_size_is_the_least_of_the_time(
    critical: float, fixed: float, per_sample: float
) -> None:
    """No size of a fine grid takes less time than √(B_c·α/β)."""
    curve = Hyperbola(least_iterations=1.0, critical_size=critical)
    best = best_size(critical, fixed, per_sample)
    grid = best * np.geomspace(0.01, 100, 401)

    def seconds(size: float) -> float:
        return curve.iterations(size) * (fixed + per_sample * size)

    assert seconds(best) <= min(seconds(size) for size in grid) * (1 + 1e-9)


def test_free_samples_make_the_largest_batch_best() -> None:
    """Where an iteration costs the same at every size, only memory ends its growth."""
    assert math.isinf(best_size(100, fixed=1.0, per_sample=0.0))
