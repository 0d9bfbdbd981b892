"""A disk that is full for a while costs a training its checkpoints of that time, no more."""

from __future__ import annotations

import errno
import json
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

import epochwise
from epochwise.checkpoint import Checkpoints
from epochwise.events import (
    Boundary,
    CheckpointCommitted,
    CheckpointFailed,
    Event,
    IterationsDone,
)
from epochwise.record import RunFolder, read_run
from epochwise.storage.disk import Chunk, Disk

FULL = range(30, 60)
"""After these iterations the disk is full [iterations]."""


class Watcher:
    """Fills the disk and empties it, and hears what becomes of the checkpoints."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_full = False
        self.committed: list[int] = []
        self.failed: list[tuple[int, int]] = []
        """Where a checkpoint that failed was taken, and where that was told [iterations]."""
        self._at = 0
        write = Disk.write

        def writing(disk: Disk, file: int, data: Chunk) -> int:
            if self.is_full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(disk, file, data)

        monkeypatch.setattr(Disk, "write", writing)

    def on_event(self, event: Event) -> None:
        if isinstance(event, (IterationsDone, Boundary)):
            self._at = event.position.iterations_done
            self.is_full = self._at in FULL
        elif isinstance(event, CheckpointCommitted):
            self.committed.append(event.position.iterations_done)
        elif isinstance(event, CheckpointFailed):
            self.failed.append((event.position.iterations_done, self._at))


def test_a_training_outlives_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G04: told within one boundary, saved again when there is space, no line missing."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((640, 8), np.float32), rng.integers(0, 3, 640, np.int32)
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    watcher = Watcher(monkeypatch)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        run = epochwise.fit(
            model,
            x,
            y,
            batch_size=64,
            epochs=12,
            verbose=0,
            run_dir=tmp_path / "run",
            checkpoint_every="5it",
            listeners=[watcher],
        )

    assert run.position.iterations_done == 120
    # A save goes on behind the next iterations, so those next to the edges may go either way.
    failed = [taken for taken, _ in watcher.failed]
    assert {30, 35, 40, 45, 50} <= set(failed) <= {25, 30, 35, 40, 45, 50, 55}
    assert all(told <= taken + 5 for taken, told in watcher.failed)
    assert sorted([*failed, *watcher.committed]) == list(range(0, 125, 5))
    assert watcher.committed[-1] == 120
    told = [str(warning.message) for warning in warned]
    assert sum("No checkpoint was saved at epoch" in each for each in told) == len(failed)
    assert sum("record is held in memory" in each for each in told) == 1

    stored = read_run(tmp_path / "run").run
    assert stored.position == run.position
    assert stored.losses.tobytes() == run.losses.tobytes()
    lines = (tmp_path / "run/events.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["event"] for row in rows].count("checkpoint_failed") == len(failed)
    newest = Checkpoints(RunFolder(tmp_path / "run")).newest()
    assert newest is not None
    assert newest.position.iterations_done == 120
