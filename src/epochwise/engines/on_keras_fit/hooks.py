"""The hooks of a Keras callback, told as events.

What an epoch held is read once, when its last iteration is done: on JAX the model holds
current values only then, and reading them more often would slow the training down. So the
losses of single iterations are not told, and a fit that an exception ends leaves out the
epoch that it was in.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras

from epochwise.engines.on_keras_fit.call import (
    batches_counted,
    innermost,
    read_call,
)
from epochwise.engines.on_keras_fit.forecast import Forecast, forecast
from epochwise.engines.values import count_updates
from epochwise.events import (
    EngineDescription,
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
from epochwise.position import START

_EXACT = 2**24
"""Keras counts samples in float32, which holds every whole number up to this one."""

Tell = Callable[[Event], None]
"""Takes the events of one fit."""


class FitHooks(keras.callbacks.Callback):
    """Tells the events of each `fit` that it is a callback of.

    Args:
        begin: called before the first iteration with what the fit will do and its model;
            returns who is told the events. What it raises ends the fit.
        samples: N, where the data does not tell it [samples].
        batch_size: B, where neither `fit` nor the data tells it [samples].
        clock: a clock that never goes back [s].
    """

    async_safe = True
    """Keras may call the hook of an iteration from a thread of its own: it only counts."""

    def __init__(
        self,
        begin: Callable[[Forecast, keras.Model], Tell],
        *,
        samples: int | None = None,
        batch_size: int | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Watch nothing yet."""
        super().__init__()
        self._begin = begin
        self._samples, self._batch_size = samples, batch_size
        self._clock = clock
        self._fit: _Fit | None = None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Forget the fit before; other callbacks may still change where this one begins."""
        self._fit = None

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """See `EpochBegun`; before the first epoch the fit is looked at."""
        if self._fit is None:
            self._fit = self._watch(epoch)
        self._fit.begin_epoch()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Count."""
        assert self._fit is not None
        self._fit.count_call()

    def on_test_begin(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """Read what the epoch held, before the evaluation resets the metrics."""
        if self._fit is not None:
            self._fit.end_training()

    def on_test_end(self, logs: Mapping[str, Any] | None = None) -> None:
        """See `Evaluated`."""
        if self._fit is not None:
            self._fit.end_evaluation(_numbers(logs))

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """See `IterationsDone` and `EpochDone`."""
        assert self._fit is not None
        self._fit.end_training()
        self._fit.end_epoch(_numbers(logs))

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:  # noqa: ARG002
        """See `Stopped`."""
        fit = self._watch(self.params["epochs"]) if self._fit is None else self._fit
        self._fit = None
        fit.end()

    def _watch(self, first_epoch: int) -> _Fit:
        """Look at the fit that is calling, and begin."""
        call = read_call(
            self.model,
            self.params,
            first_epoch=first_epoch,
            samples=self._samples,
            batch_size=self._batch_size,
        )
        foreseen = forecast(call)
        return _Fit(self.model, foreseen, self._begin(foreseen, self.model), self._clock)


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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evaluation:
    """What was read when the evaluation was done."""

    metrics: Mapping[str, float]
    samples: int | None
    seconds: float


class _Fit:
    """One fit under way: what is done of it, and what of its epoch.

    Args:
        model: being fitted.
        foreseen: what it will do.
        tell: takes the events.
        clock: a clock that never goes back [s].
    """

    def __init__(
        self, model: keras.Model, foreseen: Forecast, tell: Tell, clock: Callable[[], float]
    ) -> None:
        """Tell that it begins."""
        self._model, self._foreseen, self._tell, self._clock = model, foreseen, tell, clock
        self._position = START
        self._epoch_index = -1
        self._updates_before = count_updates(model)
        self._batches_before = batches_counted(model)
        self._calls_lock = threading.Lock()
        tell(
            RunBegun(
                plan=foreseen.plan,
                epochs=foreseen.call.epochs,
                position=START,
                engine=_description(),
            )
        )

    def begin_epoch(self) -> None:
        """Tell that an epoch begins."""
        self._epoch_index += 1
        self._calls = 0
        self._trained: _Trained | None = None
        self._evaluation: _Evaluation | None = None
        self._tell(
            EpochBegun(
                epoch_index=self._epoch_index,
                position=self._position,
                iterations_per_epoch=self._foreseen.call.iterations_per_epoch,
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
                samples=_samples_counted(self._model),
                batches=batches_counted(self._model),
                at=self._clock(),
            )

    def end_evaluation(self, metrics: Mapping[str, float]) -> None:
        """Keep what was evaluated."""
        assert self._trained is not None
        self._evaluation = _Evaluation(
            metrics=metrics,
            samples=_samples_counted(self._model),
            seconds=self._clock() - self._trained.at,
        )

    def end_epoch(self, metrics: Mapping[str, float]) -> None:
        """Tell what the epoch held."""
        assert self._trained is not None
        index, trained = self._epoch_index, self._trained
        iterations = self._iterations(trained.batches)
        self._batches_before = trained.batches
        before = self._position
        after = before.after_iterations(
            iterations=iterations, samples=self._samples(iterations, trained.samples)
        )
        planned = self._foreseen.call.iterations_per_epoch
        whole = iterations == planned if planned else not self._model.stop_training
        if whole or not self._model.stop_training:
            after = after.after_epoch()
        self._position = after
        if iterations:
            self._tell(
                IterationsDone(
                    epoch_index=index,
                    position=after,
                    losses=(),
                    samples=(),
                    metrics={k: v for k, v in metrics.items() if not k.startswith("val_")},
                    learning_rate=_learning_rate(self._model),
                    seconds=trained.at - self._since,
                    compile_seconds=0.0,
                    epoch_goes_on=False,
                )
            )
        if self._evaluation is not None:
            self._tell(EvaluationBegun(epoch_index=index, position=after))
            self._tell(
                Evaluated(
                    epoch_index=index,
                    position=after,
                    metrics=self._evaluation.metrics,
                    samples=self._evaluation.samples,
                    seconds=self._evaluation.seconds,
                    compile_seconds=0.0,
                )
            )
        self._tell(EpochDone(epoch_index=index, position=after, metrics=metrics, whole=whole))

    def end(self) -> None:
        """Tell how the fit ended."""
        counted = count_updates(self._model)
        made = {name: counted[name] - self._updates_before.get(name, 0) for name in counted}
        self._tell(
            Stopped(
                position=self._position,
                reason=self._reason(),
                updates=_in_use(made),
            )
        )

    def _iterations(self, batches_counted: int | None) -> int:
        """Return how many iterations the epoch had.

        With `steps_per_execution` a call may run fewer than that many, which only the
        optimizer's count tells.
        """
        at_once = self._foreseen.call.steps_per_execution
        most = self._calls * at_once
        if at_once == 1 or batches_counted is None or self._batches_before is None:
            return most
        counted = batches_counted - self._batches_before
        return counted if most - at_once < counted <= most else most

    def _samples(self, iterations: int, counted: int | None) -> int:
        """Return the samples that the iterations of an epoch trained on.

        Where the model does not count them, they are those of the plan, or none.
        """
        if counted is not None:
            return counted
        stream, done = self._foreseen.call.stream, self._position.iterations_done
        if stream is None or done + iterations > stream.iterations:
            return 0
        return stream.samples_done_after(done + iterations) - stream.samples_done_after(done)

    def _reason(self) -> StopReason:
        """Return why it ended."""
        done, planned = self._position.iterations_done, self._foreseen.call.iterations
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


def _samples_counted(model: keras.Model) -> int | None:
    """Return the samples that the mean of the loss was taken over; `None` if not known.

    A `train_step` of the user's own may not update that mean.
    """
    tracker = getattr(model, "_loss_tracker", None)
    if tracker is None:
        return None
    count = float(keras.ops.convert_to_numpy(tracker.count))
    return int(count) if 0 < count <= _EXACT and count.is_integer() else None


def _in_use(made: Mapping[str, int]) -> dict[str, int]:
    """Return the updates without an optimizer that a `train_step` left aside."""
    if len(made) == 1 or not any(made.values()):
        return dict(made)
    return {name: updates for name, updates in made.items() if updates}


def _learning_rate(model: keras.Model) -> float | None:
    """Return the learning rate; `None` where it follows a schedule."""
    rate = getattr(innermost(model.optimizer), "_learning_rate", None)
    if rate is None or callable(rate):
        return None
    return float(keras.ops.convert_to_numpy(rate))


def _numbers(logs: Mapping[str, Any] | None) -> dict[str, float]:
    """Return the logs that are numbers."""
    return {
        name: float(value)
        for name, value in (logs or {}).items()
        if isinstance(value, (int, float)) or getattr(value, "ndim", None) == 0
    }


def _description() -> EngineDescription:
    """Return where Keras runs the iterations."""
    backend = keras.config.backend()
    version = getattr(sys.modules.get(backend), "__version__", "")
    return EngineDescription(
        engine="keras",
        backend=f"{backend} {version}".strip(),
        device=_device(backend),
        execution="single",
        reason="model.fit ran the iterations, and Epochwise counted them.",
    )


def _device(backend: str) -> str:
    """Return the kind of device that Keras computes on."""
    if backend == "torch":
        from keras.src.backend.torch.core import get_device

        return "gpu" if str(get_device()).startswith("cuda") else str(get_device())
    return str(keras.distribution.list_devices()[0]).partition(":")[0]
