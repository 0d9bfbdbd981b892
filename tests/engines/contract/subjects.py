"""The networks, the data and the witnesses of the contract suite."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from epochwise.counting.plan import Plan
from epochwise.data.feed import ArrayFeed
from epochwise.data.order import Order
from epochwise.data.samples import Samples
from epochwise.engines.base import Engine
from epochwise.engines.select import engine_for
from epochwise.events import IterationsDone, RunBegun

L = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(75, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 75).astype(np.int32)

INNER: dict[str, list[Any]] = {
    "plain": [(L.Dense, {"units": 8, "activation": "relu"})],
    "batchnorm-dropout-l2": [
        (L.Dense, {"units": 8, "activation": "relu", "kernel_regularizer": "l2"}),
        (L.BatchNormalization, {}),
        (L.Dropout, {"rate": 0.4, "seed": 5}),
    ],
    "convolution-pooling": [
        (L.Reshape, {"target_shape": (6, 1)}),
        (L.Conv1D, {"filters": 4, "kernel_size": 2, "activation": "relu"}),
        (L.MaxPooling1D, {"pool_size": 2}),
        (L.Flatten, {}),
    ],
}


def network(way: dict[str, Any], kind: str = "plain", optimizer: Any = "adam") -> keras.Model:
    """A classifier of `X`, compiled, with weights and randomness from one seed."""
    keras.utils.set_random_seed(3)
    inner = [layer(**options) for layer, options in INNER[kind]]
    model = keras.Sequential([keras.Input((6,)), *inner, L.Dense(3, activation="softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], **way)
    return model


def linear(
    way: dict[str, Any], reduction: str = "sum_over_batch_size", rate: float = 1.0
) -> keras.Model:
    """One weight, 0 at first; the loss of a sample is minus target times output.

    With inputs of 1 its gradient is minus the mean of the targets, so that SGD with a
    rate of 1 adds that mean to the weight.
    """
    model = keras.Sequential([keras.Input((1,)), L.Dense(1, "linear", False, "zeros")])
    loss = keras.losses.MeanSquaredError(reduction=reduction)
    loss.call = lambda true, predicted: -true * predicted
    model.compile(keras.optimizers.SGD(rate), loss, **way)
    return model


def reader(way: dict[str, Any], **options: Any) -> keras.Model:
    """A model that learns nothing; the loss of a batch is the mean of its targets."""
    model = keras.Sequential([keras.Input((1,)), L.Dense(1, "linear", False, "zeros")])
    model.compile(keras.optimizers.SGD(0.0), "mean_absolute_error", **way, **options)
    return model


def weights_of(model: keras.Model) -> list[bytes]:
    """The weights, bit for bit."""
    return [np.asarray(value).tobytes() for value in model.get_weights()]


def looks_at_iterations() -> keras.callbacks.Callback:
    """A callback that makes every segment one iteration long."""
    return keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)


def prepared(
    model: keras.Model, samples: Samples, *, batch_size: int = 8
) -> tuple[Engine[Any, Any], Any]:
    """The engine of a model, ready to train and evaluate, and its first window, loaded."""
    engine = engine_for(model, example=samples, resident=samples, validation=samples)
    order = Order(samples=samples.count, seed=0, shuffle=False)
    plan = Plan(samples=samples.count, batch_size=batch_size, epochs=1)
    window = ArrayFeed(train=samples, order=order, plan=plan).window(0, 0)
    engine.prepare([window], [window])
    return engine, engine.load(window)


def bits(engine: Engine[Any, Any], values: Any = None) -> dict[str, bytes]:
    """All that training changes, bit for bit, by name."""
    values = engine.take() if values is None else values
    return {name: array.tobytes() for name, array in engine.to_host(values).items()}


class Witness:
    """A listener that keeps what the segments told."""

    def __init__(self) -> None:
        self.lengths: list[int] = []
        self.samples: list[int] = []
        self.rates: list[float | None] = []
        self.begun: RunBegun | None = None

    def on_event(self, event: object) -> None:
        """Take note of an event."""
        if isinstance(event, RunBegun):
            self.begun = event
        if isinstance(event, IterationsDone):
            self.lengths.append(len(event.losses))
            self.samples.extend(event.samples)
            self.rates.append(event.learning_rate)
