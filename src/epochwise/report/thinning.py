"""Fewer points, with every peak and every drop still among them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating]
Places = npt.NDArray[np.intp]


def thin(values: Floats, points: int) -> Places:
    """Return which values to draw so that the line keeps its extremes.

    The values are parted into stretches of equal length. Of each stretch the lowest, the
    highest and the first that is not finite are kept; so are the very first and the very
    last value. A line through them covers what a line through all of them would cover,
    to the width of a stretch.

    Args:
        values: in order, shape `(n,)`; NaN and infinity may be among them.
        points: at most about so many are kept; at least 8 [values].

    Returns:
        Zero-based places in rising order, at most `max(points, 8)` of them; all when
        there are no more than that.

    Example:
        >>> thin(np.array([0.0, 9.0, 0.0, 0.0] * 4), 100).size
        16
        >>> spiked = np.zeros(1_000_000)
        >>> spiked[123_456] = 1.0
        >>> 123_456 in thin(spiked, 1_000)
        True
    """
    points = max(points, 8)
    count = values.size
    if count <= points:
        return np.arange(count)
    stretches = max(1, (points - 2) // 3)
    length = -(-count // stretches)
    stretches = -(-count // length)
    padded = np.full(stretches * length, np.nan)
    padded[:count] = values
    table = padded.reshape(stretches, length)
    finite = np.isfinite(table)
    begins = np.arange(stretches) * length
    lowest = begins + np.argmin(np.where(finite, table, np.inf), axis=1)
    highest = begins + np.argmax(np.where(finite, table, -np.inf), axis=1)
    broken = begins + np.argmin(finite, axis=1)
    broken = broken[(broken < count) & ~finite.all(axis=1)]
    return np.unique(np.concatenate([[0], lowest, highest, broken, [count - 1]]))


def trailing_mean(values: Floats, samples: Floats, window: int) -> Floats:
    """Return the mean over the last `window` iterations, weighted by their samples.

    Near the start it is over as many as there are. A value that is not finite makes the
    means that hold it NaN, and no others.

    Args:
        values: the loss of each iteration's own batch, shape `(n,)`.
        samples: samples in each of them, shape `(n,)` [samples].
        window: iterations to average over; at least 1 [iterations].

    Returns:
        Shape `(n,)`, float64.

    Example:
        >>> trailing_mean(np.array([4.0, 2.0, 0.0]), np.array([1.0, 1.0, 2.0]), 2).tolist()
        [4.0, 3.0, 0.6666666666666666]
    """
    finite = np.isfinite(values)
    weights = np.asarray(samples, np.float64)
    products = np.where(finite, values, 0.0).astype(np.float64) * weights
    total, weight = _window_sums(products, window), _window_sums(weights, window)
    broken = _window_sums((~finite).astype(np.float64), window) > 0
    mean: Floats = np.where(broken, np.nan, total / weight)
    return mean


def _window_sums(values: Floats, window: int) -> Floats:
    """The sum of each value and the `window - 1` before it.

    Each sum is put together from the end of one block of `window` values and the
    beginning of the next. Only values inside the window are ever added, so one huge value
    does not wipe out the digits of later sums, as differences of running sums would.
    """
    blocks = -(-values.size // window)
    table = np.zeros((blocks, window))
    table.reshape(-1)[: values.size] = values
    beginnings = np.cumsum(table, axis=1)
    ends = np.cumsum(table[:, ::-1], axis=1)[:, ::-1]
    beginnings[1:, :-1] += ends[:-1, 1:]
    sums: Floats = beginnings.reshape(-1)[: values.size]
    return sums
