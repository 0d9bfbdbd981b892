"""A curve of one number an epoch: how noisy it is, and where it goes.

Pure arithmetic on floats. What these functions are not sure of they answer with `None`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

FEWEST_FOR_SCATTER = 4
"""Values below which a curve's own scatter cannot be told."""

_NORMAL_MEDIAN = 0.6745
"""Median of |z| for a standard normal z."""


def scatter(values: Sequence[float], *, order: Literal[2, 3] = 2) -> float | None:
    """Estimate the noise of each value about the curve's smooth course.

    Second differences dᵢ = vᵢ₋₁ − 2vᵢ + vᵢ₊₁ take out any straight trend; noise of
    deviation σ gives them the deviation √6·σ. Third differences take out a bend as well,
    √20·σ being left: better for a few values of a curve that still bends, worse for many.
    The median of |dᵢ| is used, so that one spike does not count for much.

    Args:
        values: one an evaluation, in order; all finite.
        order: of the differences.

    Returns:
        σ, in the values' unit; `None` for fewer than 4 values.

    Example:
        A straight line has none; a saw of ±1 on it has.

        >>> scatter([5.0, 4.0, 3.0, 2.0, 1.0])
        0.0
        >>> scatter([5.0, 3.0, 4.0, 1.0, 2.0]) > 1
        True
        >>> scatter([2.0, 1.0]) is None
        True
    """
    if len(values) < FEWEST_FOR_SCATTER:
        return None
    differences = list(values)
    for _ in range(order):
        differences = [b - a for a, b in pairwise(differences)]
    median = statistics.median(map(abs, differences))
    return median / (_NORMAL_MEDIAN * math.sqrt(math.comb(2 * order, order)))


def proportion_error(proportion: float, samples: int) -> float:
    """Return the standard error √(p(1−p)/n) of a share p measured on n samples.

    Where all or no samples were right the formula gives 0, which no finite sample
    supports; p is then taken half a sample away from the edge.

    Args:
        proportion: p, in [0, 1].
        samples: n, at least 1 [samples].

    Example:
        >>> round(proportion_error(0.9, 900), 6)
        0.01
        >>> proportion_error(1.0, 100) > 0
        True
    """
    edge = 0.5 / samples
    inside = min(max(proportion, edge), 1 - edge)
    return math.sqrt(inside * (1 - inside) / samples)


def smoothed(values: Sequence[float]) -> list[float]:
    """Return the running median of three, which one bad epoch cannot move.

    A curve that only falls or only rises stays as it is. The first value stays too: a
    first epoch is unlike all others. The last follows Tukey's rule: the median of itself,
    its smoothed neighbour y₁, and 3y₁ − 2y₂, the line through the two before it.

    Args:
        values: one an evaluation, in order.

    References:
        Tukey 1977, Exploratory Data Analysis, chapter 7.

    Example:
        >>> smoothed([5.0, 4.0, 9.0, 3.0, 2.0])
        [5.0, 5.0, 4.0, 3.0, 2.0]
    """
    if len(values) < 3:
        return list(values)
    course = [values[0]]
    course += [
        statistics.median(three) for three in zip(values, values[1:], values[2:], strict=False)
    ]
    line = 3 * course[-1] - 2 * course[-2]
    return [*course, statistics.median((values[-1], course[-1], line))]


def lasting_end(values: Sequence[float], error: float) -> int:
    """Return the first place after which the curve falls by no more than an error.

    Looked for in the curve of running medians, so that one lucky value ends nothing.

    Args:
        values: lower is better; at least one.
        error: what a fall must exceed to count.

    Returns:
        A place in `values`; the last one while the curve still falls.

    Example:
        >>> lasting_end([5.0, 3.0, 2.0, 1.9, 1.95, 1.9], 0.5)
        2
    """
    course = smoothed(values)
    lowest_after = math.inf
    found = len(course) - 1
    for place in range(len(course) - 1, -1, -1):
        if course[place] - lowest_after > error:
            break
        found = place
        lowest_after = min(lowest_after, course[place])
    return found


def rise_began(values: Sequence[float], error: float) -> int | None:
    """Return where a curve turned upwards for good, if it did.

    The place is that of the lowest running median, or a neighbour whose own value is
    lower; of equal ones the last, since the curve has not risen there. The rise is that of
    the last up to three medians, their mean, above it; at least two must have come after it.

    Args:
        values: lower is better; at least one.
        error: what the rise must exceed.

    Example:
        >>> rise_began([3.0, 2.0, 1.0, 2.0, 3.0, 4.0], 0.5)
        2
        >>> rise_began([3.0, 2.0, 1.0, 1.2, 1.1, 1.2], 0.5) is None
        True
    """
    course = smoothed(values)
    lowest = min(range(len(course)), key=lambda place: (course[place], -place))
    after = course[lowest + 1 :][-3:]
    if len(after) < 2 or statistics.fmean(after) - course[lowest] <= error:
        return None
    near = range(max(0, lowest - 1), min(len(values), lowest + 2))
    return min(near, key=lambda place: (values[place], -place))


FEWEST_FOR_FORECAST = 5
"""Evaluations below which a curve's course cannot be told."""

_WINDOW_SHARE = 0.25
_WINDOW_FEWEST = 4
_WALK = 0.8
_LEVERAGE = 2.0
_TREND_ERROR = 0.35
_T_80 = 1.533
"""How the forecast is made: see `forecast`. The three factors were fitted on curves of
other seeds and tasks than those of any reported figure (`docs/log.md`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """A value that a curve may have later.

    Args:
        value: the most likely one.
        low: the lower end of the interval that holds it with 80%.
        high: the upper end.
    """

    value: float
    low: float
    high: float


def forecast(values: Sequence[float], ahead: int) -> Forecast | None:
    """Extrapolate a validation loss, one value an epoch, some epochs ahead.

    Near its end a curve is close to a straight line over log(epoch): power laws bend so,
    and so does the rise of over-fitting. The line is fitted by least squares to the last
    quarter of the epochs (at least four) and followed over x = log((E + h) / E). With Δ the
    change that it predicts and σ the scatter of the last half, the error has the scale
    √(h·(0.8σ(1 + 2x))² + (0.35Δ)²): noise adds up as in a random walk and moves the slope,
    and trends tire. The interval is that of Student's t with 4 degrees of freedom.

    Args:
        values: one an epoch from the first on; all finite.
        ahead: h, at least 1 [epochs].

    Returns:
        The value h epochs on; `None` for fewer than 5 epochs.

    Example:
        >>> curve = [2.0 / epoch for epoch in range(1, 21)]
        >>> found = forecast(curve, 5)
        >>> found.low < 2.0 / 25 < found.high
        True
    """
    epochs = len(values)
    if epochs < FEWEST_FOR_FORECAST:
        return None
    window = max(_WINDOW_FEWEST, round(_WINDOW_SHARE * epochs))
    logs = [math.log(epoch / epochs) for epoch in range(epochs - window + 1, epochs + 1)]
    slope, level = statistics.linear_regression(logs, values[-window:])
    reach = math.log((epochs + ahead) / epochs)
    change = slope * reach
    noise = scatter(values[-max(8, epochs // 2) :])
    assert noise is not None  # there are enough values
    walked = _WALK * (1 + _LEVERAGE * reach) * math.sqrt(ahead) * noise
    half = _T_80 * math.hypot(walked, _TREND_ERROR * change)
    value = level + change
    return Forecast(value=value, low=value - half, high=value + half)
