"""How noisy the gradient of a batch is, estimated from gradients of parts of it.

The gradient of one sample has mean G and covariance Σ over the data. Two numbers tell
what a larger batch can gain: Σ's trace, the noise that averaging removes, and |G|², what
remains when it is removed. Their ratio, the noise scale, is a batch size: below it twice
the samples nearly halve the iterations, above it they hardly help.

Both are estimated without bias from the same gradients. A ratio of estimates is not, so
numerator and denominator are averaged apart over all draws and divided last.

References:
    McCandlish et al. 2018, arXiv:1812.06162, appendix A.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import numpy as np

from epochwise.data.samples import Array

Number: TypeAlias = float | Fraction
"""The estimators are plain arithmetic, so exact numbers give exact estimates."""

CONFIDENCE = 0.95
"""How often an interval holds the true value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseDraw:
    """What one set of gradients, taken at the same weights, tells.

    Args:
        trace: estimate of tr Σ, the variance of one sample's gradient over all its
            entries; at least 0 but for rounding.
        square: estimate of |G|²; may be negative where the noise hides it.
    """

    trace: Number
    square: Number


def from_microbatches(
    sizes: Sequence[int], squares: Sequence[Number], mean_square: Number
) -> NoiseDraw:
    """Estimate tr Σ and |G|² from the gradients of the parts of one batch.

    With parts of nᵢ samples, N = Σnᵢ, wᵢ = nᵢ/N and the batch's gradient ḡ = Σwᵢgᵢ:
    tr Σ = N/(k − 1)·(Σ wᵢ|gᵢ|² − |ḡ|²) and |G|² = |ḡ|² − tr Σ/N, each without bias.

    Args:
        sizes: nᵢ of the k parts [samples]; they may be unequal.
        squares: |gᵢ|², the squared norm of each part's mean gradient.
        mean_square: |ḡ|², that of the whole batch.

    Raises:
        ValueError: there are fewer than two parts, or not one square for each.

    Example:
        Two samples with gradients 1 and 3: mean 2, variance 2.

        >>> from_microbatches([1, 1], [1.0, 9.0], 4.0)
        NoiseDraw(trace=2.0, square=3.0)

    References:
        McCandlish et al. 2018, arXiv:1812.06162, appendix A.1, for equal parts.
    """
    if len(sizes) < 2 or len(sizes) != len(squares) or min(sizes) < 1:
        raise ValueError(f"{len(sizes)} parts and {len(squares)} squares tell no noise")
    total = sum(sizes)
    weighted = sum(size * square for size, square in zip(sizes, squares, strict=True)) / total
    trace = (weighted - mean_square) * total / (len(sizes) - 1)
    return NoiseDraw(trace=trace, square=mean_square - trace / total)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with the interval that holds the true one in 95 of 100 cases.

    Args:
        value: the estimate itself.
        low: the lower end.
        high: the upper end; infinity where the data set no bound.
    """

    value: float
    low: float
    high: float

    def to_json(self) -> list[float]:
        """Return value, low and high."""
        return [self.value, self.low, self.high]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseScale:
    """The noise of a model's gradients at one moment of its training.

    Args:
        trace: tr Σ.
        square: |G|².
        scale: B_noise = tr Σ/|G|² [samples]; infinite where |G|² cannot be told from 0.
        draws: how many sets of gradients went in.
    """

    trace: Estimate
    square: Estimate
    scale: Estimate
    draws: int

    def to_json(self) -> dict[str, object]:
        """Return the three estimates, each as value, low and high, and the draws."""
        return {
            "trace": self.trace.to_json(),
            "square": self.square.to_json(),
            "scale": self.scale.to_json(),
            "draws": self.draws,
        }


def noise_scale(draws: Sequence[NoiseDraw]) -> NoiseScale:
    """Combine draws at the same weights: averaged apart, divided last.

    The interval of the ratio is Fieller's: all ratios r for which the mean of
    trace − r·square does not differ from 0 by more than chance. It is right where |G|²
    is small beside its own error; it is open above where 0 cannot be excluded.

    Args:
        draws: of independent batches, two or more.

    Returns:
        The noise scale; its estimates are 0 or more.

    Raises:
        ValueError: there are fewer than two draws.

    Example:
        >>> draws = [NoiseDraw(trace=t, square=1.0) for t in (90.0, 110.0, 100.0)]
        >>> noise_scale(draws).scale.value
        100.0

    References:
        Fieller 1954, Some problems in interval estimation, JRSS B 16(2).
    """
    count = len(draws)
    if count < 2:
        raise ValueError(f"{count} draws tell no interval")
    traces = np.array([float(draw.trace) for draw in draws])
    squares = np.array([float(draw.square) for draw in draws])
    from scipy.special import stdtrit  # a fifth of a second, which only a search needs

    quantile = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2))
    covariance = np.cov(traces, squares) / count
    trace = _mean(traces, covariance[0, 0], quantile)
    square = _mean(squares, covariance[1, 1], quantile)
    value = trace.value / square.value if square.value > 0 else math.inf
    low, high = _fieller(float(traces.mean()), float(squares.mean()), covariance, quantile)
    scale = Estimate(value=value, low=min(low, value), high=max(high, value))
    return NoiseScale(trace=trace, square=square, scale=scale, draws=count)


def _mean(values: Array, variance: float, quantile: float) -> Estimate:
    """The mean of a number that is never negative, with Student's interval."""
    mean, reach = float(values.mean()), quantile * math.sqrt(variance)
    return Estimate(
        value=max(0.0, mean), low=max(0.0, mean - reach), high=max(0.0, mean + reach)
    )


def _fieller(
    above: float, below: float, covariance: Array, quantile: float
) -> tuple[float, float]:
    """The ends of the interval of above/below, within 0 and infinity.

    They solve (above − r·below)² = q²·(v₁₁ − 2r·v₁₂ + r²·v₂₂) for r.
    """
    squared = quantile**2
    a = float(below**2 - squared * covariance[1, 1])
    b = float(above * below - squared * covariance[0, 1])
    c = float(above**2 - squared * covariance[0, 0])
    inside = float(b * b - a * c)
    if inside < 0:  # every ratio is possible
        return 0.0, math.inf
    root = math.sqrt(inside)
    if a <= 0 or below <= 0:  # the square may be 0: no bound above
        return (b - root) / a if a < 0 < c else 0.0, math.inf
    return max(0.0, (b - root) / a), max(0.0, (b + root) / a)
