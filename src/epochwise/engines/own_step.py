"""What a `train_step` or `test_step` of the user's says of its own batch alone.

Such a step returns logs that are running means by then, from Keras's loss tracker or
from trackers of its own, or numbers of the batch that no metric follows. Every plain mean
among the metrics is therefore cleared before the step and added back after it. What the
step logs in between is of one batch; what the means say afterwards is of the epoch. A log
that no metric says is averaged over samples by whoever adds up the batches.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from epochwise.counting.averages import LogMean, merged_logs
from epochwise.engines.values import as_numbers
from epochwise.errors import ModelError


class OwnMetric(NamedTuple):
    """A metric after a step.

    Args:
        name: its own.
        so_far: what it says of the epoch, by the names of the logs.
        updated: whether the step updated it.
        alone: what it says of the batch alone; `None` where it is no plain mean.
    """

    name: str
    so_far: Mapping[str, Any]
    updated: Any
    alone: Any = None


class OwnLogs(NamedTuple):
    """What a step logged.

    Args:
        so_far: of the epoch, where a metric says it; else of the batch.
        alone: as the step returned it, of the batch alone.
        tracked: of each log, whether a metric says it.
    """

    so_far: dict[str, Any]
    alone: dict[str, Any]
    tracked: dict[str, Any]


def is_plain_mean(metric: keras.metrics.Metric) -> bool:
    """Tell whether a metric is a total divided by a count."""
    return (
        isinstance(metric, keras.metrics.Mean)
        and type(metric).result is keras.metrics.Mean.result
    )


def metrics_of(model: keras.Model) -> list[keras.metrics.Metric]:
    """Return the model's metrics, but for those that have not been built."""
    return [metric for metric in model.metrics if getattr(metric, "built", True)]


def mean_after(
    metric: keras.metrics.Mean, own: Sequence[Any], so_far: Sequence[Any]
) -> OwnMetric:
    """Return a plain mean after a step, by its total and count.

    Args:
        metric: the mean.
        own: what the step added up.
        so_far: with what was there before.
    """
    return OwnMetric(
        metric.name, {metric.name: _divided(*so_far)}, own[1] > 0, alone=_divided(*own)
    )


def other_after(
    metric: keras.metrics.Metric, before: Sequence[Any], after: Sequence[Any]
) -> OwnMetric:
    """Return a metric that is no plain mean after a step, in a scope where it is current.

    Args:
        metric: the metric.
        before: its variables' values before the step.
        after: the same after it.
    """
    said = metric.result()
    results = said if isinstance(said, Mapping) else {metric.name: said}
    changed = [ops.any(ops.not_equal(old, new)) for old, new in zip(before, after, strict=True)]
    updated = ops.any(ops.stack(changed)) if changed else ops.convert_to_tensor(False)
    return OwnMetric(metric.name, results, updated)


def own_loss(
    model: keras.Model, metrics: Sequence[OwnMetric], logs: Mapping[str, Any], step: str
) -> Any:
    """Return the batch's own loss, a float32 scalar of the backend.

    It is what Keras's tracker holds of the batch, else the step's `loss`, else the first
    of its logs whose name ends in `loss` (of `g_loss` and `d_loss`, say).

    Args:
        model: whose step it was.
        metrics: the model's, after the step.
        logs: what the step returned.
        step: its name.

    Raises:
        ModelError: the step logged no loss.
    """
    found = sorted((name for name in logs if name.endswith("loss")), key="loss".__ne__)
    if not found:
        raise ModelError(
            f"{type(model).__name__}.{step} returned no log whose name ends in 'loss': "
            f"{sorted(logs)}.",
            f'return {{"loss": loss}} among the logs of {step}.',
        )
    loss = _float32(logs[found[0]])
    tracker = getattr(model, "_loss_tracker", None)
    for metric in metrics:
        if tracker is not None and metric.name == tracker.name and metric.alone is not None:
            loss = ops.where(metric.updated, metric.alone, loss)
    return loss


def own_logs(metrics: Sequence[OwnMetric], logs: Mapping[str, Any]) -> OwnLogs:
    """Return the logs of a step: of the batch alone, and of the epoch where a metric says so.

    A metric says a log if the step updated it and it has the log's name, or if it says of
    the batch just what was logged (a tracker may be logged under another name).

    Args:
        metrics: the model's, after the step.
        logs: what the step returned.
    """
    alone = {name: _float32(value) for name, value in logs.items()}
    so_far, tracked = dict(alone), {name: ops.convert_to_tensor(False) for name in alone}
    for metric, name, result, has_its_name in _said(metrics, alone):
        if metric.alone is None:
            says = ops.all(ops.equal(alone[name], result))
        else:
            says = ops.logical_and(metric.updated, ops.equal(alone[name], metric.alone))
        if has_its_name:
            says = ops.logical_or(metric.updated, says)
        first = ops.logical_and(says, ops.logical_not(tracked[name]))
        so_far[name] = ops.where(first, result, so_far[name])
        tracked[name] = ops.logical_or(tracked[name], says)
    return OwnLogs(so_far, alone, tracked)


def added_up(
    batches: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]], samples: int
) -> dict[str, LogMean]:
    """Return the means over samples of what a step logged of some batches.

    Args:
        batches: of each, what was logged of it alone, and whether a metric says it: arrays
            of the host by name.
        samples: in each of them.
    """
    means: dict[str, LogMean] = {}
    for alone, tracked in batches:
        said = {name: np.full(np.shape(alone[name]), tracked[name]) for name in alone}
        flags = as_numbers(said)
        logged = {
            name: LogMean.of(value, samples, tracked=bool(flags[name]))
            for name, value in as_numbers(alone).items()
        }
        means = merged_logs(means, logged)
    return means


def _said(
    metrics: Sequence[OwnMetric], logs: Mapping[str, Any]
) -> Iterator[tuple[OwnMetric, str, Any, bool]]:
    """Yield what each metric says with each log that it may be, first those of its name."""
    said = [
        (metric, name, log, _float32(result))
        for metric in metrics
        for name, result in metric.so_far.items()
        for log in logs
    ]
    for metric, name, log, result in sorted(said, key=lambda each: each[1] != each[2]):
        if tuple(logs[log].shape) == tuple(result.shape):
            yield metric, log, result, name == log


def _float32(value: Any) -> Any:
    """A float32 tensor."""
    return ops.cast(ops.convert_to_tensor(value), "float32")


def _divided(total: Any, count: Any) -> Any:
    """The mean, 0 of nothing, as Keras's `Mean.result` has it."""
    return _float32(ops.divide_no_nan(total, count))
