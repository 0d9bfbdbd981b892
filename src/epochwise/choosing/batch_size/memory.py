"""How large a batch fits: the search for it.

The search believes nothing but trials: it returns a size that was run, or an error with
what was measured. An error of any other kind ends it at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from epochwise.engines.memory import free_host_bytes, is_out_of_memory
from epochwise.errors import ModelError

LEAST_ITERATIONS = 2
"""Iterations of a trial: the first makes what the optimizer keeps, the second meets it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One size that was tried.

    Args:
        batch_size: [samples].
        fits: whether it ran.
        iterations: weight updates that it made [iterations]; 0 where it did not fit.
        memory_bytes: what it takes, by the compiler's analysis or as measured; `None`
            where nobody can tell.
    """

    batch_size: int
    fits: bool
    iterations: int = 0
    memory_bytes: int | None = None


class SizeTrial(Protocol):
    """Trains a few iterations at a size, from values that it leaves as they were."""

    def __call__(self, batch_size: int) -> Tried:
        """Run `LEAST_ITERATIONS` or more with the longest samples, and say what it took.

        A size that would take more than the memory allowed is not run: `fits` is false.

        Raises:
            MemoryError: or another error that `is_out_of_memory` knows: it does not fit.
            Exception: anything else is a fault of the model, and ends the search.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What a search for the largest batch found.

    Args:
        batch_size: the largest that was run [samples].
        tried: all sizes, in the order they were tried.
        limit: what stopped it: `memory`, the `whole set`, the `ceiling` or number of
            `trials` that was asked for.
    """

    batch_size: int
    tried: tuple[Tried, ...]
    limit: Literal["memory", "whole set", "ceiling", "trials"]


def largest_batch(
    trial: SizeTrial,
    *,
    samples: int,
    start: int = 16,
    ceiling: int | None = None,
    trials: int = 24,
    refine: bool = False,
) -> Search:
    """Find the largest batch that fits, by running it.

    Sizes are doubled while they fit and halved while none did; with `refine` the gap
    between the largest that fits and the smallest that does not is then bisected. Every
    trial forms its batch anew.

    Args:
        trial: runs a size.
        samples: N, the training set's size; no batch is larger [samples].
        start: the size tried first [samples].
        ceiling: the largest size of interest [samples].
        trials: most sizes tried.
        refine: whether sizes between powers of two are tried.

    Returns:
        A search whose size is among those that ran.

    Raises:
        ModelError: not even one sample fits; the error tells what was measured.
        ValueError: a trial that fits has made fewer iterations than it has to.
    """
    top = samples if ceiling is None else min(samples, ceiling)
    tried: list[Tried] = []

    def fits(size: int) -> bool:
        tried.append(_try(trial, size))
        return tried[-1].fits

    size, good, bad = min(start, top), 0, top + 1
    while len(tried) < trials and good < size < bad:
        if fits(size):
            good = size
            size = min(2 * size, top) if bad > top else good
        else:
            bad = size
            size = good or max(size // 2, 1)
    while refine and good and len(tried) < trials and bad - good > 1 and bad <= top:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    if not good:
        raise _nothing_fits(tried)
    undecided = refine and bad - good > 1
    if bad <= top and not undecided:
        limit: Literal["memory", "whole set", "ceiling", "trials"] = "memory"
    elif good < top:
        limit = "trials"
    else:
        limit = "whole set" if top == samples else "ceiling"
    return Search(batch_size=good, tried=tuple(tried), limit=limit)


def _try(trial: SizeTrial, size: int) -> Tried:
    """Run one size; an error that means "out of memory" is an answer."""
    try:
        result = trial(size)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return Tried(batch_size=size, fits=False)
    if result.fits and result.iterations < LEAST_ITERATIONS:
        raise ValueError(f"a trial of {size} samples made {result.iterations} iterations")
    return result


def _nothing_fits(tried: Sequence[Tried]) -> ModelError:
    """The error when no size ran, with what each needed."""
    needed = ", ".join(
        f"{one.batch_size} ({amount(one.memory_bytes)})"
        if one.memory_bytes
        else str(one.batch_size)
        for one in tried
    )
    free = free_host_bytes()
    beside = "" if free is None else f" {amount(free)} of the computer's memory are free."
    smaller = tried[-1].batch_size // 2
    if smaller:
        return ModelError(
            f"No batch fits in memory; tried were {needed}.{beside}",
            f"start smaller, with sizes=[{smaller}], or use a smaller model.",
        )
    return ModelError(
        f"Not even 1 sample fits in memory; tried were batches of {needed}.{beside}",
        "use a smaller model or smaller samples, or free memory.",
    )


def amount(bytes_: float) -> str:
    """Return bytes as people read them.

    Example:
        >>> amount(1_500_000_000), amount(2_000)
        ('1.5 GB', '2 kB')
    """
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if bytes_ >= size:
            return f"{bytes_ / size:.3g} {unit}"
    return f"{bytes_:.0f} bytes"
