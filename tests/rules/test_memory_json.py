"""What a rule remembers goes through JSON text and comes back the same."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boundaries import INF, NAN, stops_at, stops_at_resumed
from epochwise.errors import PlanError, RunError
from epochwise.record import json_text
from epochwise.rules import (
    AnyOf,
    Best,
    GeneralizationLoss,
    NonFinite,
    Patience,
    PatienceMemory,
    ProgressQuotient,
    SuccessiveRises,
    Target,
    TimeLimit,
    epochs_of,
    from_json,
    rule_from_json,
    rule_to_json,
    to_json,
)

PATIENCE = Patience(metric="val_loss", epochs=3)
NOISE = Patience(metric="val_accuracy", epochs=3, min_delta="noise")
EVERY = AnyOf(
    (
        NonFinite(),
        PATIENCE,
        Patience(metric="val_loss", iterations=4, baseline=0.5, warmup_epochs=2),
        GeneralizationLoss(alpha=50),
        ProgressQuotient(alpha=3, strip_epochs=2),
        SuccessiveRises(rises=3, strip_epochs=2),
        Target("val_loss", 0.01),
        TimeLimit(hours=1),
    )
)
FLOATS = st.floats(allow_nan=True, allow_infinity=True)


def through_text(rule: Any, memory: Any) -> Any:
    """Return a memory after a way through strict JSON text."""
    return from_json(rule, json.loads(json_text(to_json(memory))))


@given(FLOATS, st.none() | st.lists(FLOATS, max_size=9).map(tuple), st.integers(0, 2**70))
def test_every_bit_comes_back(best: float, row: tuple[float, ...] | None, since: int) -> None:
    """NaN, the infinities, the zero below zero, and whole numbers of any size."""
    memory = PatienceMemory(best=best, best_row=row, since=since, best_at="NaN")
    back = through_text(PATIENCE, memory)
    assert repr(back) == repr(memory)
    assert type(back.best) is float
    assert math.copysign(1, back.best) == math.copysign(1, best) or math.isnan(best)


@given(st.lists(st.floats(0.0, 2.0), min_size=1, max_size=15))
def test_rules_together_resume_anywhere(values: list[float]) -> None:
    """E14: every kind of rule at once, saved and read again after every epoch."""
    seen = list(epochs_of({"loss": values, "val_loss": values[::-1]}))
    assert stops_at_resumed(EVERY, seen) == stops_at(EVERY, seen)


def test_numbers_that_are_not_finite_are_read_as_a_number_or_its_name() -> None:
    """Whoever writes the text may have a way of its own to spell them."""
    rule = Best(metric="val_loss")
    for spelt in (INF, "Infinity"):
        recorded = {**to_json(rule.start()), "value": spelt}
        assert from_json(rule, recorded).value == INF
    assert math.isnan(from_json(rule, {**to_json(rule.start()), "value": "NaN"}).value or 0)


def test_no_rules_remember_nothing() -> None:
    """An empty list of memories."""
    assert to_json(AnyOf().start()) == []
    assert through_text(AnyOf(), ()) == ()


def test_settings_come_back_too() -> None:
    """A run is resumed by its name alone, with the rules that its record tells of."""
    rules = AnyOf((EVERY, Patience(metric="val_gain", evaluations=1, better="higher"), NOISE))
    kept = json.loads(json_text(rule_to_json(rules)))
    assert rule_from_json(kept) == rules


def test_a_rule_of_somebody_else_is_asked_for() -> None:
    """Its code is not in the record."""
    with pytest.raises(RunError, match="give resume the rules again"):
        rule_from_json({"rule": "Overfits", "factor": 2})


@pytest.mark.parametrize(
    "damage",
    [
        lambda kept: kept.pop(),
        lambda kept: kept.append({}),
        lambda kept: kept[1].pop("since"),
        lambda kept: kept[1].update(more=1),
        lambda kept: kept[1].update(since=0.5),
        lambda kept: kept[1].update(since="3"),
        lambda kept: kept[1].update(best="low"),
        lambda kept: kept[1].update(best=3),
        lambda kept: kept[1].update(best_row=[0.5]),
        lambda kept: kept[1].update(best_row={"float64": "?"}),
        lambda kept: kept[1].update(looks=None),
        lambda kept: kept[1]["looks"].update(made=True),
        lambda kept: kept.__setitem__(1, None),
    ],
)
def test_what_is_no_memory_is_refused(damage: Any) -> None:
    """Told with the rule and what was found, before anything is trained."""
    kept = to_json(EVERY.start())
    assert from_json(EVERY, kept) == EVERY.start()
    damage(kept)
    with pytest.raises(RunError, match="resume with the stopping rules"):
        from_json(EVERY, kept)


def test_any_of_tells_the_first_reason_and_shows_every_rule_every_boundary() -> None:
    """Two rules stop at once: the first in order is told, and both remember the boundary."""
    rules = AnyOf((Patience(metric="val_loss", epochs=1), Target("val_loss", 2.0)))
    memory = rules.start()
    reasons = []
    for seen in epochs_of({"val_loss": [3.0, 1.0, 1.5]}):
        memory, reason = rules.update(memory, seen)
        reasons.append(None if reason is None else reason.rule)
    assert reasons == [None, "target", "patience"]
    assert [held.looks.made for held in memory] == [3, 3]


def test_any_of_refuses_what_is_no_rule() -> None:
    """A number, or a callback."""
    with pytest.raises(PlanError, match="stop=3 is no stopping rule"):
        AnyOf((3,))  # type: ignore[arg-type]


def test_stopping_never_outlives_its_run() -> None:
    """E10: what a run remembers is in its memory alone, so a second run begins afresh."""
    rule = Patience(metric="val_loss", epochs=1)
    seen = list(epochs_of({"val_loss": [1.0, 2.0]}))
    assert stops_at(rule, seen) == stops_at(rule, seen)
    assert stops_at(rule, seen[:1]) is None
    assert NAN not in to_json(rule.start()).values()
