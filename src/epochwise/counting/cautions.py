"""What a plan allows and people seldom mean: said before anything runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

SHORT = 8
"""A last batch is called short when each of its samples counts as this many others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caution:
    """Something about a plan that is possible but seldom meant.

    Args:
        note: a few words, for a table.
        sentence: what it is, what follows, and what to use instead.
    """

    note: str
    sentence: str


class Counts(Protocol):
    """The numbers of a `Plan` that are looked at here."""

    @property
    def samples(self) -> int: ...  # noqa: D102
    @property
    def batch_size(self) -> int: ...  # noqa: D102
    @property
    def microbatch_size(self) -> int | None: ...  # noqa: D102
    @property
    def devices(self) -> int: ...  # noqa: D102
    @property
    def iterations(self) -> int: ...  # noqa: D102
    @property
    def iterations_per_epoch(self) -> int: ...  # noqa: D102
    @property
    def last_batch_size(self) -> int: ...  # noqa: D102
    @property
    def dropped_per_epoch(self) -> int: ...  # noqa: D102


def cautions(plan: Counts) -> Iterator[Caution]:
    """Yield what is possible with a plan and seldom meant."""
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


def _last_batch_cautions(plan: Counts) -> Iterator[Caution]:
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


def _leaves_single_microbatch(plan: Counts) -> bool:
    """Tell whether a batch of several samples is cut so that one goes alone."""
    size = plan.microbatch_size
    if size is None or size == 1:
        return False
    full = min(plan.batch_size, plan.samples)
    return any(batch > 1 and batch % size == 1 for batch in (full, plan.last_batch_size))


def _sizes_without_single(plan: Counts) -> Iterator[int]:
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


def even_sizes(plan: Counts) -> Iterator[int]:
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
