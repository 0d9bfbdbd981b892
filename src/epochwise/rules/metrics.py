"""A metric by its name: which way is better, where it is looked at, and its value.

A metric of the training (`loss`, `accuracy`) is looked at where an epoch ends, because
before that it is a mean over other samples each time; one of the validation part
(`val_loss`) wherever that part was evaluated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from epochwise.errors import PlanError, TrainingError, near
from epochwise.rules.base import Seen

Better: TypeAlias = Literal["lower", "higher"]
"""Which values of a metric are the better ones."""

VALIDATION = "val_"
"""What the names of the validation part's metrics begin with."""

_HIGHER = (
    "accuracy acc auc precision recall f1 f1score fscore fbeta score iou dice jaccard r2 "
    "similarity specificity sensitivity positives negatives bleu rouge psnr ssim map ndcg "
    "kappa correlation"
)
_LOWER = (
    "loss error err mse mae rmse mape msle crossentropy entropy perplexity hinge poisson "
    "divergence logcosh cosh wer cer nll deviance brier distance regret"
)
_FALSE = ("false_positives", "false_negatives")


def better_of(metric: str, told: Better | None = None) -> Better:
    """Tell which way a metric improves: as told, else as its name says.

    The last word of the name that is known decides, so that `val_head_accuracy` and
    `accuracy_1` are accuracies. A name that says nothing is not guessed at.

    Args:
        metric: as the history names it.
        told: what the user said; wins.

    Raises:
        PlanError: nobody said, and the name does not tell.

    Example:
        >>> better_of("val_loss"), better_of("val_sparse_categorical_accuracy")
        ('lower', 'higher')
    """
    if told in ("lower", "higher"):
        return told
    if told is not None:
        raise PlanError(
            f"better={told!r} is no direction.", 'use better="lower" or better="higher".'
        )
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", metric).lower().replace("io_u", "iou")
    if any(name in spaced for name in _FALSE):
        return "lower"
    for word in reversed(re.split(r"[^a-z0-9]+", spaced)):
        if word in _HIGHER.split():
            return "higher"
        if word in _LOWER.split():
            return "lower"
    raise PlanError(
        f"Whether a lower or a higher {metric!r} is better does not follow from its name.",
        'say better="lower" or better="higher".',
        command="name a metric that ends in a known word, such as val_accuracy or val_loss.",
    )


def is_better(value: float, than: float, better: Better) -> bool:
    """Tell whether a value is strictly the better one; with a NaN neither is.

    Example:
        >>> is_better(0.4, 0.5, "lower"), is_better(0.5, 0.5, "higher")
        (True, False)
    """
    return value < than if better == "lower" else value > than


def is_looked_at(metric: str, seen: Seen) -> bool:
    """Tell whether the metric is due at this boundary."""
    return seen.evaluated if metric.startswith(VALIDATION) else seen.closes_epoch


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """How often a metric was looked at.

    Args:
        made: evaluations that had the metric.
        not_finite: those of them in which it was NaN or infinite.
        absent: evaluations that had not, after one that had.
    """

    made: int = 0
    not_finite: int = 0
    absent: int = 0

    def look(self, metric: str, seen: Seen) -> tuple[Looks, float | None]:
        """Return the looks with this one, and the value, also a NaN; `None` if absent.

        Args:
            metric: as the history names it.
            seen: a boundary where the metric is due.

        Raises:
            TrainingError: it has never been there, so the name must be wrong.
        """
        value = seen.metrics.get(metric)
        if value is None and not self.made:
            raise TrainingError(*_unknown(metric, seen.metrics))
        if value is None:
            return replace(self, absent=self.absent + 1), None
        not_finite = self.not_finite + (not math.isfinite(value))
        return replace(self, made=self.made + 1, not_finite=not_finite), float(value)

    def notes(self, metric: str) -> tuple[str, ...]:
        """Return in sentences what the user should be told of the looks."""
        notes = []
        if self.absent:
            notes.append(
                f"{metric} was absent from {_evaluations(self.absent)}; they count neither "
                "as an improvement nor as waiting for one."
            )
        if self.not_finite:
            notes.append(
                f"{metric} was not finite in {_evaluations(self.not_finite)}; that is never "
                "an improvement."
            )
        return tuple(notes)


def check_metric(metric: str, names: Iterable[str], argument: str = "metric") -> None:
    """Refuse a name that no metric has, before anything is trained.

    Args:
        metric: the name asked for.
        names: the names that the history will have.
        argument: what it was, or can be, asked for by.

    Raises:
        PlanError: it is not among them.

    Example:
        >>> check_metric("val_los", ["loss", "val_loss"])
        Traceback (most recent call last):
        ...
        epochwise.errors.PlanError: There is no metric 'val_los'; there are loss and val_loss.
          Remedy: use metric='val_loss'.
    """
    names = tuple(names)
    if metric not in names:
        raise PlanError(*_unknown(metric, names, argument))


def _unknown(
    metric: str, names: Iterable[str], argument: str = "metric"
) -> tuple[str, str, str | None]:
    """Return what is wrong with a name and what to type instead."""
    names = tuple(names)
    there = " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]])) or "none"
    alike = [
        name for name in names if name.startswith(VALIDATION) == metric.startswith(VALIDATION)
    ]
    close = near(metric, alike) or alike[-1:]
    command = None
    if metric.startswith(VALIDATION) and not any(name.startswith(VALIDATION) for name in names):
        remedy = "give validation data (validation_split=0.2), or use a training metric."
    elif close:
        remedy = f"use {argument}={close[0]!r}."
        command = f"use --target {close[0]}=VALUE, with the value to stop at."
        try:
            better_of(close[0])
        except PlanError:
            remedy = f"{remedy[:-1]} with better='lower' or better='higher'."
            if argument == "best_metric":
                remedy = f"use {_said_by_a_rule(close[0])}"
    else:
        remedy = "compile the model with the metric."
    return f"There is no metric {metric!r}; there are {there}.", remedy, command


def check_direction(metric: str) -> None:
    """Refuse a metric asked for without a rule whose better values its name does not tell.

    Raises:
        PlanError: says which rule tells it.
    """
    try:
        better_of(metric)
    except PlanError as error:
        raise PlanError(error.problems[0].what, f"say it: {_said_by_a_rule(metric)}") from None


def _said_by_a_rule(metric: str) -> str:
    """Return the rule that tells the direction of a metric, as one types it."""
    return (
        f'stop=epochwise.Patience(metric="{metric}", epochs=5, better="lower"), or '
        'better="higher".'
    )


def _evaluations(count: int) -> str:
    """Return a number of evaluations as people say it."""
    return f"{count:,} evaluation{'s' if count != 1 else ''}"
