"""What a search for a batch size needs of a training, and nothing more.

A branch is a training that was begun at some weights with one pair of batch size and
learning rate, and can be carried on. The search sees numbers only; what runs them may be
an engine, or arithmetic in a test.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Protocol

from epochwise.choosing.batch_size.speed import Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A batch size with the learning rate that it is trained with.

    Args:
        batch_size: [samples / iteration].
        learning_rate: of the optimizer; `None` where a schedule of its own sets it.
    """

    batch_size: int
    learning_rate: float | None

    def __str__(self) -> str:
        """Return the pair for a sentence.

        Example:
            >>> print(Pair(batch_size=64, learning_rate=0.002))
            batch size 64 with learning rate 0.002
        """
        if self.learning_rate is None:
            return f"batch size {self.batch_size:,}"
        return f"batch size {self.batch_size:,} with learning rate {self.learning_rate:.3g}"


SMOOTHED = 3
"""Looks that are averaged: one alone tells more of the last few batches than of progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """The metric after some iterations.

    Args:
        iterations: done since the branch began [iterations].
        value: the metric, turned so that lower is better; infinite once training
            diverged.
    """

    iterations: int
    value: float


def rounded_rate(rate: float) -> float:
    """Return a learning rate with three digits, as people would write it.

    Example:
        >>> rounded_rate(0.0452548339)
        0.0453
    """
    return float(f"{rate:.3g}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Branch:
    """A training with one pair, as far as it has come.

    Args:
        pair: batch size and rate.
        values: the engine's: weights, optimizer, metrics; `None` once it was given up.
        looks: the metric so far, the first one at iteration 0.
        curve: the same smoothed: each value is the mean of it and the two before it;
            the first, before any training, stays as it is and is averaged with no other.
        best: the lowest smoothed value.
        place: zero-based (epoch, iteration in it) of the next iteration's samples.
    """

    pair: Pair
    values: Any
    looks: tuple[Look, ...]
    curve: tuple[Look, ...]
    best: float
    place: tuple[int, int] = (0, 0)

    @classmethod
    def begun(
        cls, pair: Pair, values: Any, value: float, place: tuple[int, int] = (0, 0)
    ) -> Branch:
        """Return a branch before its first iteration.

        Args:
            pair: what it is trained with.
            values: the engine's.
            value: the metric there, turned so that lower is better.
            place: see `Branch`.
        """
        looks = (Look(iterations=0, value=value),)
        return cls(pair=pair, values=values, looks=looks, curve=looks, best=value, place=place)

    def after(
        self, iterations: int, value: float, values: Any, place: tuple[int, int] = (0, 0)
    ) -> Branch:
        """Return the branch with one more look.

        Args:
            iterations: done since the branch began [iterations].
            value: the metric now.
            values: the engine's now.
            place: see `Branch`.

        Example:
            >>> branch = Branch.begun(Pair(batch_size=8, learning_rate=0.1), None, 9.0)
            >>> branch = branch.after(10, 4.0, None).after(20, 2.0, None)
            >>> [look.value for look in branch.curve]
            [9.0, 4.0, 3.0]
        """
        looks = (*self.looks, Look(iterations=iterations, value=value))
        averaged = [look.value for look in looks[1:][-SMOOTHED:]]
        smooth = Look(iterations=iterations, value=sum(averaged) / len(averaged))
        return replace(
            self,
            values=values,
            looks=looks,
            curve=(*self.curve, smooth),
            best=min(self.best, smooth.value),
            place=place,
        )

    @property
    def iterations(self) -> int:
        """Iterations done [iterations]."""
        return self.looks[-1].iterations

    @property
    def diverged(self) -> bool:
        """Whether a loss was not finite."""
        return math.isinf(self.looks[-1].value)

    def reached(self, level: float) -> float | None:
        """Return the iterations after which the smoothed metric was first at a level.

        Between the last look above it and the first at it or below, the metric is taken
        to go in a straight line.

        Returns:
            Iterations, not whole; `None` if it has not got there.

        Example:
            >>> branch = Branch.begun(Pair(batch_size=8, learning_rate=0.1), None, 4.0)
            >>> branch.after(10, 2.0, None).reached(3.0)
            5.0
        """
        before = self.curve[0]
        for look in self.curve:
            if look.value <= level:
                fall = before.value - look.value
                share = (before.value - level) / fall if fall > 0 else 0.0
                return before.iterations + share * (look.iterations - before.iterations)
            before = look
        return None


class Trial(Protocol):
    """Runs branches."""

    def ready(self, batch_size: int) -> Timing:
        """Make a size ready and return how long an iteration takes.

        The first call for a size compiles it, runs it and times it; later ones return
        the time as all runs since then tell it.

        Raises:
            MemoryError: or another error that `is_out_of_memory` knows: it does not fit.
        """

    def cost(self, batch_size: int) -> float:
        """Seconds that `ready` is expected to take the first time; 0 once it did [s]."""

    def begin(self, pair: Pair) -> Branch:
        """Begin a branch at the weights that the model had."""

    def fork(self, branch: Branch, pair: Pair) -> Branch:
        """Begin a branch with another pair where a branch has come to."""

    def advance(self, branch: Branch, iterations: int) -> Branch:
        """Carry a branch on to so many iterations in all, then look at the metric."""
