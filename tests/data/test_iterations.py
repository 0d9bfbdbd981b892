"""Iterations handed to somebody else's loop are those of the plan, from any place on.

They are compared with a brute-force reading of the same epochs, one sample at a time.
"""

from __future__ import annotations

import itertools
import json
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import epochwise
from epochwise.counting.plan import Plan
from epochwise.counting.position import START, Position
from epochwise.data.iterations import Iteration, iterate
from epochwise.data.order import Order
from epochwise.errors import PlanError


def brute_force(plan: Plan, seed: int, *, shuffle: bool = True) -> list[list[int]]:
    """Return the samples of every iteration, walking each epoch sample by sample."""
    order = Order(samples=plan.samples, seed=seed, shuffle=shuffle)
    batches: list[list[int]] = []
    for epoch_index in itertools.count():
        batch: list[int] = []
        for place in range(plan.samples):
            batch.append(order.index(epoch_index, place))
            last = place == plan.samples - 1 and plan.remainder == "keep"
            if len(batch) == plan.batch_size or last:
                batches.append(batch)
                batch = []
            if len(batches) == plan.iterations:
                return batches
    raise AssertionError


def joined(lists: Iterable[list[int]]) -> list[int]:
    return list(itertools.chain.from_iterable(lists))


def samples_of(batches: Iterator[Iteration]) -> list[list[int]]:
    return [batch.indices.tolist() for batch in batches]


@st.composite
def plans(draw: Callable[..., int]) -> Plan:
    """Draw plans of all kinds: whole and part epochs, remainders, microbatches."""
    samples = draw(st.integers(1, 40))
    batch_size = draw(st.integers(1, 50))
    remainder = draw(st.sampled_from(["keep", "drop"]))
    assume(remainder == "keep" or batch_size <= samples)
    return Plan(
        samples=samples,
        batch_size=batch_size,
        iterations=draw(st.integers(1, 30)),
        remainder=remainder,
        microbatch_size=draw(st.none() | st.integers(1, batch_size)),
    )


@given(plan=plans(), seed=st.integers(0, 2**64 - 1), shuffle=st.booleans())
@settings(max_examples=100, deadline=None)
def test_iterations_are_those_of_the_plan(plan: Plan, seed: int, shuffle: bool) -> None:
    """Samples, counts, places and parts of every iteration are what the plan says."""
    batches = list(iterate(plan, seed=seed, shuffle=shuffle))

    assert samples_of(iter(batches)) == brute_force(plan, seed, shuffle=shuffle)
    for index, batch in enumerate(batches):
        parts = [batch.indices[part].tolist() for part in batch.microbatches]
        assert (batch.iteration_index, batch.iteration) == (index, index + 1)
        assert (batch.epoch_index, batch.epoch - 1) == (plan.epoch_of(index),) * 2
        assert batch.batch_size == plan.batch_size_of(index) == batch.indices.size
        assert batch.before == plan.position(index)
        assert batch.after == plan.position(index + 1)
        assert batch.closes_epoch == ((index + 1) % plan.iterations_per_epoch == 0)
        assert batch.indices.dtype == np.int64
        assert batch.sample_weights.tolist() == [1.0] * batch.batch_size
        assert batch.padding == 0
        assert joined(parts) == batch.indices.tolist()
        assert max(map(len, parts)) <= (plan.microbatch_size or plan.batch_size)


@given(plan=plans(), seed=st.integers(0, 2**64 - 1))
@settings(max_examples=50, deadline=None)
def test_f08_from_any_position_the_rest_follows(plan: Plan, seed: int) -> None:
    """F08, D04: from every saved position the samples are those of one long run."""
    whole = samples_of(iterate(plan, seed=seed))

    for batch in iterate(plan, seed=seed):
        saved = json.dumps(batch.after.to_json())
        position = Position.from_json(json.loads(saved))
        rest = samples_of(iterate(plan, seed=seed, position=position))
        assert rest == whole[position.iterations_done :]


def test_f01_f02_f05_epochs_are_whole_wherever_the_run_was_cut() -> None:
    """F01, F02, F05: 10 batches an epoch, cut anywhere: each epoch has each sample once."""
    plan = Plan(samples=20, batch_size=2, epochs=3)

    for cut in range(plan.iterations + 1):
        first = list(itertools.islice(iterate(plan, seed=1), cut))
        position = first[-1].after if first else START
        seen = samples_of(iter(first)) + samples_of(iterate(plan, seed=1, position=position))
        for epoch in range(3):
            assert sorted(joined(seen[10 * epoch : 10 * epoch + 10])) == list(range(20))
        assert len(seen) == 30

    # Going on at the next or at the same epoch's beginning is seen here.
    for other in (10, 0):
        wrong = samples_of(itertools.islice(iterate(plan, seed=1), 3))
        wrong += samples_of(iterate(plan, seed=1, position=plan.position(other)))
        assert len(wrong) != 30


def test_a21_every_epoch_is_another_permutation() -> None:
    """A21: N=64, three epochs: three permutations; another seed gives others."""
    plan = Plan(samples=64, batch_size=64, epochs=3)
    orders = [tuple(b.indices) for seed in (0, 1) for b in iterate(plan, seed=seed)]

    assert len(set(orders)) == 6
    assert all(sorted(order) == list(range(64)) for order in orders)


def test_fractions_of_an_epoch() -> None:
    """Two and a half epochs of four iterations are ten, the last in the middle."""
    plan = Plan(samples=16, batch_size=4, epochs=Fraction(5, 2))
    batches = list(iterate(plan))

    assert len(batches) == 10
    assert [batch.closes_epoch for batch in batches] == ([False] * 3 + [True]) * 2 + [False] * 2


@given(plan=plans(), seed=st.integers(0, 99), shards=st.integers(1, 7), pad=st.booleans())
@settings(max_examples=100, deadline=None)
def test_a13_d05_shards_are_disjoint_and_make_up_the_batch(
    plan: Plan, seed: int, shards: int, pad: bool
) -> None:
    """A13, D05, J04: every shard has every iteration; the parts are the batch, once."""
    size = plan.microbatch_size
    assume(size is None or size % shards == 0)
    smallest = min(plan.batch_size_of(i) for i in range(plan.iterations))
    assume(pad or smallest >= shards)

    of_shards = [
        list(iterate(plan, seed=seed, shards=shards, shard_index=index, pad=pad))
        for index in range(shards)
    ]

    for index, samples in enumerate(brute_force(plan, seed)):
        parts = [batches[index] for batches in of_shards]
        real = [part.indices[part.sample_weights == 1].tolist() for part in parts]
        lengths = [part.indices.size for part in parts]
        assert joined(real) == samples
        assert max(lengths) - min(lengths) <= (0 if pad else 1)
        assert {part.padding for part in parts} == {sum(lengths) - len(samples)}
        assert {part.batch_size for part in parts} == {len(samples)}
        assert all(set(part.indices) <= set(samples) for part in parts)
        assert len({len(part.microbatches) for part in parts}) == 1 or not pad


def test_a13_ten_samples_on_three_shards_are_4_3_3() -> None:
    """A13: N=10, three shards, remainder kept: 4, 3 and 3, all ten once."""
    plan = Plan(samples=10, batch_size=10, epochs=1)
    parts = [next(iterate(plan, shards=3, shard_index=index)).indices for index in range(3)]

    assert [part.size for part in parts] == [4, 3, 3]
    assert sorted(np.concatenate(parts)) == list(range(10))


@pytest.mark.parametrize("pad", [True, False])
def test_j05_the_gradient_of_four_shards_is_that_of_one_device(pad: bool) -> None:
    """J05: N=10, D=4: two padded with weight 0, and the gradient is the mean over ten."""
    plan = Plan(samples=10, batch_size=10, epochs=1)
    gradients = np.random.default_rng(0).random(10)

    batches = [next(iterate(plan, shards=4, shard_index=index, pad=pad)) for index in range(4)]
    total = sum((gradients[b.indices] * b.sample_weights).sum() / b.batch_size for b in batches)

    assert {batch.padding for batch in batches} == {2 if pad else 0}
    assert [b.indices.size for b in batches] == ([3] * 4 if pad else [3, 3, 2, 2])
    assert total == pytest.approx(gradients.mean(), rel=1e-12)
    unweighted = np.mean([gradients[b.indices].mean() for b in batches])
    assert unweighted != pytest.approx(gradients.mean(), rel=1e-12)


def test_b01_b07_microbatches_of_unequal_size_are_weighted_by_what_they_hold() -> None:
    """B01, B07: gradients 1 to 10 in parts of 4, 4 and 2 are 5.5; mean of means is not."""
    plan = Plan(samples=10, batch_size=10, microbatch_size=4, epochs=1)
    [batch] = iterate(plan, shuffle=False)
    gradients = np.arange(1.0, 11.0)

    parts = [gradients[batch.indices[part]] for part in batch.microbatches]

    assert [part.size for part in parts] == [4, 4, 2]
    assert sum(part.sum() / batch.batch_size for part in parts) == 5.5
    assert np.mean([part.mean() for part in parts]) == pytest.approx(6.1667, abs=1e-4)


@pytest.mark.parametrize("k", range(1, 6))
def test_b02_b05_updates_are_as_planned_for_every_epoch_length(k: int) -> None:
    """B02, B04, B05: M = 1 to 12 microbatches by k make ceil(M / k) updates an epoch."""
    for length in range(1, 13):
        plan = Plan(samples=length, batch_size=k, microbatch_size=1, epochs=3)
        batches = list(iterate(plan))
        assert len(batches) == plan.iterations == 3 * -(-length // k)
        assert sum(len(batch.microbatches) for batch in batches) == 3 * length


def test_memory_does_not_grow_with_the_samples() -> None:
    """A thousand iterations of 10^12 samples take less than two megabytes."""
    plan = Plan(samples=10**12, batch_size=32, epochs=1)
    for _ in itertools.islice(iterate(plan), 10):
        pass
    tracemalloc.start()
    middle = plan.position(10**9)
    for _ in itertools.islice(iterate(plan, position=middle), 1000):
        pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 2 << 20


def test_a_batch_larger_than_a_block_is_read_by_each_shard_alone() -> None:
    """100,000 samples in a batch, on eight shards: the same parts, in order."""
    plan = Plan(samples=250_000, batch_size=100_000, epochs=1)
    order = Order(samples=250_000, seed=3)

    for number, batches in enumerate(
        zip(
            *(iterate(plan, seed=3, shards=8, shard_index=index) for index in range(8)),
            strict=True,
        )
    ):
        joined = np.concatenate([batch.indices for batch in batches])
        assert (joined == order.batch(0, number, 100_000)).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"position": Position(iterations_done=3)}, "belongs to another plan"),
        ({"position": Plan(samples=9, batch_size=4, epochs=2).position(3)}, "another plan"),
        ({"position": Plan(samples=10, batch_size=4, epochs=3).position(9)}, "9 iterations"),
        ({"shards": 2, "shard_index": 2}, "shard_index=2 is more than 1"),
        ({"shards": 0}, "shards=0"),
        ({"shards": 3}, "leaves 1 of 3 shards without a sample"),
        ({"seed": -1}, "seed=-1"),
    ],
)
def test_what_cannot_be_is_refused_at_once(arguments: dict[str, object], message: str) -> None:
    """F15, F26: a foreign position or shard is an error of the call, not of the loop."""
    plan = Plan(samples=10, batch_size=4, epochs=2)

    with pytest.raises(PlanError, match=message):
        iterate(plan, **arguments)


def test_more_problems_are_told_together() -> None:
    """Empty parts and microbatches that do not divide are one error."""
    plan = Plan(samples=10, batch_size=8, microbatch_size=4, epochs=1)

    with pytest.raises(PlanError) as raised:
        iterate(plan, shards=3)

    assert len(raised.value.problems) == 2


def test_a_finished_plan_has_no_iterations_left() -> None:
    """E16: going on after the end trains nothing."""
    plan = Plan(samples=10, batch_size=4, epochs=2)

    assert list(iterate(plan, position=plan.position(6))) == []


def test_it_is_public() -> None:
    """`epochwise.iterate` and `epochwise.Iteration` are these."""
    assert epochwise.iterate is iterate
    assert epochwise.Iteration is Iteration
