"""What a training will be, in exact numbers, before anything runs.

`Plan` is where counts from outside come in: it checks them all, solves for the one
that is missing, and reports every problem at once. It reads no data, runs nothing and
costs the same for ten samples as for 10^15. The arithmetic itself is in `counts`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, SupportsIndex, TypedDict, Unpack, cast

from epochwise import counts
from epochwise.counts import Remainder
from epochwise.errors import PlanError, Problem, RunError
from epochwise.numbers import LARGEST, noted_whole_number, too_large
from epochwise.position import Position

SHORT = 8
"""A last batch is called short when each of its samples counts as this many others."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Caution:
    """Something about a plan that is possible but seldom meant.

    Args:
        note: a few words, for a table.
        sentence: what it is, what follows, and what to use instead.
    """

    note: str
    sentence: str


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
        size = _Size(
            samples=noted_whole_number("samples", samples, problems),
            batch_size=noted_whole_number("batch_size", batch_size, problems),
            remainder=_remainder(remainder, problems),
            microbatch_size=_optional_count("microbatch_size", microbatch_size, problems),
            devices=noted_whole_number("devices", devices, problems),
        )
        length = _Length(
            epochs=_epochs(epochs, problems),
            iterations=_optional_count("iterations", iterations, problems),
            samples_seen=_optional_count("samples_seen", samples_seen, problems),
        )
        if epochs is None and iterations is None and samples_seen is None:
            problems.append(
                Problem(
                    "Nothing says how long to train.",
                    "give one of epochs=1, iterations=1000 or samples_seen=60000, with "
                    "your number.",
                )
            )
        problems.extend(_division_problems(size))
        solved = _solve(size, length, problems)
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
        return tuple(_cautions(self))

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
        sizes = {base // 4, base // 2, base, base * 2, base * 4, *_even_sizes(self)}
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


# Checking one argument.


def exact_epochs(epochs: object) -> Fraction | None:
    """Return a number of epochs as an exact fraction; `None` where there is none.

    Raises:
        PlanError: they are not a whole number or a fraction above 0.

    Example:
        >>> exact_epochs(3), exact_epochs(Fraction(5, 2))
        (Fraction(3, 1), Fraction(5, 2))
    """
    problems: list[Problem] = []
    exact = _epochs(epochs, problems)
    if problems:
        raise PlanError(problems)
    return exact


def _optional_count(name: str, value: object, problems: list[Problem]) -> int | None:
    """Return the same for an argument that may be left out."""
    return None if value is None else noted_whole_number(name, value, problems)


def _remainder(value: object, problems: list[Problem]) -> Remainder | None:
    """Return one of the two words, or note that it is neither."""
    if value == "keep":
        return "keep"
    if value == "drop":
        return "drop"
    problems.append(
        Problem(
            f"remainder={value!r} is neither of the two words.",
            'use remainder="keep" or remainder="drop".',
        )
    )
    return None


def _epochs(value: object, problems: list[Problem]) -> Fraction | None:
    """Return the epochs as an exact fraction above 0, or note why they are none."""
    if value is None:
        return None
    if not isinstance(value, Fraction):
        if isinstance(value, float) and 0 < value <= LARGEST:
            exact = Fraction(repr(float(value)))
            problems.append(
                Problem(
                    f"epochs={value!r} is neither a whole number nor a fraction.",
                    f"use {_epochs_argument(exact)}.",
                )
            )
            return None
        number = noted_whole_number("epochs", value, problems)
        return None if number is None else Fraction(number)
    if max(abs(value.numerator), value.denominator) > LARGEST:
        problems.append(too_large("epochs"))
        return None
    if value <= 0:
        problems.append(
            Problem(f"{_epochs_argument(value)} is not more than 0.", "use epochs=1 or more.")
        )
        return None
    return value


def _epochs_argument(epochs: Fraction) -> str:
    """Return the epochs as one types them."""
    return f"epochs={epochs if epochs.denominator == 1 else repr(epochs)}"


# Checking and solving them together.


@dataclass(frozen=True, slots=True, kw_only=True)
class _Size:
    """The arguments that shape an epoch; `None` where one was refused or left out."""

    samples: int | None
    batch_size: int | None
    remainder: Remainder | None
    microbatch_size: int | None
    devices: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Length:
    """The arguments that say how long to train; `None` where refused or left out."""

    epochs: Fraction | None
    iterations: int | None
    samples_seen: int | None


def _division_problems(size: _Size) -> Iterator[Problem]:
    """Yield what is wrong with the way a batch is divided."""
    batch_size, microbatch_size, devices = size.batch_size, size.microbatch_size, size.devices
    if batch_size is not None and devices is not None and batch_size % devices:
        yield Problem(
            f"batch_size={batch_size} does not divide over devices={devices}.",
            f"use {_multiples('batch_size', batch_size, devices)}, or "
            f"devices={math.gcd(batch_size, devices)}.",
        )
    if microbatch_size is None:
        return
    if batch_size is not None and microbatch_size > batch_size:
        yield Problem(
            f"microbatch_size={microbatch_size} exceeds batch_size={batch_size}.",
            f"use microbatch_size={batch_size} or less, or batch_size={microbatch_size}.",
        )
    elif devices is not None and microbatch_size % devices:
        yield Problem(
            f"microbatch_size={microbatch_size} does not divide over devices={devices}.",
            f"use {_multiples('microbatch_size', microbatch_size, devices, batch_size)}; it "
            "is counted over all devices together.",
        )


def _multiples(name: str, value: int, of: int, at_most: int | None = None) -> str:
    """Name the multiples next to a value, without 0."""
    below = value - value % of
    named = [
        f"{name}={number}"
        for number in (below, below + of)
        if number and (at_most is None or number <= at_most)
    ]
    return " or ".join(named or [f"{name}=None"])


def _solve(size: _Size, length: _Length, problems: list[Problem]) -> int | None:
    """Return the iterations that the length given makes, or note why there are none."""
    if size.samples is None or size.batch_size is None or size.remainder is None:
        return None
    shape = (size.samples, size.batch_size, size.remainder)
    try:
        per_epoch = counts.iterations_per_epoch(*shape)
    except PlanError as error:
        problems.extend(error.problems)
        return None
    claims: list[tuple[str, int]] = []
    if length.epochs is not None:
        asked = length.epochs * per_epoch
        name = _epochs_argument(length.epochs)
        if asked.denominator == 1:
            claims.append((name, asked.numerator))
        else:
            problems.append(_between_iterations(name, asked, per_epoch))
    if length.iterations is not None:
        claims.append((f"iterations={length.iterations}", length.iterations))
    if length.samples_seen is not None:
        seen = length.samples_seen
        epochs_done, into_epoch = divmod(seen, counts.samples_per_epoch(*shape))
        iterations_done, into_batch = divmod(into_epoch, size.batch_size)
        below = epochs_done * per_epoch + iterations_done
        if into_batch:
            problems.append(_between_samples(seen, below, *shape))
        else:
            claims.append((f"samples_seen={seen}", below))
    if len({iterations for _, iterations in claims}) > 1:
        problems.append(_disagreement(claims, per_epoch))
    return claims[0][1] if claims else None


def _between_iterations(name: str, asked: Fraction, per_epoch: int) -> Problem:
    """Say that the epochs asked for end inside an iteration, and name those that do not."""
    reachable = [count for count in (math.floor(asked), math.ceil(asked)) if count]
    return Problem(
        f"{name} would be {asked} iterations at {per_epoch:,} an epoch, and only whole "
        "iterations can run.",
        "use "
        + " or ".join(
            f"iterations={count} ({_epochs_argument(Fraction(count, per_epoch))})"
            for count in reachable
        )
        + ".",
    )


def _between_samples(
    seen: int, below: int, samples: int, batch_size: int, remainder: Remainder
) -> Problem:
    """Say that the samples asked for end inside a batch, and name those that do not."""
    reachable = [
        counts.samples_done_after(count, samples, batch_size, remainder)
        for count in (below, below + 1)
        if count
    ]
    return Problem(
        f"samples_seen={seen} ends inside a batch: no whole number of iterations at "
        f"batch_size={batch_size} makes it.",
        f"use {' or '.join(f'samples_seen={count}' for count in reachable)}.",
    )


def _disagreement(claims: list[tuple[str, int]], per_epoch: int) -> Problem:
    """Say what each of the lengths given would make."""
    each = " and ".join(f"{name} ({count:,} iterations)" for name, count in claims)
    return Problem(
        f"{each} disagree, at {per_epoch:,} iterations an epoch.",
        f"give only one of them: {' or '.join(name for name, _ in claims)}.",
    )


# What to be careful about.


def _cautions(plan: Plan) -> Iterator[Caution]:
    batch_size, samples, last = plan.batch_size, plan.samples, plan.last_batch_size
    if batch_size >= samples > 1:
        held = (
            "One batch holds the whole training set"
            if batch_size == samples
            else f"batch_size={batch_size} exceeds the training set, so one batch holds it all"
        )
        yield Caution(
            note="one iteration an epoch",
            sentence=f"{held} ({samples:,} samples): the weights change once an epoch, and "
            "shuffling changes nothing; use a smaller batch_size.",
        )
    elif last < batch_size and plan.iterations >= plan.iterations_per_epoch:
        yield from _last_batch_cautions(plan)
    if _leaves_single_microbatch(plan):
        yield Caution(
            note="a microbatch of one sample",
            sentence=f"With microbatch_size={plan.microbatch_size} a batch ends on a "
            "microbatch of 1 sample, where BatchNormalization has no variance; use a "
            "microbatch_size that divides the batch.",
        )
    if plan.dropped_per_epoch * 10 > samples:
        yield Caution(
            note=f"{plan.dropped_per_epoch:,} samples dropped",
            sentence=f"Each epoch leaves out {plan.dropped_per_epoch:,} of {samples:,} "
            f'samples; use remainder="keep" or a batch_size that leaves less over.',
        )


def _last_batch_cautions(plan: Plan) -> Iterator[Caution]:
    """Yield what is wrong with a last batch that is not full."""
    last, batch_size, devices = plan.last_batch_size, plan.batch_size, plan.devices
    if last == 1:
        sizes = [f"batch_size={size}" for size in _sizes_without_single(plan)]
        remedies = " or ".join([*sizes, 'remainder="drop"'])
        yield Caution(
            note="a last batch of one sample",
            sentence="The last batch of each epoch holds 1 sample: BatchNormalization has no "
            f"variance there, and the sample counts as much as the {batch_size:,} of any "
            f"other batch; use {remedies}.",
        )
    elif last * SHORT <= batch_size:
        yield Caution(
            note="a very short last batch",
            sentence=f"The last batch of each epoch holds {last:,} samples, which together "
            f"count as much as the {batch_size:,} of any other batch; use another batch_size "
            'or remainder="drop".',
        )
    if last > 1 and last % devices:
        yield Caution(
            note="a last batch uneven over devices",
            sentence=f"The last batch of each epoch, {last:,} samples, does not divide over "
            f"{devices:,} devices, so some get fewer samples; every mean stays over samples.",
        )


def _leaves_single_microbatch(plan: Plan) -> bool:
    """Tell whether a batch of several samples is cut so that one goes alone."""
    size = plan.microbatch_size
    if size is None or size == 1:
        return False
    full = min(plan.batch_size, plan.samples)
    return any(batch > 1 and batch % size == 1 for batch in (full, plan.last_batch_size))


def _sizes_without_single(plan: Plan) -> Iterator[int]:
    """Yield the batch sizes next below and above that end on no single sample.

    A batch size B > 1 ends on one sample exactly where B divides N - 1. Consecutive
    multiples of the devices that all divide N - 1 are few (their least common multiple
    would exceed it), so each search is short for any N.
    """
    smallest = max(2, plan.microbatch_size or 2)
    below = range(plan.batch_size - plan.devices, smallest - 1, -plan.devices)
    above = range(plan.batch_size + plan.devices, plan.samples + 1, plan.devices)
    for sizes in (below, above):
        found = next((size for size in sizes if plan.samples % size != 1), None)
        if found is not None:
            yield found


def _even_sizes(plan: Plan) -> Iterator[int]:
    """Yield the batch sizes next below and above that leave no remainder.

    Looked for between half and double the batch size, at most 1,000 either way, so
    that the answer costs the same for any plan.
    """
    tries = 1000 * plan.devices
    lowest = max(plan.batch_size // 2, plan.batch_size - tries, 1)
    highest = min(plan.batch_size * 2, plan.batch_size + tries)
    below = range(plan.batch_size - plan.devices, lowest, -plan.devices)
    above = range(plan.batch_size + plan.devices, highest, plan.devices)
    for sizes in (below, above):
        found = next((size for size in sizes if plan.samples % size == 0), None)
        if found is not None:
            yield found
