"""When a run that finds its own length turns the rate down, and how the rate goes."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochwise.counting.position import Position
from epochwise.errors import PlanError
from epochwise.rules import Seen, from_json, to_json
from epochwise.rules.pacing import AUTO, AutoEpochs, AutoMemory, Steady

PER_EPOCH = 10


def seen_after(iterations: int, loss: float | None, *, seconds: float = 0.0) -> Seen:
    """A boundary, evaluated if there is a loss."""
    epochs, inside = divmod(iterations, PER_EPOCH)
    return Seen(
        position=Position(
            epochs_done=epochs, iterations_done=iterations, iterations_in_epoch_done=inside
        ),
        closes_epoch=inside == 0,
        evaluated=loss is not None,
        metrics={} if loss is None else {"val_loss": loss},
        seconds=seconds,
    )


def turned(rule: AutoEpochs, losses: Sequence[float]) -> tuple[AutoMemory, int]:
    """The memory when the rule turned, and the epochs done then; all of them if never."""
    memory, epoch = rule.start(), 0
    for epoch, loss in enumerate(losses, start=1):
        memory, turn = rule.update(memory, seen_after(epoch * PER_EPOCH, loss))
        if turn.branches:
            return memory, epoch
    return memory, epoch


def rule_of(**settings: object) -> AutoEpochs:
    given = {
        "metric": "val_loss",
        "most_iterations": 10_000,
        "cooldown_share": 0.2,  # round numbers
        **settings,
    }
    return AutoEpochs(**given)  # type: ignore[arg-type]


FALLING = [2.0 / epoch for epoch in range(1, 40)]
TURNING = [1.0 + 0.05 * abs(epoch - 8) for epoch in range(1, 40)]


def test_it_goes_on_while_the_loss_falls() -> None:
    """A curve that falls all the way is followed to its end."""
    memory, epochs = turned(rule_of(), FALLING)

    assert epochs == len(FALLING)
    assert memory.turned_at is None
    assert memory.marked_at == len(FALLING) * PER_EPOCH


def test_it_turns_back_to_the_lowest() -> None:
    """Three evaluations without a new low, or 0.4 of those up to the low, whichever is more."""
    memory, epochs = turned(rule_of(), TURNING)
    patient, later = turned(rule_of(patience_share=1.0), TURNING)

    assert (memory.marked_at, epochs) == (80, 11)
    assert memory.cooldown_iterations == 16
    assert (patient.marked_at, later) == (80, 16)


def test_noise_is_no_improvement_and_no_harm() -> None:
    """On a plateau, lows within the scatter do not count, and a late epoch is marked."""
    plateau = [2.0, 1.5, 1.2, 1.1] + [1.0 + 0.02 * (-1) ** epoch for epoch in range(30)]
    sinking = [loss - 0.001 * epoch for epoch, loss in enumerate(plateau)]

    memory, epochs = turned(rule_of(), sinking)

    assert epochs < 15
    assert memory.marked_at >= (epochs - 1) * PER_EPOCH


def test_a_loss_that_is_not_finite_counts_as_waiting() -> None:
    """It is neither an improvement nor a part of the noise."""
    memory, epochs = turned(rule_of(), [1.0, 0.9, math.nan, math.inf, math.nan])

    assert (memory.marked_at, epochs) == (20, 5)
    assert memory.losses == (1.0, 0.9)


def test_higher_may_be_better() -> None:
    """An accuracy that falls is what turns it."""
    rule = AutoEpochs(metric="val_accuracy", most_iterations=1000)
    memory = rule.start()
    for epoch, value in enumerate([0.5, 0.7, 0.8, 0.75, 0.7, 0.65], start=1):
        seen = replace(seen_after(epoch * PER_EPOCH, 1.0), metrics={"val_accuracy": value})
        memory, turn = rule.update(memory, seen)

    assert turn.branches
    assert memory.marked_at == 30
    assert "highest 0.8" in turn.sentence


def test_the_bound_leaves_room_for_the_cooldown() -> None:
    """With 60 iterations at most, the rate turns after 50 and is down at 60."""
    rule = rule_of(most_iterations=60)
    memory = rule.start()
    for epoch in range(1, 5):
        assert rule.next_cut(memory, epoch * PER_EPOCH) == 50
        memory, turn = rule.update(memory, seen_after(epoch * PER_EPOCH, 1.0 / epoch))
        assert not turn.branches
    memory, turn = rule.update(memory, seen_after(50, None))

    assert turn.branches
    assert turn.marks  # nothing spoke against the values of this moment
    assert (memory.marked_at, memory.turned_at, memory.cooldown_iterations) == (50, 50, 10)
    assert rule.end(memory, seen_after(59, None).position) is None
    reason = rule.end(memory, seen_after(60, None).position)
    assert reason is not None
    assert reason.rule == AUTO


def test_at_the_bound_it_goes_back_where_the_last_evaluation_was_worse() -> None:
    """The values of the bound are marked only if the last evaluation's were."""
    rule = rule_of(most_iterations=60)
    memory = rule.start()
    for epoch, loss in enumerate([1.0, 0.8, 0.6, 0.9], start=1):
        memory, _ = rule.update(memory, seen_after(epoch * PER_EPOCH, loss))
    memory, turn = rule.update(memory, seen_after(50, None))

    assert turn.branches
    assert not turn.marks
    assert memory.marked_at == 30


def test_time_is_a_bound_too() -> None:
    """After five sixths of the seconds the rate turns."""
    rule = rule_of(most_seconds=12.0)
    memory, early = rule.update(rule.start(), seen_after(10, 1.0, seconds=9.9))
    _, turn = rule.update(memory, seen_after(13, None, seconds=10.0))

    assert not early.branches
    assert turn.branches
    assert "12 seconds" in turn.sentence


def test_what_never_had_a_finite_loss_cools_down_from_where_it_is() -> None:
    """There is nothing to go back to, so the values of the moment are marked."""
    memory, epochs = turned(rule_of(), [math.nan] * 5)

    assert epochs == 3
    assert memory.marked_at == 30


def cooled(losses: Sequence[float], end: float) -> tuple[AutoEpochs, AutoMemory]:
    """A rule and its memory after a cooldown that ended at a loss."""
    rule = rule_of()
    memory, _ = turned(rule, losses)
    assert memory.turned_at is not None
    done = memory.turned_at + memory.cooldown_iterations
    memory, turn = rule.update(memory, seen_after(done - 1, end + 1.0))
    assert not turn.branches
    assert rule.ending(memory) is None
    memory, _ = rule.update(memory, seen_after(done, end))
    return rule, memory


@pytest.mark.parametrize(
    ("end", "goes_back"), [(0.8, False), (1.0, False), (1.1, True), (math.nan, True)]
)
def test_the_better_end_is_kept(end: float, goes_back: bool) -> None:
    """The cooldown's, unless it is worse than the marked weights beyond the noise."""
    rule, memory = cooled(TURNING, end)

    ending = rule.ending(memory)

    assert ending is not None
    assert ending.goes_back is goes_back
    if goes_back:
        assert ending.evaluation.iterations_done == memory.marked_at == 80
        assert ending.evaluation.value == 1.0
    else:
        assert ending.evaluation.iterations_done == memory.ended_at == 126
        assert ending.evaluation.value == end


@given(
    warmup=st.integers(0, 120),
    marked=st.integers(1, 3000),
    share=st.floats(0.01, 1.0),
    most=st.integers(1, 4000),
)
def test_the_rate_goes_up_stays_and_goes_down(
    warmup: int, marked: int, share: float, most: int
) -> None:
    """Up in the warm-up, down in the cooldown, in stairs that the cuts tell exactly."""
    rule = rule_of(warmup_iterations=warmup, cooldown_share=share, most_iterations=most)
    memory = rule.start()
    rising = [rule.factor(memory, done) for done in range(warmup)]
    assert rising == sorted(rising)
    assert all(0 < factor < 1 for factor in rising)
    assert rule.factor(memory, warmup) == 1.0

    cooldown = max(1, round(share * marked))
    memory = replace(
        memory, turned_at=marked + 5, marked_at=marked, cooldown_iterations=cooldown
    )
    first, end = marked + 5, marked + 5 + cooldown
    falling = [rule.factor(memory, done) for done in range(first, end)]
    assert falling == sorted(falling, reverse=True)
    assert all(0 < factor < 1 for factor in falling)

    done = first
    while done < end:
        cut = rule.next_cut(memory, done)
        assert cut is not None
        assert done < cut <= end
        assert len(set(falling[done - first : cut - first])) == 1
        assert cut == end or falling[cut - first] < falling[done - first]
        done = cut
    assert done == end


@given(
    losses=st.lists(st.floats(0.01, 10.0) | st.just(math.nan), min_size=1, max_size=40),
    most=st.integers(1, 500),
)
def test_a_bound_is_never_crossed(losses: list[float], most: int) -> None:
    """Wherever it turns, the cooldown has an iteration at least and ends by the bound."""
    rule = rule_of(most_iterations=most)
    memory = rule.start()
    for done in range(1, most):
        epoch, inside = divmod(done, PER_EPOCH)
        loss = losses[epoch - 1] if inside == 0 and epoch <= len(losses) else None
        memory, turn = rule.update(memory, seen_after(done, loss))
        if turn.branches:
            break
    if memory.turned_at is None:
        assert most == 1
        return
    assert memory.cooldown_iterations >= 1
    assert memory.turned_at + memory.cooldown_iterations <= most
    assert 1 <= memory.marked_at <= memory.turned_at


def test_a_memory_comes_back_from_json() -> None:
    """Through text, at the constant rate and in the cooldown."""
    rule = rule_of()
    before, _ = turned(rule, TURNING[:9])
    after, _ = turned(rule, TURNING)

    for memory in (rule.start(), before, after):
        text = json.dumps(to_json(memory))
        assert from_json(rule, json.loads(text)) == memory  # type: ignore[type-var]


def test_a_steady_pacing_does_nothing() -> None:
    """No factor, no cut, no end, no turn."""
    pacing = Steady()
    memory, turn = pacing.update(pacing.start(), seen_after(10, 1.0))

    assert not turn.marks
    assert not turn.branches
    assert pacing.factor(memory, 5) is None
    assert pacing.next_cut(memory, 5) is None
    assert pacing.end(memory, Position()) is None
    assert pacing.ending(memory) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"most_iterations": 0},
        {"most_seconds": 0.0},
        {"warmup_iterations": -1},
        {"patience_fewest": 0},
        {"patience_share": 0.0},
        {"cooldown_share": 1.5},
        {"metric": "val_something"},
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object]) -> None:
    """Each with its value and what to use instead."""
    with pytest.raises(PlanError, match=str(next(iter(settings.values())))):
        rule_of(**settings)
