"""How far a metric moves by chance alone, because the validation set is only so large.

Two networks that are equally good on all the data there could be differ on n samples by
about the standard error. A gain below it says nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from epochwise.errors import TrainingError
from epochwise.rules.base import Seen


def paired_standard_error(before: Sequence[float], after: Sequence[float]) -> float:
    """Return the standard error of the mean difference of two evaluations.

    With dᵢ = afterᵢ − beforeᵢ on sample i of n, that is sd(d)/√n, sd with n − 1 in the
    denominator. Much smaller than that of either evaluation alone where the two agree on
    most samples, because what makes a sample hard is in both.

    Args:
        before: the metric on each sample, shape `(n,)`, n at least 2.
        after: the same samples in the same order, shape `(n,)`.

    Returns:
        The standard error, at least 0; in the metric's unit.

    Example:
        >>> paired_standard_error([0, 0, 1, 1], [1, 0, 1, 1])
        0.25
    """
    differences = [b - a for a, b in zip(before, after, strict=True)]
    n, mean = len(differences), fmean(differences)
    variance = math.fsum((d - mean) ** 2 for d in differences) / (n - 1)
    return math.sqrt(variance / n)


def share_standard_error(share: float, samples: int) -> float:
    """Return √(p(1−p)/n), the standard error of a share p of n samples.

    Args:
        share: p, in 0..1.
        samples: n [samples], at least 1.

    Example:
        >>> round(share_standard_error(0.97, 10_000), 6)
        0.001706
    """
    return math.sqrt(share * (1 - share) / samples)


def sample_standard_error(values: Sequence[float]) -> float:
    """Return sd(v)/√n of the metric on n samples, sd with n − 1 in the denominator.

    Example:
        >>> sample_standard_error([1.0, 3.0])
        1.0
    """
    return paired_standard_error([0.0] * len(values), values)


def rows_of(metric: str, seen: Seen) -> tuple[float, ...] | None:
    """Return the metric on each validation sample where that is at hand and of use."""
    if seen.per_sample is None:
        return None
    row = seen.per_sample().get(metric)
    return None if row is None or len(row) < 2 else tuple(map(float, row))


def noise_of(
    metric: str,
    value: float,
    seen: Seen,
    *,
    row: tuple[float, ...] | None,
    best_row: tuple[float, ...] | None,
) -> float:
    """Return the noise that a gain must exceed, by the best means at hand.

    Paired with the best evaluation where both have per-sample values; else √(p(1−p)/n)
    where the metric is a share (an accuracy) of a known number of samples; else the
    sample standard error, handed in or from the per-sample values.

    Args:
        metric: its name.
        value: its value now.
        seen: the boundary.
        row: the metric on each sample now, shape `(n,)`.
        best_row: the same at the best evaluation so far.

    Raises:
        TrainingError: nothing tells the noise of this metric.
    """
    if row is not None and best_row is not None and len(row) == len(best_row):
        return paired_standard_error(best_row, row)
    if is_share(metric) and seen.validation_samples and 0 <= value <= 1:
        return share_standard_error(value, seen.validation_samples)
    if metric in seen.standard_errors:
        return seen.standard_errors[metric]
    if row is not None:
        return sample_standard_error(row)
    raise TrainingError(
        f'Nothing tells the noise of {metric}: min_delta="noise" needs its value on each '
        "validation sample, its standard error, or an accuracy on a known number of samples.",
        'use metric="val_accuracy", or a number such as min_delta=0.001.',
    )


def is_share(metric: str) -> bool:
    """Tell whether the metric is a share of the samples: an accuracy.

    A balanced accuracy is a mean of the classes' shares, which is another thing.

    Example:
        >>> is_share("val_sparse_categorical_accuracy"), is_share("val_loss")
        (True, False)
    """
    words = metric.lower().split("_")
    return ("accuracy" in words or "acc" in words) and "balanced" not in words
