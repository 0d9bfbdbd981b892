r"""How much of a fresh sample a repeated one is worth: arithmetic on losses.

A network trained for K passes over U samples is as good as one that saw D fresh samples
once. Reading D off the loss after one pass over n samples, n being any number, gives the
value of the repeats. Repeating loses value as it goes on:

    D = U + U·R*·(1 − e^(−R/R*)),  R = K − 1 further passes

with R* the number of further passes after which a repeat is worth about a third of a
fresh sample.

References:
    Muennighoff et al. 2023, arXiv:2305.16264, equation 5; R* = 15.4 for language models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

_LEAST, _MOST = 1e-3, 1e3
"""Between these R* is looked for: no worth at all, and as good as fresh."""

_STEPS_PER_DECADE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The validation loss after one pass over so many samples.

    Args:
        samples: n, ascending [samples].
        losses: one for each.
    """

    samples: tuple[int, ...]
    losses: tuple[float, ...]

    def samples_for(self, loss: float) -> float | None:
        """Return how many fresh samples give a loss, between two points over log n.

        The curve is taken at its lowest so far, so that it only falls.

        Args:
            loss: of a network trained in some other way.

        Returns:
            The samples, at most those of the last point; those of the first for a loss
            above its; `None` for a curve that does not fall.

        Example:
            >>> curve = Curve(samples=(100, 200, 400), losses=(0.8, 0.6, 0.5))
            >>> curve.samples_for(0.6), round(curve.samples_for(0.7))
            (200.0, 141)
            >>> curve.samples_for(0.9), curve.samples_for(0.1)
            (100.0, 400.0)
        """
        falling = [min(self.losses[: place + 1]) for place in range(len(self.losses))]
        if falling[-1] >= falling[0]:
            return None
        if loss >= falling[0]:
            return float(self.samples[0])
        for (few, above), (many, below) in pairwise(zip(self.samples, falling, strict=True)):
            if below <= loss < above:
                share = (above - loss) / (above - below)
                return float(few * (many / few) ** share)
        return float(self.samples[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the data, repeated.

    Args:
        unique: U [samples].
        losses: after each pass, the first included.
    """

    unique: int
    losses: tuple[float, ...]


def worth_of_repeats(part: Part, curve: Curve) -> float | None:
    """Return the worth of a repeated sample, on average over all further passes.

    (D − U) / (R·U): 1 where repeats did as fresh samples would have, 0 where they did
    nothing or harm.

    Args:
        part: repeated at least once.
        curve: of one pass over fresh samples.

    Returns:
        Within [0, 1]; `None` where the curve does not tell, because it does not fall.

    Example:
        Two passes over 100 do as well as 180 fresh samples: a repeat is worth 0.8 of one.

        >>> curve = Curve(samples=(100, 180, 400), losses=(0.8, 0.6, 0.5))
        >>> round(worth_of_repeats(Part(unique=100, losses=(0.8, 0.6)), curve), 3)
        0.8
    """
    effective = curve.samples_for(part.losses[-1])
    if effective is None:
        return None
    further = len(part.losses) - 1
    worth = (effective - part.unique) / (further * part.unique)
    return min(1.0, max(0.0, worth))


def half_life(parts: Sequence[Part], curve: Curve) -> float | None:
    """Return R*, by least squares over the logarithms of D, on a grid of 50 a decade.

    Args:
        parts: repeated at least once; every pass of theirs after the first counts.
        curve: of one pass over fresh samples.

    Returns:
        R*, within 0.001 (no worth) and 1,000 (as good as fresh); `None` where the curve
        does not tell.

    Example:
        >>> curve = Curve(samples=(100, 200, 400, 800), losses=(0.8, 0.6, 0.4, 0.2))
        >>> as_fresh = Part(unique=100, losses=(0.8, 0.6, 0.4831, 0.4))
        >>> half_life([as_fresh], curve) > 100
        True
        >>> useless = Part(unique=100, losses=(0.8, 0.8, 0.8))
        >>> half_life([useless], curve) < 0.01
        True
    """
    found: list[tuple[int, int, float]] = []
    for part in parts:
        for further, loss in enumerate(part.losses[1:], start=1):
            effective = curve.samples_for(loss)
            if effective is not None:
                found.append((part.unique, further, math.log(max(effective, part.unique))))
    if not found:
        return None
    count = round(_STEPS_PER_DECADE * math.log10(_MOST / _LEAST))
    grid = [_LEAST * (_MOST / _LEAST) ** (step / count) for step in range(count + 1)]
    best: float = min(grid, key=lambda stretch: _misfit(stretch, found))
    return best


def _misfit(stretch: float, found: Sequence[tuple[int, int, float]]) -> float:
    """Return the squared differences of log D from the formula's."""
    return sum(
        (math.log(unique * (1 + stretch * -math.expm1(-further / stretch))) - seen) ** 2
        for unique, further, seen in found
    )
