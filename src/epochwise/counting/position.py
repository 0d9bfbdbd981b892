"""How much of a training is done, in epochs, iterations and samples.

A `Position` is what a run saves to go on from. It knows nothing of the plan: the
totals are arguments where people want to see them. The one-based numbers that people
read are made here and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from fractions import Fraction
from typing import Any

from epochwise.errors import RunError


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """A place between two iterations: everything before it is done.

    Between two epochs the finished epoch counts in `epochs_done`, and both
    `…_in_epoch_done` are 0. All counts are zero or more.

    Args:
        epochs_done: whole epochs finished [epochs].
        iterations_done: weight updates made since the start [iterations].
        iterations_in_epoch_done: those of the epoch under way [iterations].
        samples_done: samples trained on since the start, repeats counted [samples].
        samples_in_epoch_done: those of the epoch under way [samples].

    Raises:
        ValueError: a count is negative, or an epoch holds more than the whole.

    Example:
        >>> Position(epochs_done=1, iterations_done=2, samples_done=1000).shown(epochs=3)
        'epoch 1/3, iteration 2'
    """

    epochs_done: int = 0
    iterations_done: int = 0
    iterations_in_epoch_done: int = 0
    samples_done: int = 0
    samples_in_epoch_done: int = 0

    def __post_init__(self) -> None:
        """Refuse counts that no training can have."""
        if (
            self.epochs_done < 0
            or not 0 <= self.iterations_in_epoch_done <= self.iterations_done
            or not 0 <= self.samples_in_epoch_done <= self.samples_done
        ):
            raise ValueError(f"no training can be at {self}")

    def after_iterations(self, *, iterations: int, samples: int) -> Position:
        """Return the position after more iterations of the epoch under way.

        For data whose length is unknown; a `Plan` knows its positions outright.

        Args:
            iterations: how many were made [iterations].
            samples: how many samples they held together [samples].

        Example:
            >>> START.after_iterations(iterations=2, samples=20).iterations_in_epoch_done
            2
        """
        return replace(
            self,
            iterations_done=self.iterations_done + iterations,
            iterations_in_epoch_done=self.iterations_in_epoch_done + iterations,
            samples_done=self.samples_done + samples,
            samples_in_epoch_done=self.samples_in_epoch_done + samples,
        )

    def after_epoch(self) -> Position:
        """Return the position once the epoch under way has turned out to be complete.

        Example:
            >>> START.after_iterations(iterations=2, samples=20).after_epoch().epochs_done
            1
        """
        return replace(
            self,
            epochs_done=self.epochs_done + 1,
            iterations_in_epoch_done=0,
            samples_in_epoch_done=0,
        )

    def epochs_done_fraction(self, iterations_per_epoch: int | None) -> Fraction | None:
        """Tell the epochs done, the one under way as its share of iterations.

        Args:
            iterations_per_epoch: M [iterations / epoch]; `None` while nobody knows,
                as in the first pass over data of unknown length.

        Returns:
            epochs_done + iterations_in_epoch_done / M, exact [epochs]; `None` where
            that needs an M that is not known.

        Example:
            Ten batches an epoch, which only the end of the first pass tells.

            >>> under_way = START.after_iterations(iterations=10, samples=40)
            >>> under_way.epochs_done_fraction(None) is None
            True
            >>> under_way.after_epoch().epochs_done_fraction(10)
            Fraction(1, 1)
        """
        if iterations_per_epoch is not None:
            return self.epochs_done + Fraction(
                self.iterations_in_epoch_done, iterations_per_epoch
            )
        if self.epochs_done and not self.iterations_in_epoch_done:
            return Fraction(self.epochs_done)
        return None

    def shown(
        self, *, epochs: Fraction | int | None = None, iterations: int | None = None
    ) -> str:
        """Tell people where the training is, counting from one.

        The epoch named is that of the latest finished iteration, so that the last
        line of an epoch still bears its number.

        Args:
            epochs: the plan's total, `None` when unknown [epochs]; a part of an epoch
                counts as one more.
            iterations: the plan's total, `None` when unknown [iterations].

        Example:
            >>> here = Position(epochs_done=3, iterations_done=2814, samples_done=180_000)
            >>> here.shown(epochs=5, iterations=4690)
            'epoch 3/5, iteration 2,814/4,690'
            >>> START.shown(epochs=5)
            'epoch 1/5, iteration 0'
        """
        closed = self.epochs_done > 0 and self.iterations_in_epoch_done == 0
        epoch = self.epochs_done if closed else self.epochs_done + 1
        of_epochs = "" if epochs is None else f"/{math.ceil(epochs):,}"
        of_iterations = "" if iterations is None else f"/{iterations:,}"
        return f"epoch {epoch:,}{of_epochs}, iteration {self.iterations_done:,}{of_iterations}"

    def to_json(self) -> dict[str, int]:
        """Return the counts by name, as a record keeps them."""
        return asdict(self)

    @classmethod
    def from_json(cls, counts: Mapping[str, Any]) -> Position:
        """Read back what `to_json` gave.

        Raises:
            RunError: a count is missing, unknown, no integer or impossible.

        Example:
            >>> Position.from_json(START.to_json()) == START
            True
        """
        names = {field.name for field in fields(cls)}
        whole = all(type(count) is int for count in counts.values())
        try:
            if set(counts) != names or not whole:
                raise ValueError(f"expected one integer for each of {sorted(names)}")
            return cls(**counts)
        except ValueError as error:
            raise RunError(
                f"The recorded position {dict(counts)} cannot be read: {error}.",
                "go on from an older checkpoint, or start the run again.",
            ) from error


START = Position()
"""The place before the first iteration."""
