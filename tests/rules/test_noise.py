"""With min_delta="noise" a gain counts only when chance alone would hardly make it."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boundaries import at, boundary, stops_at, stops_at_resumed
from epochwise.errors import TrainingError
from epochwise.rules import Patience, Seen
from epochwise.rules.noise import (
    paired_standard_error,
    sample_standard_error,
    share_standard_error,
)

ACCURACY = Patience(metric="val_accuracy", epochs=1, min_delta="noise")
LOSS = Patience(metric="val_loss", epochs=1, min_delta="noise")
NUMBERS = st.floats(-1e6, 1e6)


def looks(rule: Patience, *values: float, **more: Any) -> list[Seen]:
    """Return one evaluated epoch for each value of the rule's metric."""
    return [
        boundary(at(epoch), {rule.metric: value}, **more)
        for epoch, value in enumerate(values, start=1)
    ]


def per_sample(rule: Patience, *rows: list[float]) -> list[Seen]:
    """Return one evaluated epoch for each row of values, one a validation sample."""
    return [
        boundary(
            at(epoch),
            {rule.metric: statistics.fmean(row)},
            per_sample=lambda row=row: {rule.metric: row},
            validation_samples=len(row),
        )
        for epoch, row in enumerate(rows, start=1)
    ]


def improves(rule: Patience, seen: list[Seen]) -> bool:
    """Tell whether the second of two looks counts as an improvement at patience 1."""
    return stops_at(rule, seen) is None


def test_an_accuracy_has_to_gain_more_than_its_standard_error() -> None:
    """97% of 10,000 samples has the noise √(.97·.03/10,000) = 0.0017."""
    assert not improves(ACCURACY, looks(ACCURACY, 0.9685, 0.97, validation_samples=10_000))
    assert improves(ACCURACY, looks(ACCURACY, 0.968, 0.97, validation_samples=10_000))
    assert not improves(ACCURACY, looks(ACCURACY, 0.92, 0.97, validation_samples=10))


def test_paired_results_see_smaller_gains() -> None:
    """7 of 1,000 samples better and none worse is a gain of 0.007, and its noise 0.0026."""
    before = [1.0] * 900 + [0.0] * 100
    after = [1.0] * 907 + [0.0] * 93
    assert share_standard_error(0.907, 1000) > 0.007
    assert not improves(ACCURACY, looks(ACCURACY, 0.9, 0.907, validation_samples=1000))
    assert improves(ACCURACY, per_sample(ACCURACY, before, after))


def test_paired_results_see_through_gains_that_are_luck() -> None:
    """60 better and 53 worse is the same gain of 0.007, and its noise 0.0106."""
    before = [1.0] * 847 + [1.0] * 53 + [0.0] * 60 + [0.0] * 40
    after = [1.0] * 847 + [0.0] * 53 + [1.0] * 60 + [0.0] * 40
    assert not improves(ACCURACY, per_sample(ACCURACY, before, after))


def test_a_loss_takes_its_standard_error_where_one_is_told() -> None:
    """A gain of 0.1 is more than a standard error of 0.05 and less than one of 0.2."""
    for error, expected in ((0.05, True), (0.2, False)):
        seen = looks(LOSS, 1.0, 0.9, standard_errors={"val_loss": error})
        assert improves(LOSS, seen) is expected


def test_rows_of_another_length_are_not_paired() -> None:
    """Where the samples differ between two evaluations, the second one's noise is used."""
    seen = per_sample(LOSS, [1.0, 3.0, 2.0], [1.0, 2.6])
    assert sample_standard_error([1.0, 2.6]) == pytest.approx(0.8)
    assert not improves(LOSS, seen)
    assert improves(LOSS, per_sample(LOSS, [1.0, 3.0, 2.0], [1.0, 1.2]))


def test_a_metric_whose_noise_nobody_knows_is_refused_at_the_first_look() -> None:
    """A loss without per-sample values or a standard error; told before it matters."""
    with pytest.raises(TrainingError) as caught:
        stops_at(LOSS, looks(LOSS, 1.0, validation_samples=1000))
    assert 'min_delta="noise" needs its value on each validation sample' in str(caught.value)
    assert 'use metric="val_accuracy", or a number such as min_delta=0.001' in str(caught.value)
    balanced = Patience(metric="val_balanced_accuracy", epochs=1, min_delta="noise")
    with pytest.raises(TrainingError, match="Nothing tells the noise"):
        stops_at(balanced, looks(balanced, 0.5, validation_samples=1000))


def test_the_reason_says_that_noise_was_asked_for() -> None:
    """The sentence tells a gain that did not count from none."""
    stopped = stops_at(ACCURACY, looks(ACCURACY, 0.96, 0.961, validation_samples=100))
    assert stopped is not None
    assert stopped[1].sentence == (
        "val_accuracy has had no new high beyond its noise for 1 epoch "
        "(best 0.96 after epoch 1, now 0.961)."
    )


def test_per_sample_results_are_asked_for_only_with_noise() -> None:
    """Another patience never calls for them, as they cost a pass over the data."""

    def asked() -> dict[str, list[float]]:
        raise AssertionError("nobody needs them")

    rule = Patience(metric="val_loss", epochs=1)
    assert stops_at(rule, looks(rule, 1.0, 0.9, per_sample=asked)) is None


@given(st.lists(st.lists(st.floats(0, 4), min_size=3, max_size=3), min_size=1, max_size=8))
def test_paired_noise_survives_a_resume(rows: list[list[float]]) -> None:
    """E14: the best evaluation's results are in the memory, bit for bit."""
    seen = per_sample(LOSS, *rows)
    assert stops_at_resumed(LOSS, seen) == stops_at(LOSS, seen)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=30))
def test_the_paired_standard_error_is_that_of_the_mean_difference(
    pairs: list[tuple[float, float]],
) -> None:
    """It is the standard deviation of the differences over √n, and alike for its twin."""
    before, after = zip(*pairs, strict=True)
    differences = [b - a for a, b in pairs]
    expected = statistics.stdev(differences) / math.sqrt(len(pairs))
    assert paired_standard_error(before, after) == pytest.approx(expected, rel=1e-6, abs=1e-6)
    expected = statistics.stdev(after) / math.sqrt(len(pairs))
    assert sample_standard_error(after) == pytest.approx(expected, rel=1e-6, abs=1e-6)
