"""A curve continued to a target."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochwise.choosing.batch_size.extrapolation import iterations_to
from epochwise.choosing.batch_size.trial import Look


def looks_of(values: list[float]) -> list[Look]:
    return [Look(iterations=10 * (n + 1), value=value) for n, value in enumerate(values)]


@given(st.floats(0.1, 1.0), st.floats(1.2, 20.0))
def test_a_power_law_is_continued(power: float, further: float) -> None:
    """A loss that falls as a power of the iterations gets where it would."""
    values = [float(10 * (n + 1)) ** -power for n in range(60)]
    level = (600 * further) ** -power

    found = iterations_to(looks_of(values), level)

    assert found == pytest.approx(600 * further, rel=0.15)


def test_an_accuracy_is_continued_by_its_error() -> None:
    """Of an accuracy, which is turned, the error falls as a power."""
    values = [-(1 - 1 / (10 * (n + 1))) for n in range(60)]

    assert iterations_to(looks_of(values), -(1 - 1 / 1200)) == pytest.approx(1200, rel=0.15)


@pytest.mark.parametrize(
    ("values", "level"),
    [
        ([1.0] * 30, 0.5),
        ([1.0 + n / 30 for n in range(30)], 0.5),
        ([2.0 + 1 / (n + 1) for n in range(30)], -1.0),
        ([-0.5 - n / 100 for n in range(30)], -1.0),
        ([1.0, math.inf], 0.5),
        ([1.0], 0.5),
        ([], 0.5),
        ([1 - n * 1e-9 for n in range(30)], 0.01),
    ],
    ids=[
        "flat", "rising", "below zero", "an accuracy of one", "diverged", "one look", "none",
        "out of sight",
    ],
)  # fmt: skip
def test_what_is_not_in_sight_is_not_made_up(values: list[float], level: float) -> None:
    """A curve that does not lead to the target tells no iterations."""
    assert iterations_to(looks_of(values), level) is None
