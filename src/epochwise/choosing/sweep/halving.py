"""Successive halving: which settings go on, by what each has reached on the same samples.

At a rung every setting has seen the same number of samples, whatever its batch size, and
the worse ones are dropped. Seeds of one setting stay together, so that no setting goes on
or out by the luck of one.

References:
    Jamieson and Talwalkar 2016, arXiv:1502.07943.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import TypeVar

Key = TypeVar("Key")

FACTOR = 3
"""Of so many settings, one goes on; and it goes on so many times as long."""


def rungs(epochs: int, settings: int) -> tuple[int, ...]:
    """Return after how many epochs settings are dropped, ascending.

    Args:
        epochs: of a run that is never dropped [epochs].
        settings: how many are compared.

    Returns:
        Epochs below `epochs`, each at least 1; none for a single setting.

    Example:
        >>> rungs(20, 9)
        (2, 7)
        >>> rungs(20, 2)
        (7,)
        >>> rungs(2, 9)
        (1,)
    """
    found: set[int] = set()
    left, share = settings, 1.0
    while left > 1:
        share /= FACTOR
        left = math.ceil(left / FACTOR)
        found.add(max(1, round(epochs * share)))
    return tuple(rung for rung in sorted(found) if rung < epochs)


def survivors(values: Mapping[Key, Sequence[float]]) -> list[Key]:
    """Return the settings that go on, best first: one of three, at least one.

    Args:
        values: by setting, the lowest value that each of its seeds has reached so far,
            lower being better; NaN for a run that never had a finite one.

    Example:
        >>> survivors({"a": [0.3, 0.5], "b": [0.2, 0.2], "c": [0.1, math.nan]})
        ['b']
    """
    ranked = sorted(values, key=lambda key: _mean(values[key]))
    return ranked[: math.ceil(len(ranked) / FACTOR)]


def _mean(values: Sequence[float]) -> float:
    """Return the mean; infinity where a value is not finite."""
    return fmean(values) if all(map(math.isfinite, values)) else math.inf
