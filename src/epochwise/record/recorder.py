"""Events written to a run's folder as they happen.

    run.json              what is known before the first iteration
    events.jsonl          one line per event, appended
    series.json           what the files in series/ hold
    series/loss.f32       the loss of each iteration's own batch
    series/batch_size.u32 the samples of each iteration, where no plan tells them
    weights.safetensors   the final weights

A line of `events.jsonl` is a JSON object: `event`, its kind; `at`, seconds since the
record began; and the event's own fields. Segments that end within a second of each
other share a line. The last line, `stopped`, is written when everything else is in
place: a record without it is of a run that did not end in good order.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from epochwise.data.samples import Array
from epochwise.errors import RunError
from epochwise.events import (
    EpochBegun,
    EpochDone,
    Event,
    IterationsDone,
    RunBegun,
    Stopped,
)
from epochwise.record.arrays import write_weights
from epochwise.record.codec import NOT_RECORDED, event_row
from epochwise.record.header import Header
from epochwise.record.jsontext import json_text
from epochwise.record.run import Run
from epochwise.storage.folder import RunFolder

EVENTS_FILE = "events.jsonl"
SERIES_FILE = "series.json"
LOSS_FILE = "series/loss.f32"
BATCH_SIZE_FILE = "series/batch_size.u32"

NOTHING_DONE: Mapping[str, int] = {EVENTS_FILE: 0, LOSS_FILE: 0, BATCH_SIZE_FILE: 0}
"""The lengths of a record whose run begins anew [bytes]."""

FLUSH_SECONDS = 1.0
"""How much of a run may be lost with the process [s]."""


class Recorder:
    """A listener that keeps a run on disk.

    Used as a context, so that the files are closed however the run ends:

        with Recorder(folder, header) as recorder:
            for event in loop:
                recorder.on_event(event)
            digest = recorder.write_weights(weights)
            recorder.close(tally.run(weights_sha256=digest, ...))

    Args:
        folder: the run's, made by `RunFolder.create` or `RunFolder.create_named`.
        header: what is known now; written at once.
        lengths: of a run that goes on: how much of each file belongs to what is done;
            what comes after is cut off [bytes].
        clock: a clock that never goes back [s].

    Raises:
        RunError: a file could not be written, here and at the end. In between the training
            goes on with a warning, and what the disk refused is written later.
    """

    def __init__(
        self,
        folder: RunFolder,
        header: Header,
        *,
        lengths: Mapping[str, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Write the header."""
        self.folder = folder
        self._clock = clock
        self._flushed = clock()
        for name, size in (lengths or {}).items():
            folder.truncate(name, size)
        self._began = clock() - _last_at(folder.read(EVENTS_FILE) or b"")
        self._goes_on = lengths is not None
        self._segments: IterationsDone | None = None
        self._iterations = 0
        self._refused = False
        self._stopped: Stopped | None = None
        self._keeps_batch_sizes = header.plan is None
        header.write(folder)

    def __enter__(self) -> Recorder:
        """Return the recorder itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Write out what is still held and close the files; the record stays as it is."""
        try:
            self._write_segments()
        finally:
            self.folder.close()

    def on_event(self, event: Event) -> None:
        """See `Listener.on_event`."""
        if isinstance(event, IterationsDone):
            self._add_segment(event)
            if self._clock() - self._flushed >= FLUSH_SECONDS:
                self._flush()
            return
        if isinstance(event, NOT_RECORDED):
            return
        self._write_segments()
        if isinstance(event, EpochBegun) and event.position.iterations_in_epoch_done:
            return  # the line is there, from before the run was cut off
        if isinstance(event, Stopped):
            self._stopped = event  # its line is the last, and `close` writes it
        else:
            self._append(event_row(event))
        if isinstance(event, RunBegun) and not self._goes_on:
            self._describe_series(event.position.iterations_done + 1)
        if isinstance(event, (EpochDone, RunBegun, Stopped)):
            self._flush()

    def lengths(self) -> dict[str, int]:
        """Return how much of each file there is now, all events so far included [bytes]."""
        self._write_segments()
        files = [
            EVENTS_FILE,
            LOSS_FILE,
            *([BATCH_SIZE_FILE] if self._keeps_batch_sizes else []),
        ]
        return {name: self.folder.length(name) for name in files}

    def write_weights(self, weights: Sequence[tuple[str, Array]]) -> str:
        """Write the final weights and return their digest.

        Args:
            weights: name and value of each, in the order of `model.weights`.
        """
        return write_weights(self.folder, weights)

    def close(self, run: Run) -> Run:
        """Write the last line and have everything on the disk.

        Args:
            run: the run that ended; must have a reason for it.

        Returns:
            The run with its folder.

        Raises:
            ValueError: nothing stopped the run yet.
        """
        if run.stop is None:
            raise ValueError("a run that has not ended cannot be closed")
        self._write_segments()
        self.folder.sync()  # the last line must not reach the disk before the others
        closing = Stopped(
            position=run.position,
            reason=run.stop,
            updates=run.updates,
            best=run.best,
            restored=run.restored,
            notes=run.notes,
        )
        ending = {
            "test": run.test,
            "weights_sha256": run.weights_sha256,
            "seconds": run.seconds.to_json(),
        }
        self._append(event_row(closing) | ending)
        self.folder.sync()
        self.folder.close()
        return replace(run, folder=self.folder.path)

    def _add_segment(self, event: IterationsDone) -> None:
        """Keep each iteration's numbers, and the segment for the next line."""
        self._extend(LOSS_FILE, np.asarray(event.losses, "<f4").tobytes())
        if self._keeps_batch_sizes:
            self._extend(BATCH_SIZE_FILE, np.asarray(event.samples, "<u4").tobytes())
        earlier = self._segments
        self._iterations += len(event.losses)
        if earlier is None:
            self._segments = event
            return
        self._segments = replace(
            event,
            learning_rates=_extremes(earlier, event),
            seconds=earlier.seconds + event.seconds,
            compile_seconds=earlier.compile_seconds + event.compile_seconds,
            update_sizes={**earlier.update_sizes, **event.update_sizes},
        )

    def _write_segments(self) -> None:
        """Write the line of the segments held back, if there are any."""
        if self._segments is None:
            return
        self._append(event_row(self._segments) | {"iterations": self._iterations})
        self._segments, self._iterations = None, 0

    def _append(self, row: Mapping[str, Any]) -> None:
        at = round(self._clock() - self._began, 6)
        line = json_text({"event": row["event"], "at": at, **row})
        self._extend(EVENTS_FILE, line.encode() + b"\n")

    def _flush(self) -> None:
        self._write_segments()
        self._flushed = self._clock()
        with self._going_on():
            self.folder.flush()
            self._refused = False

    def _extend(self, name: str, data: bytes) -> None:
        with self._going_on():
            self.folder.append(name, data)

    @contextmanager
    def _going_on(self) -> Iterator[None]:
        """Go on when the disk refuses: what is to be written is held, and it is told once."""
        try:
            yield
        except RunError as error:
            if not self._refused:
                warnings.warn(
                    f"{error}\nThe training goes on. Its record is held in memory, and "
                    "written as soon as the disk takes it.",
                    stacklevel=2,
                )
            self._refused = True

    def _describe_series(self, first_iteration: int) -> None:
        """Write what the series hold, before the first number of them."""
        series = [
            {
                "name": "loss",
                "file": LOSS_FILE,
                "dtype": "<f4",
                "unit": "loss of the iteration's own batch, a mean over its samples",
                "first_iteration": first_iteration,
            }
        ]
        if self._keeps_batch_sizes:
            series.append(
                {
                    "name": "batch_size",
                    "file": BATCH_SIZE_FILE,
                    "dtype": "<u4",
                    "unit": "samples",
                    "first_iteration": first_iteration,
                }
            )
        self.folder.write(
            SERIES_FILE, [json_text({"series": series}, indent=2).encode() + b"\n"]
        )


def _extremes(earlier: IterationsDone, later: IterationsDone) -> dict[int, float]:
    """Return where in two segments the learning rate first was highest and lowest.

    Nowhere, where it has not moved.
    """
    known = {
        **earlier.learning_rates,
        earlier.position.iterations_done: earlier.learning_rate,
        **later.learning_rates,
    }
    rates = {place: rate for place, rate in sorted(known.items()) if rate is not None}
    if {*rates.values()} <= {later.learning_rate}:
        return {}
    places = {pick(rates, key=rates.__getitem__) for pick in (min, max)}
    return {place: rates[place] for place in sorted(places)}


def _last_at(data: bytes) -> float:
    """Return the time of the last line [s]; 0 where there is none."""
    lines = data.splitlines()
    return float(json.loads(lines[-1])["at"]) if lines else 0.0
