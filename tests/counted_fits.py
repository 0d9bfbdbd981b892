"""Fits of all kinds, each with an EpochCounter: what it told, as JSON has it.

The tests make some in their own process; `python counted_fits.py` prints all of them, for
the backends that need a process of their own.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

import epochwise
from epochwise.record import read_run

RNG = np.random.default_rng(0)
X, Y = RNG.random((2010, 3), "float32"), RNG.random((2010, 1), "float32")


def data(samples: int) -> tuple[Any, Any]:
    return X[:samples], Y[:samples]


def sgd(k: int | None = None) -> Any:
    return keras.optimizers.SGD(0.01, gradient_accumulation_steps=k, name="sgd")


def model_of(optimizer: Any = None, **options: Any) -> Any:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer or sgd(), "mse", **options)
    return model


def fit(
    model: Any,
    *given: Any,
    told: Mapping[str, int] | None = None,
    strict: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Fit with a counter and return what it told, or the error and whether it was in time."""
    before = [np.array(weight) for weight in model.get_weights()]
    out = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as parent,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(out),
    ):
        warnings.simplefilter("ignore")  # "Your input ran out of data"
        counter = epochwise.EpochCounter(
            run_dir=Path(parent) / "run", strict=strict, **(told or {})
        )
        callbacks = [counter, *options.pop("callbacks", [])]
        try:
            model.fit(*given, callbacks=callbacks, verbose=0, **options)
        except epochwise.EpochwiseError as error:
            after = model.get_weights()
            same = all((a == b).all() for a, b in zip(before, after, strict=True))
            return {"error": type(error).__name__, "text": str(error), "untouched": same}
        report = counter.report
        assert report.run.folder is not None
        run = read_run(report.run.folder).run
    assert run.stop is not None
    assert run.engine is not None
    return {
        "iterations": list(report.iterations_by_epoch),
        "samples": list(report.samples_by_epoch),
        "updates": dict(report.updates),
        "as_planned": report.as_planned,
        "differences": list(report.differences),
        "cautions": [caution.note for caution in report.cautions],
        "planned": report.planned.updates,
        "optimizer": int(model.optimizer.iterations),
        "out": out.getvalue(),
        "done": [run.position.iterations_done, run.position.samples_done],
        "stop": run.stop.rule,
        "history": {name: len(values) for name, values in run.history.items()},
        "backend": run.engine.backend.split()[0],
        "device": run.engine.device,
    }


class Numbers(keras.utils.PyDataset):  # type: ignore[misc]
    """Five batches of four."""

    def __len__(self) -> int:
        """Return how many batches there are."""
        return 5

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Return one."""
        return X[4 * index : 4 * index + 4], Y[4 * index : 4 * index + 4]


class StopInEpoch(keras.callbacks.Callback):  # type: ignore[misc]
    """Ends the fit in an epoch, after a batch or at its end."""

    def __init__(self, epoch: int, batch: int | None = None) -> None:
        super().__init__()
        self.epoch, self.batch, self.now = epoch, batch, -1

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self.now = epoch

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:
        if (self.now, batch) == (self.epoch, self.batch):
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: object = None) -> None:
        if self.batch is None and epoch == self.epoch:
            self.model.stop_training = True


def generator(batches: int) -> Iterator[tuple[Any, Any]]:
    for index in range(batches):
        yield X[4 * index : 4 * index + 4], Y[4 * index : 4 * index + 4]


def skipping() -> dict[str, Any]:
    """Two of ten batches have infinite gradients, which a loss scale skips."""
    x, y = data(20)
    y = y.copy()
    y[[4, 10]] = np.inf
    optimizer = keras.optimizers.LossScaleOptimizer(sgd())
    return fit(model_of(optimizer), x, y, batch_size=2, shuffle=False)


def twice() -> dict[str, Any]:
    """Two fits of one model; the second begins with two batches of a group left."""
    model = model_of(sgd(4))
    fit(model, *data(20), batch_size=2)
    return fit(model, *data(20), batch_size=2)


def weights() -> dict[str, Any]:
    """The same fit with and without a counter."""
    counted, plain = model_of("adam"), model_of("adam")
    keras.utils.set_random_seed(1)
    fit(counted, *data(96), batch_size=8, epochs=2)
    keras.utils.set_random_seed(1)
    plain.fit(*data(96), batch_size=8, epochs=2, verbose=0)
    pairs = zip(counted.get_weights(), plain.get_weights(), strict=True)
    return {"same": all((a == b).all() for a, b in pairs)}


def _steps(asked: int, *, epochs: int, strict: bool = False) -> dict[str, Any]:
    return fit(
        model_of(),
        *data(2010),
        batch_size=32,
        epochs=epochs,
        steps_per_epoch=asked,
        strict=strict,
        told={"samples": 2010, "batch_size": 32},
    )


def _mnist() -> dict[str, Any]:
    """60,000 samples at 64, 5 epochs, the size of MNIST."""
    x, y = np.zeros((60_000, 3), "float32"), np.zeros((60_000, 1), "float32")
    told = {"samples": 60_000, "batch_size": 64}
    return fit(model_of(), x, y, batch_size=64, epochs=5, told=told)


def _epochs_of_twelve(**options: Any) -> dict[str, Any]:
    return fit(model_of(), *data(96), batch_size=8, epochs=4, **options)


def _together(**options: Any) -> dict[str, Any]:
    model = model_of(steps_per_execution=4)
    return fit(model, *data(20), batch_size=2, **options)


FITS: dict[str, Callable[[], dict[str, Any]]] = {
    "plain": lambda: fit(
        model_of(),
        *data(1000),
        batch_size=300,
        epochs=3,
        told={"samples": 1000, "batch_size": 300},
    ),
    "nothing told": lambda: fit(model_of(), *data(1000), batch_size=300, epochs=3),
    "mnist": _mnist,
    "62 steps": lambda: _steps(62, epochs=6),
    "62 steps, strict": lambda: _steps(62, epochs=6, strict=True),
    "100 steps": lambda: _steps(100, epochs=2),
    "100 steps, strict": lambda: _steps(100, epochs=2, strict=True),
    "generator": lambda: fit(model_of(), generator(3), epochs=2),
    "last of one": lambda: fit(
        model_of(), *data(1001), batch_size=4, told={"samples": 1001, "batch_size": 4}
    ),
    "never fires": lambda: fit(model_of(sgd(4)), *data(6), batch_size=2),
    "gathers": lambda: fit(model_of(sgd(4)), *data(20), batch_size=2, epochs=3),
    "gathers evenly": lambda: fit(model_of(sgd(4)), *data(16), batch_size=2, epochs=3),
    "twice": twice,
    "skipping": skipping,
    "dataset": lambda: fit(model_of(), Numbers(), epochs=2),
    "dataset, told": lambda: fit(
        model_of(), Numbers(), epochs=2, told={"samples": 20, "batch_size": 4}
    ),
    "validation": lambda: fit(
        model_of(),
        *data(128),
        batch_size=8,
        epochs=4,
        validation_split=0.25,
        validation_freq=2,
    ),
    "stopped": lambda: _epochs_of_twelve(callbacks=[StopInEpoch(1)]),
    "stopped inside": lambda: _epochs_of_twelve(callbacks=[StopInEpoch(1, 4)]),
    "begins later": lambda: _epochs_of_twelve(initial_epoch=3),
    "no epoch": lambda: _epochs_of_twelve(initial_epoch=4),
    "together": lambda: _together(epochs=2),
    "6 steps together": lambda: _together(epochs=4, steps_per_epoch=6),
    "weights": weights,
}
"""Every fit by its name."""

TOGETHER = ("together", "6 steps together")
"""Those with `steps_per_execution`, which the PyTorch backend has not."""


@functools.cache
def counted(name: str) -> dict[str, Any]:
    """Make a fit, once, and return what was told."""
    return FITS[name]()


if __name__ == "__main__":
    names = [n for n in FITS if n not in TOGETHER or keras.config.backend() != "torch"]
    sys.stdout.write(json.dumps({name: counted(name) for name in names}))
