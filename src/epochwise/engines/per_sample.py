"""The loss and the metrics of each sample, as far as these are means over samples.

They tell how much of a difference between two evaluations is chance; see
`epochwise.rules.noise`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.src.losses.losses import LossFunctionWrapper

from epochwise.data.samples import Array, leaves
from epochwise.engines.values import Batch, has_own_step

Measure = Callable[[Any, Any], Any]
"""`(targets, predicted) -> values`, shape `(B,)` or `(B, ...)`: one number a sample, or
several that are averaged."""

Tensors = Mapping[str, Any]


def measures_of(model: keras.Model) -> dict[str, Measure]:
    """Return how to measure single samples, by the names of the history.

    Left out is what is no mean over samples, as an AUC; and all of a model with several
    outputs or a `test_step` of its own.

    Args:
        model: compiled and built.
    """
    if has_own_step(model, "test_step"):
        return {}
    found: dict[str, Measure] = {}
    config = model.get_compile_config() or {}
    if isinstance(model.loss, str) or callable(model.loss):
        loss = keras.losses.get(model.loss)
        if not isinstance(loss, keras.losses.Loss):
            loss = LossFunctionWrapper(loss)
        if isinstance(loss, LossFunctionWrapper) and config.get("loss_weights") is None:
            found["loss"] = loss.call
    compiled = model._compile_metrics
    for metric in () if compiled is None else compiled.metrics:
        if (
            isinstance(metric, keras.metrics.MeanMetricWrapper)
            and type(metric).result is keras.metrics.Mean.result
        ):
            found[metric.name] = _measure_of(metric)
    return found


def as_in_evaluation(model: keras.Model) -> dict[str, bool]:
    """Return the argument that tells a model that it does not train, if it takes one."""
    return {"training": False} if model._call_has_training_arg else {}


def measured(measures: Mapping[str, Measure], targets: Any, predicted: Any) -> Tensors:
    """Return the measures of a batch, one number a sample: shape `(B,)`, float32 each.

    Nothing is returned for several outputs, nor for predictions with a mask: a mean over what
    a mask leaves is not one over samples.
    """
    [target] = leaves(targets)
    if keras.tree.is_nested(predicted) or getattr(predicted, "_keras_mask", None) is not None:
        return {}
    found = {}
    for name, measure in measures.items():
        values = ops.cast(measure(target, predicted), "float32")
        found[name] = ops.mean(ops.reshape(values, (ops.shape(target)[0], -1)), axis=1)
    return found


def joined(parts: Sequence[Tensors]) -> dict[str, Array]:
    """Return the measures of batches as one array each, of the host."""
    return {
        name: np.concatenate([keras.ops.convert_to_numpy(part[name]) for part in parts])
        for name in (parts[0] if parts else ())
    }


def can_measure(batch: Batch) -> bool:
    """Tell whether each sample of such data counts once, and has one target."""
    return batch.weight is None and batch.y is not None and len(leaves(batch.y)) == 1


def _measure_of(metric: Any) -> Measure:
    return lambda target, predicted: metric._fn(target, predicted, **metric._fn_kwargs)
