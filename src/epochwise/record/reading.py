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
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from epochwise.errors import RunError, near
from epochwise.events import (
    Listener,
    RunBegun,
    Stopped,
)
from epochwise.record.codec import event_of_row, read_as
from epochwise.record.header import HEADER_FILE, Header
from epochwise.record.recorder import EVENTS_FILE, LOSS_FILE, SERIES_FILE
from epochwise.record.run import Run, Seconds
from epochwise.record.tally import Tally
from epochwise.storage.folder import RunFolder

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
            event = event_of_row(row, header.plan)
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


def read_tally(path: Path) -> Tally:
    """Return what the events of a run that goes on add up to, its losses among them.

    Args:
        path: the run's folder, its record cut to what is done.

    Raises:
        RunError: see `read_run`.
    """
    stored = read_run(path)
    tally = Tally(losses=stored.run.losses)
    for row in _whole_rows(RunFolder(path).read(EVENTS_FILE) or b""):
        tally.on_event(event_of_row(row, stored.header.plan))
    return tally


def find_run(named: str, parent: Path) -> Path:
    """Return the folder of the run that someone names.

    Args:
        named: a path, a name in `parent`, or the beginning of just one name there.
        parent: the folder that runs are kept in.

    Raises:
        RunError: there is none, or several begin so; the error names those that are near.
    """
    for path in (Path(named), parent / named):
        if (path / HEADER_FILE).is_file():
            return path
    names = [path.name for path in run_folders(parent)]
    beginning = [name for name in names if name.startswith(named)]
    if len(beginning) == 1:
        return parent / beginning[0]
    if beginning:
        raise RunError(
            f"{len(beginning)} runs in {parent} begin with {named!r}: {_listed(beginning)}.",
            f"type more of the name, such as {beginning[0]}.",
        )
    meant = near(named, names, most=3, alike=0.5) or names[:3]
    if not meant:
        raise RunError(
            f"There is no run {named!r}: {parent} holds none.",
            "train one with `epochwise train`, or name the folder that holds your runs.",
        )
    raise RunError(
        f"There is no run {named!r} in {parent}; near it are {_listed(meant)}.",
        f"type the name or the path of one, such as {meant[0]}.",
    )


def run_folders(parent: Path) -> list[Path]:
    """Return the folders that hold a run, newest first by name; none if there is no parent.

    Args:
        parent: the folder that runs are kept in.
    """
    if not parent.is_dir():
        return []
    found = [path for path in parent.iterdir() if (path / HEADER_FILE).is_file()]
    return sorted(found, key=lambda path: path.name, reverse=True)


def _read_header(folder: RunFolder) -> Header:
    data = folder.read(HEADER_FILE)
    if data is None:
        raise RunError(
            f"{folder.path} is no folder of a run: it has no {HEADER_FILE}.",
            "name a folder that `epochwise runs` lists.",
        )
    try:
        recorded = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RunError(
            f"{folder.path / HEADER_FILE} is not JSON ({error}).",
            "restore the file from a copy, or remove the folder.",
        ) from error
    return Header.from_json(recorded)


def _whole_rows(data: bytes) -> Iterator[Row]:
    """Yield the lines that end and are JSON objects, up to the first that is not."""
    *lines, _cut_off = data.split(b"\n")
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not isinstance(row, dict):
            return
        yield row


def _ending(row: Row) -> dict[str, Any]:
    """Return what the last line tells beside the event, as `Tally.run` takes it."""
    return {
        "test": read_as(dict[str, float] | None, row["test"]),
        "weights_sha256": read_as(str | None, row["weights_sha256"]),
        "seconds": Seconds.from_json(row["seconds"]),
    }


def _cut(data: bytes, size: int) -> bytes:
    """Return the items that are whole."""
    return data[: len(data) - len(data) % size]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
