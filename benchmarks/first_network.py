"""How fast is the first network, against everything else that could train it?

MNIST, Flatten, Dense 128, Dense 10, Adam, batch size 64. Peers and ours in turn, epoch by
epoch, after one epoch of warm-up at the same shapes; medians and ratios.

    python benchmarks/first_network.py ../shared/data/mnist.npz [--write]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import keras
import numpy as np

import epochwise
from epochwise.events import IterationsDone

ROUNDS = 7


def network(shape: tuple[int, ...]) -> keras.Model:
    """The classic network, compiled."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input(shape),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Clock:
    """Adds up what the segments took."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def on_event(self, event: object) -> None:
        """Count a segment's time."""
        if isinstance(event, IterationsDone):
            self.seconds += event.seconds


def ours(x: np.ndarray, y: np.ndarray, batch_size: int) -> Callable[[], float]:
    """Seconds that the iterations of an epoch take with `epochwise.fit`."""
    model = network(x.shape[1:])

    def epoch() -> float:
        clock = Clock()
        epochwise.fit(model, x, y, batch_size=batch_size, verbose=0, listeners=[clock])
        return clock.seconds

    return epoch


def model_fit(x: np.ndarray, y: np.ndarray, batch_size: int) -> Callable[[], float]:
    """Seconds an epoch of `model.fit` on the same backend."""
    model = network(x.shape[1:])

    def epoch() -> float:
        began = time.perf_counter()
        model.fit(x, y, batch_size=batch_size, verbose=0)
        return time.perf_counter() - began

    return epoch


def hand_written(x: np.ndarray, y: np.ndarray, batch_size: int) -> Callable[[], float]:
    """Seconds an epoch of a `lax.scan` written for this network alone."""
    rng = np.random.default_rng(0)
    sizes = [(784, 128), (128, 10)]
    weights = [jnp.asarray(rng.normal(0, 0.05, size), jnp.float32) for size in sizes]
    weights += [jnp.zeros(128), jnp.zeros(10)]
    moments = [jnp.zeros_like(w) for w in weights]
    state = (weights, moments, [jnp.zeros_like(w) for w in weights], jnp.zeros((), jnp.int32))
    data = jax.device_put(x.reshape(len(x), -1)), jax.device_put(y.astype(np.int32))

    def loss(weights: list[jax.Array], x: jax.Array, y: jax.Array) -> jax.Array:
        hidden = jax.nn.relu(x @ weights[0] + weights[2])
        logits = hidden @ weights[1] + weights[3]
        picked = jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1)
        return -picked.mean()

    def iteration(state: tuple, row: jax.Array) -> tuple:
        weights, first, second, count = state
        batch = jnp.take(data[0], row, axis=0, mode="clip")
        labels = jnp.take(data[1], row, axis=0, mode="clip")
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

    def epoch() -> float:
        nonlocal state
        began = time.perf_counter()
        rows = rng.permutation(len(x))[: full * batch_size].astype(np.int32)
        state, values = scan(state, rows.reshape(full, batch_size))
        jax.block_until_ready(values)
        return time.perf_counter() - began

    return epoch


def multiplications(samples: int) -> Callable[[], float]:
    """Seconds that an epoch's multiplications take at the rate of a large product."""
    size = 2048
    a = np.random.default_rng(0).random((size, size), np.float32)
    operations = samples * 2 * (784 * 128 * 2 + 128 * 10 * 3)

    def epoch() -> float:
        began = time.perf_counter()
        a @ a
        return (time.perf_counter() - began) / (2 * size**3) * operations

    return epoch


def main() -> None:
    """Print the table; with `--write` keep it in a dated file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("mnist", help="an .npz with x_train and y_train")
    parser.add_argument("--write", action="store_true", help="keep the table")
    asked = parser.parse_args()
    with np.load(asked.mnist) as file:
        x = (file["x_train"] / 255.0).astype(np.float32)
        y = file["y_train"].astype(np.int32)
    from sklearn.datasets import load_digits

    digits = load_digits()
    small, labels = (digits.images / 16).astype(np.float32), digits.target.astype(np.int32)
    timed = {
        "epochwise.fit": ours(x, y, 64),
        "model.fit on JAX": model_fit(x, y, 64),
        "hand-written lax.scan": hand_written(x, y, 64),
        "multiplications alone": multiplications(len(x)),
        "digits: epochwise.fit": ours(small, labels, 32),
        "digits: model.fit on JAX": model_fit(small, labels, 32),
    }
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for round_index in range(ROUNDS + 1):
        for name, epoch in timed.items():
            took = epoch()
            if round_index:
                seconds[name].append(took)
    medians = {name: statistics.median(took) for name, took in seconds.items()}
    bars = {
        "model.fit on JAX": ("epochwise.fit", 0.33),
        "hand-written lax.scan": ("epochwise.fit", 1.10),
        "multiplications alone": ("epochwise.fit", 2.2),
        "digits: model.fit on JAX": ("digits: epochwise.fit", 0.125),
    }
    ratios = {}
    for peer, (our_name, bar) in bars.items():
        pairs = zip(seconds[our_name], seconds[peer], strict=True)
        ratio = statistics.median(a / b for a, b in pairs)
        ratios[f"{our_name} / {peer}"] = {"ratio": round(ratio, 3), "at most": bar}
    table = {
        "question": "seconds an epoch, median of 7, in turn",
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {
            "jax": jax.__version__,
            "keras": keras.__version__,
            "python": sys.version[:7],
        },
        "seconds": {
            name: {"median": medians[name], "min": min(took), "max": max(took)}
            for name, took in seconds.items()
        },
        "ratios": ratios,
    }
    text = json.dumps(table, indent=1)
    print(text)
    if asked.write:
        path = Path(__file__).parent / "results" / f"first_network-{table['date']}.json"
        path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
