"""The rules that carry a learning rate over to another batch size."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochwise.choosing.batch_size.learning_rate import (
    Family,
    family_of,
    scaled_rate,
)

SIZES = st.integers(1, 1 << 14)
NOISE = st.floats(0, 1e6)
FAMILIES = st.sampled_from(["adam", "sgd"])


@given(FAMILIES, SIZES, SIZES, SIZES, NOISE)
def test_two_moves_are_one(
    family: Family, first: int, second: int, third: int, noise: float
) -> None:
    """From B to B' to B'' the rate is that from B to B'': the rule has no memory."""
    direct = scaled_rate(0.1, before=first, after=third, family=family, noise_scale=noise)
    halfway = scaled_rate(0.1, before=first, after=second, family=family, noise_scale=noise)
    twice = scaled_rate(halfway, before=second, after=third, family=family, noise_scale=noise)

    assert twice == pytest.approx(direct, rel=1e-9)


@given(SIZES, SIZES, NOISE)
def test_sgd_gains_at_most_what_the_batch_gains(before: int, after: int, noise: float) -> None:
    """The rate of SGD changes between not at all and in proportion to the batch."""
    gain = scaled_rate(1.0, before=before, after=after, family="sgd", noise_scale=noise)
    ratio = after / before

    assert min(1, ratio) * (1 - 1e-9) <= gain <= max(1, ratio) * (1 + 1e-9)


def test_adam_takes_the_square_root() -> None:
    """Sixteen times the batch, four times the rate, whatever the noise."""
    for noise in (0.0, 50.0, math.inf):
        rate = scaled_rate(1e-3, before=16, after=256, family="adam", noise_scale=noise)
        assert rate == pytest.approx(4e-3)


@pytest.mark.parametrize(
    ("name", "family"),
    [("Adam", "adam"), ("RMSprop", "adam"), ("Lion", "adam"), ("SGD", "sgd"), ("Mine", "sgd")],
)
def test_each_optimizer_has_a_family(name: str, family: str) -> None:
    """What divides by the gradient's size goes by the square root, all else as SGD."""
    assert family_of(name) == family
