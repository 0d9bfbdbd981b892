"""A run's folder read back, as far as it is whole.

A process may be killed at any byte. What is read is what stands before the first line
of `events.jsonl` that is not whole; a series is cut to the iterations that the lines
tell of. Nothing in a folder makes the reader fail but a
header that is damaged or not there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from epochwise.errors import RunError
from epochwise.events import (
    BestEvaluation,
    CheckpointCommitted,
    CheckpointFailed,
    EngineDescription,
    EpochBegun,
    EpochDone,
    Evaluated,
    EvaluationBegun,
    Event,
    IterationsDone,
    Listener,
    RunBegun,
    Stopped,
    StopReason,
)
from epochwise.plan import Plan
from epochwise.position import Position
from epochwise.record.header import HEADER_FILE, Header
from epochwise.record.jsontext import number, numbers
from epochwise.record.recorder import EVENTS_FILE, LOSS_FILE, SERIES_FILE
from epochwise.record.run import Run, Seconds
from epochwise.record.storage import RunFolder
from epochwise.record.tally import Tally

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StoredRun:
    """A run as its folder has it.

    Args:
        header: what was known before it began.
        run: what was done; its `stop` is `None` when the last line is missing, because
            the process was killed or is still at it.
    """

    header: Header
    run: Run


def read_run(path: Path, *, listeners: Sequence[Listener] = ()) -> StoredRun:
    """Read the run in a folder, up to its last whole line.

    Args:
        path: the run's folder.
        listeners: are told each event as it is read, in order; those of iterations come
            without `losses` and `samples`, which the series hold.

    Raises:
        RunError: it is no folder of a run, or its header cannot be read.
    """
    folder = RunFolder(path)
    header = _read_header(folder)
    tally = Tally()
    ending: dict[str, Any] = {}
    first: RunBegun | None = None
    for row in _whole_rows(folder.read(EVENTS_FILE) or b""):
        try:
            event = _event(row, header.plan)
            if isinstance(event, Stopped):
                ending = _ending(row)
            if isinstance(event, RunBegun) and first is None:
                first = event
        except (KeyError, TypeError, ValueError, AttributeError, RunError):
            break
        for listener in (tally, *listeners):
            listener.on_event(event)
    iterations_before = 0 if first is None else first.position.iterations_done
    losses = np.frombuffer(_cut(folder.read(LOSS_FILE) or b"", 4), "<f4").astype(np.float32)
    run = tally.run(losses=losses, folder=folder.path, **({"seconds": tally.seconds} | ending))
    if run.stop is None:
        run = replace(run, losses=losses[: run.position.iterations_done - iterations_before])
    if run.engine is None and header.plan is not None:  # cut off before the run began
        per_epoch = header.plan.iterations_per_epoch
        run = replace(run, plan=header.plan, iterations_per_epoch=per_epoch)
    return StoredRun(header=header, run=run)


def read_series(path: Path, name: str) -> npt.NDArray[Any] | None:
    """Return a series of a record as far as it is whole.

    Args:
        path: the run's folder.
        name: `loss`, `batch_size` or another that `series.json` describes.

    Returns:
        Shape `(iterations,)`; `None` where the record has no such series.

    Raises:
        RunError: a file is there and cannot be read.
    """
    folder = RunFolder(path)
    try:
        described = json.loads(folder.read(SERIES_FILE) or b"{}")
        found = [series for series in described["series"] if series["name"] == name]
        inside = PurePosixPath("series", PurePosixPath(found[0]["file"]).name)
        file, dtype = folder.read(str(inside)), np.dtype(found[0]["dtype"])
    except (ValueError, KeyError, TypeError, IndexError, RecursionError):
        return None
    return None if file is None else np.frombuffer(_cut(file, dtype.itemsize), dtype)
