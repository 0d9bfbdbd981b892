"""The best evaluation is the strictly best finite one, whatever any rule says."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boundaries import INF, NAN, Look, at, boundary, shown
from epochwise.errors import PlanError, TrainingError
from epochwise.record import json_text
from epochwise.rules import Best, epochs_of, from_json, to_json


def bests(*values: float, metric: str = "val_loss") -> list[int]:
    """Return the epochs that were a new best in their time, counted from one."""
    rule = Best(metric=metric)
    memory, found = rule.start(), []
    for seen in epochs_of({metric: values}):
        memory, is_best = rule.update(memory, seen)
        if is_best:
            found.append(seen.epochs_done)
    return found


@pytest.mark.parametrize(
    ("values", "epoch"),
    [
        ((1.0, 0.5, 0.6), 2),  # E01
        ((1.0, 0.9, 0.95, 0.96), 2),  # E02
        ((NAN, 1.0, 0.5, 0.4, 0.3), 5),  # E03
        ((0.9, 0.8, NAN, NAN), 2),  # E04
        ((0.9, 0.8, -INF, INF), 2),  # E04
        ((0.5, 0.5, 0.5), 1),
    ],
)
def test_the_best_epoch(values: tuple[float, ...], epoch: int) -> None:
    """E01, E02, E03, E04: it is the lowest finite loss, the earlier of two that tie."""
    assert bests(*values)[-1] == epoch


def test_nothing_is_best_while_nothing_is_finite() -> None:
    """A NaN is no best for want of a better."""
    assert bests(NAN, NAN, INF) == []


def test_higher_is_better_for_an_accuracy() -> None:
    """The direction follows from the name, or is told."""
    assert bests(0.8, 0.9, 0.9, 0.95, metric="val_accuracy") == [1, 2, 4]
    with pytest.raises(PlanError, match="does not follow from its name"):
        Best(metric="val_gain")


@given(
    st.lists(st.one_of(st.sampled_from([0.0, 1.0, NAN, INF, -INF]), st.floats()), max_size=20)
)
def test_the_best_is_the_first_lowest_of_all(values: list[float]) -> None:
    """After every epoch it is the first of the lowest finite values until then."""
    finite = [(value, epoch) for epoch, value in enumerate(values, 1) if math.isfinite(value)]
    found = bests(*values)
    assert (found[-1] if found else None) == (min(finite)[1] if finite else None)


@given(st.lists(st.floats(), min_size=1, max_size=12))
def test_resuming_changes_nothing(values: list[float]) -> None:
    """E15: its memory as text and back is the same memory, with the value's own bits."""
    rule = Best(metric="val_loss")
    memory = rule.start()
    for seen in epochs_of({"val_loss": values}):
        memory, _ = rule.update(memory, seen)
        kept = json.loads(json_text(to_json(memory)))
        assert from_json(rule, kept) == memory


def test_it_remembers_where_the_best_was() -> None:
    """Inside an epoch too."""
    rule = Best(metric="val_loss")
    memory, is_best = rule.update(
        rule.start(), boundary(at(1, 3, per_epoch=10), {"val_loss": 0.25})
    )
    assert is_best
    assert (memory.value, memory.epochs_done, memory.iterations_done) == (0.25, 1, 13)


def test_an_absent_metric_is_an_error_at_first_and_nothing_later() -> None:
    """E07: a misspelt name ends the run; a value that is missing later is no best."""
    rule = Best(metric="val_loss")
    with pytest.raises(TrainingError, match="There is no metric 'val_loss'"):
        rule.update(rule.start(), boundary(at(1), {"val_mse": 1.0}))
    memory = rule.start()
    for seen in shown([Look(at(1), True, 0.5), Look(at(2), True, None)]):
        memory, is_best = rule.update(memory, seen)
    assert not is_best
    assert (memory.value, memory.looks.absent) == (0.5, 1)
