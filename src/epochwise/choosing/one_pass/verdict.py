"""What the comparison says: does repeating hurt, pay, or is one pass enough?

Every statement is a difference of validation losses, paired by seed, with Student's t over
the seeds. A difference below 3% of the loss is none, however sure it is.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from epochwise.choosing.one_pass.measuring import Measured
from epochwise.choosing.one_pass.value import Curve, Part, half_life, worth_of_repeats

Verdict = Literal[
    "repeating hurts", "one pass is enough", "repeating pays", "it cannot be told"
]

RELEVANT = 0.03
"""Share of the loss that a difference must exceed to count."""

SURE = 0.8
"""What a verdict's confidence must reach to be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One size: K passes over a part, and at the same iteration one pass over fresh data.

    Args:
        unique: U, the samples of the part [samples].
        passes: K.
        once: the mean loss after one pass over the part.
        repeated: the same after K passes.
        fresh: the same after one pass over K·U fresh samples; `None` where there are none.
        gain: (once − repeated) / once, the mean over the seeds.
        error: its standard error.
        worth: of a repeated sample, in fresh ones; `None` where that cannot be told.
    """

    unique: int
    passes: int
    once: float
    repeated: float
    fresh: float | None
    gain: float
    error: float
    worth: float | None

    def to_json(self) -> dict[str, float | None]:
        """Return the fields by name."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Whether one pass over the data is enough.

    Args:
        verdict: what holds for these data, this network and this batch size.
        confidence: how sure it is, in [0, 1].
        samples: all that were trained on in one pass [samples].
        seeds: how many runs of each kind.
        comparisons: one for each part, the smallest first; the last is the whole.
        half_life: R*, the further passes after which a repeat is worth about a third of a
            fresh sample; `None` where the data do not tell.
        half_life_low: the lowest over the seeds, each left out in turn.
        half_life_high: the highest.
        more_data: (repeated − fresh) / repeated of the largest part: what fresh samples
            would bring beyond as many repeated ones.
        more_data_helps: whether that is more than 3% with a confidence of 80%.
    """

    verdict: Verdict
    confidence: float
    samples: int
    seeds: int
    comparisons: tuple[Comparison, ...]
    half_life: float | None
    half_life_low: float | None
    half_life_high: float | None
    more_data: float
    more_data_helps: bool

    def to_json(self) -> dict[str, Any]:
        """Return the answer as `epochwise worth --one-pass --json` prints it."""
        told: dict[str, Any] = {name: getattr(self, name) for name in self.__slots__}
        return told | {"comparisons": [each.to_json() for each in self.comparisons]}


def answer(measured: Measured) -> Answer:
    """Return what the runs say.

    - Repeating pays: a second pass over the whole lowers the loss by more than 3%.
    - Repeating hurts: it raises it by more than 3%, or most parts do when they are
      repeated, while the whole does not gain.
    - One pass is enough: a second one changes the loss by no more than 3%.

    The likeliest of the three is told, with its probability, if that is at least 0.8.

    Args:
        measured: runs of at least two seeds.
    """
    *parts, whole = measured.uniques
    gains = {unique: measured.gains(unique) for unique in measured.uniques}
    pays = probability_above(gains[whole], RELEVANT)
    harms = probability_above([-gain for gain in gains[whole]], RELEVANT)
    if parts:
        of_parts = statistics.median(
            probability_above([-gain for gain in gains[unique]], RELEVANT) for unique in parts
        )
        harms = max(harms, of_parts * (1 - pays))
    enough = max(0.0, 1 - pays - harms)
    verdicts: dict[Verdict, float] = {
        "repeating pays": pays,
        "repeating hurts": harms,
        "one pass is enough": enough,
    }
    likeliest = max(verdicts, key=lambda verdict: verdicts[verdict])
    confidence = verdicts[likeliest]
    more = measured.more_data()
    stretches = _half_lives(measured)
    return Answer(
        verdict=likeliest if confidence >= SURE else "it cannot be told",
        confidence=confidence,
        samples=whole,
        seeds=len(measured.seeds),
        comparisons=tuple(_comparison(measured, unique) for unique in measured.uniques),
        half_life=half_life(_parts(measured), _curve(measured)),
        half_life_low=min(stretches, default=None),
        half_life_high=max(stretches, default=None),
        more_data=statistics.fmean(more),
        more_data_helps=probability_above(more, RELEVANT) >= SURE,
    )


def probability_above(values: Sequence[float], bound: float) -> float:
    """Return how likely the mean behind the values is above a bound, by Student's t.

    Args:
        values: one a seed, at least two.
        bound: what the mean is compared with.

    Example:
        >>> probability_above([1.0, 1.2, 0.8], 0.5) > 0.95
        True
        >>> probability_above([0.5, 0.5], 0.5)
        0.5
    """
    from scipy.special import stdtr

    mean = statistics.fmean(values)
    error = statistics.stdev(values) / math.sqrt(len(values))
    if error == 0:
        return 0.5 + 0.5 * ((mean > bound) - (mean < bound))
    return float(stdtr(len(values) - 1, (mean - bound) / error))


def _comparison(measured: Measured, unique: int) -> Comparison:
    gains = measured.gains(unique)
    part = measured.part(unique)
    fresh = measured.fresh(unique)
    return Comparison(
        unique=unique,
        passes=len(part.losses),
        once=part.losses[0],
        repeated=part.losses[-1],
        fresh=None if fresh is None else statistics.fmean(fresh),
        gain=statistics.fmean(gains),
        error=statistics.stdev(gains) / math.sqrt(len(gains)),
        worth=None if fresh is None else worth_of_repeats(part, _curve(measured)),
    )


def _curve(measured: Measured, without: int | None = None) -> Curve:
    """Return the mean curve of one pass over fresh samples."""
    return Curve(
        samples=measured.marks,
        losses=tuple(
            statistics.fmean(measured.once(mark, without=without)) for mark in measured.marks
        ),
    )


def _parts(measured: Measured, without: int | None = None) -> list[Part]:
    """Return the mean losses of the parts that fresh samples are compared with."""
    return [measured.part(unique, without=without) for unique in measured.uniques[:-1]]


def _half_lives(measured: Measured) -> list[float]:
    """Return R* with each seed left out in turn."""
    found = (
        half_life(_parts(measured, without=seed), _curve(measured, without=seed))
        for seed in measured.seeds
        if len(measured.seeds) > 1
    )
    return [stretch for stretch in found if stretch is not None]
