"""What a training will be, in exact numbers, before anything runs.

`Plan` is where counts from outside come in: it checks them all, solves for the one
that is missing, and reports every problem at once. It reads no data, runs nothing and
costs the same for ten samples as for 10^15. The arithmetic itself is in `counts`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, SupportsIndex, TypedDict, Unpack, cast

from epochwise.counting import counts
from epochwise.counting.cautions import Caution, cautions, even_sizes
from epochwise.counting.counts import Remainder
from epochwise.counting.numbers import noted_whole_number
from epochwise.counting.position import Position
from epochwise.counting.solving import (
    Length,
    Size,
    division_problems,
    noted_epochs,
    optional_count,
    remainder_word,
    solve,
)
from epochwise.errors import PlanError, Problem, RunError


class PlanChanges(TypedDict, total=False):
    """What `Plan.replace` takes: the arguments of `Plan`, all optional."""

    samples: SupportsIndex
    batch_size: SupportsIndex
    epochs: SupportsIndex | Fraction | None
    iterations: SupportsIndex | None
    samples_seen: SupportsIndex | None
    remainder: Remainder
    microbatch_size: SupportsIndex | None
    devices: SupportsIndex


@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class Plan:
    """How many iterations a training has, and what is in each of them.

    Samples and batch size are given, and the length as epochs, iterations or samples
    seen; the other two follow. Several may be given where they agree. Sizes are over
    all devices together.

    What counts is kept in iterations, since only whole iterations can run. `epochs` is
    their exact ratio, iterations / iterations_per_epoch, so a training of 10 iterations
    with 4 an epoch has 5/2 epochs, and 5/2 epochs give back the 10 iterations. Inside an
    epoch that is the share of its iterations; `samples_seen` tells the samples.

    Args:
        samples: N, the training set's size [samples]; at least 1.
        batch_size: B, samples per weight update over all devices [samples / iteration].
            With the remainder kept it may exceed N: each epoch is one batch of N.
        epochs: passes over the data [epochs]; whole, or a `Fraction` that makes whole
            iterations.
        iterations: weight updates in all [iterations].
        samples_seen: samples trained on in all, repeats counted [samples].
        remainder: `"keep"` trains on the N mod B left-over samples as a last, smaller
            batch; `"drop"` leaves them out of that epoch.
        microbatch_size: samples that go through the network at once, over all devices
            [samples]; `None` for the whole batch. It changes none of the other counts.
        devices: how many share each batch evenly [devices].

    Raises:
        PlanError: the numbers cannot be, or disagree; all problems are told together.

    Example:
        >>> plan = Plan(samples=1000, batch_size=500, epochs=3)
        >>> plan.iterations_per_epoch, plan.iterations, plan.samples_seen
        (2, 6, 3000)
        >>> Plan(samples=1000, batch_size=300, iterations=10).epochs
        Fraction(5, 2)
    """

    samples: int
    batch_size: int
    iterations: int
    remainder: Remainder
    microbatch_size: int | None
    devices: int

    def __init__(
        self,
        *,
        samples: SupportsIndex,
        batch_size: SupportsIndex,
        epochs: SupportsIndex | Fraction | None = None,
        iterations: SupportsIndex | None = None,
        samples_seen: SupportsIndex | None = None,
        remainder: Remainder = "keep",
        microbatch_size: SupportsIndex | None = None,
        devices: SupportsIndex = 1,
    ) -> None:
        """Check every number and solve for the missing ones."""
        problems: list[Problem] = []
        size = Size(
            samples=noted_whole_number("samples", samples, problems),
            batch_size=noted_whole_number("batch_size", batch_size, problems),
            remainder=remainder_word(remainder, problems),
            microbatch_size=optional_count("microbatch_size", microbatch_size, problems),
            devices=noted_whole_number("devices", devices, problems),
        )
        length = Length(
            epochs=noted_epochs(epochs, problems),
            iterations=optional_count("iterations", iterations, problems),
            samples_seen=optional_count("samples_seen", samples_seen, problems),
        )
        if epochs is None and iterations is None and samples_seen is None:
            problems.append(
                Problem(
                    "Nothing says how long to train.",
                    "give one of epochs=1, iterations=1000 or samples_seen=60000, with "
                    "your number.",
                )
            )
        problems.extend(division_problems(size))
        solved = solve(size, length, problems)
        if problems:
            raise PlanError(problems)
        for name, value in (
            ("samples", size.samples),
            ("batch_size", size.batch_size),
            ("iterations", solved),
            ("remainder", size.remainder),
            ("microbatch_size", size.microbatch_size),
            ("devices", size.devices),
        ):
            object.__setattr__(self, name, value)

    # The training as a whole.

    @property
    def epochs(self) -> Fraction:
        """Passes over the data, iterations / iterations_per_epoch, exact [epochs]."""
        return Fraction(self.iterations, self.iterations_per_epoch)

    @property
    def samples_seen(self) -> int:
        """Samples trained on in all, repeats counted [samples]."""
        return self._samples_done_after(self.iterations)

    # An epoch.

    @property
    def iterations_per_epoch(self) -> int:
        """M, the weight updates in one pass over the data [iterations / epoch]."""
        return counts.iterations_per_epoch(self.samples, self.batch_size, self.remainder)

    @property
    def last_batch_size(self) -> int:
        """Samples in the batch that closes an epoch, whether the plan gets there or not."""
        return counts.last_batch_size(self.samples, self.batch_size, self.remainder)

    @property
    def dropped_per_epoch(self) -> int:
        """Samples that each epoch leaves out [samples / epoch]."""
        return counts.dropped_per_epoch(self.samples, self.batch_size, self.remainder)

    # A batch.

    @property
    def microbatches_per_batch(self) -> int:
        """Parts in which a full batch goes through the network [microbatches]."""
        return counts.microbatches(min(self.batch_size, self.samples), self.microbatch_size)

    @property
    def microbatches_in_last_batch(self) -> int:
        """Parts of the batch that closes an epoch [microbatches]."""
        return counts.microbatches(self.last_batch_size, self.microbatch_size)

    @property
    def per_device_batch_size(self) -> int:
        """Samples of a full batch on each device, batch_size / devices [samples]."""
        return self.batch_size // self.devices

    # Any place in it.

    def batch_size_of(self, iteration_index: SupportsIndex) -> int:
        """Count the samples that one iteration trains on.

        Args:
            iteration_index: zero-based, over the whole training.

        Returns:
            Samples in its batch [samples], in 1..batch_size.

        Raises:
            PlanError: the plan has no such iteration.

        Example:
            >>> plan = Plan(samples=10, batch_size=4, epochs=2)
            >>> [plan.batch_size_of(index) for index in range(plan.iterations)]
            [4, 4, 2, 4, 4, 2]
        """
        index = self._checked("iteration_index", iteration_index, self.iterations)
        return counts.batch_size_of(index, self.samples, self.batch_size, self.remainder)

    def epoch_of(self, iteration_index: SupportsIndex) -> int:
        """Tell the zero-based epoch that an iteration belongs to.

        Args:
            iteration_index: zero-based, over the whole training.

        Raises:
            PlanError: the plan has no such iteration.

        Example:
            >>> Plan(samples=10, batch_size=4, epochs=2).epoch_of(3)
            1
        """
        index = self._checked("iteration_index", iteration_index, self.iterations)
        return counts.epoch_of(index, self.iterations_per_epoch)[0]

    def iterations_in_epoch(self, epoch_index: SupportsIndex) -> int:
        """Count the iterations planned in one epoch; only the last can be partial.

        Args:
            epoch_index: zero-based.

        Returns:
            Iterations [iterations], in 1..iterations_per_epoch.

        Raises:
            PlanError: the plan has no such epoch.

        Example:
            >>> plan = Plan(samples=10, batch_size=4, iterations=5)
            >>> plan.iterations_in_epoch(0), plan.iterations_in_epoch(1)
            (3, 2)
        """
        index = self._checked("epoch_index", epoch_index, math.ceil(self.epochs))
        per_epoch = self.iterations_per_epoch
        return min(per_epoch, self.iterations - index * per_epoch)

    def samples_done_after(self, iterations_done: SupportsIndex) -> int:
        """Count the samples trained on once some iterations are done.

        Args:
            iterations_done: in 0..iterations [iterations].

        Returns:
            Samples, repeats counted, in 0..samples_seen [samples].

        Raises:
            PlanError: the plan has fewer iterations.

        Example:
            >>> Plan(samples=10, batch_size=4, epochs=2).samples_done_after(4)
            14
        """
        return self._samples_done_after(
            self._checked("iterations_done", iterations_done, self.iterations + 1)
        )

    def position(self, iterations_done: SupportsIndex) -> Position:
        """Return the place between two iterations, all counts filled in.

        Args:
            iterations_done: in 0..iterations [iterations].

        Raises:
            PlanError: the plan has fewer iterations.

        Example:
            >>> plan = Plan(samples=60_000, batch_size=64, epochs=5)
            >>> plan.position(2814).shown(epochs=plan.epochs, iterations=plan.iterations)
            'epoch 3/5, iteration 2,814/4,690'
        """
        done = self._checked("iterations_done", iterations_done, self.iterations + 1)
        epochs_done, in_epoch_done = counts.epoch_of(done, self.iterations_per_epoch)
        return Position(
            epochs_done=epochs_done,
            iterations_done=done,
            iterations_in_epoch_done=in_epoch_done,
            samples_done=self._samples_done_after(done),
            samples_in_epoch_done=in_epoch_done * self.batch_size,
        )

    # What to think about it.

    @property
    def cautions(self) -> tuple[Caution, ...]:
        """What is possible here but seldom meant, each as a note and as a sentence."""
        return tuple(cautions(self))

    @property
    def warnings(self) -> tuple[str, ...]:
        """The sentences of `cautions`.

        Example:
            >>> [warning] = Plan(samples=1001, batch_size=4, epochs=1).warnings
            >>> warning.partition(":")[0]
            'The last batch of each epoch holds 1 sample'
            >>> Plan(samples=1001, batch_size=7, epochs=1).warnings
            ()
        """
        return tuple(caution.sentence for caution in self.cautions)

    @property
    def neighbours(self) -> tuple[Plan, ...]:
        """One epoch at batch sizes nearby, this one among them, the smallest first.

        They are its quarter, half, double and fourfold, and next to it the sizes that
        leave no remainder; all divide over the devices and none exceeds the set.

        Example:
            >>> plan = Plan(samples=1000, batch_size=64, epochs=1)
            >>> [neighbour.batch_size for neighbour in plan.neighbours]
            [16, 32, 50, 64, 100, 128, 256]
        """
        base = min(self.batch_size, self.samples)
        sizes = {base // 4, base // 2, base, base * 2, base * 4, *even_sizes(self)}
        near = {size - size % self.devices for size in sizes}
        near = {size for size in near if 1 <= size <= self.samples} | {self.batch_size}
        return tuple(
            Plan(
                samples=self.samples,
                batch_size=size,
                epochs=1,
                remainder=self.remainder,
                microbatch_size=self._microbatch_size_within(size),
                devices=self.devices,
            )
            for size in sorted(near)
        )

    # Change, and keeping.

    def replace(self, **changes: Unpack[PlanChanges]) -> Plan:
        """Return the plan with some arguments changed, and as many epochs as before.

        Where the change names a length (`epochs`, `iterations`, `samples_seen`), that
        replaces the epochs.

        Raises:
            PlanError: the changed plan cannot be, for example because the old epochs
                make no whole iterations at the new batch size.

        Example:
            >>> plan = Plan(samples=1000, batch_size=500, epochs=3)
            >>> plan.replace(batch_size=250).iterations
            12
            >>> plan.replace(iterations=2).epochs
            Fraction(1, 1)
        """
        arguments: PlanChanges = {
            "samples": self.samples,
            "batch_size": self.batch_size,
            "remainder": self.remainder,
            "microbatch_size": self.microbatch_size,
            "devices": self.devices,
        }
        if not changes.keys() & {"epochs", "iterations", "samples_seen"}:
            arguments["epochs"] = self.epochs
        return Plan(**cast("Any", {**arguments, **changes}))

    def to_json(self) -> dict[str, int | str | None]:
        """Return the plan as a record and the command line give it.

        Returns:
            Exactly the keys below; `epochs` is a number when whole, else `"a/b"`.

        Example:
            >>> plan = Plan(samples=10, batch_size=4, iterations=4)
            >>> for key, value in plan.to_json().items():
            ...     print(key, value)
            samples 10
            batch_size 4
            epochs 4/3
            remainder keep
            microbatch_size None
            devices 1
            iterations_per_epoch 3
            iterations 4
            last_batch_size 2
            samples_seen 14
            dropped_per_epoch 0
        """
        epochs = self.epochs
        return {
            "samples": self.samples,
            "batch_size": self.batch_size,
            "epochs": epochs.numerator if epochs.denominator == 1 else str(epochs),
            "remainder": self.remainder,
            "microbatch_size": self.microbatch_size,
            "devices": self.devices,
            "iterations_per_epoch": self.iterations_per_epoch,
            "iterations": self.iterations,
            "last_batch_size": self.last_batch_size,
            "samples_seen": self.samples_seen,
            "dropped_per_epoch": self.dropped_per_epoch,
        }

    @classmethod
    def from_json(cls, recorded: Mapping[str, Any]) -> Plan:
        """Read back what `to_json` gave, and check that its numbers still belong together.

        Raises:
            RunError: a key is missing or unknown, or a number is not what follows from
                the others.

        Example:
            >>> plan = Plan(samples=10, batch_size=4, iterations=4)
            >>> Plan.from_json(plan.to_json()) == plan
            True
        """
        given = (
            "samples",
            "batch_size",
            "iterations",
            "remainder",
            "microbatch_size",
            "devices",
        )
        remedy = "start the run again, with a plan of its own."
        if missing := [name for name in given if name not in recorded]:
            raise RunError(f"The recorded plan has no {', '.join(missing)}.", remedy)
        try:
            plan = cls(**{name: recorded[name] for name in given})
        except PlanError as error:
            what = " ".join(problem.what for problem in error.problems)
            raise RunError(f"The recorded plan cannot be: {what}", remedy) from error
        if (restated := plan.to_json()) != dict(recorded):
            same = {key for key, value in restated.items() if recorded.get(key, "") == value}
            wrong = sorted((restated.keys() | recorded.keys()) - same)
            raise RunError(
                f"The recorded plan contradicts itself in {', '.join(wrong)}; its sizes and "
                f"iterations make {restated}.",
                remedy,
            )
        return plan

    # Shared by the above.

    def _samples_done_after(self, iterations_done: int) -> int:
        return counts.samples_done_after(
            iterations_done, self.samples, self.batch_size, self.remainder
        )

    def _microbatch_size_within(self, batch_size: int) -> int | None:
        if self.microbatch_size is None or self.microbatch_size > batch_size:
            return None
        return self.microbatch_size

    def _checked(self, name: str, value: SupportsIndex, end: int) -> int:
        """Return a place asked for, if the plan has it: one in 0..end-1."""
        index = operator.index(value)
        if not 0 <= index < end:
            raise PlanError(
                f"{name}={index} is outside the plan of {self.iterations:,} iterations.",
                f"use {name}=0 to {name}={end - 1}.",
            )
        return index
