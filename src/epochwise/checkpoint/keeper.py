"""When a checkpoint is taken, and that the record tells of it once it is in place."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from epochwise.checkpoint.checkpoints import Checkpoint, Checkpoints
from epochwise.checkpoint.saving import Saver
from epochwise.counting.durations import Duration
from epochwise.counting.position import START, Position
from epochwise.errors import EpochwiseError
from epochwise.events import Boundary, CheckpointCommitted, CheckpointFailed, Event, Stopped


class Keeper:
    """Takes checkpoints while the events go by, and adds what became of them.

    A checkpoint is written by a thread of its own while training goes on: what it holds
    are arrays that nobody changes. The event that tells that it is committed comes
    through the same stream as all others, so that the record's lines keep their order.

    Args:
        checkpoints: where they are saved.
        every: how often; `None` for the end of the run alone.
        fits: what a training must be like to go on from one of them.
        lengths: gives how much of each file of the record there is now [bytes].
        resumed: the one that the run goes on from, of which the record, cut back to it,
            does not tell yet; `None` for a run that begins.
        clock: a clock that never goes back [s].
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        *,
        every: Duration | None,
        fits: Mapping[str, Any],
        lengths: Callable[[], Mapping[str, int]],
        resumed: Checkpoint | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with nothing saved."""
        self._checkpoints = checkpoints
        self._every = every
        self._fits = fits
        self._lengths = lengths
        self._clock = clock
        self._saved_at = clock()
        self._taken_at: Position | None = None
        self._told: list[Event] = []
        if resumed is not None:
            self._committed(resumed)
        self._saver = Saver(checkpoints, committed=self._committed, failed=self._failed)

    def through(self, events: Iterator[Event]) -> Iterator[Event]:
        """Yield the events, and among them what became of the checkpoints.

        Each event must have been handled by all listeners before the next is asked for.
        """
        with self._saver:
            for event in events:
                if isinstance(event, Stopped):
                    self._saver.close()
                    yield from self._news()
                yield event
                if isinstance(event, Boundary):
                    due = self._is_due(event)
                    if due:
                        self._saver.close()
                    else:
                        self._saver.tell()
                    yield from self._news()
                    if due:
                        self._save(event)

    def _is_due(self, event: Boundary) -> bool:
        """Tell whether a checkpoint is to be taken at a boundary."""
        if event.reason is not None or event.position == START:
            return True
        position = event.position
        match self._every:
            case Duration(epochs=int(epochs)):
                closes = position.iterations_in_epoch_done == 0
                return closes and position.epochs_done % epochs == 0
            case Duration(iterations=int(iterations)):
                return position.iterations_done % iterations == 0
            case Duration(seconds=float(seconds)):
                return self._clock() - self._saved_at >= seconds
            case _:
                return False

    def _save(self, event: Boundary) -> None:
        """Take the snapshot now; have it written meanwhile."""
        self._saved_at = self._clock()
        self._taken_at = event.position
        try:
            lengths = self._lengths()
        except EpochwiseError as error:
            self._failed(error)
            return
        state = event.snapshot()
        best = state.memories["best"]
        self._saver.save(
            state,
            fits=self._fits,
            record_lengths=lengths,
            best=None if best is None else best["iterations_done"],
        )

    def _committed(self, checkpoint: Checkpoint) -> None:
        self._told.append(
            CheckpointCommitted(position=checkpoint.position, name=checkpoint.name)
        )

    def _failed(self, error: EpochwiseError) -> None:
        assert self._taken_at is not None
        self._told.append(CheckpointFailed(position=self._taken_at, sentence=str(error)))
        warnings.warn(
            f"No checkpoint was saved at {self._taken_at.shown()}. {error}\nThe training goes "
            "on, and the next checkpoint is tried.",
            stacklevel=2,
        )

    def _news(self) -> Iterator[Event]:
        """Yield what became of checkpoints since it was last asked."""
        news, self._told = self._told, []
        yield from news
