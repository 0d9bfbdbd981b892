"""The tasks of `choose_epochs.py`: data with a test part, and a network for each seed.

A seed draws the samples, parts them, and sets the first weights. A fifth of the training
samples is held out for validation, wrong labels and all; the test part is clean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from epochwise.data.split import split

Arrays = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]

layers = keras.layers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """Samples `(x, y)` to train on, to validate with, and to test with."""

    train: Arrays
    validation: Arrays
    test: Arrays


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Something to train for a number of epochs that nobody knows.

    Args:
        parts: returns the samples of a seed.
        network: returns a new network, not compiled.
        batch_size: samples per weight update.
    """

    parts: Callable[[Path, int], Parts]
    network: Callable[[], keras.Model]
    batch_size: int = 64

    def model(self, seed: int) -> keras.Model:
        """Return a new compiled model; the same seed gives the same weights."""
        keras.utils.set_random_seed(seed)
        model = self.network()
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        return model


def digits(shared: Path, seed: int) -> Parts:
    """1,000 of scikit-learn's digits, 200 of them for validation; 797 to test with."""
    from sklearn.datasets import load_digits

    del shared
    found = load_digits()
    order = np.random.default_rng([seed, 7]).permutation(len(found.target))
    x = (found.images[order] / 16).astype(np.float32)
    y = found.target[order].astype(np.int32)
    return _parted((x[:1000], y[:1000]), (x[1000:], y[1000:]), seed)


def mnist(count: int, wrong: float = 0.0) -> Callable[[Path, int], Parts]:
    """So many of MNIST's training images, perhaps with wrong labels; 10,000 to test with."""

    def parts(shared: Path, seed: int) -> Parts:
        rng = np.random.default_rng([seed, 7])
        with np.load(shared / "mnist.npz") as file:
            x, test_x = (file[name] / np.float32(255) for name in ("x_train", "x_test"))
            y, test_y = (file[name].astype(np.int32) for name in ("y_train", "y_test"))
        chosen = rng.permutation(len(x))[:count]
        x, y = x[chosen], y[chosen]
        mislabelled = rng.permutation(count)[: round(wrong * count)]
        y[mislabelled] = (y[mislabelled] + rng.integers(1, 10, len(mislabelled))) % 10
        return _parted((x, y), (test_x, test_y), seed)

    return parts


CHARACTERS = 65
CONTEXT = 16


def characters(shared: Path, seed: int) -> Parts:
    """60,000 places in the first nine tenths of a text: the character after 16 others.

    20,000 places of the last tenth to test with.
    """
    rng = np.random.default_rng([seed, 7])
    text = np.frombuffer((shared / "tinyshakespeare.txt").read_bytes(), np.uint8)
    _, codes = np.unique(text, return_inverse=True)
    places = np.lib.stride_tricks.sliding_window_view(codes.astype(np.int32), CONTEXT + 1)
    first_test = int(0.9 * len(places))
    train = rng.permutation(first_test - CONTEXT)[:60_000]
    test = first_test + rng.permutation(len(places) - first_test)[:20_000]
    of_train, of_test = (
        (places[rows, :CONTEXT].copy(), places[rows, CONTEXT].copy()) for rows in (train, test)
    )
    return _parted(of_train, of_test, seed)


def _parted(known: Arrays, test: Arrays, seed: int) -> Parts:
    """Hold out a fifth of the samples, in proportion from each class."""
    x, y = known
    parted = split(len(x), 0.2, labels=y, seed=seed)
    train, held_out = ((x[rows], y[rows]) for rows in (parted.train, parted.held_out))
    return Parts(train=train, validation=held_out, test=test)


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


def next_character() -> keras.Model:
    """Embedded characters side by side, one hidden layer."""
    return keras.Sequential(
        [
            keras.Input((CONTEXT,), dtype="int32"),
            layers.Embedding(CHARACTERS, 16),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(CHARACTERS, activation="softmax"),
        ]
    )


WRONG_LABELS = "mnist-wrong-labels"

TASKS: dict[str, Task] = {
    "digits": Task(parts=digits, network=mlp((8, 8)), batch_size=32),
    "mnist-1000": Task(parts=mnist(1000), network=mlp((28, 28))),
    "mnist-10000": Task(parts=mnist(10_000), network=mlp((28, 28))),
    "mnist-60000": Task(parts=mnist(60_000), network=mlp((28, 28))),
    WRONG_LABELS: Task(parts=mnist(60_000, wrong=0.2), network=mlp((28, 28))),
    "characters": Task(parts=characters, network=next_character),
}
