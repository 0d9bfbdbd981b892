"""Means are over samples, exact, and do not depend on how the samples were grouped."""

from __future__ import annotations

import math
import pickle
import random
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochwise.counting.averages import SampleMean
from epochwise.errors import RunError

VALUES = st.floats(allow_nan=False, allow_infinity=False)
PARTS = st.lists(st.tuples(VALUES, st.integers(0, 10**6)), min_size=1, max_size=12)


def mean_of(parts: list[tuple[float, int]]) -> SampleMean:
    """Add the parts one by one."""
    mean = SampleMean()
    for value, weight in parts:
        mean = mean.add(value, weight)
    return mean


def test_c01_the_mean_of_batches_is_over_samples() -> None:
    """C01: losses of 10 over two samples and 9 over one make 29/3, not 9.5."""
    mean = mean_of([(10.0, 2), (9.0, 1)]).mean
    assert mean == 29 / 3
    assert mean != (10.0 + 9.0) / 2


def test_b07_unequal_microbatches_make_the_mean_of_the_batch() -> None:
    """B07: 1..10 in parts of 4, 4 and 2 has mean 5.5, as in one part."""
    assert mean_of([(2.5, 4), (6.5, 4), (9.5, 2)]).mean == 5.5


@given(PARTS, st.randoms(use_true_random=False))
def test_order_changes_no_bit(parts: list[tuple[float, int]], shuffle: random.Random) -> None:
    """Shuffled, the sums are the very same."""
    assert mean_of(shuffle.sample(parts, len(parts))) == mean_of(parts)


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.integers(1, 10**6)), min_size=1, max_size=9))
def test_the_mean_is_the_exact_one_rounded_once(parts: list[tuple[float, int]]) -> None:
    """It equals the quotient of exact fractions."""
    total = sum(Fraction(value) * weight for value, weight in parts)
    assert mean_of(parts).mean == float(total / sum(weight for _, weight in parts))


def test_small_values_are_not_lost_beside_large_ones() -> None:
    """Where a plain sum of floats loses every 1.0, the mean keeps them."""
    parts = [(1e16, 1), (1.0, 1), (-1e16, 1), (1.0, 1)]
    assert (1e16 + 1.0 - 1e16 + 1.0) / 4 != 0.5
    assert mean_of(parts).mean == 0.5


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([1.0, math.nan, 2.0], math.nan),
        ([math.inf, 1.0], math.inf),
        ([math.inf, 1.0, -math.inf], math.nan),
    ],
)
def test_what_is_not_finite_is_never_lost(values: list[float], mean: float) -> None:
    """One NaN or infinity decides the mean, whatever else is in it."""
    added = mean_of([(value, 1) for value in values]).add(3.0, 5)
    for found in (added.mean, SampleMean.from_json(added.to_json()).mean):
        assert found == mean or (math.isnan(found) and math.isnan(mean))


def test_a_value_of_no_samples_counts_for_nothing() -> None:
    """Weight 0 adds nothing, even to a NaN; a mean over nothing is NaN."""
    assert SampleMean().add(math.nan, 0).add(4.0, 3).mean == 4.0
    assert math.isnan(SampleMean().mean)
    assert math.isnan(SampleMean().add(1.0, 0).mean)


@pytest.mark.parametrize("weight", [-1, -0.5, math.nan, math.inf])
def test_a_weight_is_a_number_of_samples(weight: float) -> None:
    """Negative and endless weights are refused."""
    with pytest.raises(ValueError, match="cannot stand for"):
        SampleMean().add(1.0, weight)


@given(PARTS)
def test_a_mean_survives_json_and_pickle(parts: list[tuple[float, int]]) -> None:
    """A resumed mean goes on with the same bits."""
    mean = mean_of(parts)
    assert SampleMean.from_json(mean.to_json()) == mean
    assert pickle.loads(pickle.dumps(mean)) == mean


@pytest.mark.parametrize(
    "recorded",
    [{}, {"total": "1/0", "weight": "1", "nonfinite": "0.0"}, {"total": "x", "weight": "1"}],
)
def test_a_damaged_record_is_an_error(recorded: dict[str, str]) -> None:
    """Sums that cannot be read are refused with what was found."""
    with pytest.raises(RunError, match=r"The recorded mean \{.*\} cannot be read"):
        SampleMean.from_json(recorded)
