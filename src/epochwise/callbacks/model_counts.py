"""What a Keras model counts by itself: batches, samples, and how it is run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import keras

from epochwise.events import EngineDescription

_EXACT = 2**24
"""Keras counts samples in float32, which holds every whole number up to this one."""


def innermost(optimizer: Any) -> Any:
    """Return the optimizer that updates weights, out of one that scales its loss."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def batches_counted(model: keras.Model) -> int | None:
    """Return the batches that the model's optimizer was ever given; `None` without one.

    It counts those whose gradients are only accumulated too, and none whose gradients a
    loss scale refused.
    """
    counter = getattr(innermost(model.optimizer), "_iterations", None)
    return None if counter is None else int(keras.ops.convert_to_numpy(counter))


def samples_counted(model: keras.Model) -> int | None:
    """Return the samples that the mean of the loss was taken over; `None` if not known.

    A `train_step` of the user's own may not update that mean.
    """
    found = (metric for metric in model.metrics if metric.name == "loss")
    tracked = getattr(next(found, None), "count", None)
    if tracked is None:
        return None
    count = float(keras.ops.convert_to_numpy(tracked))
    return int(count) if 0 < count <= _EXACT and count.is_integer() else None


def in_use(made: Mapping[str, int]) -> dict[str, int]:
    """Return the updates without an optimizer that a `train_step` left aside."""
    if len(made) == 1 or not any(made.values()):
        return dict(made)
    return {name: updates for name, updates in made.items() if updates}


def learning_rate(model: keras.Model) -> float | None:
    """Return the learning rate; `None` where it follows a schedule."""
    rate = getattr(innermost(model.optimizer), "_learning_rate", None)
    if rate is None or callable(rate):
        return None
    return float(keras.ops.convert_to_numpy(rate))


def numbers(logs: Mapping[str, Any] | None) -> dict[str, float]:
    """Return the logs that are numbers."""
    return {
        name: float(value)
        for name, value in (logs or {}).items()
        if isinstance(value, (int, float)) or getattr(value, "ndim", None) == 0
    }


def description() -> EngineDescription:
    """Return where Keras runs the iterations."""
    backend = keras.config.backend()
    version = getattr(sys.modules.get(backend), "__version__", "")
    if backend == "torch":
        device = "gpu" if sys.modules["torch"].cuda.is_available() else "cpu"
    else:
        device = str(keras.distribution.list_devices()[0]).partition(":")[0]
    return EngineDescription(
        engine="keras",
        backend=f"{backend} {version}".strip(),
        device=device,
        execution="single",
        reason="model.fit ran the iterations, and Epochwise counted them.",
    )
