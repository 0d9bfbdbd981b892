"""How far a target is that no branch has reached yet: the curve so far, continued.

A loss falls about as a power of the iterations, and so does the error behind an
accuracy. The power slows down as training goes on, which only more training can show, so
what is told here is rather too early than too late, and says that it is an estimate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from epochwise.choosing.batch_size.trial import Look

LATEST = 0.25
"""The curve is continued from looks after this share of the iterations so far."""

FARTHEST = 1000.0
"""A target more than so many times further than what was run is not in sight."""


def iterations_to(curve: Sequence[Look], level: float) -> float | None:
    """Return the iterations after which a metric would reach a level.

    The lowest value so far is taken as a power law of the iterations, fitted to the
    later part of the curve.

    Args:
        curve: smoothed, lower is better; infinite values end it.
        level: the value wanted; below all that was seen.

    Returns:
        Iterations, not whole; `None` where the curve does not fall or the level is not
        in sight.

    Example:
        A loss that halves each time the iterations are doubled:

        >>> curve = [Look(iterations=n, value=100 / n) for n in range(10, 81)]
        >>> round(iterations_to(curve, 0.5))
        200
    """
    falling = _lowest_so_far(curve)
    if not falling or not math.isfinite(level):
        return None
    latest = falling[-1][0]
    later = [(count, value) for count, value in falling if count >= LATEST * latest]
    if len(later) < 2:
        later = falling[-2:]
    if len(later) < 2:
        return None
    shape = _shape_of([value for _, value in later], level)
    if shape is None:
        return None
    logs = np.log([count for count, _ in later])
    heights = np.array([shape(value) for _, value in later])
    slope = float(np.polyfit(logs, heights, 1)[0])
    if slope >= 0:
        return None
    further = (shape(level) - float(heights[-1])) / slope
    if further > math.log(FARTHEST):
        return None
    return latest * math.exp(max(0.0, further))


def _lowest_so_far(curve: Sequence[Look]) -> list[tuple[int, float]]:
    """Iterations and value of each look that was lower than all before it."""
    found: list[tuple[int, float]] = []
    for look in curve:
        lower = not found or look.value < found[-1][1]
        if look.iterations > 0 and math.isfinite(look.value) and lower:
            found.append((look.iterations, look.value))
    return found


def _shape_of(values: Sequence[float], level: float) -> Callable[[float], float] | None:
    """Return what makes a power law a straight line: the logarithm of what is left.

    A loss is left as a whole; of an accuracy, which is turned and so lies in [-1, 0],
    the error is. A metric of another kind is taken as it is. `None` where the level
    cannot be reached, such as an accuracy of 1 or a loss of 0.
    """
    lowest, highest = min(*values, level), max(*values, level)
    if lowest > 0:
        return math.log
    if highest <= 0 and lowest >= -1:
        return None if level == -1 else math.log1p
    if min(values) > 0:  # a loss that would have to be 0 or less
        return None
    return lambda value: value
