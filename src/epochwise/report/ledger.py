"""What each epoch added, as far as a record tells it.

The epochs are judged by one metric of the validation part: the accuracy where there is
one, because its standard error √(p(1−p)/n) follows from the record, else the loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from epochwise.report.story import Evaluation, Story

SIGNIFICANT = 2.0
"""A gain counts when it is larger than so many of its standard errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A value of the judging metric.

    Args:
        iterations_done: weight updates made before it was measured [iterations].
        epoch: the one-based number of the epoch that it closes; `None` for a look inside
            an epoch.
        value: of the metric.
        error: its standard error; `None` where the record does not tell it.
    """

    iterations_done: int
    epoch: int | None
    value: float
    error: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """How much better one value is than another.

    Args:
        value: positive for better, in the metric's unit.
        error: its standard error; `None` where the record does not tell it.
    """

    value: float
    error: float | None

    @property
    def errors(self) -> float | None:
        """The gain in standard errors; `None` where that cannot be told."""
        return self.value / self.error if self.error else None

    @property
    def is_significant(self) -> bool:
        """Whether it is larger than `SIGNIFICANT` of its standard errors."""
        return self.errors is not None and self.errors > SIGNIFICANT


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """All values of the judging metric, and what follows from them.

    Args:
        metric: its name, `val_accuracy` or `val_loss`.
        higher_is_better: which way it improves.
        values: one an evaluation, in order; at least one, and one of them finite.
        best: the first of the best ones.
        enough: the first that is within one standard error of the best; the best where
            the errors are not known.
    """

    metric: str
    higher_is_better: bool
    values: Sequence[Judged]
    best: Judged
    enough: Judged

    def of_epoch(self, number: int) -> Judged | None:
        """Return the value that closes an epoch; `None` where there is none.

        Args:
            number: of the epoch, one-based.
        """
        return next((judged for judged in self.values if judged.epoch == number), None)

    def gain(self, before: Judged, after: Judged) -> Gain:
        """Return how much better one value is than another, with its standard error.

        Both were measured on the same samples and are taken as independent, which makes
        the error too large rather than too small.

        Args:
            before: what it is compared with.
            after: the value that may be better.
        """
        difference = after.value - before.value
        error = None
        if before.error is not None and after.error is not None:
            error = math.hypot(before.error, after.error)
        return Gain(value=difference if self.higher_is_better else -difference, error=error)


def standard_error(metric: str, value: float, samples: int | None) -> float | None:
    """Return the standard error of a metric that is a share of samples.

    Args:
        metric: its name; only accuracies are shares that the name makes certain.
        value: p, in [0, 1].
        samples: n, how many samples it was measured on [samples].

    Returns:
        √(p(1−p)/n); `None` where the metric is no share or n is not known.

    Example:
        >>> standard_error("accuracy", 0.9, 100)
        0.03
        >>> standard_error("loss", 0.9, 100) is None
        True
    """
    if not samples or not is_accuracy(metric) or not 0 <= value <= 1:
        return None
    return round(math.sqrt(value * (1 - value) / samples), 12)


def is_accuracy(metric: str) -> bool:
    """Tell whether a metric is a share of right answers.

    Example:
        >>> is_accuracy("sparse_categorical_accuracy"), is_accuracy("loss")
        (True, False)
    """
    return "accuracy" in metric or metric == "acc"


def ledger(story: Story) -> Ledger | None:
    """Return the ledger of a run; `None` where nothing finite was ever evaluated.

    Args:
        story: the run.
    """
    name = _judging_metric(story.evaluations)
    if name is None:
        return None
    closed = {one.last_iteration: one.number for one in story.passes if one.whole}
    values = [
        Judged(
            iterations_done=seen.iterations_done,
            epoch=closed.get(seen.iterations_done),
            value=seen.metrics[name],
            error=standard_error(name, seen.metrics[name], seen.samples),
        )
        for seen in story.evaluations
        if name in seen.metrics
    ]
    finite = [judged for judged in values if math.isfinite(judged.value)]
    higher = is_accuracy(name)
    best = (max if higher else min)(finite, key=lambda judged: judged.value)
    within = best.error or 0.0
    enough = next(judged for judged in finite if abs(judged.value - best.value) <= within)
    return Ledger(
        metric=f"val_{name}",
        higher_is_better=higher,
        values=values,
        best=best,
        enough=enough,
    )


def _judging_metric(evaluations: Sequence[Evaluation]) -> str | None:
    """The metric that has a finite value somewhere: an accuracy if there is one."""
    finite = [
        name
        for seen in evaluations
        for name, value in seen.metrics.items()
        if math.isfinite(value)
    ]
    accuracies = [name for name in finite if is_accuracy(name)]
    if accuracies:
        return accuracies[0]
    return "loss" if "loss" in finite else None
