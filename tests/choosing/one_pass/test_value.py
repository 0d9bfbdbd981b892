"""The worth of a repeated sample, where it is known."""

from __future__ import annotations

import math

import pytest

from epochwise.choosing.one_pass import Curve, Part, half_life, worth_of_repeats

SIZES = tuple(100 * place for place in range(1, 9))


def loss_of(samples: float) -> float:
    """A power law of the samples seen once."""
    return 0.1 + 20 / samples**0.7


CURVE = Curve(samples=SIZES, losses=tuple(map(loss_of, SIZES)))


def repeated(unique: int, passes: int, stretch: float) -> Part:
    """A part whose repeats lose their worth as the formula says."""
    worths = (
        unique * (1 + stretch * -math.expm1(-further / stretch)) for further in range(passes)
    )
    return Part(unique=unique, losses=tuple(map(loss_of, worths)))


@pytest.mark.parametrize("stretch", [0.3, 0.5, 2.0, 10.0])
def test_the_half_life_put_in_is_found(stretch: float) -> None:
    """From three parts, within what the curve's eight points allow."""
    parts = [repeated(100, 8, stretch), repeated(200, 4, stretch), repeated(400, 2, stretch)]

    found = half_life(parts, CURVE)

    assert found is not None
    assert found == pytest.approx(stretch, rel=0.2)


def test_repeats_as_good_as_fresh_are_worth_one() -> None:
    """And those that do nothing, or harm, are worth nothing."""
    as_fresh = Part(unique=100, losses=(loss_of(100), loss_of(200), loss_of(300)))
    useless = Part(unique=100, losses=(loss_of(100),) * 3)
    harmful = Part(unique=100, losses=(loss_of(100), 9.0, 9.0))

    assert worth_of_repeats(as_fresh, CURVE) == pytest.approx(1.0)
    assert worth_of_repeats(useless, CURVE) == 0.0
    assert worth_of_repeats(harmful, CURVE) == 0.0
    for part, least, most in ((as_fresh, 30, 1e3), (useless, 0, 0.01), (harmful, 0, 0.01)):
        found = half_life([part], CURVE)
        assert found is not None
        assert least <= found <= most


def test_a_curve_that_does_not_fall_tells_nothing() -> None:
    """Where fresh samples bring nothing, repeats cannot be held against them."""
    flat = Curve(samples=SIZES, losses=(0.7,) * 8)

    assert flat.samples_for(0.6) is None
    assert worth_of_repeats(Part(unique=100, losses=(0.7, 0.6)), flat) is None
    assert half_life([Part(unique=100, losses=(0.7, 0.6))], flat) is None


def test_a_bump_in_the_curve_is_passed_over() -> None:
    """The samples for a loss are where the curve first gets there for good."""
    bumpy = Curve(samples=(100, 200, 300), losses=(1.0, 0.5, 0.6))

    assert bumpy.samples_for(0.5) == 200.0
    assert bumpy.samples_for(0.55) < 200
