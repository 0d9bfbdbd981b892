"""What the verbs that train check before a framework is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from epochwise.counting.plan import Plan
from epochwise.data import sources
from epochwise.data.split import check_share
from epochwise.errors import EpochwiseError, PlanError, Problem

_ANY_SAMPLES = 10**15
"""Stands for the number of samples while it is not known: any plan fits in so many."""


@contextmanager
def together() -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Yield a function that makes a check; raise at the end what all of them found.

    The function returns what the check returned, `None` where it found a problem.

    Raises:
        EpochwiseError: of the kind of the first problem, with all problems.
    """
    errors: list[EpochwiseError] = []

    def check(made: Callable[[], Any]) -> Any:
        try:
            return made()
        except EpochwiseError as error:
            errors.append(error)
            return None

    yield check
    if errors:
        raise type(errors[0])([problem for error in errors for problem in error.problems])


def check_data(data: str) -> None:
    """Refuse what is neither a name nor there; files are read later."""
    if data not in sources.NAMES and not Path(data).exists():
        sources.load(data)


def check_split(validation_split: float | None) -> None:
    """Refuse what is no share."""
    if validation_split is not None:
        check_share(validation_split)


def check_seed(seed: int) -> None:
    """Refuse a seed that the order does not take."""
    if not 0 <= seed < 2**64:
        raise PlanError(
            f"seed={seed} is not in 0 to 2**64 - 1.", "use seed=0 or another small number."
        )


def check_counts(
    batch_size: int, epochs: int | None, iterations: int | None, microbatch_size: int | None
) -> None:
    """Refuse counts that no number of samples makes possible."""
    lengths: list[tuple[int | None, int | None]] = [(epochs, None), (None, iterations)]
    problems: list[Problem] = []
    for epochs_alone, iterations_alone in lengths:
        if epochs_alone is None and iterations_alone is None:
            continue
        try:
            Plan(
                samples=_ANY_SAMPLES,
                batch_size=batch_size,
                epochs=epochs_alone,
                iterations=iterations_alone,
                microbatch_size=microbatch_size,
            )
        except PlanError as error:
            problems.extend(found for found in error.problems if found not in problems)
    if problems:
        raise PlanError(problems)
