"""A position counts what is done, and tells it to people from one."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochwise.counting.plan import Plan
from epochwise.counting.position import START, Position
from epochwise.errors import RunError

BATCHES = st.lists(st.integers(1, 9), min_size=1, max_size=8)


def test_the_start_has_nothing_done() -> None:
    """Before the first iteration every count is zero."""
    assert set(START.to_json().values()) == {0}
    assert Position() == START


def test_a17_epochs_of_unknown_length_are_whole_when_they_end() -> None:
    """A17: with 10 batches found in the first pass, iteration 10 is epoch 1 and 20 is 2."""
    here, per_epoch, told = START, None, []
    for _ in range(2):
        for _ in range(10):
            told.append(here.epochs_done_fraction(per_epoch))
            here = here.after_iterations(iterations=1, samples=4)
        per_epoch = here.iterations_in_epoch_done
        here = here.after_epoch()
    told.append(here.epochs_done_fraction(per_epoch))
    assert told[:10] == [None] * 10
    assert told[10:] == [Fraction(10 + count, 10) for count in range(11)]
    assert here.iterations_done == 20


def test_a17_a_finished_pass_is_whole_before_its_length_is_told() -> None:
    """A17: between two epochs the fraction is exact although nobody said how long they are."""
    here = START.after_iterations(iterations=10, samples=40).after_epoch()
    assert here.epochs_done_fraction(None) == 1
    assert here.after_iterations(iterations=1, samples=4).epochs_done_fraction(None) is None


@given(BATCHES, st.integers(1, 3))
def test_walking_gives_the_positions_of_the_plan(cuts: list[int], epochs: int) -> None:
    """Positions found iteration by iteration are those that the plan knows outright."""
    samples = sum(cuts)
    plan = Plan(samples=samples, batch_size=cuts[0], epochs=epochs)
    here = START
    for index in range(plan.iterations):
        assert here == plan.position(index)
        here = here.after_iterations(iterations=1, samples=plan.batch_size_of(index))
        if here.iterations_in_epoch_done == plan.iterations_per_epoch:
            here = here.after_epoch()
    assert here == plan.position(plan.iterations)


@pytest.mark.parametrize(
    ("iterations_done", "shown"),
    [
        (0, "epoch 1/5, iteration 0/4,690"),
        (1, "epoch 1/5, iteration 1/4,690"),
        (938, "epoch 1/5, iteration 938/4,690"),
        (939, "epoch 2/5, iteration 939/4,690"),
        (2814, "epoch 3/5, iteration 2,814/4,690"),
        (4690, "epoch 5/5, iteration 4,690/4,690"),
    ],
)
def test_people_count_from_one(iterations_done: int, shown: str) -> None:
    """The epoch shown is that of the latest finished iteration."""
    plan = Plan(samples=60_000, batch_size=64, epochs=5)
    here = plan.position(iterations_done)
    assert here.shown(epochs=plan.epochs, iterations=plan.iterations) == shown


def test_unknown_totals_are_left_out() -> None:
    """Without a plan only what is done is shown; a part of an epoch counts as one."""
    here = START.after_iterations(iterations=7, samples=28)
    assert here.shown() == "epoch 1, iteration 7"
    assert here.shown(epochs=Fraction(5, 2)) == "epoch 1/3, iteration 7"


@given(BATCHES)
def test_a_position_survives_json_and_pickle(batches: list[int]) -> None:
    """What is written is what is read, and it can key a dictionary."""
    here = START
    for batch in batches:
        here = here.after_iterations(iterations=1, samples=batch)
    for place in (here, here.after_epoch()):
        assert Position.from_json(place.to_json()) == place
        assert pickle.loads(pickle.dumps(place)) == place
        assert {place: 1}[place] == 1


@pytest.mark.parametrize(
    "damage",
    [
        {"epochs_done": -1},
        {"iterations_done": 1.0},
        {"iterations_done": True},
        {"iterations_in_epoch_done": 9},
        {"samples_in_epoch_done": 99},
        {"steps": 3},
    ],
)
def test_a_damaged_record_is_an_error(damage: dict[str, object]) -> None:
    """Counts that no training can have are refused, with what was found."""
    sound = START.after_iterations(iterations=2, samples=8).to_json()
    assert Position.from_json(sound)
    with pytest.raises(RunError, match=r"The recorded position \{.*\} cannot be read"):
        Position.from_json({**sound, **damage})
    with pytest.raises(RunError, match="expected one integer for each"):
        Position.from_json({"epochs_done": 1})


def test_a_position_cannot_be_changed() -> None:
    """Counts are read, never written."""
    with pytest.raises(FrozenInstanceError):
        START.epochs_done = 3  # type: ignore[misc]
    with pytest.raises(ValueError, match="no training can be at"):
        Position(iterations_in_epoch_done=1)
