"""`EpochCounter`: exact counts for a `model.fit` that stays as it is.

Owns what is said before and after such a fit, and the record that it leaves. What the fit
does is Keras's; `engines.on_keras_fit` reads it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from epochwise import models
from epochwise.engines.on_keras_fit import FitHooks, Forecast
from epochwise.errors import PlanError, Problem
from epochwise.events import EpochDone, Event, Stopped
from epochwise.output import lasting
from epochwise.plan import Caution
from epochwise.position import START, Position
from epochwise.progress import plan_line
from epochwise.record import (
    RUNS_FOLDER,
    Header,
    Recorder,
    Run,
    RunFolder,
    Tally,
    machine,
    run_name,
    versions,
)

_SHOWN = 6
"""Most epochs that a line lists one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReport:
    """What a fit was meant to do and what it did.

    Args:
        planned: what was known before its first iteration.
        iterations_by_epoch: of each epoch that was run [iterations].
        samples_by_epoch: of each epoch that was run [samples].
        updates: weight updates by the optimizer's name.
        run: the same as a `Run`, with history, seconds and the record's folder.
    """

    planned: Forecast
    iterations_by_epoch: tuple[int, ...]
    samples_by_epoch: tuple[int, ...]
    updates: Mapping[str, int]
    run: Run

    @property
    def iterations(self) -> int:
        """Iterations that were run [iterations]."""
        return sum(self.iterations_by_epoch)

    @property
    def samples(self) -> int:
        """Samples trained on, repeats counted [samples]."""
        return sum(self.samples_by_epoch)

    @property
    def cautions(self) -> tuple[Caution, ...]:
        """What was told before the first iteration."""
        return self.planned.cautions

    @property
    def as_planned(self) -> bool:
        """Whether everything that ran is what was planned."""
        return not self.differences

    @property
    def differences(self) -> tuple[str, ...]:
        """What is not as planned, a clause each; a fit that a callback ended may be short."""
        return tuple(self._differences())

    def lines(self) -> list[str]:
        """Return the report as people read it."""
        each = sorted(set(self.iterations_by_epoch))
        if len(each) == 1:
            epochs = f"{each[0]:,} iterations an epoch"
        else:
            shown = ", ".join(f"{n:,}" for n in self.iterations_by_epoch[:_SHOWN])
            more = ", …" if len(self.iterations_by_epoch) > _SHOWN else ""
            epochs = f"epochs of {shown}{more} iterations"
        made = ", ".join(
            f"{count:,} weight updates" + (f" by {name}" if len(self.updates) > 1 else "")
            for name, count in self.updates.items()
        )
        lines = [f"{epochs}, {self.iterations:,} in all, {made}, {self.samples:,} samples"]
        stop = self.run.stop
        if stop is not None and stop.rule == "callback":
            lines.append(stop.sentence)
        if self.as_planned:
            lines[0] += ": as planned"
        else:
            lines += [f"not as planned: {difference}" for difference in self.differences]
        if self.run.folder is not None:
            here, folder = Path.cwd(), self.run.folder
            near = folder.relative_to(here) if folder.is_relative_to(here) else folder
            lines.append(f"run {near}")
        return lines

    def _differences(self) -> Iterator[str]:
        call = self.planned.call
        planned = call.iterations_per_epoch
        ended = self.run.stop is not None and self.run.stop.rule == "callback"
        full = self.iterations_by_epoch[:-1] if ended else self.iterations_by_epoch
        expected = planned or (full[0] if full else 0)
        other = [(n, count) for n, count in enumerate(full, 1) if count != expected]
        for number, count in other[:_SHOWN]:
            yield f"epoch {number:,} had {count:,} of {expected:,} iterations"
        if len(other) > _SHOWN:
            yield f"{len(other) - _SHOWN:,} more epochs had another number of iterations"
        if not ended and len(self.iterations_by_epoch) != call.epochs:
            yield f"{len(self.iterations_by_epoch):,} of {call.epochs:,} epochs were run"
        due = call.updates_after(self.iterations)
        if len(self.updates) == 1 and set(self.updates.values()) != {due}:
            [(name, made)] = self.updates.items()
            why = self._counted_without_data(made - due)
            yield f"{name} counted {made:,} weight updates, {due:,} were due{why}"
        if not ended and self.planned.samples not in (None, self.samples):
            yield f"{self.samples:,} samples were seen, {self.planned.samples:,} were planned"

    def _counted_without_data(self, excess: int) -> str:
        """Say why TensorFlow counts updates that were not made, where it does.

        A pass over data of unknown length ends with a call that finds no batch, and its
        program raises the optimizer's count before it notices.
        """
        engine, unknown = self.run.engine, self.planned.call.iterations_per_epoch is None
        on_tensorflow = engine is not None and engine.backend.startswith("tensorflow")
        if unknown and on_tensorflow and excess == len(self.iterations_by_epoch):
            return "; TensorFlow counts one more at the end of a pass of unknown length"
        return ""


class EpochCounter(FitHooks):
    """A Keras callback that counts what a `model.fit` really does.

        model.fit(x, y, batch_size=64, epochs=5, callbacks=[epochwise.EpochCounter()])

    Before the first iteration it says what the fit will do, and warns where Keras would
    lose or repeat samples or updates. It counts iterations and weight updates as they
    happen, compares them with the plan at the end, and leaves a record that `epochwise
    runs` and `epochwise report` read. It changes nothing that is trained, on any backend.

    With several callbacks let it be the first: one that calls `model.evaluate` before it
    resets the count of samples that it reads.

    Args:
        run_dir: the folder of the record; `None` for a new one in `runs/`.
        samples: N, where the data does not tell it, as a generator or a `tf.data.Dataset`
            [samples].
        batch_size: B, where neither `fit` nor the data tells it [samples].
        strict: whether anything to be warned of ends the fit before its first iteration.
        verbose: 0 for silence; `report` is there all the same.

    Raises:
        PlanError: in `fit`, before its first iteration: the weights would never change;
            or with `strict`, there is a caution.
        RunError: the record cannot be written.

    Example:
        >>> import keras, numpy as np, tempfile
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> counter = EpochCounter(run_dir=tempfile.mkdtemp(), verbose=0)
        >>> x, y = np.ones((10, 4), "float32"), np.ones(10, "float32")
        >>> history = model.fit(
        ...     x, y, batch_size=4, epochs=2, callbacks=[counter], verbose=0
        ... )
        >>> counter.report.iterations_by_epoch, counter.report.samples
        ((3, 3), 20)
    """

    def __init__(
        self,
        *,
        run_dir: str | Path | None = None,
        samples: int | None = None,
        batch_size: int | None = None,
        strict: bool = False,
        verbose: int = 1,
    ) -> None:
        """Count nothing yet."""
        super().__init__(self._begin, samples=samples, batch_size=batch_size)
        self._run_dir = None if run_dir is None else Path(run_dir)
        self._strict, self._verbose = strict, verbose
        self._report: FitReport | None = None

    @property
    def report(self) -> FitReport:
        """What the last fit did.

        Raises:
            RuntimeError: none has ended yet.
        """
        if self._report is None:
            raise RuntimeError("no fit with this EpochCounter has ended yet")
        return self._report

    def _begin(self, planned: Forecast, model: Any) -> Callable[[Event], None]:
        """Say what will happen and open the record."""
        self._report = None
        if planned.cautions and (self._strict or planned.trains_nothing):
            raise PlanError([_as_problem(caution) for caution in planned.cautions])
        self._say(_lines_before(planned))
        watch = _Watch(planned, _recorder(planned, model, self._run_dir))

        def tell(event: Event) -> None:
            watch.on_event(event)
            if isinstance(event, Stopped):
                self._report = watch.report()
                self._say(self._report.lines())

        return tell

    def _say(self, lines: Sequence[str]) -> None:
        output = lasting(sys.stdout)
        if self._verbose:
            for line in lines:
                print(f"epochwise: {line}", file=output, flush=True)


class _Watch:
    """A listener that adds one fit up, in memory and on disk.

    Args:
        planned: what the fit is to do.
        recorder: keeps the record.
    """

    def __init__(self, planned: Forecast, recorder: Recorder) -> None:
        """Start with nothing seen."""
        self._planned, self._recorder = planned, recorder
        self._tally = Tally()
        self._ends: list[Position] = [START]
        self._since = time.perf_counter()
        self._run = self._tally.run()

    def on_event(self, event: Event) -> None:
        """See `Listener.on_event`."""
        self._tally.on_event(event)
        with self._recorder if isinstance(event, Stopped) else nullcontext():
            self._recorder.on_event(event)
            if isinstance(event, Stopped):
                total = time.perf_counter() - self._since
                seconds = replace(self._tally.seconds, total=total)
                self._run = self._recorder.close(self._tally.run(seconds=seconds))
        if isinstance(event, EpochDone):
            self._ends.append(event.position)

    def report(self) -> FitReport:
        """Return what the fit did; it must have ended."""
        pairs = list(pairwise(self._ends))
        return FitReport(
            planned=self._planned,
            iterations_by_epoch=tuple(b.iterations_done - a.iterations_done for a, b in pairs),
            samples_by_epoch=tuple(b.samples_done - a.samples_done for a, b in pairs),
            updates=self._run.updates,
            run=self._run,
        )


def _recorder(planned: Forecast, model: Any, run_dir: Path | None) -> Recorder:
    """Open the record of a fit."""
    call, began = planned.call, datetime.now().astimezone()
    header = Header(
        began=began,
        data_name=call.source,
        data={"samples": call.samples},
        split=None,
        order={"seed": None, "shuffle": call.shuffle, "by": "model.fit"},
        model_name=model.name,
        model=models.describe(model),
        plan=planned.plan,
        versions=versions(),
        machine=machine(),
    )
    if run_dir is not None:
        return Recorder(RunFolder.create(run_dir), header)
    named = run_name(began, call.source, model.name)
    return Recorder(RunFolder.create_named(RUNS_FOLDER, named), header)


def _lines_before(planned: Forecast) -> list[str]:
    """Return what is said before the first iteration."""
    call = planned.call
    if planned.plan is not None:
        lines = [plan_line(planned.plan)]
    elif call.iterations is not None:
        lines = [
            f"{call.iterations_per_epoch:,} iterations an epoch, {call.iterations:,} in all"
        ]
    else:
        lines = ["the length of an epoch is not known before its first pass"]
    if call.gathered > 1 and planned.updates is not None:
        lines[0] += f", {planned.updates:,} weight updates"
    return lines + [f"Warning: {caution.sentence}" for caution in planned.cautions]


def _as_problem(caution: Caution) -> Problem:
    """Return a caution as what is wrong and its remedy."""
    what, _, remedy = caution.sentence.rpartition("; ")
    return Problem(f"{what}.", remedy)
