"""Patience waits as long as it says, in the unit that it names."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from boundaries import INF, NAN, Look, at, boundary, finer, shown, stops_at, stops_at_resumed
from epochwise.counting.position import START
from epochwise.errors import PlanError, TrainingError
from epochwise.rules import AnyOf, Patience, epochs_of, notes, replay


def loss(**settings: Any) -> Patience:
    """Return a rule on the validation loss."""
    return Patience(metric="val_loss", **settings)


def epochs(rule: Patience, *values: float) -> int:
    """Return how many epochs a run with these validation losses makes."""
    return replay(rule, {"val_loss": values})[0]


@pytest.mark.parametrize(
    ("patience", "values", "epochs_done"),
    [
        (1, (1.0, 1.1, 0.5), 2),
        (2, (1.0, 0.9, 0.95, 0.96, 0.5), 4),
        (1, (1.0,), 1),
        (1, (NAN,), 1),
    ],
)
def test_patience_is_not_off_by_one(
    patience: int, values: tuple[float, ...], epochs_done: int
) -> None:
    """E02: as many looks without an improvement as it says, the first look not counted."""
    assert epochs(loss(epochs=patience), *values) == epochs_done


def test_patience_of_one_never_stops_at_the_first_epoch() -> None:
    """E02: the first value is what later ones are compared with, be it a NaN."""
    for value in (0.0, 1e300, INF, NAN):
        assert replay(loss(epochs=1), {"val_loss": [value]}) == (1, None)


def test_a_first_nan_poisons_nothing() -> None:
    """E03: NaN, 1, .5, .4, .3 at patience 3 runs all 5 epochs, and the NaN is told."""
    rule, memory = loss(epochs=3), loss(epochs=3).start()
    for seen in epochs_of({"val_loss": [NAN, 1.0, 0.5, 0.4, 0.3]}):
        memory, reason = rule.update(memory, seen)
        assert reason is None
    assert memory.best == 0.3
    assert notes(rule, memory) == (
        "val_loss was not finite in 1 evaluation; that is never an improvement.",
    )


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_what_is_not_finite_counts_as_waiting(value: float) -> None:
    """E04: .9, .8, then nothing but NaN (or infinities) stops when patience is over."""
    _, reason = replay(loss(epochs=3), {"val_loss": [0.9, 0.8, *[value] * 9]})
    assert reason is not None
    assert reason.sentence == (
        f"val_loss has had no new low for 3 epochs (best 0.8 after epoch 2, now {value:.4g})."
    )


def test_nothing_but_nan_stops_too() -> None:
    """A run whose metric never is a number ends after the first look and the patience."""
    epochs_done, reason = replay(loss(epochs=2), {"val_loss": [NAN] * 9})
    assert epochs_done == 3
    assert reason is not None
    assert reason.sentence == "val_loss has had no finite value for 2 epochs (now nan)."


def test_a_baseline_has_to_be_beaten_in_time() -> None:
    """E06: baseline .5, patience 3, val 1, .9, .8, .7, .6 stops after epoch 3."""
    values = [1.0, 0.9, 0.8, 0.7, 0.6]
    epochs_done, reason = replay(loss(epochs=3, baseline=0.5), {"val_loss": values})
    assert epochs_done == 3
    assert reason is not None
    assert reason.sentence == (
        "val_loss has not beaten the baseline 0.5 in 3 epochs (now 0.8)."
    )
    assert epochs(loss(epochs=3), *values) == 5, "without the baseline it improves each time"


def test_a_baseline_that_is_beaten_is_done_with() -> None:
    """E06: once below the baseline, patience is counted from the best as without one."""
    assert epochs(loss(epochs=2, baseline=0.5), 1.0, 0.4, 0.45, 0.3, 0.35, 0.36, 0.1) == 6
    assert epochs(loss(epochs=2, baseline=0.5), 0.5, 0.5, 0.5) == 2, "equal is not beaten"


def test_patience_in_evaluations_counts_evaluations() -> None:
    """E12: evaluated every 2 epochs, patience 2, 1, 1.1, 1.2: stops after epoch 6."""
    values = {2: 1.0, 4: 1.1, 6: 1.2}
    seen = shown(Look(at(epoch), epoch in values, values.get(epoch)) for epoch in range(1, 9))
    stopped = stops_at(loss(evaluations=2), seen)
    assert stopped is not None
    assert seen[stopped[0]].position.epochs_done == 6
    assert stopped[1].sentence == (
        "val_loss has had no new low for 2 evaluations (best 1 after epoch 2, now 1.2)."
    )


def test_patience_in_epochs_counts_epochs_and_decides_where_it_looks() -> None:
    """E12: 4 epochs of patience are over at epoch 6 as well, 5 at the next look."""
    values = {2: 1.0, 4: 1.1, 6: 1.2, 8: 1.2}
    seen = shown(Look(at(epoch), epoch in values, values.get(epoch)) for epoch in range(1, 9))
    found = [stops_at(loss(epochs=patience), seen) for patience in (3, 4, 5, 6, 7)]
    assert [None if stopped is None else stopped[0] + 1 for stopped in found] == [
        6, 6, 8, 8, None,
    ]  # fmt: skip


def test_resuming_after_every_epoch_changes_no_decision() -> None:
    """E14: patience 3, stopped and resumed after each epoch, 1, 2, 2, 2, 2: after epoch 4."""
    seen = list(epochs_of({"val_loss": [1.0, 2.0, 2.0, 2.0, 2.0]}))
    rule = AnyOf((loss(epochs=3),))
    resumed = stops_at_resumed(rule, seen)
    assert resumed == stops_at(rule, seen)
    assert resumed is not None
    assert resumed[0] == 3


def test_the_memory_after_an_epoch_includes_that_epoch() -> None:
    """E15: what is saved after epoch 2 knows best and waiting with epoch 2 in them."""
    rule, memory = loss(epochs=9), loss(epochs=9).start()
    found = []
    for seen in epochs_of({"val_loss": [1.0, 0.5, 0.7]}):
        memory, _ = rule.update(memory, seen)
        found.append((memory.best, memory.best_at, memory.waited))
    assert found == [(1.0, "epoch 1", 0), (0.5, "epoch 2", 0), (0.5, "epoch 2", 1)]


def test_a_metric_that_is_absent_later_neither_counts_nor_resets() -> None:
    """E07: absent in epochs 2 and 3: they are no waiting; and it is told."""
    rule, memory = loss(epochs=2), loss(epochs=2).start()
    decisions = []
    values = enumerate([1.0, None, None, 1.1, 1.2], start=1)
    for seen in shown(Look(at(epoch), True, value) for epoch, value in values):
        memory, reason = rule.update(memory, seen)
        decisions.append(reason is not None)
    assert decisions == [False, False, False, False, True]
    (note,) = notes(rule, memory)
    assert note == (
        "val_loss was absent from 2 evaluations; they count neither as an improvement nor "
        "as waiting for one."
    )


def test_what_is_absent_at_the_end_of_the_epoch_of_the_best_shifts_nothing() -> None:
    """E07: best inside epoch 3, absent at its end, worse after epoch 4: one epoch waited."""
    looks = [
        Look(at(2, 1, per_epoch=4), True, 1.0),
        Look(at(3, per_epoch=4), True, None),
        Look(at(4, per_epoch=4), True, 1.5),
    ]
    stopped = stops_at(loss(epochs=1), shown(looks))
    assert stopped is not None
    assert stopped[0] == 2


def test_a_metric_that_never_was_there_is_an_error() -> None:
    """E07: 'val_los' is refused at the first evaluation, with the names there are."""
    rule = Patience(metric="val_los", epochs=2, better="lower")
    seen = boundary(at(1), {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.0, "val_accuracy": 0.5})
    with pytest.raises(TrainingError) as caught:
        rule.update(rule.start(), seen)
    assert str(caught.value) == (
        "There is no metric 'val_los'; there are loss, accuracy, val_loss and val_accuracy.\n"
        "  Remedy: use metric='val_loss'."
    )


def test_an_improvement_is_strict_and_larger_than_min_delta() -> None:
    """Equal is no improvement, nor is a gain of exactly `min_delta`."""
    assert epochs(loss(epochs=1), 1.0, 1.0, 0.5) == 2
    assert epochs(loss(epochs=1, min_delta=0.25), 1.0, 0.75, 0.5) == 2
    assert epochs(loss(epochs=1, min_delta=0.25), 1.0, 0.7, 0.4) == 3


def test_small_gains_add_up() -> None:
    """The comparison is with the last value that counted, so slow progress is progress."""
    values = [1.0 - 0.125 * epoch for epoch in range(8)]
    assert epochs(loss(epochs=2, min_delta=0.1875), *values) == 8
    assert epochs(loss(epochs=1, min_delta=0.1875), *values) == 2


def test_a_relative_min_delta_is_a_share_of_the_best() -> None:
    """1% of 200 is 2, 1% of 2 is 0.02; the sign of the best does not matter."""
    assert epochs(loss(epochs=1, min_delta=0.01, relative=True), 200.0, 198.0, 1.0) == 2
    assert epochs(loss(epochs=1, min_delta=0.01, relative=True), 200.0, 197.0, 2.0, 1.97) == 4
    assert epochs(loss(epochs=1, min_delta=0.01, relative=True), -200.0, -201.0, -300.0) == 2


def test_warm_up_delays_stopping_and_not_the_best() -> None:
    """Waiting begins after the warm-up; what was best in it is what is to be beaten."""
    values = [0.5, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert epochs(loss(epochs=2), *values) == 3
    epochs_done, reason = replay(loss(epochs=2, warmup_epochs=3), {"val_loss": values})
    assert epochs_done == 5
    assert reason is not None
    assert "best 0.5 after epoch 1" in reason.sentence


def test_higher_is_better_for_an_accuracy() -> None:
    """The direction follows from the name, and can be told where it does not."""
    accuracy = [0.8, 0.9, 0.85, 0.86]
    rule = Patience(metric="val_accuracy", epochs=2)
    epochs_done, reason = replay(rule, {"val_accuracy": accuracy})
    assert epochs_done == 4
    assert reason is not None
    assert reason.sentence == (
        "val_accuracy has had no new high for 2 epochs (best 0.9 after epoch 2, now 0.86)."
    )
    told = Patience(metric="val_gain", epochs=2, better="higher")
    assert replay(told, {"val_gain": accuracy})[0] == 4
    with pytest.raises(PlanError, match='say better="lower" or better="higher"'):
        Patience(metric="val_gain", epochs=2)


def test_a_training_metric_is_looked_at_where_an_epoch_ends() -> None:
    """In the middle of an epoch its mean is over other samples, and decides nothing."""
    rule = Patience(metric="loss", evaluations=1)
    middle = boundary(at(0, 5, per_epoch=10), {"loss": 0.1, "val_loss": 1.0})
    seen = [middle, *(boundary(at(epoch), {"loss": 1.0}) for epoch in (1, 2))]
    stopped = stops_at(rule, seen)
    assert stopped is not None
    assert stopped[0] == 2


def test_a_data_set_of_one_epoch_is_stopped_inside_it() -> None:
    """Evaluated every 500 iterations, patience is counted in those or in looks."""
    seen = [
        boundary(at(0, 500 * i, per_epoch=10**6), {"val_loss": value})
        for i, value in enumerate([1.0, 0.9, 0.95, 0.95, 0.95], start=1)
    ]
    for rule in (loss(iterations=1000), loss(evaluations=2), loss(iterations=501)):
        stopped = stops_at(rule, seen)
        assert stopped is not None
        assert stopped[0] == 3
        assert "best 0.9 after iteration 1,000, now 0.95" in stopped[1].sentence
    assert stops_at(loss(epochs=1), seen) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "epochs=None, evaluations=None, iterations=None"),
        ({"epochs": 1, "iterations": 1}, "one unit"),
        ({"epochs": 0}, "epochs=0"),
        ({"epochs": 0, "iterations": 5}, "epochs=0"),
        ({"epochs": 1.5}, "epochs=1.5"),
        ({"epochs": True}, "epochs=True"),
        ({"epochs": 1, "min_delta": -0.1}, "min_delta=-0.1 is no size"),
        ({"epochs": 1, "min_delta": NAN}, "min_delta=nan is no size"),
        ({"epochs": 1, "min_delta": "loud"}, "min_delta='loud' is no size"),
        ({"epochs": 1, "min_delta": "noise", "relative": True}, "leave relative=True out"),
        ({"epochs": 1, "warmup_epochs": -1}, "warmup_epochs=-1"),
        ({"epochs": 1, "baseline": NAN}, "baseline=nan"),
        ({"epochs": 1, "better": "min"}, "better='min' is no direction"),
    ],
)
def test_refuses_settings_that_cannot_be(settings: dict[str, Any], message: str) -> None:
    """A patience without a unit, of nothing, or that no value could break, is refused."""
    with pytest.raises(PlanError, match=message):
        loss(**settings)


VALUES = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, -0.5, NAN, INF, -INF, None])
PER_EPOCH = 4


@st.composite
def trainings(draw: st.DrawFn) -> list[Look]:
    """Make up a training: boundaries anywhere, always at the ends of epochs, few values."""
    places = draw(st.sets(st.integers(1, 10 * PER_EPOCH), min_size=1, max_size=20))
    last = max(places)
    places |= set(range(PER_EPOCH, last + 1, PER_EPOCH))
    looks = []
    for done in sorted(places):
        epochs_done, inside = divmod(done, PER_EPOCH)
        evaluated = draw(st.integers(0, 3)) > 0
        value = draw(VALUES) if evaluated else None
        if not any(look.evaluated for look in looks) and evaluated and value is None:
            value = 1.0  # a metric that is absent at first is an error, tested elsewhere
        looks.append(Look(at(epochs_done, inside, per_epoch=PER_EPOCH), evaluated, value))
    return looks


RULES = st.builds(
    lambda unit, length, min_delta, warmup, baseline: Patience(
        **{"metric": "val_loss", unit: length},
        min_delta=min_delta,
        warmup_epochs=warmup,
        baseline=baseline,
    ),
    st.sampled_from(["epochs", "evaluations", "iterations"]),
    st.integers(1, 6),
    st.sampled_from([0.0, 0.25, 0.3]),
    st.integers(0, 4),
    st.sampled_from([None, 0.6, 0.25]),
)


def stops_by_counting(rule: Patience, looks: list[Look]) -> int | None:
    """Say where patience ends from the whole history, by counting single units.

    Every whole unit (an epoch, an iteration, a look) that lies after the place from which
    is waited is counted, unless the first look at or after it found no such metric.
    """
    made = [look for look in looks if look.evaluated]
    best, waits_from = rule.baseline, None if rule.baseline is None else START
    warm_end = rule.warmup_epochs * PER_EPOCH
    for look in made:
        if look.value is None:
            continue
        done = look.position.iterations_done
        finite = abs(look.value) < INF
        if finite and (best is None or best - look.value > rule.min_delta):
            best, waits_from = look.value, look.position
            continue
        if waits_from is None:
            waits_from = look.position
            continue
        begin = max(waits_from.iterations_done, min(warm_end, done))
        if counted(rule, made, begin, done) >= rule.length:
            return looks.index(look)
    return None


def counted(rule: Patience, made: list[Look], begin: int, end: int) -> int:
    """Count the rule's units between two places, both in iterations."""
    if rule.unit == "evaluations":
        return sum(
            begin < look.position.iterations_done <= end and look.value is not None
            for look in made
        )
    size = PER_EPOCH if rule.unit == "epochs" else 1
    units = [
        (first, last) for first, last in pairwise(range(0, end + 1, size)) if first >= begin
    ]
    covering = (
        next(look for look in made if look.position.iterations_done >= last)
        for _, last in units
    )
    return sum(look.value is not None for look in covering)


def index_of(stopped: tuple[int, Any] | None) -> int | None:
    """Return where a rule stopped."""
    return None if stopped is None else stopped[0]


@given(RULES, trainings())
@settings(max_examples=300, deadline=None)
def test_patience_stops_where_counting_says(rule: Patience, looks: list[Look]) -> None:
    """In all three units, with NaN, absences, warm-up, baseline and looks inside epochs."""
    seen = shown(looks)
    assert index_of(stops_at(rule, seen)) == stops_by_counting(rule, looks)


def test_the_counting_can_tell_a_rule_that_is_off_by_one() -> None:
    """The property above fails for a patience that waits one unit too long."""

    def differs(case: tuple[Patience, list[Look]]) -> bool:
        rule, looks = case
        later = replace(rule, **{rule.unit: rule.length + 1})
        return index_of(stops_at(later, shown(looks))) != stops_by_counting(rule, looks)

    find(st.tuples(RULES, trainings()), differs)


@given(RULES, trainings())
@settings(max_examples=100, deadline=None)
def test_resuming_anywhere_changes_nothing(rule: Patience, looks: list[Look]) -> None:
    """E14: saved as text and read again at every boundary, it stops there for that reason."""
    seen = shown(looks)
    assert stops_at_resumed(rule, seen) == stops_at(rule, seen)


@given(RULES, trainings())
@settings(max_examples=100, deadline=None)
def test_more_boundaries_change_nothing(rule: Patience, looks: list[Look]) -> None:
    """Where a run is cut into segments never changes when it stops, or what is said."""
    seen, more = shown(looks), shown(finer(looks, per_epoch=PER_EPOCH))
    stopped, cut = stops_at(rule, seen), stops_at(rule, more)
    assert (stopped is None) == (cut is None)
    if stopped is not None and cut is not None:
        assert more[cut[0]].position == seen[stopped[0]].position
        assert cut[1] == stopped[1]
