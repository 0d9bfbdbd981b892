"""When checkpoints are taken, and that the record tells of each of them once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from epochwise.checkpoint import Checkpoints, Keeper
from epochwise.counting.durations import Duration
from epochwise.counting.plan import Plan
from epochwise.errors import RunError
from epochwise.events import (
    Boundary,
    CheckpointCommitted,
    CheckpointFailed,
    Event,
    Stopped,
    StopReason,
    TrainingState,
)
from epochwise.record import RunFolder
from saved import state_at
from staged import FakeClock

PLAN = Plan(samples=10, batch_size=4, epochs=4)
DONE = StopReason(rule="plan", sentence="All is done.")


def state_of(iterations: int, best: int | None) -> TrainingState:
    """A state at a place of the plan."""
    return replace(
        state_at(iterations),
        position=PLAN.position(iterations),
        memories={"best": None if best is None else {"iterations_done": best}},
    )


def boundaries(first: int, clock: FakeClock, best: int | None) -> Iterator[Event]:
    """A boundary after each iteration, ten seconds apart; the last one ends the run."""
    for done in range(first, PLAN.iterations + 1):
        ends = done == PLAN.iterations
        yield Boundary(
            epoch_index=0,
            position=PLAN.position(done),
            reason=DONE if ends else None,
            is_best=False,
            snapshot=lambda done=done: state_of(done, best),  # type: ignore[misc]
        )
        clock.now += 10
    yield Stopped(position=PLAN.position(PLAN.iterations), reason=DONE)


def kept(
    folder: RunFolder, every: str | None, *, first: int = 0, best: int | None = None
) -> list[Event]:
    """Walk the boundaries of a run from a place on; return what comes out."""
    clock = FakeClock()
    checkpoints = Checkpoints(folder, keep_last=2)
    keeper = Keeper(
        checkpoints,
        every=None if every is None else Duration.parse(every),
        fits={},
        lengths=dict,
        resumed=checkpoints.newest(),
        clock=clock,
    )
    return list(keeper.through(boundaries(first, clock, best)))


def committed(events: list[Event]) -> list[int]:
    """Where the checkpoints are that were told to be committed."""
    return [
        event.position.iterations_done
        for event in events
        if isinstance(event, CheckpointCommitted)
    ]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """An empty folder."""
    return RunFolder.create(tmp_path / "run")


@pytest.mark.parametrize(
    ("every", "places"),
    [
        ("1ep", [0, 3, 6, 9, 12]),
        ("2ep", [0, 6, 12]),
        ("5it", [0, 5, 10, 12]),
        ("30s", [0, 3, 6, 9, 12]),
        (None, [0, 12]),
    ],
)
def test_checkpoints_are_taken_where_they_are_due(
    folder: RunFolder, every: str | None, places: list[int]
) -> None:
    """F19: by epochs, iterations or seconds, or only where the run begins and ends."""
    events = kept(folder, every)

    assert committed(events) == places
    assert isinstance(events[-1], Stopped)


def test_each_is_told_before_the_run_is_over(folder: RunFolder) -> None:
    """The last checkpoint is waited for."""
    events = kept(folder, "1it")

    assert committed(events) == list(range(13))
    assert isinstance(events[-2], CheckpointCommitted)


def test_the_one_gone_on_from_is_told_again(folder: RunFolder) -> None:
    """The record is cut back to before the line of the checkpoint, which has to be there."""
    checkpoints = Checkpoints(folder)
    checkpoints.save(state_of(6, None), fits={}, record_lengths={})

    assert committed(kept(folder, "1ep", first=7)) == [6, 9, 12]


def test_the_best_is_kept_also_when_a_run_goes_on(folder: RunFolder) -> None:
    """The state tells where the best weights are, so no memory of ours is lost."""
    kept(folder, "1ep", best=3)
    assert folder.names("checkpoints") == [f"{n:012d}" for n in (3, 9, 12)]
    kept(folder, "1it", first=12, best=3)
    kept(folder, "1it", first=12, best=3)

    assert folder.names("checkpoints") == [
        "000000000003", "000000000009", "000000000012.3",
    ]  # fmt: skip


def test_a_record_that_cannot_be_measured_fails_the_checkpoint_alone(
    folder: RunFolder,
) -> None:
    """The training goes on, with an event and a warning that say why."""

    def lengths() -> dict[str, int]:
        raise RunError("Too many open files.", "close some.")

    clock = FakeClock()
    keeper = Keeper(Checkpoints(folder), every=None, fits={}, lengths=lengths, clock=clock)
    with pytest.warns(UserWarning, match="No checkpoint was saved") as warned:
        events = list(keeper.through(boundaries(0, clock, None)))

    failed = [event for event in events if isinstance(event, CheckpointFailed)]
    assert [event.position.iterations_done for event in failed] == [0, 12]
    assert "Too many open files" in failed[0].sentence
    assert [str(each.message).split(". ")[0] for each in warned] == [
        "No checkpoint was saved at epoch 1, iteration 0",
        "No checkpoint was saved at epoch 4, iteration 12",
    ]
