"""What a `model.fit` that is under way was called with.

A callback is told the number of epochs and of batches, and neither the data nor the batch
size. They are arguments of `fit`, so they are read where `fit` keeps them: among its own
variables, under the names that Keras documents, in the frame that called the callback.
Nothing is changed there. Where no such frame is found (a `fit` of the user's own), what
Keras tells callbacks remains, and what the user tells the counter.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sized
from types import FrameType
from typing import Any

import keras

from epochwise.data.batches import batch_source, is_batches
from epochwise.engines.on_keras_fit.forecast import FitCall

_DEFAULT_BATCH_SIZE = 32
"""Keras's, for arrays."""


def read_call(
    model: keras.Model,
    params: Mapping[str, Any],
    *,
    first_epoch: int,
    samples: int | None,
    batch_size: int | None,
) -> FitCall:
    """Return the arguments of the `fit` that is calling.

    Args:
        model: being fitted.
        params: what Keras told the callback: `epochs` and `steps`.
        first_epoch: zero-based, the first that is run.
        samples: N as the user told it; `None` to find it out [samples].
        batch_size: B as the user told it; `None` to find it out [samples].
    """
    given = _arguments(model)
    told = {"samples": samples, "batch_size": batch_size}
    known: dict[str, Any] = {key: value for key, value in told.items() if value is not None}
    if given is None:
        known |= _of_params(params, samples, batch_size)
    else:
        known = _of_data(given["x"], given["y"], given["batch_size"]) | known
        known |= {
            "steps_per_epoch": given["steps_per_epoch"],
            "shuffle": bool(given["shuffle"]),
        }
    inner = innermost(model.optimizer)
    rate = getattr(inner, "_learning_rate", None)
    return FitCall(
        **known,
        epochs=max(0, params["epochs"] - first_epoch),
        steps_per_execution=int(getattr(model, "steps_per_execution", 1) or 1),
        gathered=getattr(inner, "gradient_accumulation_steps", None) or 1,
        gathered_before=batches_counted(model) or 0,
        schedule=isinstance(rate, keras.optimizers.schedules.LearningRateSchedule),
    )


def innermost(optimizer: Any) -> Any:
    """Return the optimizer that updates weights, out of one that scales its loss."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def batches_counted(model: keras.Model) -> int | None:
    """Return the batches that the model's optimizer was ever given; `None` without one.

    It counts those whose gradients are only gathered too, and none whose gradients a loss
    scale refused.
    """
    counter = getattr(innermost(model.optimizer), "_iterations", None)
    return None if counter is None else int(keras.ops.convert_to_numpy(counter))


def _arguments(model: keras.Model) -> dict[str, Any] | None:
    """Return the variables of the `fit` of this model that is calling, if it is found."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_code.co_name == "fit":
            found = frame.f_locals
            if found.get("self") is model and set(found) >= _ARGUMENTS:
                return {name: found[name] for name in _ARGUMENTS}
        frame = frame.f_back
    return None


_ARGUMENTS = {"x", "y", "batch_size", "steps_per_epoch", "shuffle"}
"""Those of `fit` that say how long an epoch is. With `validation_split` Keras gives `x`
and `y` anew what is left for training."""


def _of_params(
    params: Mapping[str, Any], samples: int | None, batch_size: int | None
) -> dict[str, Any]:
    """Return what Keras tells a callback of the length of an epoch."""
    steps = params.get("steps")
    if samples is None or batch_size is None:
        return {"batches": steps}
    batches = -(-samples // batch_size)
    return {"batches": batches, "steps_per_epoch": None if steps == batches else steps}


def _of_data(x: Any, y: Any, batch_size: int | None) -> dict[str, Any]:
    """Return what the data says of its length."""
    if x is None or not is_batches(x):
        samples = _rows(y if x is None else x)
        each = batch_size or _DEFAULT_BATCH_SIZE
        return {
            "source": "arrays",
            "samples": samples,
            "batch_size": each,
            "batches": None if samples is None else -(-samples // each),
        }
    source = batch_source(x)
    known: dict[str, Any] = {
        "source": source.name,
        "batches": source.length,
        "restartable": source.restartable,
    }
    size, sampler = getattr(x, "batch_size", None), getattr(x, "sampler", None)
    if isinstance(size, int) and isinstance(sampler, Sized):  # a DataLoader
        known |= {
            "samples": len(sampler),
            "batch_size": size,
            "remainder": "drop" if x.drop_last else "keep",
        }
    return known


def _rows(tree: Any) -> int | None:
    """Return the first axis of the first array of a tree."""
    first = keras.tree.flatten(tree)[0]
    shape = getattr(first, "shape", None)
    return int(shape[0]) if shape is not None and len(shape) else None
