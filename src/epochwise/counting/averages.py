"""Means over samples: numerator and denominator kept apart, divided last.

Unequal batches, microbatches and devices are weighted by what they hold. The sums are
exact, so the mean does not depend on the order or the grouping in which the parts come.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from epochwise.errors import RunError


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleMean:
    r"""The mean ∑ᵢ nᵢ·vᵢ / ∑ᵢ nᵢ of values vᵢ that stand for nᵢ samples each.

    A float is a whole number times a power of two, so both sums are kept as exact
    fractions and rounded once, in `mean`. Adding one value at a time, in another order,
    or as merged parts gives the same bits.

    Args:
        total: ∑ nᵢ·vᵢ over the finite values, exact.
        weight: ∑ nᵢ, exact [samples].
        nonfinite: the sum of the values that are not finite: 0.0 while there is none,
            then infinity or NaN, which the mean takes on.

    Example:
        Three samples in batches of two: losses of 10 over two samples and 9 over one.

        >>> SampleMean().add(10.0, 2).add(9.0, 1).mean == 29 / 3
        True
    """

    total: Fraction = Fraction(0)
    weight: Fraction = Fraction(0)
    nonfinite: float = 0.0

    def add(self, value: float, weight: float) -> SampleMean:
        """Return the mean with one more value in it.

        Args:
            value: the mean over the samples it stands for; NaN and infinity are kept.
            weight: how many samples, or their total sample weight [samples]. A value
                of weight 0 stands for nothing and changes nothing, even if it is NaN.

        Raises:
            ValueError: the weight is negative or not finite.

        Example:
            >>> SampleMean().add(4.0, 3).add(float("nan"), 0).mean
            4.0
        """
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"a value cannot stand for {weight} samples")
        if weight == 0:
            return self
        held, number = Fraction(weight), float(value)
        finite = math.isfinite(number)
        return SampleMean(
            total=self.total + (Fraction(number) * held if finite else 0),
            weight=self.weight + held,
            nonfinite=self.nonfinite + (0.0 if finite else number),
        )

    def merge(self, other: SampleMean) -> SampleMean:
        """Return the mean over the samples of both.

        Example:
            >>> SampleMean().add(10.0, 2).merge(SampleMean().add(9.0, 1)).mean == 29 / 3
            True
        """
        return SampleMean(
            total=self.total + other.total,
            weight=self.weight + other.weight,
            nonfinite=self.nonfinite + other.nonfinite,
        )

    @property
    def mean(self) -> float:
        """The mean, rounded once to the nearest float; NaN when it is over no samples."""
        if not self.weight:
            return math.nan
        return float(self.total / self.weight) + self.nonfinite

    def to_json(self) -> dict[str, str]:
        """Return the exact sums as text, so that a resumed mean has the same bits.

        Example:
            >>> SampleMean().add(0.5, 3).to_json()
            {'total': '3/2', 'weight': '3', 'nonfinite': '0.0'}
        """
        return {
            "total": str(self.total),
            "weight": str(self.weight),
            "nonfinite": repr(self.nonfinite),
        }

    @classmethod
    def from_json(cls, recorded: Mapping[str, Any]) -> SampleMean:
        """Read back what `to_json` gave.

        Raises:
            RunError: a sum is missing or no number.

        Example:
            >>> half = SampleMean().add(0.5, 3)
            >>> SampleMean.from_json(half.to_json()) == half
            True
        """
        try:
            return cls(
                total=Fraction(recorded["total"]),
                weight=Fraction(recorded["weight"]),
                nonfinite=float(recorded["nonfinite"]),
            )
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            raise RunError(
                f"The recorded mean {dict(recorded)} cannot be read: {error!r}.",
                "go on from an older checkpoint, or start the run again.",
            ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class LogMean:
    """A number that a step of the user's logs for each batch, averaged over samples.

    Args:
        mean: of what was logged.
        tracked: whether a metric of the model has said every one of these numbers; what
            that metric says of all of them then counts, and not the mean.

    Example:
        >>> LogMean.of(4.0, 3).merge(LogMean.of(8.0, 1, tracked=True)).mean.mean
        5.0
    """

    mean: SampleMean
    tracked: bool

    @classmethod
    def of(cls, value: float, samples: int, *, tracked: bool = False) -> LogMean:
        """Return what was logged of one batch of so many samples."""
        return cls(mean=SampleMean().add(value, samples), tracked=tracked)

    def merge(self, other: LogMean) -> LogMean:
        """Return the mean over the batches of both."""
        return LogMean(mean=self.mean.merge(other.mean), tracked=self.tracked and other.tracked)

    def to_json(self) -> dict[str, Any]:
        """Return it as numbers and text; see `SampleMean.to_json`."""
        return {**self.mean.to_json(), "tracked": self.tracked}

    @classmethod
    def from_json(cls, recorded: Mapping[str, Any]) -> LogMean:
        """Read back what `to_json` gave.

        Example:
            >>> half = LogMean.of(0.5, 3)
            >>> LogMean.from_json(half.to_json()) == half
            True
        """
        return cls(mean=SampleMean.from_json(recorded), tracked=bool(recorded["tracked"]))


def merged_logs(
    first: Mapping[str, LogMean], more: Mapping[str, LogMean]
) -> dict[str, LogMean]:
    """Return the means of the logs of both, by name."""
    both = {name: mean.merge(more[name]) for name, mean in first.items() if name in more}
    return {**first, **more, **both}


def averaged(metrics: Mapping[str, float], logs: Mapping[str, LogMean]) -> dict[str, float]:
    """Return metrics with the mean of each log that no metric of the model says.

    Example:
        >>> averaged({"loss": 0.5, "gap": 3.0}, {"gap": LogMean.of(2.0, 4)})
        {'loss': 0.5, 'gap': 2.0}
    """
    means = {name: log.mean.mean for name, log in logs.items() if not log.tracked}
    return {**metrics, **means}
