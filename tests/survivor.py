"""A training that the batteries stop, kill and go on with, each time in a new process.

A process costs seconds of imports, so one is started that has imported everything and
computed nothing, and every training runs in a fork of it: its own process, with its own
JAX, that starts at once.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SAMPLES, BATCH_SIZE, EPOCHS = 245, 4, 3
"""62 iterations an epoch, the last of 1 sample; 186 in all."""

ITERATIONS = 186

MOST_SECONDS = 300
"""After so long a training that hangs is ended by the system [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """What a process is to do in a folder.

    Args:
        folder: the run's.
        goes_on: whether it resumes.
        epochs: in all.
        checkpoint_every: as `fit` takes it.
        stop_at: send the process this signal after so many iterations.
        signal_number: which.
        callback_every_iteration: whether a Keras callback looks at every iteration, so
            that each is a segment.
        verbose: as `fit` takes it.
        extend_to_epochs: see `resume`.
        poison_at: the iteration that is not finite, counted from 1.
        poison: what of it: `input`, `loss` or `gradient`.
    """

    folder: str
    goes_on: bool = False
    epochs: int = EPOCHS
    checkpoint_every: str = "1it"
    stop_at: int | None = None
    signal_number: int = signal.SIGTERM
    callback_every_iteration: bool = False
    verbose: int = 0
    extend_to_epochs: int | None = None
    poison_at: int | None = None
    poison: str | None = None


POISONED = 9
"""The label that the poisoned losses know."""


def data(poison: str | None = None, poison_at: int | None = None) -> tuple[Any, Any]:
    """Return samples of three classes; one of a poisoned iteration's has the poison."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(SAMPLES, 6)).astype("float32")
    y = (x[:, 0] > 0).astype("int32") + (x[:, 1] > 0)
    if poison_at is not None:
        from epochwise.data.order import Order

        epoch, place = divmod(poison_at - 1, -(-SAMPLES // BATCH_SIZE))
        first = place * BATCH_SIZE
        shuffled = poison != "input"
        sample = Order(samples=SAMPLES, seed=0, shuffle=shuffled).indices(
            epoch, first, first + 1
        )
        y[sample] = POISONED
    return x, y


def batches_of(x: Any, y: Any) -> Callable[[], Any]:
    """Return a generator function of the batches; features of the poisoned label are NaN.

    Arrays with a NaN are refused before training; batches formed elsewhere are not.
    """

    def batches() -> Any:
        for first in range(0, SAMPLES, BATCH_SIZE):
            part = slice(first, first + BATCH_SIZE)
            bad = y[part, None] == POISONED
            yield np.where(bad, np.float32(np.nan), x[part]), np.minimum(y[part], 2)

    return batches


def poisoned_loss(poison: str | None) -> Any:
    """Return the loss, which is not finite, or whose gradient is not, for one label."""
    import keras
    from keras import ops

    plain = keras.losses.sparse_categorical_crossentropy
    if poison not in ("loss", "gradient"):
        return plain

    def loss(y: Any, predicted: Any) -> Any:
        flagged = ops.equal(ops.reshape(y, (-1,)), POISONED)
        known = plain(ops.minimum(y, 2), predicted)
        if poison == "loss":
            return ops.where(flagged, np.nan, known)
        # The square root has no finite slope at 0, where its value is as good as any.
        return known + ops.sqrt(ops.where(flagged, 0.0 * known, 1.0))

    return loss


def network(poison: str | None = None) -> Any:
    """Return a network with all that remembers: normalisation, dropout, Adam, a schedule."""
    import keras

    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(3, activation="softmax"),
        ]
    )
    schedule = keras.optimizers.schedules.CosineDecay(1e-2, ITERATIONS)
    model.compile(
        keras.optimizers.Adam(schedule),
        poisoned_loss(poison),
        metrics=["accuracy"] if poison is None else [],
    )
    return model


class Signaller:
    """Sends its own process a signal after an iteration."""

    def __init__(self, iteration: int, number: int) -> None:
        self.iteration, self.number = iteration, number

    def on_event(self, event: Any) -> None:
        if (
            type(event).__name__ == "IterationsDone"
            and event.position.iterations_done == self.iteration
        ):
            os.kill(os.getpid(), self.number)


def train(asked: Training) -> dict[str, Any]:
    """Do it, in this process; return what the run tells."""
    import keras

    from epochwise.api import fit, resume
    from epochwise.rules import Patience

    x, y = data(asked.poison, asked.poison_at)
    listeners: list[Any] = []
    if asked.stop_at is not None:
        listeners.append(Signaller(asked.stop_at, asked.signal_number))
    callbacks = []
    if asked.callback_every_iteration:
        callbacks.append(
            keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
        )
    validation = (x[:40], y[:40]) if asked.poison is None else None
    model = network(asked.poison)
    try:
        if asked.goes_on:
            run = resume(
                asked.folder,
                model,
                x,
                y,
                validation_data=validation,
                callbacks=callbacks,
                listeners=listeners,
                verbose=0,
                extend_to_epochs=asked.extend_to_epochs,
                schedule="keep",
            )
        else:
            given: tuple[Any, ...] = (x, y)
            if asked.poison == "input":
                given = (batches_of(x, y),)
            run = fit(
                model,
                *given,
                validation_data=validation,
                batch_size=None if asked.poison == "input" else BATCH_SIZE,
                epochs=asked.epochs,
                stop=Patience(metric="val_loss", epochs=9) if validation else None,
                run_dir=asked.folder,
                checkpoint_every=asked.checkpoint_every,
                callbacks=callbacks,
                listeners=listeners,
                verbose=asked.verbose,  # type: ignore[arg-type]
            )
    except KeyboardInterrupt:
        return {"ended": "interrupt"}
    told = run.to_json()
    return {
        "ended": told["stop"]["rule"],
        "sentence": told["stop"]["sentence"],
        "digest": told["weights_sha256"],
        "history": told["history"],
        "losses": np.asarray(run.losses, "<f4").tobytes().hex(),
        "iterations": run.position.iterations_done,
        "updates": sum(run.updates.values()),
        "best": told["best"],
        "finite": bool(all(np.isfinite(np.asarray(w)).all() for w in model.get_weights())),
        "trains_on": _trains_on(model) if asked.poison else None,
    }


def _trains_on(model: Any) -> bool:
    """Tell whether the model can be trained further, on samples without poison."""
    from epochwise.api import fit

    run = fit(model, *data(), batch_size=BATCH_SIZE, verbose=0)
    return bool(np.isfinite(run.losses).all()) and run.position.epochs_done == 1


def in_new_process(asked: Training) -> tuple[int, dict[str, Any]]:
    """Train in a fork of this process, which must have computed nothing with JAX.

    Returns:
        The exit status as `subprocess` gives it, minus the signal that ended it; and
        what the run told, if it came to its end.
    """
    return ended(*started(asked))


def started(asked: Training) -> tuple[int, int]:
    """Begin to train in a fork; return the process's number and where it will tell."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    os.close(reading)
    signal.alarm(MOST_SECONDS)
    status = 1
    try:
        told = json.dumps(train(asked)).encode()
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(told)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def ended(pid: int, pipe: int) -> tuple[int, dict[str, Any]]:
    """Wait for a fork's end; return its exit status and what it told."""
    with os.fdopen(pipe, "rb") as stream:
        told = stream.read()
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), json.loads(told) if told else {}


def import_everything(cache: Path) -> None:
    """Import what a training needs, compute nothing, and keep compiled programs in a folder."""
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(cache)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "0"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    from epochwise.framework import select_backend

    select_backend()
    import jax
    import keras  # noqa: F401

    if jax._src.xla_bridge._backends:
        raise AssertionError("JAX has computed already; a fork of it would hang")
