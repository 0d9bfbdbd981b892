"""Weight updates are counted apart from iterations and from microbatches."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from subjects import Witness, looks_at_iterations

import epochwise
from epochwise.terminal.progress import summary

BATCHES = 10
OVERFLOWING = (2, 5)
SCHEDULE = [1.0, 0.5, 0.25, 0.125, 0.1, 0.05, 0.01, 0.005, 0.001]


def data(overflowing: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """One sample a batch; features whose gradient is infinite once the loss is scaled."""
    x = np.ones((BATCHES, 1), np.float32)
    x[list(overflowing)] = 1e35
    return x, np.ones((BATCHES, 1), np.float32)


def trained(
    way: dict[str, Any], overflowing: tuple[int, ...]
) -> tuple[keras.Model, epochwise.Run, list[float | None]]:
    """A linear model under a loss scale, its run, and the learning rate of each iteration."""
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
    )
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(list(range(8)), SCHEDULE)
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(schedule))
    model.compile(scaled, "mean_absolute_error", **way)
    seen = Witness()
    run = epochwise.fit(
        model, *data(overflowing), batch_size=1, shuffle=False, verbose=0,
        callbacks=[looks_at_iterations()], listeners=[seen],
    )  # fmt: skip
    return model, run, seen.rates


def test_b18_k06_skipped_updates_move_no_schedule_and_are_reported(way: dict[str, Any]) -> None:
    """B18, K06: 10 iterations with infinite gradients in two: 8 updates, 2 skipped."""
    model, run, rates = trained(way, OVERFLOWING)

    assert run.position.iterations_done == 10
    assert list(run.updates.values()) == [8]
    assert list(run.skipped.values()) == [2]
    assert int(model.optimizer.inner_optimizer.iterations) == 8
    expected, position = [], 0
    for place in range(BATCHES):
        expected.append(SCHEDULE[position])
        position += place not in OVERFLOWING
    assert rates == pytest.approx(expected)
    assert "10 iterations, 8 weight updates (2 made none" in summary(run)[0]


def test_b18_without_overflow_nothing_is_skipped(way: dict[str, Any]) -> None:
    """B18: the counts can be equal: finite gradients make every iteration an update."""
    _, run, _ = trained(way, ())

    assert list(run.updates.values()) == [10]
    assert list(run.skipped.values()) == [0]


class WithoutTraining(keras.Model):
    """Its call takes the features alone."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(1)

    def call(self, x: object) -> object:
        return self.dense(x)


class WithTraining(WithoutTraining):
    """Its call asks whether it trains."""

    def call(self, x: object, training: bool = False) -> object:
        return self.dense(x)


class WithLoss(WithoutTraining):
    """Its loss takes fewer arguments than Keras's own."""

    def compute_loss(
        self, x: object, y: object, y_pred: object, sample_weight: object = None
    ) -> object:
        return keras.ops.mean(keras.ops.square(y_pred - y))


@pytest.mark.parametrize("kind", [WithoutTraining, WithTraining, WithLoss])
def test_b09_microbatches_make_one_update_whatever_the_model_takes(
    way: dict[str, Any], kind: type[keras.Model]
) -> None:
    """B09: 8 microbatches, 4 an iteration, are 2 updates for any signature."""
    model = kind()
    model.compile("sgd", "mse", **way)
    x, y = np.ones((8, 1), np.float32), np.ones((8, 1), np.float32)

    run = epochwise.fit(model, x, y, batch_size=4, microbatch_size=1, verbose=0)

    assert list(run.updates.values()) == [2]
    assert run.position.iterations_done == 2


def test_b15_an_optimizer_for_each_layer_counts_for_itself(way: dict[str, Any]) -> None:
    """B15: 10 batches under two of Keras's optimizers: 10 iterations, 10 updates of each."""
    layers = [keras.layers.Dense(3, name="first"), keras.layers.Dense(1, name="second")]
    model = keras.Sequential([keras.Input((4,)), *layers])
    by_layer = keras.optimizers.OptimizerMap(
        keras.optimizers.SGD(0.1, name="sgd"),
        {".*first/.*": keras.optimizers.Adam(name="adam")},
    )
    model.compile(keras.optimizers.MultiOptimizer(by_layer), "mse", **way)
    seen = Witness()

    run = epochwise.fit(
        model, np.ones((20, 4), np.float32), np.ones(20, np.float32), batch_size=2, verbose=0,
        listeners=[seen],
    )  # fmt: skip

    assert run.position.iterations_done == 10
    assert run.updates == {"adam": 10, "sgd": 10}
    assert set(run.skipped.values()) == {0}
    assert set(seen.rates) == {None}  # no one rate holds for all weights


@pytest.mark.parametrize("frozen", [True, False])
def test_a_model_without_trainable_weights_is_trained_and_keeps_them(
    frozen: bool, way: dict[str, Any]
) -> None:
    """A frozen layer, or no layer with weights at all, has its losses counted as with Keras."""
    dense = keras.layers.Dense(1, kernel_initializer="ones", trainable=False)
    layer = dense if frozen else keras.layers.Activation("linear")
    model = keras.Sequential([keras.Input((1,)), layer])
    model.compile("sgd", "mse", **way)
    x = np.arange(4, dtype=np.float32)[:, None]

    run = epochwise.fit(model, x, 0 * x, batch_size=2, epochs=2, shuffle=False, verbose=0)

    assert run.position.iterations_done == 4
    assert run.losses.tolist() == [0.5, 6.5, 0.5, 6.5]
    assert [np.ravel(one).tolist() for one in model.get_weights()] == [[1.0], [0.0]][
        : 2 * frozen
    ]
