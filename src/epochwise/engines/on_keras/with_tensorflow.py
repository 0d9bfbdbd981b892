"""TensorFlow: a segment of iterations is one graph, a loop over rows of sample indices."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from epochwise.data.feed import Window
from epochwise.data.samples import Array, Samples
from epochwise.engines.on_keras.engine import Execution, KerasEngine, LoadedWindow, Told
from epochwise.engines.on_keras.iteration import (
    Learned,
    all_finite,
    evaluation,
    learning_rate,
    stacked,
    training_iteration,
)
from epochwise.engines.rates import has_one_rate
from epochwise.engines.values import Batch, build, has_own_step, logs_beside_metrics
from epochwise.errors import ModelError

Logs = dict[str, Any]


class TensorFlowTools:
    """See `Tools`."""

    def __init__(self, model: keras.Model) -> None:
        """Hold the model whose weights are differentiated and updated."""
        self._model = model

    def gather(self, leaf: Any, rows: Any) -> Any:
        """See `Tools.gather`."""
        return tf.gather(leaf, rows)

    def learn(self, forward: Callable[[], tuple[Any, Any]]) -> Learned:
        """See `Tools.learn`."""
        with tf.GradientTape() as tape:
            loss, predicted = forward()
            scaled = self._model.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, self._model.trainable_variables)
        return Learned(loss, predicted, gradients)

    def update(self, gradients: list[Any]) -> None:
        """See `Tools.update`."""
        self._model.optimizer.apply(gradients, self._model.trainable_variables)

    def fold(self, body: Callable[[Any, Any], Any], carry: Any, first: int, end: int) -> Any:
        """See `Tools.fold`."""
        if tf.executing_eagerly():
            for index in range(int(first), int(end)):
                carry = body(index, carry)
            return carry
        _, carry = tf.while_loop(
            lambda index, _: index < end,
            lambda index, carry: (index + 1, body(index, carry)),
            (tf.convert_to_tensor(first), carry),
            parallel_iterations=1,
        )
        return carry


class TensorFlowEngine(KerasEngine):
    """Runs a segment as one graph, so that Python is not asked between two iterations.

    The data set lies on the device as it is. The ends of the segment are arguments of the
    graph, so that a segment of any length runs the same one. Where the model asks for XLA
    the iteration is compiled with it; where it asks to run eagerly nothing is.
    """

    def __init__(
        self,
        model: keras.Model,
        *,
        microbatch_size: int | None = None,
        execution: Execution = "scan",
        **options: Any,
    ) -> None:
        """See `KerasEngine`."""
        if model._distribute_strategy is not None:
            raise ModelError(
                f"The model was built under {type(model._distribute_strategy).__name__}, "
                "whose replicas Epochwise does not count.",
                "build the model outside of strategy.scope().",
            )
        execution = "eager" if model.run_eagerly else execution
        super().__init__(model, execution=execution, **options)
        self._tools = TensorFlowTools(model)
        self._iteration: Any = training_iteration(
            model, self._tools, self._divisor, microbatch_size
        )
        self._evaluation: Any = evaluation(model, self._tools, self._divisor)
        self._segments: dict[str, Any] = {"train": self._training, "test": self._testing}
        self._traced: set[object] = set()
        self._compile_seconds = 0.0
        if execution != "eager":
            options = {"jit_compile": bool(model.jit_compile), "autograph": False}
            self._iteration = tf.function(self._iteration, **options)
            self._evaluation = tf.function(self._evaluation, **options)
            self._segments = {
                kind: tf.function(segment, autograph=False)
                for kind, segment in self._segments.items()
            }

    def prepare(
        self,
        training: Sequence[Window],
        evaluating: Sequence[Window],
        *,
        measuring: bool = False,
    ) -> None:
        """See `Engine.prepare`."""
        del measuring  # the host does, without a program
        for window in training:
            self._call("train", self.load(window), 0, 0)
        for window in evaluating:
            self._call("test", self.load(window, evaluating=True), 0, 0)

    @property
    def compilations(self) -> int:
        """See `Engine.compilations`."""
        return len(self._traced)

    @property
    def compile_seconds(self) -> float:
        """See `Engine.compile_seconds`."""
        return self._compile_seconds

    def _build(self, example: Samples) -> None:
        try:
            build(self._model, example)
        except Exception:
            # A step of the user's may create the variables when it is first traced.
            if not has_own_step(self._model, "train_step"):
                raise

    def _backend(self) -> str:
        return f"tensorflow {tf.__version__}"

    def _device(self) -> str:
        gpus = tf.config.list_logical_devices("GPU")
        return f"{len(gpus)} x gpu" if len(gpus) > 1 else "gpu" if gpus else "cpu"

    def _tensor(self, array: Array) -> Any:
        return tf.convert_to_tensor(array)

    def _copies(self, variables: Sequence[Any]) -> list[Any]:
        # A tensor read from a variable stays as it is: updates copy what is still read.
        return [variable._value.read_value() for variable in variables]

    def _train(self, loaded: LoadedWindow, start: int, stop: int) -> Told:
        told, logs, rate, finite = self._call("train", loaded, start, stop)
        losses, own = _of_batches(told, start, stop)
        rate = rate if has_one_rate(self._model) else None
        return Told(losses=losses, metrics=logs, own=own, rate=rate, finite=finite)

    def _test(self, loaded: LoadedWindow, start: int, stop: int) -> Told:
        told, logs = self._call("test", loaded, start, stop)
        return Told(losses=(), metrics=logs, own=_of_batches(told, start, stop)[1])

    def _call(self, kind: str, loaded: LoadedWindow, start: int, stop: int) -> Any:
        """Run a segment, as a graph that is traced and compiled when first needed."""
        segment = self._segments[kind]
        if self._execution != "eager":
            self._compile(kind, loaded)
        return segment(loaded.data, loaded.rows, tf.constant(start), tf.constant(stop))

    def _compile(self, kind: str, loaded: LoadedWindow) -> None:
        """Trace the graph for such windows, and run it over no iteration at all."""
        key = (kind, _key(loaded))
        if key in self._traced:
            return
        began = time.perf_counter()
        one = self._iteration if kind == "train" else self._evaluation
        # Variables that a step of the user's creates cannot be created inside a loop.
        one.get_concrete_function(loaded.data, loaded.rows[0])
        nothing = tf.constant(0)
        self._segments[kind](loaded.data, loaded.rows, nothing, nothing)
        self._traced.add(key)
        self._compile_seconds += time.perf_counter() - began

    def _training(self, data: Batch, rows: Any, start: Any, stop: Any) -> tuple[Any, ...]:
        """Iterations `start` to `stop - 1`: what each tells, logs, rate, finite weights."""
        model = self._model

        def body(place: Any, carry: tuple[Any, Logs, Any]) -> tuple[Any, Logs, Any]:
            told, _, rate = carry
            rate = learning_rate(model) if has_one_rate(model) else rate
            loss, logs, own = self._iteration(data, rows[place])
            return _put(told, (tf.cast(loss, tf.float32), own), place), logs, rate

        told, logs = self._nothing_told(self._iteration, data, rows)
        carry = told, logs, tf.zeros(())
        told, logs, rate = self._tools.fold(body, carry, start, stop)
        logs = logs if logs_beside_metrics(model, "train_step") else model.get_metrics_result()
        return told, logs, rate, all_finite(model)

    def _testing(self, data: Batch, rows: Any, start: Any, stop: Any) -> tuple[Any, Logs]:
        """Batches `start` to `stop - 1`: what each logged, and what the metrics say."""
        keeps_logs = logs_beside_metrics(self._model, "test_step")

        def body(place: Any, carry: tuple[Any, Logs]) -> tuple[Any, Logs]:
            logs, own = self._evaluation(data, rows[place])
            return _put(carry[0], ((), own), place), logs if keeps_logs else {}

        told, logs = self._nothing_told(self._evaluation, data, rows)
        carry = told, logs if keeps_logs else {}
        told, logs = self._tools.fold(body, carry, start, stop)
        return told, logs if keeps_logs else self._model.get_metrics_result()

    def _nothing_told(self, one: Any, data: Batch, rows: Any) -> tuple[Any, Logs]:
        """What the batches tell, and the last logs, for a loop to begin with."""
        if self._execution == "eager":
            return [], {}
        like = one.get_concrete_function(data, rows[0]).structured_outputs
        losses = () if one is self._evaluation else tf.zeros(rows.shape[0])
        own = tf.nest.map_structure(
            lambda leaf: tf.zeros((rows.shape[0], *leaf.shape), leaf.dtype), like.own
        )
        logs = {name: tf.zeros(leaf.shape, leaf.dtype) for name, leaf in like.logs.items()}
        return (losses, own), logs


def _put(told: Any, of_one: Any, place: Any) -> Any:
    """Put what one batch tells to its place among those of all."""
    if isinstance(told, list):
        return [*told, of_one]
    return tf.nest.map_structure(
        lambda series, value: tf.tensor_scatter_nd_update(series, [[place]], [value]),
        told,
        of_one,
    )


def _of_batches(told: Any, start: int, stop: int) -> tuple[Any, Any]:
    """Return the losses of batches `start` to `stop - 1`, and what each logged."""
    if isinstance(told, list):
        losses, owns = zip(*told, strict=True)
        return losses, stacked(owns)
    cut: tuple[Any, Any] = tf.nest.map_structure(lambda series: series[start:stop], told)
    return cut


def _key(loaded: LoadedWindow) -> object:
    """The shapes and types that a graph is traced for."""
    flat = tf.nest.flatten((loaded.data, loaded.rows))
    return tuple(None if leaf is None else (leaf.shape, leaf.dtype) for leaf in flat)


def free_gpu_bytes() -> tuple[bool, int | None]:
    """Tell whether a GPU computes; what is free on it TensorFlow does not tell."""
    return bool(tf.config.list_logical_devices("GPU")), None
