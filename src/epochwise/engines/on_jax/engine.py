"""The engine for the JAX backend: segments as compiled programs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from epochwise.data.feed import Window
from epochwise.data.samples import Array, Samples
from epochwise.engines.on_jax.compiling import Compiler, Lower, Program
from epochwise.engines.on_jax.execution import Execution, choose
from epochwise.engines.on_jax.iteration import (
    Evaluated,
    Trained,
    evaluation,
    gather,
    learning_rate,
    metrics_result,
    training_iteration,
)
from epochwise.engines.on_jax.pending import JaxPending, calls_of
from epochwise.engines.on_jax.placing import device_name, to_device
from epochwise.engines.on_jax.pooling import rewrite_pooling
from epochwise.engines.on_jax.updates import groups_of, update_sizes, update_sizes_here
from epochwise.engines.own_step import is_plain_mean
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
    as_numbers,
    build,
    count_updates,
    has_own_step,
    logs_beside_metrics,
    named,
    placed_beside,
    replaced,
    reset_values,
    variables,
)
from epochwise.errors import TrainingError
from epochwise.events import EngineDescription

Specification = Any
"""A tree of `jax.ShapeDtypeStruct`: what a program is compiled for."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Specified:
    """What the programs of a window are compiled for.

    Args:
        data: the shapes and types of the samples that the window counts in.
        rows: the same of its rows.
        key: equal for windows of equal shapes and types.
    """

    data: Specification
    rows: jax.ShapeDtypeStruct
    key: object

    @classmethod
    def of(cls, data: Any, rows: Any) -> Specified:
        """Return what such data and rows need."""
        shapes = _structs((data, rows))
        return cls(data=shapes[0], rows=shapes[1], key=_key(shapes))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LoadedWindow:
    """A window on the device."""

    window: Window
    data: Batch
    rows: jax.Array
    specified: Specified


class JaxEngine:
    """Runs segments of iterations of a Keras model as compiled JAX programs.

    The data set lies on the device as it is; a segment gathers each batch by its row of
    sample indices, computes the iteration, and stores the batch's loss, with nothing
    read back before it ends. The number of iterations is an argument of the program, so
    that a segment of any length runs the same machine code: where it is cut changes no
    bit.

    Args:
        model: compiled; is built here if it is not.
        resident: the data that windows without samples of their own count in.
        validation: the data that evaluation windows count in.
        example: one sample or more of the training data, for building the model.
        microbatch_size: samples that go through the network at once.
        segments: `scan` or `single` to overrule the choice of `execution.choose`.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        example: Samples,
        resident: Samples | None,
        validation: Samples | None,
        microbatch_size: int | None = None,
        segments: Execution | None = None,
    ) -> None:
        """Build the model where needed and copy the data to the device."""
        self._model = model
        self._divisor = example.divisor
        build(model, example)
        self._iteration = training_iteration(model, example.divisor, microbatch_size)
        self._evaluation = evaluation(model, example.divisor)
        self._resident = None if resident is None else to_device(resident)
        self._validation = None
        if validation is not None:
            self._validation = placed_beside(validation, resident, self._resident, to_device)
        self._compiler = Compiler()
        self._specified: dict[object, Specified] = {}
        self._traces: dict[object, tuple[ClosedJaxpr, Any]] = {}
        self._fresh_metrics = [jnp.asarray(value) for value in reset_values(model)]
        self._groups = groups_of(model)
        self._platform = jax.default_backend()
        self._told = segments
        self._chosen: tuple[Execution, str] | None = None

    @property
    def description(self) -> EngineDescription:
        """See `Engine.description`."""
        if self._chosen is None:
            raise TrainingError(
                "How segments are executed is not known before a program was traced.",
                "call prepare() with a window first.",
            )
        execution, reason = self._chosen
        return EngineDescription(
            engine="jax",
            backend=f"jax {jax.__version__}",
            device=device_name(),
            execution=execution,
            reason=reason,
        )

    @property
    def compilations(self) -> int:
        """See `Engine.compilations`."""
        return self._compiler.count

    @property
    def compile_seconds(self) -> float:
        """See `Engine.compile_seconds`."""
        return self._compiler.seconds

    @property
    def has_own_step(self) -> bool:
        """Whether the model's class brings a `train_step` of its own."""
        return has_own_step(self._model, "train_step")

    def trace(self, example: Samples) -> None:
        """Trace one iteration, to see whether the model can be compiled at all."""
        samples = _to_specification(example)
        data = samples if self._resident is None else _structs(self._resident)
        self._traced(_structs(self.take()), data, example.count, np.int32)

    def take(self, *, fresh_metrics: bool = False) -> Values:
        """See `Engine.take`."""
        values = Values(
            *([variable.value for variable in group] for group in variables(self._model))
        )
        if not fresh_metrics:
            return values
        return values._replace(metrics=list(self._fresh_metrics))

    def give_back(self, values: Values) -> None:
        """See `Engine.give_back`."""
        for group, arrays in zip(variables(self._model), values, strict=True):
            for variable, array in zip(group, arrays, strict=True):
                if variable._value is not array:
                    variable.assign(array)

    def to_host(self, values: Values) -> dict[str, Array]:
        """See `Engine.to_host`. On a CPU nothing is copied: arrays of JAX never change."""
        arrays = jax.device_get(values)
        return {name: np.asarray(array) for name, array in named(arrays)}

    def from_host(self, values: Values, arrays: Mapping[str, Array]) -> Values:
        """See `Engine.from_host`."""
        return replaced(values, {name: jnp.asarray(array) for name, array in arrays.items()})

    def prepare(
        self,
        training: Sequence[Window],
        evaluating: Sequence[Window],
        *,
        measuring: bool = False,
    ) -> None:
        """See `Engine.prepare`."""
        values = self.take()
        wanted = [
            self._training_program(values, self._specify(window, self._resident))
            for window in training
        ] + [
            self._evaluation_program(values, self._specify(window, self._validation))
            for window in evaluating
        ]
        if measuring and not self._is_here:  # needed first, and compiled in a moment
            wanted.insert(1, self._update_sizes_program(values.trainable))
        for key, lower in wanted:
            self._compiler.begin(key, lower)
        for key, lower in wanted[:1]:
            self._compiler.program(key, lower)

    def training_program(self, window: Window) -> Program:
        """Return the compiled program that trains on such windows."""
        specified = self._specify(window, self._resident)
        key, lower = self._training_program(self.take(), specified)
        return self._compiler.program(key, lower)

    def load(self, window: Window, *, evaluating: bool = False) -> LoadedWindow:
        """See `Engine.load`."""
        data = self._validation if evaluating else self._resident
        if window.samples is not None:
            data = to_device(window.samples)
        assert data is not None
        return LoadedWindow(
            window=window,
            data=data,
            rows=jax.device_put(window.rows),
            specified=self._specify(window, data),
        )

    def run(
        self,
        values: Values,
        loaded: LoadedWindow,
        start: int,
        stop: int,
        *,
        measured: Sequence[int] = (),
    ) -> tuple[Values, JaxPending]:
        """See `Engine.run`.

        A measured iteration is a call of its own, of the same program, so that the weights
        before and after it are at hand; only a CPU waits for it.
        """
        key, lower = self._training_program(values, loaded.specified)
        program = self._compiler.program(key, lower)
        if not self._scans:
            # The program takes over the memory of the values it is given; the model still
            # holds these, so the first iteration is given a copy.
            values = jax.device_put(values, may_alias=False)
        told: list[tuple[Any, range | None]] = []
        sizes = {}
        for begin, end in calls_of(start, stop, measured, single=not self._scans):
            before = values.trainable
            if begin in measured and not self._scans:
                before = jax.device_put(before, may_alias=False)
            places = (np.int32(begin), np.int32(end)) if self._scans else (np.int32(begin),)
            values, of_batches, metrics, rate, finite = program(
                values, loaded.data, loaded.rows, *places
            )
            told.append((of_batches, range(begin, end) if self._scans else None))
            if begin in measured:
                sizes[begin] = self._update_sizes(before, values.trainable)
        return values, JaxPending(
            batches=told,
            batch_size=loaded.window.batch_size,
            metrics=metrics,
            rate=rate,
            finite=finite,
            update_sizes=sizes,
            layers=list(self._groups),
        )

    def evaluate(
        self, values: Values, loaded: LoadedWindow, start: int, stop: int
    ) -> tuple[Values, JaxPending]:
        """See `Engine.evaluate`."""
        values = values._replace(optimizer=[])
        key, lower = self._evaluation_program(values, loaded.specified)
        program = self._compiler.program(key, lower)
        told: list[tuple[Any, range | None]] = []
        calls = calls_of(start, stop, (), single=not self._scans_evaluation)
        for begin, end in calls:
            changed, of_batches, logs = program(
                values, loaded.data, loaded.rows, np.int32(begin), np.int32(end)
            )
            values = replaced(values, changed)
            told.append((of_batches, range(begin, end) if self._scans_evaluation else None))
        pending = JaxPending(batches=told, batch_size=loaded.window.batch_size, metrics=logs)
        return values, pending

    def final_metrics(self, values: Values) -> Mapping[str, float]:
        """See `Engine.final_metrics`.

        Keras computes them operation by operation then, which rounds otherwise than in a
        program where a result takes several operations; a mean takes one.
        """
        compiled = self._model._compile_metrics
        metrics = [*self._model.metrics, *(() if compiled is None else compiled.metrics)]
        takes_several = any(
            metric is not compiled and not is_plain_mean(metric) for metric in metrics
        )
        steps = ("train_step", "test_step")
        if not takes_several or any(logs_beside_metrics(self._model, step) for step in steps):
            return {}
        return as_numbers(metrics_result(self._model, values.metrics))

    def per_sample(self, loaded: LoadedWindow, start: int, stop: int) -> dict[str, Array]:
        """See `Engine.per_sample`. Compiled for each shape that comes."""
        if not can_measure(loaded.data):
            return {}
        trainable, non_trainable, *_ = self.take()
        parts = []
        for place in range(start, stop):
            part, non_trainable = self._measure(
                trainable, non_trainable, loaded.data, loaded.rows[place]
            )
            parts.append(part)
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

    def _update_sizes(
        self, before: Sequence[jax.Array], after: Sequence[jax.Array]
    ) -> jax.Array | Array:
        """How far an update moved each layer; see `updates.update_sizes`."""
        if self._is_here:
            return update_sizes_here(list(self._groups.values()), before, after)
        program = self._compiler.program(*self._update_sizes_program(before))
        found: jax.Array = program(before, after)
        return found

    def _update_sizes_program(self, trainable: Sequence[jax.Array]) -> tuple[object, Lower]:
        """Return the key of the program that measures updates, and how to lower it."""

        def lower() -> Any:
            sizes = partial(update_sizes, list(self._groups.values()))
            structs = _structs(trainable)
            return jax.jit(sizes, keep_unused=True).lower(structs, structs)

        return ("update sizes",), lower

    @cached_property
    def _measure(self) -> Callable[..., tuple[dict[str, jax.Array], list[jax.Array]]]:
        """What measures each sample of a batch."""
        measures = measures_of(self._model)

        def measure(
            trainable: list[jax.Array],
            non_trainable: list[jax.Array],
            data: Batch,
            row: jax.Array,
        ) -> tuple[dict[str, jax.Array], list[jax.Array]]:
            batch = gather(data, row, self._divisor)
            predicted, non_trainable = self._model.stateless_call(
                trainable, non_trainable, batch.x, **as_in_evaluation(self._model)
            )
            return dict(measured(measures, batch.y, predicted)), non_trainable

        return jax.jit(measure)

    @property
    def _is_here(self) -> bool:
        """Whether the device's memory is this machine's own."""
        return self._platform == "cpu"

    @property
    def _scans(self) -> bool:
        """Whether a segment is one compiled loop; known once a program was traced."""
        assert self._chosen is not None
        return self._chosen[0] == "scan"

    @property
    def _scans_evaluation(self) -> bool:
        """The same for an evaluation.

        What regularizers of weights add to the loss is the same for each batch, and XLA takes
        it out of the loop, where it is rounded; what those of activities add it fuses
        otherwise there. The loss would not have the bits of Keras.
        """
        regularized = any(
            getattr(variable, "regularizer", None) is not None
            for variable in self._model.trainable_variables
        ) or any(
            getattr(layer, "activity_regularizer", None) is not None
            for layer in self._model._flatten_layers()
        )
        return self._scans and not regularized

    def _specify(self, window: Window, data: Batch | None) -> Specified:
        """What a window's program is compiled for, where it counts in such data.

        Of data on the device it is kept: a loop of few iterations would notice.
        """
        if window.samples is not None:
            return Specified.of(_to_specification(window.samples), window.rows)
        key = (data is self._validation, window.rows.shape, window.rows.dtype)
        if key not in self._specified:
            self._specified[key] = Specified.of(data, window.rows)
        return self._specified[key]

    def _traced(
        self, values: Values, data: Specification, batch_size: int, dtype: Any
    ) -> tuple[ClosedJaxpr, Any]:
        """Trace one iteration at a batch size; return its program and the results' tree."""
        rows = jax.ShapeDtypeStruct((batch_size,), dtype)
        key = _key((values, data, rows))
        if key not in self._traces:
            trace = jax.make_jaxpr(self._iteration, return_shape=True)
            program, result = trace(values, data, rows)
            if self._chosen is None:
                self._chosen = choose(program.jaxpr, self._platform, self._told)
            self._traces[key] = rewrite_pooling(program, self._platform), result
        return self._traces[key]

    def _training_program(self, values: Values, specified: Specified) -> tuple[object, Lower]:
        """Return the key of the training program for such windows, and how to lower it."""
        data, rows = specified.data, specified.rows

        def lower() -> Any:
            structs = _structs(values)
            batch_size = rows.shape[1]
            program, result = self._traced(structs, data, batch_size, rows.dtype)
            flat = jaxpr_as_fun(program)
            tree = jax.tree.structure(result)

            def iterate(values: Values, data: Batch, row: jax.Array) -> Trained:
                arguments = jax.tree.leaves((values, data, row))
                trained: Trained = jax.tree.unflatten(tree, flat(*arguments))
                return trained

            scalar = jax.ShapeDtypeStruct((), jnp.int32)
            if self._scans:
                scanned = jax.jit(self._scanned(iterate, result), keep_unused=True)
                return scanned.lower(structs, data, rows, scalar, scalar)
            single = jax.jit(self._single(iterate), donate_argnums=0, keep_unused=True)
            return single.lower(structs, data, rows, scalar)

        return ("train", specified.key), lower

    def _scanned(self, iterate: Callable[..., Trained], result: Trained) -> Callable[..., Any]:
        """A whole segment as one program: iterations `start` to `stop - 1` of the rows."""
        keeps_logs = logs_beside_metrics(self._model, "train_step")

        def segment(
            values: Values, data: Batch, rows: jax.Array, start: jax.Array, stop: jax.Array
        ) -> tuple[Any, ...]:
            def body(place: jax.Array, carry: tuple[Any, ...]) -> tuple[Any, ...]:
                values, told, _, _ = carry
                rate = learning_rate(self._model, values.optimizer)
                row = lax.dynamic_index_in_dim(rows, place, keepdims=False)
                values, loss, logs, own = iterate(values, data, row)
                told = _put(told, ((loss.astype(jnp.float32),), own), place)
                return values, told, logs, rate

            loss = jax.ShapeDtypeStruct((), jnp.float32)
            told = _zeros(((loss,), result.own), rows.shape[0])
            rate = jax.tree.map(jnp.zeros_like, learning_rate(self._model, values.optimizer))
            carry = (values, told, _zeros(result.logs), rate)
            values, told, logs, rate = lax.fori_loop(start, stop, body, carry)
            metrics = logs if keeps_logs else metrics_result(self._model, values.metrics)
            return values, told, metrics, rate, _all_finite(values.trainable)

        return segment

    def _single(self, iterate: Callable[..., Trained]) -> Callable[..., Any]:
        """One iteration as one program: that of row `place`."""
        keeps_logs = logs_beside_metrics(self._model, "train_step")

        def iteration(
            values: Values, data: Batch, rows: jax.Array, place: jax.Array
        ) -> tuple[Any, ...]:
            rate = learning_rate(self._model, values.optimizer)
            row = lax.dynamic_index_in_dim(rows, place, keepdims=False)
            values, loss, logs, own = iterate(values, data, row)
            metrics = logs if keeps_logs else metrics_result(self._model, values.metrics)
            finite = _all_finite(values.trainable)
            return values, ((loss.astype(jnp.float32),), own), metrics, rate, finite

        return iteration

    def _evaluation_program(self, values: Values, specified: Specified) -> tuple[object, Lower]:
        """Return the key of the evaluation program for such windows, and how to lower it.

        Of the values it returns those that an evaluation changes, by name: the metrics, and
        the random counters of layers that draw numbers in it too.
        """
        data, rows = specified.data, specified.rows
        keeps_logs = logs_beside_metrics(self._model, "test_step")

        def lower() -> Any:
            structs = _structs(values._replace(optimizer=[]))
            row = jax.ShapeDtypeStruct(rows.shape[1:], rows.dtype)
            trace = jax.make_jaxpr(self._evaluation, return_shape=True)
            program, result = trace(structs, data, row)
            flat, tree = jaxpr_as_fun(program), jax.tree.structure(result)
            given = program.jaxpr.invars[: len(jax.tree.leaves(structs))]
            after = program.jaxpr.outvars[: len(given)]
            names = [name for name, _ in named(structs)]
            changes = {
                name
                for name, was, now in zip(names, given, after, strict=True)
                if now is not was
            }

            def evaluate(
                values: Values, data: Batch, rows: jax.Array, place: jax.Array
            ) -> tuple[dict[str, Any], Evaluated]:
                row = lax.dynamic_index_in_dim(rows, place, keepdims=False)
                arguments = jax.tree.leaves((values, data, row))
                evaluated: Evaluated = jax.tree.unflatten(tree, flat(*arguments))
                return _only(evaluated.values, changes), evaluated

            def segment(
                values: Values, data: Batch, rows: jax.Array, start: jax.Array, stop: jax.Array
            ) -> tuple[Any, ...]:
                def body(place: jax.Array, carry: tuple[Any, ...]) -> tuple[Any, ...]:
                    changed, told, _ = carry
                    here = replaced(values, changed)
                    changed, (_, logs, own) = evaluate(here, data, rows, place)
                    return changed, _put(told, ((), own), place), logs

                if self._scans_evaluation:
                    told = _zeros(((), result.own), rows.shape[0])
                    carry = (_only(values, changes), told, _zeros(result.logs))
                    changed, told, logs = lax.fori_loop(start, stop, body, carry)
                else:
                    changed, (_, logs, own) = evaluate(values, data, rows, start)
                    told = ((), own)
                if not keeps_logs:
                    metrics = replaced(values, changed).metrics
                    logs = metrics_result(self._model, metrics)
                return changed, told, logs

            scalar = jax.ShapeDtypeStruct((), jnp.int32)
            evaluation = jax.jit(segment, keep_unused=True)
            return evaluation.lower(structs, data, rows, scalar, scalar)

        return ("evaluate", specified.key), lower


def _only(values: Values, names: Collection[str]) -> dict[str, Any]:
    """The values of these names."""
    return {name: value for name, value in named(values) if name in names}


def _zeros(tree: Any, *capacity: int) -> Any:
    """Arrays of zeros for what such a tree of shapes tells; of so many iterations."""
    return jax.tree.map(lambda leaf: jnp.zeros((*capacity, *leaf.shape), leaf.dtype), tree)


def _put(told: Any, of_one: Any, place: jax.Array) -> Any:
    """Put what one iteration tells to its place among those of all."""

    def put(series: jax.Array, value: jax.Array) -> jax.Array:
        return lax.dynamic_update_index_in_dim(series, value, place, 0)

    return jax.tree.map(put, told, of_one)


def _all_finite(arrays: Sequence[jax.Array]) -> jax.Array:
    """Tell whether no array holds NaN or infinity."""
    finite = [jnp.isfinite(leaf).all() for leaf in arrays]
    return jnp.all(jnp.stack(finite)) if finite else jnp.bool_(True)


def _to_specification(samples: Samples) -> Specification:
    """The shapes and types of samples."""
    return _structs(Batch(samples.x, samples.y, samples.weight))


def _structs(tree: Any) -> Specification:
    """The shapes and types of a tree of arrays."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(
            leaf.shape, jax.dtypes.canonicalize_dtype(leaf.dtype)
        ),
        tree,
    )


def _key(tree: Specification) -> object:
    """A hashable form of shapes and types."""
    flat, structure = jax.tree.flatten(tree)
    return structure, tuple((leaf.shape, str(leaf.dtype)) for leaf in flat)
