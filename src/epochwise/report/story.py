"""A record read into what a page tells: typed numbers, no words and no markup yet.

Only what is in the run's folder is used, and nothing in it is trusted to be complete: the
story of a run that is still going on, or that was killed, is as long as its record.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from epochwise.errors import RunError
from epochwise.events import EpochDone, Evaluated, Event, IterationsDone, RunBegun
from epochwise.record import Header, Run, read_run, read_series
from epochwise.report.evidence import Evidence, read_evidence

LARGEST = 2**53
"""No count in a page may exceed this, the last whole number that a browser tells apart."""

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One epoch as it was run.

    Args:
        number: one-based, as people count.
        first_iteration: the first iteration of it in this record, one-based.
        last_iteration: the last iteration of it, one-based.
        metrics: means over its samples while the weights moved, `loss` first; validation
            metrics left out.
        seconds: wall time its iterations took, compiling and evaluating left out [s].
        whole: whether every iteration of it was run.
    """

    number: int
    first_iteration: int
    last_iteration: int
    metrics: Mapping[str, float]
    seconds: float
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stretches:
    """What was noted now and then between iterations, in order; all of shape `(k,)`.

    Args:
        iterations_done: at the end of each stretch [iterations].
        samples_done: likewise [samples].
        seconds: what the stretch took, compiling and evaluating left out [s].
        elapsed: from the first iteration to the end of the stretch, compiling and
            evaluating included [s].
        rate_iterations: where a learning rate was noted: at the end of each stretch, and
            where in it the rate was highest and lowest; of shape `(m,)` [iterations].
        learning_rate: there, of shape `(m,)`; NaN where it is not known.
    """

    iterations_done: Counts
    samples_done: Counts
    seconds: Floats
    elapsed: Floats
    rate_iterations: Counts
    learning_rate: Floats


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Story:
    """One run, as far as its record goes.

    Args:
        name: the name of its folder.
        header: what was known before it began.
        run: what was done.
        iterations_before: done before the record's first iteration [iterations].
        batch_sizes: samples of each iteration of the record, shape `(n,)` [samples].
        passes: its epochs, in order; the one under way is not among them.
        stretches: learning rate and speed.
        update_sizes: by layer, in the order of the network: of which iterations the update
            was measured, and how large it was relative to the weights.
        evidence: what was measured about the batch size before; `None` for nothing.
    """

    name: str
    header: Header
    run: Run
    iterations_before: int
    batch_sizes: Counts
    passes: Sequence[Pass]
    stretches: Stretches
    update_sizes: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    evidence: Evidence | None = None

    def samples_done_after(self, iterations_done: Counts) -> Counts:
        """Return the samples trained on after so many iterations [samples].

        Args:
            iterations_done: shape `(k,)`, within the record [iterations].
        """
        before = self.run.position.samples_done - int(self.batch_sizes.sum())
        sums = np.concatenate([[0], np.cumsum(self.batch_sizes)]) + before
        places = np.asarray(iterations_done) - self.iterations_before
        done: Counts = sums[np.clip(places, 0, sums.size - 1)]
        return done

    def elapsed_after(self, iterations_done: Counts) -> Floats:
        """Return the seconds from the first iteration on, even between two notes [s].

        Args:
            iterations_done: shape `(k,)`, within the record [iterations].
        """
        known = np.concatenate([[self.iterations_before], self.stretches.iterations_done])
        elapsed = np.concatenate([[0.0], self.stretches.elapsed])
        between: Floats = np.interp(iterations_done, known, elapsed)
        return between


def read_story(folder: Path) -> Story:
    """Read the record in a run's folder.

    Args:
        folder: the run's.

    Raises:
        RunError: it is no folder of a run, or its header cannot be read.
    """
    notes = _Notes()
    stored = read_run(folder, listeners=[notes])
    run = stored.run
    before = notes.iterations_before
    count = run.position.iterations_done - before
    if count < 0 or run.losses.size > count:
        raise RunError(
            f"The record in {folder} tells of {count:,} iterations, from {before:,} to "
            f"{run.position.iterations_done:,}, and of {run.losses.size:,} losses.",
            "restore events.jsonl from a copy; the series beside it can still be read.",
        )
    return Story(
        name=folder.absolute().name,
        header=stored.header,
        run=run,
        iterations_before=before,
        batch_sizes=_batch_sizes(run, notes),
        passes=tuple(notes.passes),
        stretches=notes.stretches(),
        update_sizes=notes.update_sizes,
        evidence=read_evidence(folder),
    )


@dataclass(slots=True, eq=False)
class _Notes:
    """A listener that keeps of each event what a page needs."""

    iterations_before: int = 0
    samples_before: int = 0
    passes: list[Pass] = field(default_factory=list)
    update_sizes: dict[str, list[tuple[int, float]]] = field(default_factory=dict)
    _iterations: array[int] = field(default_factory=lambda: array("q"))
    _samples: array[int] = field(default_factory=lambda: array("q"))
    _seconds: array[float] = field(default_factory=lambda: array("d"))
    _elapsed: array[float] = field(default_factory=lambda: array("d"))
    _rate_places: array[int] = field(default_factory=lambda: array("q"))
    _rates: array[float] = field(default_factory=lambda: array("d"))
    _now: float = 0.0
    _seconds_in_epoch: float = 0.0

    def on_event(self, event: Event) -> None:
        """See `Listener.on_event`.

        Raises:
            RunError: a count is larger than any training's.
        """
        if max(event.position.iterations_done, event.position.samples_done) > LARGEST:
            raise RunError(
                f"The record tells of {event.position.iterations_done:,} iterations and "
                f"{event.position.samples_done:,} samples, which no training has.",
                "restore events.jsonl from a copy, or remove the folder.",
            )
        match event:
            case RunBegun() if not self._iterations:
                self.iterations_before = event.position.iterations_done
                self.samples_before = event.position.samples_done
            case IterationsDone():
                self._now += event.seconds + event.compile_seconds
                self._seconds_in_epoch += event.seconds
                self._iterations.append(event.position.iterations_done)
                self._samples.append(event.position.samples_done)
                self._seconds.append(event.seconds)
                self._elapsed.append(self._now)
                here = event.position.iterations_done
                noted: dict[int, float | None] = {
                    **event.learning_rates,
                    here: event.learning_rate,
                }
                for place in sorted(one for one in noted if one <= here):
                    rate = noted[place]
                    self._rate_places.append(place)
                    self._rates.append(np.nan if rate is None else rate)
                for iteration, sizes in event.update_sizes.items():
                    for layer, size in sizes.items():
                        self.update_sizes.setdefault(layer, []).append((iteration, size))
            case Evaluated():
                self._now += event.seconds + event.compile_seconds
            case EpochDone():
                self._end_epoch(event)
            case _:
                pass

    def stretches(self) -> Stretches:
        """Return the columns as arrays."""
        return Stretches(
            iterations_done=np.array(self._iterations, np.int64),
            samples_done=np.array(self._samples, np.int64),
            seconds=np.array(self._seconds, np.float64),
            elapsed=np.array(self._elapsed, np.float64),
            rate_iterations=np.array(self._rate_places, np.int64),
            learning_rate=np.array(self._rates, np.float64),
        )

    def _end_epoch(self, event: EpochDone) -> None:
        done = event.position.iterations_done
        begun = self.passes[-1].last_iteration if self.passes else self.iterations_before
        trained = {
            name: value for name, value in event.metrics.items() if not name.startswith("val_")
        }
        self.passes.append(
            Pass(
                number=event.epoch_index + 1,
                first_iteration=begun + 1,
                last_iteration=done,
                metrics=trained,
                seconds=self._seconds_in_epoch,
                whole=event.whole,
            )
        )
        self._seconds_in_epoch = 0.0


def _batch_sizes(run: Run, notes: _Notes) -> Counts:
    """The samples of each iteration of the record, evenly spread where it has lost them.

    A record without losses of single iterations has lost them too, unless a plan tells.
    """
    before, plan = notes.iterations_before, run.plan
    count = run.position.iterations_done - before
    if plan is not None:
        sizes = np.full(count, min(plan.batch_size, plan.samples), np.int64)
        closing = (np.arange(count) + before + 1) % plan.iterations_per_epoch == 0
        sizes[closing] = plan.last_batch_size
        return sizes
    assert run.folder is not None
    kept = read_series(run.folder, "batch_size")
    if kept is not None and kept.size >= count:
        return kept[:count].astype(np.int64)
    noted = notes.stretches()
    spread = np.interp(
        np.arange(before, before + count + 1),
        np.concatenate([[before], noted.iterations_done]),
        np.concatenate([[notes.samples_before], noted.samples_done]),
    )
    sizes = np.empty(count, np.int64)
    sizes[:] = np.diff(np.rint(spread).astype(np.int64))
    return sizes
