"""What the engines of all Keras backends have in common: whose values are where.

On these backends the model's variables are the values, and training changes them in
place. So `take` copies them, a segment is undone by writing the copies back if it fails,
and an evaluation writes back what it touched. Each backend brings how it copies, how it
holds data and how it runs a segment.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import keras
import numpy as np

from epochwise.data.feed import Window
from epochwise.data.samples import Array, Samples, map_leaves
from epochwise.engines.base import SegmentResult
from epochwise.engines.own_step import added_up
from epochwise.engines.per_sample import (
    as_in_evaluation,
    can_measure,
    joined,
    measured,
    measures_of,
)
from epochwise.engines.rates import learning_rate_of, set_learning_rate
from epochwise.engines.values import (
    Batch,
    Values,
    all_variables,
    as_numbers,
    build,
    count_updates,
    named,
    placed_beside,
    replaced,
    reset_values,
)
from epochwise.events import EngineDescription

Execution = Literal["scan", "single", "eager"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedWindow:
    """A window whose arrays are tensors of the backend."""

    window: Window
    data: Batch
    rows: Any


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Told:
    """What a segment tells, as tensors that may still be computed.

    Args:
        losses: one an iteration; none in evaluation.
        metrics: scalars by name.
        own: what a step of the user's logged for each batch, see `iteration.Trained`:
            arrays over the batches.
        rate: what the last update used; `None` in evaluation.
        finite: whether every trainable weight is finite.
    """

    losses: Any
    metrics: Mapping[str, Any]
    own: tuple[Mapping[str, Any], ...] = ()
    rate: Any = None
    finite: Any = True


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KerasPending:
    """A segment whose numbers have not been read yet.

    Args:
        told: what it tells.
        batch_size: samples in each of its batches.
        undo: called if the segment turns out to have failed.
    """

    told: Told
    batch_size: int
    undo: Callable[[], None]

    def wait(self) -> SegmentResult:
        """See `Pending.wait`."""
        told = self.told
        try:
            return SegmentResult(
                losses=tuple(np.asarray(keras.ops.convert_to_numpy(told.losses)).tolist()),
                metrics=as_numbers(told.metrics),
                logs=added_up(_of_each(told.own), self.batch_size),
                learning_rate=None if told.rate is None else _number(told.rate),
                weights_finite=bool(keras.ops.convert_to_numpy(told.finite)),
            )
        except BaseException:
            self.undo()
            raise


class KerasEngine(ABC):
    """Runs iterations of a Keras model in its own variables, on any backend.

    Values are copies, which stay as they are whatever is trained later. Until the next
    `give_back` hands the model to listeners, the engine knows which copies its variables
    hold, and does not write those again.

    Args:
        model: compiled; is built here if it is not.
        reason: why this engine, one sentence for the user.
        example: one sample or more of the training data, for building the model.
        resident: the data that windows without samples of their own count in.
        validation: the data that evaluation windows count in.
        execution: how segments are executed.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        reason: str,
        example: Samples,
        resident: Samples | None,
        validation: Samples | None,
        execution: Execution = "eager",
    ) -> None:
        """Build the model where needed and hand the data to the backend."""
        self._model = model
        self._reason = reason
        self._execution = execution
        self._divisor = example.divisor
        self._build(example)
        self._resident = None if resident is None else self._tensors(resident)
        self._validation = None
        if validation is not None:
            self._validation = placed_beside(
                validation, resident, self._resident, self._tensors
            )
        self._held: Values | None = None
        self._reset: list[Array] | None = None

    @property
    def description(self) -> EngineDescription:
        """See `Engine.description`."""
        return EngineDescription(
            engine="keras",
            backend=self._backend(),
            device=self._device(),
            execution=self._execution,
            reason=self._reason,
        )

    @property
    def compilations(self) -> int:
        """See `Engine.compilations`. Nothing is compiled but where a backend can."""
        return 0

    @property
    def compile_seconds(self) -> float:
        """See `Engine.compile_seconds`."""
        return 0.0

    def take(self, *, fresh_metrics: bool = False) -> Values:
        """See `Engine.take`."""
        self._held = values = self._copied(self._groups())
        if not fresh_metrics:
            return values
        if self._reset is None:
            self._reset = reset_values(self._model)
        return values._replace(metrics=list(self._reset))

    def give_back(self, values: Values) -> None:
        """See `Engine.give_back`."""
        self._write(self._groups(), values)
        self._held = None

    def to_host(self, values: Values) -> dict[str, Array]:
        """See `Engine.to_host`."""
        return {name: keras.ops.convert_to_numpy(array) for name, array in named(values)}

    def from_host(self, values: Values, arrays: Mapping[str, Array]) -> Values:
        """See `Engine.from_host`."""
        return replaced(values, arrays)

    @abstractmethod
    def prepare(
        self,
        training: Sequence[Window],
        evaluating: Sequence[Window],
        *,
        measuring: bool = False,
    ) -> None:
        """See `Engine.prepare`."""

    def load(self, window: Window, *, evaluating: bool = False) -> LoadedWindow:
        """See `Engine.load`."""
        data = self._validation if evaluating else self._resident
        if window.samples is not None:
            data = self._tensors(window.samples)
        assert data is not None
        return LoadedWindow(window=window, data=data, rows=self._tensor(window.rows))

    def run(
        self,
        values: Values,
        loaded: LoadedWindow,
        start: int,
        stop: int,
        *,
        measured: Sequence[int] = (),
    ) -> tuple[Values, KerasPending]:
        """See `Engine.run`; updates are not measured."""
        del measured
        groups = self._groups()
        self._write(groups, values)
        self._held = None
        undo = partial(self._undo, groups, values)
        try:
            told = self._train(loaded, start, stop)
            self._held = after = self._copied(self._groups())
        except BaseException:
            undo()
            raise
        return after, KerasPending(told=told, batch_size=loaded.window.batch_size, undo=undo)

    def evaluate(
        self, values: Values, loaded: LoadedWindow, start: int, stop: int
    ) -> tuple[Values, KerasPending]:
        """See `Engine.evaluate`."""
        before = self._held or self.take()
        groups = self._groups()
        self._write(groups, values)
        self._held = None
        try:
            told = self._test(loaded, start, stop)
            changed = {
                name: self._copies(getattr(groups, name))
                for name in ("non_trainable", "metrics")
            }
        finally:
            self._write(groups, before)
            self._held = before
        pending = KerasPending(told=told, batch_size=loaded.window.batch_size, undo=_nothing)
        return values._replace(**changed), pending

    def final_metrics(self, values: Values) -> Mapping[str, float]:
        """See `Engine.final_metrics`."""
        del values
        return {}

    def per_sample(self, loaded: LoadedWindow, start: int, stop: int) -> dict[str, Array]:
        """See `Engine.per_sample`."""
        measures = measures_of(self._model)
        if not (measures and can_measure(loaded.data)):
            return {}
        before, parts = self.take(), []
        try:
            for place in range(start, stop):
                take = partial(keras.ops.take, indices=loaded.rows[place], axis=0)
                x, y = (map_leaves(take, tree) for tree in (loaded.data.x, loaded.data.y))
                if self._divisor is not None:
                    x = map_leaves(
                        lambda leaf: keras.ops.cast(leaf, "float32") / self._divisor, x
                    )
                predicted = self._model(x, **as_in_evaluation(self._model))
                parts.append(measured(measures, y, predicted))
        finally:
            self.give_back(before)  # a layer may have drawn random numbers
        return joined(parts)

    def learning_rate(self) -> float:
        """See `Engine.learning_rate`."""
        return learning_rate_of(self._model)

    def set_learning_rate(self, rate: float) -> None:
        """See `Engine.set_learning_rate`."""
        set_learning_rate(self._model, rate)

    def updates(self) -> Mapping[str, int]:
        """See `Engine.updates`."""
        return count_updates(self._model)

    def _groups(self) -> Values:
        """The variables that hold the values."""
        return all_variables(self._model)

    def _copied(self, groups: Values) -> Values:
        """Return what the variables hold."""
        return Values(*(self._copies(group) for group in groups))

    def _undo(self, groups: Values, values: Values) -> None:
        """Put back the values that a failed segment began with."""
        self._held = None
        self._write(groups, values)

    def _write(self, groups: Values, values: Values) -> None:
        """Put the values into the variables, but for those that are there already."""
        held = self._held or ()
        there = {id(array) for arrays in held for array in arrays}
        for group, arrays in zip(groups, values, strict=True):
            for variable, array in zip(group, arrays, strict=True):
                if id(array) not in there:
                    variable.assign(array)

    def _build(self, example: Samples) -> None:
        """Create the variables that training needs."""
        build(self._model, example)

    def _tensors(self, samples: Samples) -> Batch:
        """Return samples as tensors, as they are."""
        return Batch(
            *(map_leaves(self._tensor, tree) for tree in (samples.x, samples.y, samples.weight))
        )

    @abstractmethod
    def _backend(self) -> str:
        """The backend's name and version."""

    @abstractmethod
    def _device(self) -> str:
        """Kind and count of the devices that it computes on."""

    @abstractmethod
    def _tensor(self, array: Array) -> Any:
        """Return an array as a tensor on the device."""

    @abstractmethod
    def _copies(self, variables: Sequence[Any]) -> list[Any]:
        """Return the variables' values, safe from whatever happens to the variables."""

    @abstractmethod
    def _train(self, loaded: LoadedWindow, start: int, stop: int) -> Told:
        """Train on iterations `start` to `stop - 1`, in the variables."""

    @abstractmethod
    def _test(self, loaded: LoadedWindow, start: int, stop: int) -> Told:
        """Evaluate batches `start` to `stop - 1`; whatever changes is put back."""


def _of_each(
    own: tuple[Mapping[str, Any], ...],
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Return what a step logged of each batch, from arrays over all batches, on the host."""
    if not own:
        return []
    alone, tracked = (
        {name: keras.ops.convert_to_numpy(array) for name, array in part.items()}
        for part in own
    )

    def at(place: int, arrays: Mapping[str, Any]) -> dict[str, Any]:
        return {name: array[place] for name, array in arrays.items()}

    batches = range(len(next(iter(alone.values()), ())))
    return [(at(place, alone), at(place, tracked)) for place in batches]


def _nothing() -> None:
    """Undo an evaluation, which has put everything back already."""


def _number(value: Any) -> float:
    """A scalar of any backend as a Python float."""
    return float(keras.ops.convert_to_numpy(value))
