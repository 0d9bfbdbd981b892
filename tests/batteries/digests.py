"""Do twenty trainings still end in the weights that they ended in before?

Each runs in a process of its own, through the public names alone, so that the same file runs
on any version: networks of every kind, whole and resumed, in Python and from the command
line. The digests are compared with `digests.json`, which says where and with which versions
it was recorded; bits hold for one processor and one set of versions, so elsewhere compare
with another commit on the same machine.

    python tests/batteries/digests.py                   compare with digests.json
    python tests/batteries/digests.py --against REV     compare with a commit, here and now
    python tests/batteries/digests.py --record          write digests.json
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

RECORDED = Path(__file__).with_name("digests.json")
SOURCE = Path(__file__).parents[2] / "src"
SAMPLES = 330
"""Of every training in Python; no batch size used here divides it."""

Training = Callable[[Path], str]
TRAININGS: dict[str, Training] = {}


def training(function: Training) -> Training:
    """List a training under its name."""
    TRAININGS[function.__name__.replace("_", " ")] = function
    return function


def digest(arrays: list[Any]) -> str:
    """Return the digest of arrays: their dtypes, shapes and bytes, in order."""
    import numpy as np

    told = hashlib.sha256()
    for array in map(np.asarray, arrays):
        told.update(f"{array.dtype.str}{array.shape}".encode())
        told.update(np.ascontiguousarray(array).tobytes())
    return told.hexdigest()


def network(layers: list[Any], shape: tuple[int, ...], **compiling: Any) -> Any:
    """Return a compiled classifier of ten classes with seeded weights."""
    import keras

    keras.utils.set_random_seed(7)
    built = [layer() for layer in layers]
    model = keras.Sequential([keras.Input(shape), *built, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(**{"optimizer": "adam", "loss": loss, "metrics": ["accuracy"]} | compiling)
    return model


def data(shape: tuple[int, ...], *, integers: int = 0) -> tuple[Any, Any]:
    """Return features of a shape and labels of ten classes."""
    import numpy as np

    rng = np.random.default_rng(5)
    if integers:
        x = rng.integers(0, integers, size=(SAMPLES, *shape)).astype("int32")
    else:
        x = rng.normal(size=(SAMPLES, *shape)).astype("float32")
    return x, rng.integers(0, 10, size=SAMPLES)


def ended(model: Any, x: Any, y: Any, **options: Any) -> str:
    """Train two epochs and return the digest of weights, optimizer and history."""
    import epochwise

    options = {"batch_size": 32, "epochs": 2, "verbose": 0, "seed": 3} | options
    run = epochwise.fit(model, x, y, **options)
    return state(model, run)


def state(model: Any, run: Any) -> str:
    """Return the digest of what a training left: weights, optimizer, history."""
    import numpy as np

    variables = [*model.weights, *model.optimizer.variables]
    history = [np.asarray(run.history[name], np.float64) for name in sorted(run.history)]
    return digest([np.asarray(variable) for variable in variables] + history)


def cut_and_resumed(make: Callable[[], Any], x: Any, y: Any, folder: Path, **asked: Any) -> str:
    """Train with a Ctrl-C in the second epoch, go on in the same folder to the end."""
    import epochwise

    class Cut:
        pressed = False

        def on_event(self, event: Any) -> None:
            position = getattr(event, "position", None)
            if not self.pressed and position is not None and position.iterations_done >= 15:
                self.pressed = True
                signal.raise_signal(signal.SIGINT)

    told: dict[str, Any] = {"batch_size": 32, "epochs": 3, "verbose": 0, "seed": 3} | asked
    with contextlib.suppress(KeyboardInterrupt):
        epochwise.fit(
            make(),
            x,
            y,
            run_dir=folder / "run",
            checkpoint_every="4it",
            listeners=[Cut()],
            **told,
        )
    model = make()
    run = epochwise.resume(folder / "run", model, x, y, verbose=0)
    assert run.position.iterations_done == 33
    return state(model, run)


def commanded(folder: Path, *arguments: str) -> str:
    """Return the digest that `epochwise train` prints."""
    command = [sys.executable, "-m", "epochwise", "train", *arguments, "--json"]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return str(json.loads(done.stdout)["weights_sha256"])


@training
def dense(folder: Path) -> str:
    from keras import layers

    return ended(network([lambda: layers.Dense(64, "relu")], (20,)), *data((20,)))


@training
def dense_with_dropout_and_l2(folder: Path) -> str:
    from keras import layers

    parts = [
        lambda: layers.Dense(64, "relu", kernel_regularizer="l2"),
        lambda: layers.Dropout(0.3),
    ]
    return ended(network(parts, (20,)), *data((20,)), validation_split=0.2)


@training
def dense_in_microbatches(folder: Path) -> str:
    from keras import layers

    model = network([lambda: layers.Dense(64, "relu")], (20,))
    return ended(model, *data((20,)), microbatch_size=8)


@training
def dense_with_momentum_and_a_schedule(folder: Path) -> str:
    import keras

    rate = keras.optimizers.schedules.CosineDecay(0.1, 22)
    model = network(
        [lambda: keras.layers.Dense(64, "relu")],
        (20,),
        optimizer=keras.optimizers.SGD(rate, momentum=0.9),
    )
    return ended(model, *data((20,)))


@training
def dense_in_mixed_precision(folder: Path) -> str:
    import keras

    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    return ended(network([lambda: keras.layers.Dense(64, "relu")], (20,)), *data((20,)))


@training
def dense_weighted_by_class(folder: Path) -> str:
    from keras import layers

    model = network([lambda: layers.Dense(64, "relu")], (20,))
    return ended(model, *data((20,)), class_weight={i: 1.0 + i / 10 for i in range(10)})


@training
def dense_without_shuffling(folder: Path) -> str:
    from keras import layers

    model = network([lambda: layers.Dense(64, "relu")], (20,))
    return ended(model, *data((20,)), shuffle=False, remainder="drop")


@training
def batch_normalization(folder: Path) -> str:
    from keras import layers

    parts = [lambda: layers.Dense(64, "relu"), layers.BatchNormalization]
    return ended(network(parts, (20,)), *data((20,)), validation_split=0.2)


@training
def convolutions_with_max_pooling(folder: Path) -> str:
    from keras import layers

    parts = [
        lambda: layers.Conv2D(8, 3, activation="relu"),
        layers.MaxPooling2D,
        layers.Flatten,
    ]
    return ended(network(parts, (12, 12, 1)), *data((12, 12, 1)))


@training
def strided_convolutions_scanned(folder: Path) -> str:
    from keras import layers

    parts = [lambda: layers.Conv2D(8, 3, strides=2, activation="relu"), layers.Flatten]
    return ended(network(parts, (12, 12, 1)), *data((12, 12, 1)), segments="scan")


@training
def convolutions_in_one_dimension(folder: Path) -> str:
    from keras import layers

    parts = [lambda: layers.Conv1D(8, 3, activation="relu"), layers.GlobalAveragePooling1D]
    return ended(network(parts, (16, 4)), *data((16, 4)))


@training
def long_short_term_memory_with_a_mask(folder: Path) -> str:
    from keras import layers

    parts = [lambda: layers.Embedding(50, 8, mask_zero=True), lambda: layers.LSTM(16)]
    return ended(network(parts, (12,)), *data((12,), integers=50))


@training
def gated_recurrent_units(folder: Path) -> str:
    from keras import layers

    return ended(network([lambda: layers.GRU(16)], (12, 4)), *data((12, 4)))


@training
def attention(folder: Path) -> str:
    import keras
    from keras import layers

    keras.utils.set_random_seed(7)
    words = keras.Input((12,), dtype="int32")
    embedded = layers.Embedding(50, 16)(words)
    seen = layers.MultiHeadAttention(2, 8)(embedded, embedded)
    normed = layers.LayerNormalization()(embedded + seen)
    answer = layers.Dense(10, "softmax")(layers.GlobalAveragePooling1D()(normed))
    model = keras.Model(words, answer)
    model.compile("adamw", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return ended(model, *data((12,), integers=50))


@training
def two_inputs_and_two_outputs(folder: Path) -> str:
    import keras
    import numpy as np
    from keras import layers

    keras.utils.set_random_seed(7)
    left, right = keras.Input((20,), name="left"), keras.Input((4,), name="right")
    joined = layers.Concatenate()([layers.Dense(16, "relu")(left), right])
    outputs = {
        "kind": layers.Dense(10, "softmax", name="kind")(joined),
        "size": layers.Dense(1, name="size")(joined),
    }
    model = keras.Model({"left": left, "right": right}, outputs)
    losses = {"kind": "sparse_categorical_crossentropy", "size": "mse"}
    model.compile("rmsprop", losses, loss_weights={"kind": 1.0, "size": 0.5})
    x, y = data((20,))
    right_x = np.random.default_rng(9).normal(size=(SAMPLES, 4)).astype("float32")
    targets = {"kind": y, "size": right_x.sum(axis=1, keepdims=True)}
    return ended(model, {"left": x, "right": right_x}, targets, validation_split=0.2)


@training
def number_of_epochs_found(folder: Path) -> str:
    from keras import layers

    model = network([lambda: layers.Dense(64, "relu")], (20,))
    asked = {"epochs": "auto", "max_epochs": 6, "validation_split": 0.2}
    return ended(model, *data((20,)), **asked)


@training
def dense_resumed(folder: Path) -> str:
    from keras import layers

    parts = [lambda: layers.Dense(64, "relu"), lambda: layers.Dropout(0.3)]
    asked = {"validation_split": 0.2, "epochs": 3}
    x, y = data((20,))
    x, y = x.repeat(2, axis=0)[:410], y.repeat(2)[:410]  # 328 to train on: 11 an epoch
    return cut_and_resumed(lambda: network(parts, (20,)), x, y, folder, **asked)


@training
def convolutions_resumed(folder: Path) -> str:
    from keras import layers

    parts = [lambda: layers.Conv2D(8, 3), layers.BatchNormalization, layers.Flatten]
    return cut_and_resumed(
        lambda: network(parts, (12, 12, 1)),
        *data((12, 12, 1)),
        folder,  # 330: 11 an epoch
    )


@training
def digits_by_command(folder: Path) -> str:
    return commanded(folder, "--epochs", "2")


@training
def digits_by_command_with_convolutions(folder: Path) -> str:
    return commanded(folder, "--epochs", "2", "--model", "cnn", "--patience", "1")


def circumstances() -> dict[str, Any]:
    """Return what bits depend on besides this project's own code."""
    cpu = platform.processor()
    described = Path("/proc/cpuinfo")
    if described.exists():
        lines = described.read_text(encoding="utf-8").splitlines()
        cpu = next((line.split(":")[1].strip() for line in lines if "model name" in line), cpu)
    versions = {name: metadata.version(name) for name in ("keras", "jax", "jaxlib", "numpy")}
    return {"processor": cpu, "cores": len(os.sched_getaffinity(0)), **versions}


def digests(source: Path) -> dict[str, str]:
    """Run every training on the package in a folder; return the digests by name."""
    found = {}
    for name in TRAININGS:
        command = [sys.executable, __file__, "--one", name]
        environment = os.environ | {"PYTHONPATH": str(source), "KERAS_BACKEND": "jax"}
        done = subprocess.run(
            command, check=False, env=environment, capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"{name}: ended with {done.returncode}\n{done.stderr}")
        found[name] = done.stdout.strip().splitlines()[-1]
        print(f"{found[name][:12]}  {name}", flush=True)
    return found


def digests_of(revision: str) -> dict[str, str]:
    """Run every training on the package of a commit."""
    with tempfile.TemporaryDirectory() as folder:
        archive = ["git", "archive", "--output", f"{folder}/src.tar", revision, "src"]
        subprocess.run(archive, check=True, cwd=SOURCE.parent)
        subprocess.run(["tar", "-xf", "src.tar"], check=True, cwd=folder)
        return digests(Path(folder) / "src")


def main() -> int:
    """Compare or record; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--against", metavar="REV", help="a commit to compare with")
    parser.add_argument("--record", action="store_true", help="write digests.json")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        with tempfile.TemporaryDirectory() as folder:
            print(TRAININGS[asked.one](Path(folder)))
        return 0
    here = circumstances()
    if asked.record:
        told = {"circumstances": here, "digests": digests(SOURCE)}
        RECORDED.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        return 0
    if asked.against:
        before = digests_of(asked.against)
    else:
        recorded = json.loads(RECORDED.read_text(encoding="utf-8"))
        before = recorded["digests"]
        if recorded["circumstances"] != here:
            print(f"recorded on {recorded['circumstances']},\nhere is {here}:")
            print("bits of two machines or versions are not to be compared; use --against REV")
            return 2
    now = digests(SOURCE)
    changed = [name for name in TRAININGS if now[name] != before.get(name)]
    print(f"{len(now) - len(changed)} of {len(now)} end in the same bits")
    for name in changed:
        print(f"differs: {name}: {before.get(name, 'new')[:12]} before, {now[name][:12]} now")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
