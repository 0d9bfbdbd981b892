"""One-pass verdicts on made-up data with known answers."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import epochwise
from epochwise.errors import TrainingError

RNG = np.random.default_rng(0)


def classifier(columns: int) -> keras.Model:
    """Two hidden layers, enough to learn a few hundred labels by heart."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((columns,)),
            layers.Dense(64, "relu"),
            layers.Dense(64, "relu"),
            layers.Dense(2, "softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.003), "sparse_categorical_crossentropy")
    return model


def line() -> keras.Model:
    model = keras.Sequential([keras.Input((10,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.05), "mse")
    return model


@pytest.mark.slow
def test_repeating_labels_of_pure_noise_hurts() -> None:
    """There is nothing to learn but the labels by heart, and repeats are worth nothing."""
    x = RNG.normal(size=(2400, 10)).astype("float32")
    y = RNG.integers(0, 2, 2400)

    found = epochwise.one_pass(lambda: classifier(10), x, y, batch_size=16, seeds=4)

    assert found.verdict == "repeating hurts"
    assert found.comparisons[0].worth in (0.0, None)
    assert found.comparisons[0].gain < -0.03
    assert found.half_life is None or found.half_life < 0.1


def test_one_pass_is_enough_for_a_line_with_little_noise() -> None:
    """After it, the loss is that of the noise."""
    x = RNG.normal(size=(8000, 10)).astype("float32")
    y = x @ RNG.normal(size=10) + 0.3 * RNG.normal(size=8000)

    found = epochwise.one_pass(line, x, y, batch_size=32, seeds=4)

    assert found.verdict == "one pass is enough"
    assert found.comparisons[-1].once == pytest.approx(0.09, rel=0.15)


@pytest.mark.slow
def test_repeating_a_few_hard_examples_pays() -> None:
    """The sign of a product, from 320 examples: one pass is far from enough."""
    x = RNG.uniform(-1, 1, size=(400, 2)).astype("float32")
    y = (x[:, 0] * x[:, 1] > 0).astype("int32")

    found = epochwise.one_pass(lambda: classifier(2), x, y, batch_size=8, seeds=4)

    assert found.verdict == "repeating pays"
    assert found.confidence > 0.95
    assert found.half_life is not None
    assert found.half_life > 3


def test_long_data_are_asked_inside_one_epoch() -> None:
    """With `max_samples`, no more are trained on."""
    x = RNG.normal(size=(3000, 10)).astype("float32")
    y = x.sum(axis=1)

    found = epochwise.one_pass(line, x, y, batch_size=10, seeds=2, max_samples=400)

    assert found.samples == 400


def test_a_loss_that_is_not_finite_is_an_error() -> None:
    """Not a verdict."""
    x = 1e20 * RNG.normal(size=(400, 10)).astype("float32")

    with pytest.raises(TrainingError, match="validation loss became"):
        epochwise.one_pass(line, x, x.sum(axis=1), batch_size=10, seeds=2)
