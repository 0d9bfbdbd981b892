"""A plan walked through, for a training loop that somebody else writes.

Owns what an iteration of a plan is: its place, its samples and the share of them that one
process trains on. It trains nothing and holds no data, so it serves a loop in PyTorch,
JAX, NumPy or anything else; the loop indexes its own arrays.

    for batch in iterate(plan, seed=0):
        train_on(x[batch.indices], y[batch.indices])
        save(batch.after)

Whatever the loop does, iteration i of epoch e has the same samples: they follow from
(seed, epoch, N) alone. So a loop goes on at any place by naming it, and any number of
processes see the parts of one global order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from epochwise.counting.plan import Plan
from epochwise.counting.position import START, Position
from epochwise.data.order import Indices, Order, position_seed, shard
from epochwise.errors import PlanError, Problem

_BLOCK_INDICES = 1 << 14
"""About how many indices are made at once, so that each costs little and few are held."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Iteration:
    """One weight update: which samples it is made from, and where it stands.

    The gradient of the batch is the sum over its samples divided by `batch_size`. That is
    exact for any microbatches and any shards: divide each part's own sum by `batch_size`
    and add up the parts and the processes. (Averaging over D processes, as
    `DistributedDataParallel` does, divides by D once more; multiply the loss by D.)

    Args:
        epoch_index: zero-based.
        iteration_index: zero-based, over the whole training.
        indices: the samples of this shard of the batch, in order; shape `(n,)`, int64.
        sample_weights: 1 for each of them and 0 for padding; shape `(n,)`, float32.
        batch_size: samples in the batch over all shards, padding left out [samples].
        padding: indices that stand in for none, over all shards [samples].
        microbatches: the parts in which these indices go through the network, as slices
            of `indices`, or of the arrays gathered by them.
        before: the place before this iteration.
        after: the place once its update is made: what a loop saves to go on from.
        closes_epoch: whether the epoch ends with it.
        seed: the run's.
    """

    epoch_index: int
    iteration_index: int
    indices: Indices
    sample_weights: npt.NDArray[np.float32]
    batch_size: int
    padding: int
    microbatches: tuple[slice, ...]
    before: Position
    after: Position
    closes_epoch: bool
    seed: int

    @property
    def epoch(self) -> int:
        """The number of the epoch as people count, from one."""
        return self.epoch_index + 1

    @property
    def iteration(self) -> int:
        """The number of the iteration as people count, from one over the whole training."""
        return self.iteration_index + 1

    def random_seed(self, purpose: str) -> int:
        """Return the seed of this iteration's random numbers, such as dropout's.

        A loop that seeds its generator with it draws the same numbers here whether or
        not it was interrupted before.

        Args:
            purpose: what the numbers are for; different words give unrelated seeds.

        Returns:
            A whole number from 0 to 2**64 - 1.

        Example:
            >>> first = next(iterate(Plan(samples=10, batch_size=4, epochs=2), seed=0))
            >>> first.random_seed("dropout")
            9010024253856865667
        """
        return position_seed(self.seed, purpose, self.iteration_index)


def iterate(
    plan: Plan,
    *,
    seed: int = 0,
    position: Position = START,
    shuffle: bool = True,
    shards: int = 1,
    shard_index: int = 0,
    pad: bool = False,
) -> Iterator[Iteration]:
    """Yield the iterations of a plan from a position on, each with its samples.

    They are made lazily; memory does not grow with the number of samples. Nothing is
    remembered between two calls: the same arguments give the same iterations.

    Args:
        plan: how many iterations there are, and of how many samples.
        seed: keys the order, 0 to 2**64 - 1.
        position: what is done already; the `after` of the last iteration trained.
        shuffle: whether each epoch is a new permutation; else the order of the data.
        shards: D, how many processes share each batch.
        shard_index: which of them this is, 0 to D - 1.
        pad: where a batch does not divide over the shards, make all parts as long as the
            longest, by repeating the batch's first sample with weight 0. Else the parts
            differ by one sample, the longer ones first.

    Returns:
        An iterator of `plan.iterations - position.iterations_done` iterations. With any D
        the parts of one iteration are disjoint and make up the same batch.

    Raises:
        PlanError: the position is not one of this plan, there is no such shard, the
            microbatches do not divide over the shards, or a shard would get no sample.

    Example:
        Ten samples at four an iteration; the run goes on after its fourth iteration.

        >>> plan = Plan(samples=10, batch_size=4, epochs=2)
        >>> for batch in iterate(plan, seed=0, position=plan.position(4)):
        ...     print(batch.epoch, batch.iteration, batch.indices, batch.closes_epoch)
        2 5 [7 2 5 6] False
        2 6 [9 0] True
    """
    if not isinstance(plan, Plan):
        raise PlanError(
            f"iterate() was given a {type(plan).__name__} in place of a plan.",
            "pass a plan: iterate(Plan(samples=1000, batch_size=50, epochs=3)).",
        )
    check_position(plan, position)
    share = Share(shards=shards, shard_index=shard_index, pad=pad)
    share.check(plan)
    order = Order(samples=plan.samples, seed=seed, shuffle=shuffle)
    return _iterations(plan, order, position, share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Which part of each batch one of several processes trains on.

    Args:
        shards: D, how many processes share each batch.
        shard_index: which of them this is, 0 to D - 1.
        pad: whether all parts of a batch are made as long as the longest.

    Raises:
        PlanError: there is no such shard.
    """

    shards: int = 1
    shard_index: int = 0
    pad: bool = False

    def __post_init__(self) -> None:
        """Refuse a shard that is not there."""
        shard(1, self.shards, self.shard_index)

    def check(self, plan: Plan) -> None:
        """Refuse a plan whose batches leave a shard without a sample.

        Raises:
            PlanError: they do, or its microbatches do not divide over the shards; both
                are told together.
        """
        problems = []
        size, shards = plan.microbatch_size, self.shards
        if size is not None and size % shards:
            problems.append(
                Problem(
                    f"microbatch_size={size} does not divide over shards={shards}.",
                    f"use microbatch_size={size + shards - size % shards}; it is counted "
                    "over all shards together.",
                )
            )
        smallest = plan.batch_size_of(0)
        if plan.iterations >= plan.iterations_per_epoch:
            smallest = min(smallest, plan.last_batch_size)
        if smallest < shards and not self.pad:
            problems.append(
                Problem(
                    f"A batch of {smallest} samples leaves {shards - smallest} of {shards} "
                    "shards without a sample.",
                    'use pad=True, remainder="drop" or a batch_size that leaves more over.',
                )
            )
        if problems:
            raise PlanError(problems)

    def part(self, batch_size: int) -> slice:
        """Return the places in a batch that are trained on here, padding left out."""
        return shard(batch_size, self.shards, self.shard_index)

    def count(self, batch_size: int) -> int:
        """Return how many indices a batch has here, padding included [samples]."""
        if self.pad:
            return -(-batch_size // self.shards)
        part = self.part(batch_size)
        return int(part.stop - part.start)

    def padding(self, batch_size: int) -> int:
        """Return how much padding a batch has over all shards [samples]."""
        return -batch_size % self.shards if self.pad else 0


def check_position(plan: Plan, position: Position) -> None:
    """Refuse a position that no run of this plan can be at.

    Raises:
        PlanError: it lies past the plan's end, or its counts are not those that the
            plan has there, because it was saved under another plan.
    """
    done = position.iterations_done
    if done > plan.iterations:
        raise PlanError(
            f"The position has {done:,} iterations done and the plan has {plan.iterations:,}.",
            f"plan at least as many, iterations={done}, or start at position=Position().",
        )
    expected = plan.position(done)
    if position != expected:
        raise PlanError(
            f"The position {position.to_json()} belongs to another plan: after {done:,} "
            f"iterations this one is at {expected.to_json()}.",
            "use the samples, batch_size and remainder of the plan that it was saved "
            "under, or start at position=Position().",
        )


def _iterations(
    plan: Plan, order: Order, position: Position, share: Share
) -> Iterator[Iteration]:
    """Yield the iterations, an epoch at a time."""
    while (done := position.iterations_done) < plan.iterations:
        epoch_index, start = divmod(done, plan.iterations_per_epoch)
        stop = plan.iterations_in_epoch(epoch_index)
        for indices in _parts(plan, order, epoch_index, start, stop, share):
            batch = _iteration(plan, order, epoch_index, position, indices, share)
            yield batch
            position = batch.after


def _iteration(
    plan: Plan,
    order: Order,
    epoch_index: int,
    before: Position,
    indices: Indices,
    share: Share,
) -> Iteration:
    """Return the iteration that comes after a place, given its samples in this shard."""
    batch_size = plan.batch_size_of(before.iterations_done)
    weights = np.ones(indices.size, np.float32)
    if missing := share.count(batch_size) - indices.size:
        first = order.index(epoch_index, before.samples_in_epoch_done)
        indices = np.append(indices, np.full(missing, first, np.int64))
        weights = np.append(weights, np.zeros(missing, np.float32))
    at_once = None if plan.microbatch_size is None else plan.microbatch_size // share.shards
    after = plan.position(before.iterations_done + 1)
    return Iteration(
        epoch_index=epoch_index,
        iteration_index=before.iterations_done,
        indices=indices,
        sample_weights=weights,
        batch_size=batch_size,
        padding=share.padding(batch_size),
        microbatches=_slices(indices.size, at_once),
        before=before,
        after=after,
        closes_epoch=after.iterations_in_epoch_done == 0,
        seed=order.seed,
    )


def _parts(
    plan: Plan, order: Order, epoch_index: int, start: int, stop: int, share: Share
) -> Iterator[Indices]:
    """Yield one shard's samples of iterations start..stop-1 of an epoch."""
    batch_size = plan.batch_size_of(0)
    full = plan.samples // batch_size
    at_once = max(1, _BLOCK_INDICES // batch_size)
    part = share.part(batch_size)
    for first in range(start, min(stop, full), at_once):
        count = min(at_once, min(stop, full) - first)
        if count == 1:
            offset = first * batch_size
            yield order.indices(epoch_index, offset + part.start, offset + part.stop)
        else:
            block = order.batches(epoch_index, first, count, batch_size)[:, part]
            yield from block.astype(np.int64)
    if stop > full:
        part = share.part(plan.last_batch_size)
        offset = full * batch_size
        yield order.indices(epoch_index, offset + part.start, offset + part.stop)


def _slices(count: int, at_once: int | None) -> tuple[slice, ...]:
    """Cut rows into parts of `at_once`, the last with what is left."""
    if at_once is None:
        return (slice(0, count),)
    return tuple(
        slice(start, min(start + at_once, count)) for start in range(0, count, at_once)
    )
