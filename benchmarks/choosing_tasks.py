"""The tasks of `choose_batch_size.py`: data, network, optimizer, target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from epochwise.data.samples import Samples

layers = keras.layers


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something to train, with the validation loss that ends it.

    Args:
        samples: returns the training and the validation samples.
        network: returns a new network, not compiled.
        target: the validation loss to reach.
        loss: Keras's name.
        optimizer: Keras's name.
        default_rate: the optimizer's own learning rate.
        rates: those of the grid.
    """

    samples: Callable[[Path], tuple[Samples, Samples]]
    network: Callable[[], keras.Model]
    target: float
    loss: str = "sparse_categorical_crossentropy"
    optimizer: str = "adam"
    default_rate: float = 1e-3
    rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)

    def model(self, seed: int) -> keras.Model:
        """Return a new compiled model; the same seed gives the same weights."""
        keras.utils.set_random_seed(seed)
        model = self.network()
        metrics = ["mae"] if self.loss == "mean_squared_error" else ["accuracy"]
        model.compile(self.optimizer, self.loss, metrics=metrics)
        return model


def digits(shared: Path) -> tuple[Samples, Samples]:
    """1,437 and 360 scikit-learn digits."""
    from sklearn.datasets import load_digits

    del shared
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype(np.float32), y[order].astype(np.int32)
    return Samples(x=x[360:], y=y[360:]), Samples(x=x[:360], y=y[:360])


def mnist(training: int, validation: int, wrong: float = 0.0) -> Callable[[Path], Any]:
    """The first images of both parts of MNIST, perhaps with wrong labels to learn from."""

    def samples(shared: Path) -> tuple[Samples, Samples]:
        with np.load(shared / "mnist.npz") as file:
            x, y, test_x, test_y = (
                file[name] for name in ("x_train", "y_train", "x_test", "y_test")
            )
        rng = np.random.default_rng(0)
        y = np.where(rng.random(len(y)) < wrong, rng.integers(0, 10, len(y)), y)
        y, test_y = y.astype(np.int32), test_y.astype(np.int32)
        return (
            Samples(x=x[:training], y=y[:training], divisor=255.0),
            Samples(x=test_x[:validation], y=test_y[:validation], divisor=255.0),
        )

    return samples


CHARACTERS = 65


def characters(context: int) -> Callable[[Path], Any]:
    """Each character of the first million, after some before it; 2,880 of the rest."""

    def samples(shared: Path) -> tuple[Samples, Samples]:
        text = np.frombuffer((shared / "tinyshakespeare.txt").read_bytes(), np.uint8)
        _, text = np.unique(text, return_inverse=True)
        windows = np.lib.stride_tricks.sliding_window_view(text.astype(np.uint8), context + 1)
        train, held_out = windows[:1_000_000], windows[1_000_000::40]
        return tuple(
            Samples(x=part[:, :context].copy(), y=part[:, context].astype(np.int32))
            for part in (train, held_out)
        )

    return samples


def noisy_function(shared: Path) -> tuple[Samples, Samples]:
    """A random function of 16 numbers, with noise of half its deviation to learn from."""
    del shared
    rng = np.random.default_rng(0)
    inner, outer = rng.normal(size=(16, 32)) / 4, rng.normal(size=(32, 1)) / 32**0.5
    x = rng.normal(size=(52_000, 16)).astype(np.float32)
    y = np.tanh(x @ inner) @ outer
    y /= y.std()
    noisy = y + 0.5 * rng.normal(size=y.shape)
    return (
        Samples(x=x[:50_000], y=noisy[:50_000].astype(np.float32)),
        Samples(x=x[50_000:], y=y[50_000:].astype(np.float32)),
    )


def mlp(shape: tuple[int, ...]) -> Callable[[], keras.Model]:
    """One hidden layer of 128."""
    return lambda: keras.Sequential(
        [
            keras.Input(shape),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def small_cnn() -> keras.Model:
    """Two strided convolutions."""
    return keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Reshape((28, 28, 1)),
            layers.Conv2D(8, 3, 2, activation="relu"),
            layers.Conv2D(16, 3, 2, activation="relu"),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


def large_cnn() -> keras.Model:
    """Two convolutions of 16 and 32 filters, pooled, and a Dense layer."""
    return keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Reshape((28, 28, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(10, activation="softmax"),
        ]
    )


def next_character(context: int, width: int) -> Callable[[], keras.Model]:
    """Embedded characters side by side, one hidden layer."""
    return lambda: keras.Sequential(
        [
            keras.Input((context,)),
            layers.Embedding(CHARACTERS, 16),
            layers.Flatten(),
            layers.Dense(width, activation="relu"),
            layers.Dense(CHARACTERS, activation="softmax"),
        ]
    )


def regressor() -> keras.Model:
    """Two hidden layers of 64."""
    return keras.Sequential(
        [
            keras.Input((16,)),
            layers.Dense(64, activation="relu"),
            layers.Dense(64, activation="relu"),
            layers.Dense(1),
        ]
    )


TASKS: dict[str, Task] = {
    "digits-mlp": Task(samples=digits, network=mlp((64,)), target=0.07),
    "mnist-mlp": Task(samples=mnist(60_000, 2000), network=mlp((28, 28)), target=0.13),
    "mnist-cnn": Task(samples=mnist(10_000, 1000), network=small_cnn, target=0.17),
    "characters": Task(samples=characters(16), network=next_character(16, 128), target=2.1),
    "noisy-labels": Task(
        samples=mnist(60_000, 2000, wrong=0.4), network=mlp((28, 28)), target=0.74
    ),
    "noisy-regression": Task(
        samples=noisy_function,
        network=regressor,
        target=0.05,
        loss="mean_squared_error",
        optimizer="sgd",
        default_rate=1e-2,
        rates=(1e-2, 3e-2, 1e-1, 3e-1, 1.0),
    ),
}

LONG_TASKS: dict[str, Task] = {
    "mnist-large-cnn": Task(samples=mnist(60_000, 5000), network=large_cnn, target=0.05),
    "characters-wide": Task(
        samples=characters(32), network=next_character(32, 512), target=1.77
    ),
}
"""Too long for a full grid on two cores; see `choose_batch_size.py`."""
