"""L41: a run that goes on uses as many threads as before, whatever cores there are."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from newcomer import run_as_newcomer

ONE_CORE = """
import os
import sys

os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
"""
"""Before anything counts the cores."""

NETWORKS = """
import json
import sys

import epochwise
import keras
import numpy as np

layers = keras.layers
PARTS = {
    "dense": lambda: [layers.Flatten(), layers.Dense(128, "relu"), layers.Dense(10)],
    "eager": lambda: [layers.Flatten(), layers.Dense(96, "relu"), layers.Dense(10)],
    "conv": lambda: [
        layers.Reshape((28, 28, 1)), layers.Conv2D(4, 5, 3, "same", activation="relu"),
        layers.Flatten(), layers.Dense(64, "relu"), layers.Dense(10),
    ],
}
rng = np.random.default_rng(0)
x, y = rng.random((1280, 784), dtype=np.float32), rng.integers(0, 10, 1280)


def network(name):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((784,)), *PARTS[name]()])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, run_eagerly=name == "eager")
    return model


def told(folder, run):
    header = json.loads(open(f"{folder}/run.json").read())
    return header["machine"]["threads"], header["differences"], run.weights_sha256
"""

TRAIN = f"""{NETWORKS}
asked = dict(batch_size=128, verbose=0)
digests = {{}}
for name in PARTS:
    whole = epochwise.fit(network(name), x, y, epochs=2, run_dir=f"{{name}}-whole", **asked)
    digests[name] = told(f"{{name}}-whole", whole)
    for folder in (f"{{name}}-1", f"{{name}}-2"):
        epochwise.fit(network(name), x, y, epochs=1, run_dir=folder, **asked)
print(json.dumps(digests))
"""

RESUME = f"""{NETWORKS}
digests = {{}}
for name in PARTS:
    folder = f"{{name}}-1"
    run = epochwise.resume(folder, x=x, y=y, extend_to_epochs=2, verbose=0)
    digests[name] = told(folder, run)
print(json.dumps(digests))
"""

RESUME_BUILT = f"""{NETWORKS}
digests = {{}}
for name in PARTS:
    folder, model = f"{{name}}-2", network(name)
    try:
        run = epochwise.resume(folder, model, x, y, extend_to_epochs=2, verbose=0)
    except epochwise.EpochwiseError as error:
        print(" ".join(str(error).split()))
        sys.exit()
    digests[name] = told(folder, run)
print(json.dumps(digests))
"""


def test_a_run_resumed_on_another_number_of_cores_ends_in_the_same_bits(
    tmp_path: Path,
) -> None:
    """L41: dense, convolutional and eager; where JAX has computed already, it is said."""
    in_folder = partial(run_as_newcomer, folder=tmp_path)

    whole = in_folder(TRAIN, environment={"NPROC": "2"}).stdout
    resumed = in_folder(ONE_CORE + RESUME).stdout
    refused = in_folder(ONE_CORE + RESUME_BUILT).stdout
    told = in_folder(ONE_CORE + RESUME_BUILT, environment={"NPROC": "2"}).stdout

    assert whole.count("[2, [], ") == 3
    assert resumed == whole
    assert "threads was 2 and is 1" in refused
    assert "start the process with NPROC=2 in its environment" in refused
    assert told == whole


def test_threads_are_kept_on_the_command_line_too(tmp_path: Path) -> None:
    """L41: of a run on eight threads, resumed on one core."""
    train = ["train", "digits", "--batch-size", "512", "--quiet", "--epochs"]
    eight = {"NPROC": "8"}
    run_as_newcomer([*train, "2", "--run-dir", "whole"], folder=tmp_path, environment=eight)
    run_as_newcomer([*train, "1", "--run-dir", "run"], folder=tmp_path, environment=eight)
    resume = ["epochwise", "resume", "run", "--extend-to-epochs", "2", "--quiet"]
    run_as_newcomer(
        f"{ONE_CORE}\nsys.argv = {resume}\nfrom epochwise.cli import main\nmain()\n",
        folder=tmp_path,
    )

    told = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("whole", "run")]
    assert told[0] == told[1]
    assert '"threads": 8' in (tmp_path / "run/run.json").read_text()
