"""`EpochCounter`: exact counts for a `model.fit` that stays as it is.

It counts what happens and compares that with what the fit was asked for; it looks neither
into the caller nor ahead. What an epoch held is read once, when its last iteration is done:
on JAX the model holds current values only then. So the losses of single iterations are not
told, and a fit that an exception ends leaves out the epoch that it was in.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import keras

from epochwise import models
from epochwise.callbacks.fit_report import FitPlan, FitReport
from epochwise.callbacks.model_counts import (
    batches_counted,
    description,
    in_use,
    innermost,
    learning_rate,
    numbers,
    samples_counted,
)
from epochwise.counting.plan import Plan
from epochwise.counting.position import START
from epochwise.engines.values import count_updates
from epochwise.errors import PlanError
from epochwise.events import (
    EpochBegun,
    EpochDone,
    Evaluated,
    EvaluationBegun,
    Event,
    IterationsDone,
    RunBegun,
    Stopped,
    StopReason,
)
from epochwise.record import (
    RUNS_FOLDER,
    Header,
    Recorder,
    RunFolder,
    Tally,
    machine,
    run_name,
    versions,
)
from epochwise.terminal.output import lasting

Logs = Mapping[str, Any] | None


class EpochCounter(keras.callbacks.Callback):
    """A Keras callback that counts what a `model.fit` really does.

        counter = epochwise.EpochCounter(samples=len(x), batch_size=64)
        model.fit(x, y, batch_size=64, epochs=5, callbacks=[counter])

    It counts iterations, samples and weight updates as they happen, on any backend, compares
    them at the end with what was asked for, says what was lost or repeated, and leaves a
    record that `epochwise runs` and `epochwise report` read. It changes nothing that is
    trained. Without the sizes of data and batches it goes by what Keras announces.

    With several callbacks let it be the first: one that calls `model.evaluate` before it
    resets the count of samples that it reads.

    Args:
        run_dir: the folder of the record; `None` for a new one in `runs/`.
        samples: N, the training samples of a pass [samples].
        batch_size: B, as given to `fit` [samples].
        plan: the counts to compare with, in place of `samples` and `batch_size`.
        strict: whether anything to be warned of ends the fit before its first iteration.
        verbose: 0 for silence; `report` is there all the same.

    Raises:
        PlanError: `plan` is given beside `samples` or `batch_size`. In `fit`, before its
            first iteration: the weights would never change; or with `strict`, there is a
            caution.
        RunError: the record cannot be written.

    Example:
        >>> import numpy as np, tempfile
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> counter = EpochCounter(
        ...     samples=10, batch_size=4, run_dir=tempfile.mkdtemp(), verbose=0
        ... )
        >>> x, y = np.ones((10, 4), "float32"), np.ones(10, "float32")
        >>> history = model.fit(
        ...     x, y, batch_size=4, epochs=2, callbacks=[counter], verbose=0
        ... )
        >>> counter.report.iterations_by_epoch, counter.report.samples
        ((3, 3), 20)
    """

    async_safe = True
    """Keras may call the hook of an iteration from a thread of its own: it only counts."""

    def __init__(
        self,
        *,
        run_dir: str | Path | None = None,
        samples: int | None = None,
        batch_size: int | None = None,
        plan: Plan | None = None,
        strict: bool = False,
        verbose: int = 1,
    ) -> None:
        """Count nothing yet."""
        super().__init__()
        if plan is not None and (samples is not None or batch_size is not None):
            raise PlanError(
                "plan= holds the samples and the batch size already.",
                "use EpochCounter(plan=plan), or EpochCounter(samples=1000, batch_size=64).",
            )
        self._run_dir = None if run_dir is None else Path(run_dir)
        self._samples, self._batch_size, self._plan = samples, batch_size, plan
        self._strict, self._verbose = strict, verbose
        self._count: _Count | None = None
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

    def on_train_begin(self, logs: Logs = None) -> None:  # noqa: ARG002
        """Forget the fit before; other callbacks may still change where this one begins."""
        self._count = self._report = None

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:  # noqa: ARG002
        """Begin to count; before the first epoch say what was asked for."""
        if self._count is None:
            self._count = self._begin(epoch)
        self._count.begin_epoch()

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:  # noqa: ARG002
        """Count."""
        assert self._count is not None
        self._count.count_call()

    def on_test_begin(self, logs: Logs = None) -> None:  # noqa: ARG002
        """Read what the epoch held, before the evaluation resets the metrics."""
        if self._count is not None:
            self._count.end_training()

    def on_test_end(self, logs: Logs = None) -> None:
        """Keep what was evaluated."""
        if self._count is not None:
            self._count.end_evaluation(numbers(logs))

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:  # noqa: ARG002
        """Count the epoch."""
        assert self._count is not None
        self._count.end_training()
        self._count.end_epoch(numbers(logs))

    def on_train_end(self, logs: Logs = None) -> None:  # noqa: ARG002
        """Say what happened, and where it is not what was asked for."""
        count = self._begin(self.params["epochs"]) if self._count is None else self._count
        self._count = None
        self._report = count.end()
        self._say(self._report.lines())

    def _begin(self, first_epoch: int) -> _Count:
        """Say what the fit was asked for and open the record."""
        epochs = max(0, self.params["epochs"] - first_epoch)
        planned = _planned(
            self.model,
            self._plan or _plan_of(self._samples, self._batch_size, epochs),
            self._samples,
            epochs,
            self.params.get("steps"),
        )
        if planned.cautions and (self._strict or planned.trains_nothing):
            raise PlanError(planned.problems())
        self._say(planned.lines())
        return _Count(self.model, planned, _recorder(planned, self.model, self._run_dir))

    def _say(self, lines: Sequence[str]) -> None:
        output = lasting(sys.stdout)
        if self._verbose:
            for line in lines:
                print(f"epochwise: {line}", file=output, flush=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trained:
    """What was read when the last iteration of an epoch was done.

    Args:
        samples: that the epoch trained on; `None` where they were not counted [samples].
        batches: that the optimizer had counted; `None` without one.
        at: the time [s].
    """

    samples: int | None
    batches: int | None
    at: float


class _Count:
    """One fit under way: what is done of it, told as events to a record.

    Args:
        model: being fitted.
        planned: what it was asked for.
        recorder: keeps the record.
        clock: a clock that never goes back [s].
    """

    def __init__(
        self,
        model: keras.Model,
        planned: FitPlan,
        recorder: Recorder,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Tell that it begins."""
        self._model, self._planned = model, planned
        self._recorder, self._tally, self._clock = recorder, Tally(), clock
        self._position, self._epoch_index = START, -1
        self._iterations: list[int] = []
        self._samples: list[int] = []
        self._updates_before = count_updates(model)
        self._batches_before = batches_counted(model)
        self._calls_lock = threading.Lock()
        self._began = clock()
        self._tell(
            RunBegun(
                plan=planned.plan, epochs=planned.epochs, position=START, engine=description()
            )
        )

    def begin_epoch(self) -> None:
        """Tell that an epoch begins."""
        self._epoch_index += 1
        self._calls = 0
        self._trained: _Trained | None = None
        self._evaluated: Evaluated | None = None
        self._tell(
            EpochBegun(
                epoch_index=self._epoch_index,
                position=self._position,
                iterations_per_epoch=self._planned.iterations_per_epoch,
            )
        )
        self._since = self._clock()

    def count_call(self) -> None:
        """Count a call of the train function."""
        with self._calls_lock:
            self._calls += 1

    def end_training(self) -> None:
        """Read what the epoch held, unless that was done."""
        if self._trained is None:
            self._trained = _Trained(
                samples=samples_counted(self._model),
                batches=batches_counted(self._model),
                at=self._clock(),
            )

    def end_evaluation(self, metrics: Mapping[str, float]) -> None:
        """Keep what was evaluated."""
        assert self._trained is not None
        self._evaluated = Evaluated(
            epoch_index=self._epoch_index,
            position=self._position,
            metrics=metrics,
            samples=samples_counted(self._model),
            seconds=self._clock() - self._trained.at,
            compile_seconds=0.0,
        )

    def end_epoch(self, metrics: Mapping[str, float]) -> None:
        """Tell what the epoch held."""
        assert self._trained is not None
        index, trained = self._epoch_index, self._trained
        iterations = self._iterations_of(trained.batches)
        samples = self._samples_of(iterations, trained.samples)
        self._batches_before = trained.batches
        after = self._position.after_iterations(iterations=iterations, samples=samples)
        planned, stops = self._planned.iterations_per_epoch, self._model.stop_training
        whole = iterations == planned if planned else not stops
        if whole or not stops:
            after = after.after_epoch()
        self._position = after
        self._iterations.append(iterations)
        self._samples.append(samples)
        if iterations:
            self._tell(
                IterationsDone(
                    epoch_index=index,
                    position=after,
                    losses=(),
                    samples=(),
                    metrics={k: v for k, v in metrics.items() if not k.startswith("val_")},
                    learning_rate=learning_rate(self._model),
                    seconds=trained.at - self._since,
                    compile_seconds=0.0,
                    epoch_goes_on=False,
                )
            )
        if self._evaluated is not None:
            self._tell(EvaluationBegun(epoch_index=index, position=after))
            self._tell(replace(self._evaluated, position=after))
        self._tell(EpochDone(epoch_index=index, position=after, metrics=metrics, whole=whole))

    def end(self) -> FitReport:
        """Close the record and return what the fit did."""
        counted = count_updates(self._model)
        made = {name: counted[name] - self._updates_before.get(name, 0) for name in counted}
        stopped = Stopped(position=self._position, reason=self._reason(), updates=in_use(made))
        with self._recorder:
            self._tell(stopped)
            seconds = replace(self._tally.seconds, total=self._clock() - self._began)
            run = self._recorder.close(self._tally.run(seconds=seconds))
        return FitReport(
            planned=self._planned,
            iterations_by_epoch=tuple(self._iterations),
            samples_by_epoch=tuple(self._samples),
            updates=run.updates,
            run=run,
        )

    def _tell(self, event: Event) -> None:
        self._tally.on_event(event)
        self._recorder.on_event(event)

    def _iterations_of(self, batches: int | None) -> int:
        """Return how many iterations the epoch had.

        With `steps_per_execution` a call may run fewer than that many, which only the
        optimizer's count tells.
        """
        at_once = int(getattr(self._model, "steps_per_execution", 1) or 1)
        most = self._calls * at_once
        if at_once == 1 or batches is None or self._batches_before is None:
            return most
        counted = batches - self._batches_before
        return counted if most - at_once < counted <= most else most

    def _samples_of(self, iterations: int, counted: int | None) -> int:
        """Return the samples of an epoch; where the model counts none, those of the plan."""
        if counted is not None:
            return counted
        plan, done = self._planned.plan, self._position.iterations_done
        if plan is None or done + iterations > plan.iterations:
            return 0
        return plan.samples_done_after(done + iterations) - plan.samples_done_after(done)

    def _reason(self) -> StopReason:
        """Return why it ended."""
        done, planned = self._position.iterations_done, self._planned.iterations
        if self._model.stop_training:
            return StopReason(
                rule="callback",
                sentence="A callback set model.stop_training in epoch "
                f"{self._epoch_index + 1:,}.",
            )
        if planned is not None and done < planned:
            return StopReason(
                rule="data",
                sentence=f"The data gave {done:,} of {planned:,} planned iterations.",
            )
        epochs = self._epoch_index + 1
        return StopReason(
            rule="plan", sentence=f"All {epochs:,} epochs are done, {done:,} iterations."
        )


def _plan_of(samples: int | None, batch_size: int | None, epochs: int) -> Plan | None:
    """Return the counts where both sizes are given; `None` else, or without an epoch."""
    if samples is None or batch_size is None or epochs < 1:
        return None
    return Plan(samples=samples, batch_size=batch_size, epochs=epochs)


def _planned(
    model: keras.Model, plan: Plan | None, samples: int | None, epochs: int, steps: int | None
) -> FitPlan:
    """Return what a fit was asked for: by the user of the counter, by Keras, by the model."""
    inner = innermost(model.optimizer)
    rate = getattr(inner, "_learning_rate", None)
    return FitPlan(
        plan=plan,
        samples=samples if plan is None else plan.samples,
        epochs=epochs,
        steps=steps,
        accumulated=getattr(inner, "gradient_accumulation_steps", None) or 1,
        accumulated_before=batches_counted(model) or 0,
        schedule=isinstance(rate, keras.optimizers.schedules.LearningRateSchedule),
    )


def _recorder(planned: FitPlan, model: keras.Model, run_dir: Path | None) -> Recorder:
    """Open the record of a fit."""
    began = datetime.now().astimezone()
    header = Header(
        began=began,
        data_name="model.fit",
        data={"samples": planned.samples},
        split=None,
        order={"seed": None, "shuffle": None, "by": "model.fit"},
        model_name=model.name,
        model=models.describe(model),
        plan=planned.plan,
        versions=versions(),
        machine=machine(),
    )
    if run_dir is not None:
        return Recorder(RunFolder.create(run_dir), header)
    named = run_name(began, "fit", model.name)
    return Recorder(RunFolder.create_named(RUNS_FOLDER, named), header)
