"""TensorBoard's own reader finds in the event files what the record holds."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochwise.counting.plan import Plan
from epochwise.events import EpochBegun, IterationsDone, RunBegun
from epochwise.record import RunFolder
from epochwise.record.tensorboard import FOLDER, EventFiles, scalars
from staged import events_of, loss_of

PLAN = Plan(samples=10, batch_size=4, epochs=3)


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return each curve as TensorBoard reads it: step and value."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        accumulators = pytest.importorskip(
            "tensorboard.backend.event_processing.event_accumulator",
            reason="tensorboard is missing",
        )
    found: Any = accumulators.EventAccumulator(str(folder / FOLDER), {"scalars": 0})
    found.Reload()
    return {
        tag: [(seen.step, seen.value) for seen in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def write(folder: RunFolder, events: Any) -> None:
    """Tell events to a new writer, and close."""
    files = EventFiles(folder, clock=lambda: 1_800_000_000.5)
    for event in events:
        files.on_event(event)
    folder.close()


def test_tensorboard_reads_every_number(tmp_path: Path) -> None:
    """The loss of each iteration, the mean of each epoch, validation, rate and speed."""
    write(RunFolder.create(tmp_path / "run"), events_of(PLAN))

    found = curves(tmp_path / "run")

    losses = [(i, float(np.float32(loss_of(i)))) for i in range(1, 10)]
    assert found["loss/iteration"] == losses
    assert found["loss/validation"] == [(3, 0.5), (6, 0.25), (9, pytest.approx(0.5 / 3))]
    assert found["accuracy/validation"] == [(3, 0.75), (6, 0.75), (9, 0.75)]
    assert [step for step, _ in found["loss/epoch"]] == [3, 6, 9]
    assert found["learning_rate"][0] == (3, pytest.approx(0.001))
    assert found["samples_per_second"][0] == (3, 20.0)


def test_a_run_that_goes_on_forgets_what_it_makes_anew(tmp_path: Path) -> None:
    """Iterations done after the checkpoint and done again appear once (K03)."""
    events = list(events_of(PLAN, segment=1))
    cut = next(i for i, e in enumerate(events) if e.position.iterations_done == 5)
    write(RunFolder.create(tmp_path / "run"), events[: cut + 1])
    again = [
        event
        for event in events
        if event.position.iterations_done > 4
        or (isinstance(event, EpochBegun) and event.position.iterations_done == 4)
    ]
    begun = next(event for event in events if isinstance(event, RunBegun))
    position = PLAN.position(4)
    resumed = [
        RunBegun(plan=begun.plan, epochs=begun.epochs, position=position, engine=begun.engine),
        *again,
    ]
    write(RunFolder(tmp_path / "run"), resumed)

    found = curves(tmp_path / "run")

    assert len(list((tmp_path / "run" / FOLDER).iterdir())) == 2
    assert [step for step, _ in found["loss/iteration"]] == list(range(1, 10))


@given(
    st.lists(
        st.tuples(st.integers(0, 2**63 - 1), st.floats(width=32, allow_nan=False)),
        min_size=1,
        max_size=20,
    ),
    st.text(min_size=1, max_size=200),
)
def test_frames_made_side_by_side_are_whole(points: list[tuple[int, float]], tag: str) -> None:
    """Any steps, values and names come back from TensorBoard's parser of messages."""
    messages = pytest.importorskip(
        "tensorboard.compat.proto.event_pb2", reason="tensorboard is missing"
    )
    data = scalars(tag, [step for step, _ in points], [value for _, value in points], 3.5)

    read = []
    size = len(data) // len(points)
    for begin in range(0, len(data), size):
        frame = data[begin : begin + size]
        length = int.from_bytes(frame[:8], "little")
        assert length == size - 16
        event = messages.Event.FromString(frame[12:-4])
        assert event.wall_time == 3.5
        (value,) = event.summary.value
        assert value.tag == tag.encode(errors="replace").decode()
        read.append((event.step, value.simple_value))

    assert read == points


def test_a_damaged_frame_is_refused_by_the_reader(tmp_path: Path) -> None:
    """The checksums are those that the reader checks: one changed bit ends the reading."""
    write(RunFolder.create(tmp_path / "run"), events_of(PLAN))
    (file,) = (tmp_path / "run" / FOLDER).iterdir()
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)

    found = curves(tmp_path / "run")

    assert len(found["loss/iteration"]) < 9


def test_the_losses_of_a_segment_are_framed_at_once() -> None:
    """A thousand iterations make one call, in order."""
    event = IterationsDone(
        epoch_index=0,
        position=Plan(samples=1000, batch_size=1, epochs=1).position(1000),
        losses=tuple(float(i) for i in range(1000)),
        samples=(1,) * 1000,
        metrics={},
        learning_rate=None,
        seconds=0.0,
        compile_seconds=0.0,
        epoch_goes_on=False,
    )
    appended: list[bytes] = []

    class Folder:
        def names(self, _: str) -> list[str]:
            return []

        def append(self, _: str, data: bytes) -> None:
            appended.append(data)

    EventFiles(Folder()).on_event(event)  # type: ignore[arg-type]

    assert len(appended) == 1
