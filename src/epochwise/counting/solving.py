"""Checking the numbers of a plan, and solving for the one that is missing.

Every problem is noted, not raised: `Plan` reports all of them together.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from epochwise.counting import counts
from epochwise.counting.counts import Remainder
from epochwise.counting.numbers import LARGEST, noted_whole_number, too_large
from epochwise.errors import PlanError, Problem

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
    exact = noted_epochs(epochs, problems)
    if problems:
        raise PlanError(problems)
    return exact


def optional_count(name: str, value: object, problems: list[Problem]) -> int | None:
    """Return the same for an argument that may be left out."""
    return None if value is None else noted_whole_number(name, value, problems)


def remainder_word(value: object, problems: list[Problem]) -> Remainder | None:
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


def noted_epochs(value: object, problems: list[Problem]) -> Fraction | None:
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
class Size:
    """The arguments that shape an epoch; `None` where one was refused or left out."""

    samples: int | None
    batch_size: int | None
    remainder: Remainder | None
    microbatch_size: int | None
    devices: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Length:
    """The arguments that say how long to train; `None` where refused or left out."""

    epochs: Fraction | None
    iterations: int | None
    samples_seen: int | None


def division_problems(size: Size) -> Iterator[Problem]:
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


def solve(size: Size, length: Length, problems: list[Problem]) -> int | None:
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
