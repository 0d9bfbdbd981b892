"""One way to train one network, an epoch at a time, as its driver says.

    PYTHON benchmarks/worker.py WAY TASK --batch-size N --mnist PATH --text PATH --turns N

Prints `turn SECONDS` after each epoch; the next one begins when a line comes on standard
input. The clock runs from the beginning of an epoch to its end, so imports, data, and
compiling in the first turn, are left out. `benchmarks/turns.py` is the driver.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from tasks import TASKS, Task

KERAS_BACKENDS = {
    f"{way}-{backend}": backend
    for way in ("epochwise", "keras")
    for backend in ("jax", "tensorflow", "torch")
}
"""Keras's backend of the ways that name one; JAX for the others."""


class Turns:
    """Waits for a turn before each epoch and tells what it took."""

    def __init__(self) -> None:
        self._began = 0.0

    def begin(self) -> None:
        """Wait for the next turn and start the clock."""
        sys.stdin.readline()
        self._began = time.perf_counter()

    def end(self) -> None:
        """Tell how long the turn took."""
        print(f"turn {time.perf_counter() - self._began!r}", flush=True)


def by_epochwise(task: Task, x: np.ndarray, y: np.ndarray, batch_size: int, turns: int) -> None:
    """`epochwise.fit`; an epoch is all between its first and its last event."""
    import epochwise
    from epochwise.events import EpochBegun, EpochDone

    clock = Turns()

    class Listener:
        def on_event(self, event: object) -> None:
            if isinstance(event, EpochBegun):
                clock.begin()
            elif isinstance(event, EpochDone):
                clock.end()

    options: dict[str, Any] = {"batch_size": batch_size, "epochs": turns, "verbose": 0}
    epochwise.fit(task.network(x.shape[1:]), x, y, listeners=[Listener()], **options)


def by_windows(task: Task, x: np.ndarray, y: np.ndarray, batch_size: int, turns: int) -> None:
    """`epochwise.fit` on a device that seems too small for the data."""
    from epochwise.engines import select

    def nothing_fits(*_: object, **__: object) -> list[Any]:
        return []

    select.parts_that_fit = nothing_fits
    by_epochwise(task, x, y, batch_size, turns)


def by_keras(task: Task, x: np.ndarray, y: np.ndarray, batch_size: int, turns: int) -> None:
    """`model.fit` on the backend that the environment names."""
    import keras

    clock = Turns()

    class Callback(keras.callbacks.Callback):
        def on_epoch_begin(self, *_: object) -> None:
            clock.begin()

        def on_epoch_end(self, *_: object) -> None:
            clock.end()

    model = task.network(x.shape[1:])
    model.fit(x, y, batch_size=batch_size, epochs=turns, verbose=0, callbacks=[Callback()])


def by_calls(task: Task, x: np.ndarray, y: np.ndarray, batch_size: int, turns: int) -> None:
    """`epochwise.fit` called for one epoch, again and again; a turn is a call."""
    import epochwise

    _call(partial(epochwise.fit, task.network(x.shape[1:])), x, y, batch_size, turns)


def by_keras_calls(
    task: Task, x: np.ndarray, y: np.ndarray, batch_size: int, turns: int
) -> None:
    """`model.fit` called for one epoch, again and again; a turn is a call."""
    _call(task.network(x.shape[1:]).fit, x, y, batch_size, turns)


def _call(
    fit: Callable[..., Any], x: np.ndarray, y: np.ndarray, batch_size: int, turns: int
) -> None:
    """Call for one epoch, as often as there are turns."""
    clock = Turns()
    for _ in range(turns):
        clock.begin()
        fit(x, y, batch_size=batch_size, epochs=1, verbose=0)
        clock.end()


def by_scan(_task: Task, x: np.ndarray, y: np.ndarray, batch_size: int, turns: int) -> None:
    """A `lax.scan` written by hand for the first network alone."""
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    sizes = [(784, 128), (128, 10)]
    weights = [jnp.asarray(rng.normal(0, 0.05, size), jnp.float32) for size in sizes]
    weights += [jnp.zeros(128), jnp.zeros(10)]
    zeros = [jnp.zeros_like(w) for w in weights]
    state = (weights, zeros, [jnp.zeros_like(w) for w in weights], jnp.zeros((), jnp.int32))
    images = jax.device_put(x.reshape(len(x), -1))
    digits = jax.device_put(y)

    def loss(weights: list[jax.Array], x: jax.Array, y: jax.Array) -> jax.Array:
        hidden = jax.nn.relu(x @ weights[0] + weights[2])
        logits = hidden @ weights[1] + weights[3]
        picked = jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1)
        return -picked.mean()

    def iteration(state: tuple, row: jax.Array) -> tuple:
        weights, first, second, count = state
        batch = jnp.take(images, row, axis=0, mode="clip")
        labels = jnp.take(digits, row, axis=0, mode="clip")
        value, gradients = jax.value_and_grad(loss)(weights, batch, labels)
        count = count + 1
        rate = 0.001 * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        first = [m + 0.1 * (g - m) for m, g in zip(first, gradients, strict=True)]
        second = [v + 0.001 * (g * g - v) for v, g in zip(second, gradients, strict=True)]
        weights = [
            w - rate * m / (jnp.sqrt(v) + 1e-7)
            for w, m, v in zip(weights, first, second, strict=True)
        ]
        return (weights, first, second, count), value

    scan = jax.jit(lambda state, rows: jax.lax.scan(iteration, state, rows), donate_argnums=0)
    full = len(x) // batch_size
    clock = Turns()
    for _ in range(turns):
        clock.begin()
        rows = rng.permutation(len(x)).astype(np.int32)
        state, values = scan(state, rows[: full * batch_size].reshape(full, batch_size))
        state, _ = scan(state, rows[full * batch_size :].reshape(1, -1))
        jax.block_until_ready((state, values))
        clock.end()


def by_product(_task: Task, x: np.ndarray, *_: object, turns: int) -> None:
    """The multiplications of the first network alone, at the rate of a large product.

    Forward and backward of the second layer are three products, of the first one two,
    since nobody asks for the gradient of the images. Told is what an epoch of them takes.
    """
    size = 2048
    a = np.random.default_rng(0).random((size, size), np.float32)
    operations = len(x) * 2 * (784 * 128 * 2 + 128 * 10 * 3)
    for _ in range(turns):
        sys.stdin.readline()
        began = time.perf_counter()
        for _ in range(3):
            a @ a
        rate = 3 * 2 * size**3 / (time.perf_counter() - began)
        print(f"turn {operations / rate!r}", flush=True)


def by_torch(task: Task, x: np.ndarray, y: np.ndarray, batch_size: int, turns: int) -> None:
    """A plain PyTorch loop over a DataLoader, with Adam and the accuracy kept."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    if task.name == "mnist cnn, max pooling":
        network = nn.Sequential(
            nn.Unflatten(1, (1, 28)),
            nn.Conv2d(1, 32, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(1600, 10),
        )
    else:
        network = nn.Sequential(
            nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)
        )
    data = torch.utils.data.TensorDataset(torch.from_numpy(x), torch.from_numpy(y).long())
    loader = torch.utils.data.DataLoader(data, batch_size=batch_size, shuffle=True)
    optimizer = torch.optim.Adam(network.parameters())
    loss_of = nn.CrossEntropyLoss()
    clock = Turns()
    for _ in range(turns):
        clock.begin()
        right, total = 0, 0.0
        for batch, labels in loader:
            optimizer.zero_grad()
            logits = network(batch)
            loss = loss_of(logits, labels)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
            right += int((logits.argmax(1) == labels).sum())
        clock.end()


def by_sklearn(_task: Task, x: np.ndarray, y: np.ndarray, batch_size: int, turns: int) -> None:
    """scikit-learn's MLPClassifier, one pass a turn."""
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier((128,), batch_size=batch_size, random_state=0)
    flat, classes = x.reshape(len(x), -1), np.unique(y)
    clock = Turns()
    for _ in range(turns):
        clock.begin()
        model.partial_fit(flat, y, classes=classes)
        clock.end()


WAYS: dict[str, Callable[..., None]] = {
    "epochwise": by_epochwise,
    "epochwise-windows": by_windows,
    "epochwise-calls": by_calls,
    "keras-calls": by_keras_calls,
    **dict.fromkeys((way for way in KERAS_BACKENDS if "epochwise" in way), by_epochwise),
    **dict.fromkeys((way for way in KERAS_BACKENDS if "keras" in way), by_keras),
    "scan": by_scan,
    "product": by_product,
    "torch": by_torch,
    "sklearn": by_sklearn,
}


def main() -> None:
    """Train as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--mnist", default="")
    parser.add_argument("--text", default="")
    parser.add_argument("--turns", type=int, required=True)
    asked = parser.parse_args()
    os.environ["KERAS_BACKEND"] = KERAS_BACKENDS.get(asked.way, "jax")
    task = TASKS[asked.task]
    x, y = task.arrays(asked.mnist, asked.text)
    WAYS[asked.way](task, x, y, asked.batch_size, turns=asked.turns)


if __name__ == "__main__":
    main()
