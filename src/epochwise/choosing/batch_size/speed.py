"""Seconds an iteration takes at each batch size: what was measured, and a line through it.

An iteration costs t(B) = α + βB: α for what no sample causes (dispatch, the optimizer's
pass over the weights, a device's latency), β for each sample. Their ratio α/β, the knee,
is the batch size at which both cost the same: below it samples are nearly free.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from epochwise.data.samples import Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long an iteration takes at one batch size.

    Args:
        seconds: median of the repeats [s / iteration].
        spread: half the distance between their quartiles [s / iteration].
        repeats: how many segments were timed, after some that were not.
    """

    seconds: float
    spread: float
    repeats: int


def timings(rounds: Sequence[Mapping[int, float]]) -> dict[int, Timing]:
    """Return how long an iteration takes at each size, from rounds of one segment each.

    The segments of a round follow each other at once, so a busy moment of the machine
    slows all of them, and their ratio tells more than their seconds. A size takes the
    median of its ratios to the size that is in most rounds, times the median of that one.

    Args:
        rounds: seconds an iteration by batch size [s / iteration], all above 0.

    Example:
        >>> busy, quiet = {32: 3.0, 64: 6.0}, {32: 1.0}
        >>> found = timings([quiet, busy, quiet])
        >>> found[32].seconds, found[64].seconds
        (1.0, 2.0)
    """
    places = Counter(size for measured in rounds for size in measured)
    if not places:
        return {}
    most = max(places, key=lambda size: places[size])
    usual = statistics.median(measured[most] for measured in rounds if most in measured)
    found = {}
    for size in places:
        own = [measured for measured in rounds if size in measured]
        seconds = [usual * one[size] / one[most] for one in own if most in one]
        if size == most or not seconds:
            seconds = [one[size] for one in own]
        found[size] = _timing(seconds)
    return found


def _timing(repeats: Sequence[float]) -> Timing:
    """Median and spread."""
    spread = 0.0
    if len(repeats) > 1:
        low, _, high = statistics.quantiles(repeats, n=4, method="inclusive")
        spread = (high - low) / 2
    return Timing(seconds=statistics.median(repeats), spread=spread, repeats=len(repeats))


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedCurve:
    """t(B) = α + βB.

    Args:
        fixed: α [s / iteration]; 0 or more.
        per_sample: β [s / sample]; 0 or more.
        error: the largest relative deviation of a measured point from the line.

    Example:
        >>> SpeedCurve(fixed=1e-3, per_sample=1e-5, error=0.0).knee
        100.0
    """

    fixed: float
    per_sample: float
    error: float

    @property
    def knee(self) -> float:
        """α/β, where half of an iteration's time is its samples' [samples]."""
        return self.fixed / self.per_sample if self.per_sample else math.inf

    def seconds(self, batch_size: float) -> float:
        """Seconds an iteration at a batch size [s]."""
        return self.fixed + self.per_sample * batch_size

    def on_devices(self, devices: int) -> SpeedCurve:
        """Return the curve where each batch is shared by so many devices.

        Each device has its share of the samples; α stays. What the devices tell each
        other is not in it, so it is a bound from below.

        Example:
            >>> curve = SpeedCurve(fixed=1e-3, per_sample=1e-5, error=0.0)
            >>> curve.on_devices(4).knee
            400.0
        """
        return SpeedCurve(
            fixed=self.fixed, per_sample=self.per_sample / devices, error=self.error
        )

    def to_json(self) -> dict[str, float]:
        """Return α, β, the knee and the error by name."""
        return {
            "fixed_seconds": self.fixed,
            "seconds_per_sample": self.per_sample,
            "knee": self.knee,
            "error": self.error,
        }


def fit_speed(measured: Mapping[int, float]) -> SpeedCurve:
    """Return the line through measured iterations, least in relative error.

    One size alone gives a line through zero: that errs towards calling samples dear,
    which keeps a search from sizes that take long.

    Args:
        measured: seconds an iteration by batch size [s]; at least one, all above 0.

    Raises:
        ValueError: nothing was measured, or a time is not above 0.

    Example:
        >>> curve = fit_speed({10: 0.002, 100: 0.011, 1000: 0.101})
        >>> round(curve.fixed, 6), round(curve.per_sample, 6)
        (0.001, 0.0001)
    """
    if not measured or min(measured.values()) <= 0:
        raise ValueError(f"no curve goes through {dict(measured)}")
    sizes = np.array(list(measured), float)
    seconds = np.array(list(measured.values()), float)
    if len(measured) == 1:
        fixed, per_sample = 0.0, float(seconds[0] / sizes[0])
    else:
        fixed, per_sample = _least_relative(sizes, seconds)
    line = fixed + per_sample * sizes
    return SpeedCurve(
        fixed=fixed,
        per_sample=per_sample,
        error=float(np.max(np.abs(line / seconds - 1))),
    )


def _least_relative(sizes: Array, seconds: Array) -> tuple[float, float]:
    """Solve for α and β with neither negative; an end of the range where one would be."""
    columns = np.stack([1 / seconds, sizes / seconds], axis=1)
    ones = np.ones(len(sizes))
    fixed, per_sample = np.linalg.lstsq(columns, ones, rcond=None)[0]
    if fixed < 0:
        return 0.0, float(columns[:, 1].sum() / (columns[:, 1] ** 2).sum())
    if per_sample < 0:
        return float(columns[:, 0].sum() / (columns[:, 0] ** 2).sum()), 0.0
    return float(fixed), float(per_sample)
