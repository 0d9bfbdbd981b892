"""The same on JAX, TensorFlow and PyTorch: one process each, since Keras has one backend."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from programs import ROOT, environment, require, run_program

BACKENDS = ("jax", "tensorflow", "torch")
CONTRACT = ROOT / "tests" / "engines" / "contract"


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_the_contract_holds_on(backend: str) -> None:
    """Every test of the contract suite passes in a process of its own on this backend."""
    require(backend)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", str(CONTRACT)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(backend),
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout[-8000:]


PROGRAM = """
import json, sys
import keras, numpy as np
import epochwise
from epochwise.events import IterationsDone

folder, backend = sys.argv[1:]
assert keras.config.backend() == backend
data = np.load(folder + "/data.npz")
first = [data[f"weight_{place}"] for place in range(4)]

def network(**options):
    layers = [keras.layers.Dense(128, "relu"), keras.layers.Dense(10, "softmax")]
    model = keras.Sequential([keras.Input((784,)), *layers])
    model.set_weights(first)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    return model
"""

TRAINS = """
run = epochwise.fit(
    network(), data["x"], data["y"], batch_size=64, epochs=2, seed=5, verbose=0
)
np.save(f"{folder}/losses-{backend}.npy", run.losses)
print(json.dumps({"position": repr(run.position), "names": sorted(run.history)}))
"""

STOPS = """
ids = np.arange(22, dtype=np.float32).reshape(-1, 1)

def reads_ids():
    model = keras.Sequential(
        [keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")]
    )
    model.compile(keras.optimizers.SGD(0.0), "mean_absolute_error")
    return model

class Stops(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs):
        self.model.stop_training = logs["loss"] > 12.5

told = {}
for name, options in {
    "plain": {"batch_size": 1, "epochs": 2},
    "iterations": {"batch_size": 4, "iterations": 8},
    "dropped": {"batch_size": 4, "epochs": 2, "remainder": "drop"},
    "callback": {"batch_size": 1, "epochs": 3, "callbacks": [Stops()]},
    "patience": {
        "batch_size": 4, "epochs": 9, "validation_data": (ids, ids),
        "stop": epochwise.Patience(metric="val_loss", epochs=2),
    },
}.items():
    run = epochwise.fit(reads_ids(), ids + 1, ids, seed=9, verbose=0, **options)
    updates = list(run.updates.values())
    told[name] = [run.losses.tolist(), repr(run.position), run.stop.rule, updates]
print(json.dumps(told))
"""


def on_each_backend(folder: Path, *parts: str) -> dict[str, Any]:
    """Run a program on every backend and return what each printed."""
    for backend in BACKENDS:
        require(backend)
    return {
        backend: run_program(
            f"import sys; sys.argv = ['', {str(folder)!r}, {backend!r}]", *parts,
            needs=backend, backend=backend,
        )
        for backend in BACKENDS
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with images of ten kinds, labels, and the first weights of a network."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 10, 6_400).astype(np.int32)
    kinds = rng.uniform(0, 1, (10, 784))
    noisy = kinds[labels] + rng.normal(0, 0.5, (6_400, 784))
    weights = [
        rng.uniform(-0.08, 0.08, (784, 128)), np.zeros(128),
        rng.uniform(-0.2, 0.2, (128, 10)), np.zeros(10),
    ]  # fmt: skip
    np.savez(
        tmp_path / "data.npz",
        x=np.clip(noisy, 0, 1).astype(np.float32),
        y=labels,
        **{f"weight_{place}": w.astype(np.float32) for place, w in enumerate(weights)},
    )
    return tmp_path


@pytest.mark.slow
def test_the_losses_of_200_iterations_agree_on_all_backends(folder: Path) -> None:
    """From the same start the MNIST network's own losses agree within 1e-4."""
    told = on_each_backend(folder, PROGRAM, TRAINS)

    losses = {backend: np.load(folder / f"losses-{backend}.npy") for backend in BACKENDS}
    assert {len(of_backend) for of_backend in losses.values()} == {200}
    for backend in BACKENDS[1:]:
        np.testing.assert_allclose(losses[backend], losses["jax"], atol=1e-4, rtol=0)
        assert told[backend] == told["jax"]
    assert losses["jax"][-20:].mean() < 0.5 * losses["jax"][:20].mean()


@pytest.mark.slow
def test_order_counts_and_stops_are_the_same_on_all_backends(folder: Path) -> None:
    """Plain, cut at an iteration, remainder dropped, stopped by a callback or a rule."""
    told = on_each_backend(folder, PROGRAM, STOPS)

    assert told["tensorflow"] == told["jax"]
    assert told["torch"] == told["jax"]
