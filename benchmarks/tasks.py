"""The data and the networks that the benchmarks train, the same for every peer.

Each task says how many samples a turn takes, so that a turn is long enough to time and
short enough to take turns. Networks are Keras's, and compile is called for the caller.
Importing this imports no framework.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A network and the data it is trained on.

    Args:
        name: what the tables call it.
        data: reads its data, given the paths of MNIST and of a text.
        network: builds the compiled Keras model for features of a shape.
        samples: samples trained in a turn; `None` for all [samples].
    """

    name: str
    data: Callable[[str, str], Arrays]
    network: Callable[[tuple[int, ...]], Any]
    samples: int | None = None

    def arrays(self, mnist: str, text: str) -> Arrays:
        """The samples of a turn."""
        x, y = self.data(mnist, text)
        return x[: self.samples], y[: self.samples]


def read_mnist(mnist: str, _text: str = "") -> Arrays:
    """60,000 images, scaled to 0..1, and their digits."""
    with np.load(mnist) as file:
        return (file["x_train"] / 255.0).astype(np.float32), file["y_train"].astype(np.int32)


def read_digits(_mnist: str = "", _text: str = "") -> Arrays:
    """scikit-learn's 1,797 images of 8 by 8."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return (digits.images / 16).astype(np.float32), digits.target.astype(np.int32)


def read_text(_mnist: str, text: str, length: int = 64) -> Arrays:
    """Pieces of 64 characters, as numbers, and the same shifted by one character."""
    characters = np.array(list(Path(text).read_text(encoding="utf-8")[:1_000_000]))
    numbers = np.unique(characters, return_inverse=True)[1].astype(np.int32)
    pieces = (len(numbers) - 1) // length
    x = numbers[: pieces * length].reshape(pieces, length)
    return x, numbers[1 : pieces * length + 1].reshape(pieces, length)


def read_next_character(mnist: str, text: str) -> Arrays:
    """Pieces of 64 characters and the one that follows each."""
    x, y = read_text(mnist, text)
    return x, np.ascontiguousarray(y[:, -1])


def read_table(_mnist: str = "", _text: str = "") -> Arrays:
    """A CSV of 20,000 rows and 10 columns, written and read back, and its target."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 10))
    y = x @ rng.normal(size=10) + np.sin(3 * x[:, 0]) + rng.normal(0, 0.1, len(x))
    written = io.StringIO(newline="")
    csv.writer(written).writerows(np.column_stack([x, y]).tolist())
    written.seek(0)
    table = np.loadtxt(written, delimiter=",", dtype=np.float32)
    return np.ascontiguousarray(table[:, :10]), np.ascontiguousarray(table[:, 10:])


def perceptron(shape: tuple[int, ...]) -> Any:
    """Flatten, Dense 128, Dense 10: the first network."""
    from keras import Input, Sequential, layers

    return _classifier(
        Sequential(
            [
                Input(shape),
                layers.Flatten(),
                layers.Dense(128, activation="relu"),
                layers.Dense(10, activation="softmax"),
            ]
        )
    )


def normalized(shape: tuple[int, ...]) -> Any:
    """The first network with BatchNormalization and Dropout."""
    from keras import Input, Sequential, layers

    return _classifier(
        Sequential(
            [
                Input(shape),
                layers.Flatten(),
                layers.Dense(128),
                layers.BatchNormalization(),
                layers.ReLU(),
                layers.Dropout(0.3),
                layers.Dense(10, activation="softmax"),
            ]
        )
    )


def pooled(shape: tuple[int, ...]) -> Any:
    """Conv 32, MaxPooling, Conv 64, MaxPooling, Dense."""
    from keras import Input, Sequential, layers

    return _classifier(
        Sequential(
            [
                Input(shape),
                layers.Reshape((*shape, 1)),
                layers.Conv2D(32, 3, activation="relu"),
                layers.MaxPooling2D(),
                layers.Conv2D(64, 3, activation="relu"),
                layers.MaxPooling2D(),
                layers.Flatten(),
                layers.Dense(10, activation="softmax"),
            ]
        )
    )


def strided(shape: tuple[int, ...]) -> Any:
    """Two convolutions with strides of 2."""
    from keras import Input, Sequential, layers

    return _classifier(
        Sequential(
            [
                Input(shape),
                layers.Reshape((*shape, 1)),
                layers.Conv2D(16, 3, strides=2, activation="relu"),
                layers.Conv2D(32, 3, strides=2, activation="relu"),
                layers.Flatten(),
                layers.Dense(10, activation="softmax"),
            ]
        )
    )


def recurrent(shape: tuple[int, ...]) -> Any:
    """An LSTM over 64 characters that says the next one."""
    from keras import Input, Sequential, layers

    return _classifier(
        Sequential(
            [
                Input(shape, dtype="int32"),
                layers.Embedding(96, 32),
                layers.LSTM(128),
                layers.Dense(96, activation="softmax"),
            ]
        )
    )


def transformer(shape: tuple[int, ...]) -> Any:
    """Two layers of causal attention over 64 characters; each says its next one."""
    from keras import Input, Model, layers

    inputs = Input(shape, dtype="int32")
    x = layers.Embedding(96, 64)(inputs)
    x = x + layers.Embedding(shape[0], 64)(np.arange(shape[0]))
    for _ in range(2):
        normed = layers.LayerNormalization()(x)
        attended = layers.MultiHeadAttention(4, 16)(normed, normed, use_causal_mask=True)
        x = x + attended
        hidden = layers.Dense(256, activation="gelu")(layers.LayerNormalization()(x))
        x = x + layers.Dense(64)(hidden)
    return _classifier(Model(inputs, layers.Dense(96, activation="softmax")(x)))


def regression(shape: tuple[int, ...]) -> Any:
    """Two layers of 64 on 10 columns, to a number."""
    from keras import Input, Sequential, layers

    model = Sequential(
        [
            Input(shape),
            layers.Dense(64, activation="relu"),
            layers.Dense(64, activation="relu"),
            layers.Dense(1),
        ]
    )
    model.compile("adam", "mse", metrics=["mae"])
    return model


def _classifier(model: Any) -> Any:
    """Compile a network that says one of some classes."""
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


TASKS = {
    task.name: task
    for task in (
        Task(name="digits mlp", data=read_digits, network=perceptron),
        Task(name="mnist mlp", data=read_mnist, network=perceptron),
        Task(name="mnist mlp, normalized", data=read_mnist, network=normalized, samples=19_200),
        Task(name="mnist cnn, max pooling", data=read_mnist, network=pooled, samples=1_920),
        Task(name="mnist cnn, strided", data=read_mnist, network=strided, samples=6_400),
        Task(name="text lstm", data=read_next_character, network=recurrent, samples=1_280),
        Task(name="text transformer", data=read_text, network=transformer, samples=640),
        Task(name="table regression", data=read_table, network=regression, samples=19_200),
    )
}
