"""Numbers from outside, of Python, NumPy or a framework, checked in one place.

A count is exact: whatever has an integer's value by itself (`operator.index`) is one, a
float or a truth value is none.
"""

from __future__ import annotations

import math
import operator
from fractions import Fraction
from numbers import Real
from typing import Any

from epochwise.errors import PlanError, Problem

LARGEST = 10**30
"""No count may exceed this; far beyond any training, it only stops a slip of the hand."""


def whole_number(
    name: str, value: Any, *, least: int = 1, most: int = LARGEST, remedy: str | None = None
) -> int:
    """Return a whole number in `least..most` as Python's own.

    Args:
        name: of the argument, for messages.
        value: what was given.
        least: the smallest that is allowed.
        most: the largest.
        remedy: what to type instead; `None` to name a number near by.

    Raises:
        PlanError: it is none.

    Example:
        >>> import numpy as np
        >>> whole_number("epochs", np.int64(3))
        3
        >>> whole_number("epochs", 2.5)
        Traceback (most recent call last):
        ...
        epochwise.errors.PlanError: epochs=2.5 is not a whole number.
          Remedy: use epochs=2 or epochs=3.
    """
    problems: list[Problem] = []
    number = noted_whole_number(name, value, problems, least=least, most=most)
    if number is None:
        raise PlanError(problems if remedy is None else [Problem(problems[0].what, remedy)])
    return number


def noted_whole_number(
    name: str, value: Any, problems: list[Problem], *, least: int = 1, most: int = LARGEST
) -> int | None:
    """Return the same, or note why it is none and return `None`."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        problem = _not_whole(name, value, least)
    elif abs(number) > LARGEST:
        problem = too_large(name)
    elif not least <= number <= most:
        side, bound, beyond = (
            ("less", least, "more") if number < least else ("more", most, "less")
        )
        problem = Problem(
            f"{name}={number} is {side} than {bound}.", f"use {name}={bound} or {beyond}."
        )
    else:
        return number
    if most < LARGEST:
        remedy = f"use a whole number from {least} to {most} for {name}."
        problem = Problem(problem.what, remedy)
    problems.append(problem)
    return None


def hold_whole_numbers(
    settings: object, *names: str, least: int = 1, remedy: str | None = None
) -> None:
    """Check fields of a frozen object that is being made, and hold them as Python's numbers.

    Args:
        settings: whose fields they are; those that are `None` stay so.
        names: of the fields.
        least: the smallest that is allowed.
        remedy: what to type instead; `None` to name a number near by.

    Raises:
        PlanError: some are none; all of these are told together.
    """
    problems: list[Problem] = []
    for name in names:
        value = getattr(settings, name)
        if value is not None:
            number = noted_whole_number(name, value, problems, least=least)
            object.__setattr__(settings, name, number)
    if problems and remedy is not None:
        problems = [Problem(problem.what, remedy) for problem in problems]
    if problems:
        raise PlanError(problems)


def real_number(value: Any) -> float | None:
    """Return a number as Python's own, a whole one as an integer; `None` if it is none.

    Example:
        >>> import numpy as np
        >>> real_number(np.float32(0.5)), real_number(np.int8(3)), real_number("3")
        (0.5, 3, None)
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return float(value)


def too_large(name: str) -> Problem:
    """Say that a count is more than any training has."""
    return Problem(
        f"{name} lies beyond 10^30, more than any training has.",
        f"use a smaller {name}, {name}=1 or more.",
    )


def _not_whole(name: str, value: object, least: int) -> Problem:
    """Say why a value is no count, and name the whole numbers next to it."""
    if isinstance(value, (float, Fraction)) and least <= value <= LARGEST:
        below, above = math.floor(value), math.ceil(value)
        if below == above:
            return Problem(
                f"{name}={value!r} is a {type(value).__name__}; counts are exact integers.",
                f"use {name}={below}.",
            )
        return Problem(
            f"{name}={value!r} is not a whole number.",
            f"use {name}={below} or {name}={above}.",
        )
    return Problem(
        f"{name}={value!r} is not a whole number of at least {least}.",
        f"give {name} as an integer, {name}={least} or more.",
    )
