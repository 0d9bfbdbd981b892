"""What a `train_step` of the user's says of its own batch alone.

Such a step returns logs that are running means by then, from Keras's loss tracker or
from trackers of its own. Every plain mean among the metrics is therefore cleared before
the step and added back after it. What the step logs in between is of one batch; what
the means say afterwards is of the epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from epochwise.errors import ModelError


class OwnMean(NamedTuple):
    """A mean after a step: of the batch alone, and of the epoch so far.

    Args:
        metric: the mean.
        total: what the step added up.
        count: what it divides by; 0 where the step left the mean alone.
        total_so_far: with what was there before.
        count_so_far: likewise.
    """

    metric: keras.metrics.Mean
    total: Any
    count: Any
    total_so_far: Any
    count_so_far: Any


def own_means(model: keras.Model) -> list[keras.metrics.Mean]:
    """Return the metrics that are plain means: a total divided by a count."""
    return [
        metric
        for metric in model.metrics
        if isinstance(metric, keras.metrics.Mean)
        and type(metric).result is keras.metrics.Mean.result
    ]


def own_loss_and_logs(
    model: keras.Model, means: Sequence[OwnMean], logs: Mapping[str, Any]
) -> tuple[Any, dict[str, Any]]:
    """Return the batch's own loss, and the logs as the epoch so far has them.

    The loss is what Keras's tracker holds of the batch, else the step's `loss`, else the
    first of its logs whose name ends in `loss` (of `g_loss` and `d_loss`, say): all of the
    batch alone by now. A log is the epoch's if a mean has its name, or if it is what a
    mean says of the batch (a tracker may be logged under another name); else it stays as
    the step returned it.

    Args:
        model: whose step it was.
        means: after the step.
        logs: what the step returned.

    Returns:
        The loss and the logs, float32 scalars of the backend.

    Raises:
        ModelError: the step logged no loss.
    """
    told = {name: _scalar(value) for name, value in logs.items()}
    loss = told[_loss_name(model, told)]
    epochs = dict(told)
    by_name = {}
    for mean in means:
        counted = mean.count > 0
        own = _divided(mean.total, mean.count)
        so_far = _divided(mean.total_so_far, mean.count_so_far)
        by_name[mean.metric.name] = so_far
        if mean.metric is model._loss_tracker:
            loss = ops.where(counted, own, loss)
        for name, value in told.items():
            same = ops.logical_and(counted, ops.equal(value, own))
            epochs[name] = ops.where(same, so_far, epochs[name])
    return loss, {name: by_name.get(name, value) for name, value in epochs.items()}


def _loss_name(model: keras.Model, names: Iterable[str]) -> str:
    """Return which of a step's logs is the loss."""
    found = sorted((name for name in names if name.endswith("loss")), key="loss".__ne__)
    if not found:
        raise ModelError(
            f"{type(model).__name__}.train_step returned no log whose name ends in 'loss': "
            f"{sorted(names)}.",
            'return {"loss": loss} among the logs of train_step.',
        )
    return found[0]


def _scalar(value: Any) -> Any:
    """A float32 scalar."""
    return ops.cast(ops.convert_to_tensor(value), "float32")


def _divided(total: Any, count: Any) -> Any:
    """The mean, 0 of nothing, as Keras's `Mean.result` has it."""
    return _scalar(ops.divide_no_nan(total, count))
