"""The order is a permutation, uniform, unrelated between epochs and seeds, and fixed.

Every statistical check is a function of orders that returns a p-value, so the same
function is shown to refuse orders that are known to be bad. Seeds are fixed: what passes
once passes always. With about fifty checks of good orders, one of them would fall below
`CHANCE` for one choice of these seeds in 200.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from epochwise.data import order as order_module
from epochwise.data.order import MOST_SAMPLES, Order, position_seed, shard
from epochwise.errors import PlanError

CHANCE = 1e-4
"""A good order may reach a p-value below this; none of these seeds does."""

REFUSED = 1e-12
"""A known bad order must fall below this."""

GOLDEN = json.loads((Path(__file__).parent / "golden_orders.json").read_text("utf-8"))

Orders = NDArray[np.int64]
"""One permutation a row, shape (epochs, N)."""


def epochs_of(samples: int, count: int, *, seed: int = 0) -> Orders:
    order = Order(samples=samples, seed=seed)
    return np.stack([order.indices(epoch, 0, samples) for epoch in range(count)])


# Checks: each takes orders and returns the chance that good ones look as odd as these.


def contingency_p(table: NDArray[np.int64], times: int) -> float:
    """Pearson's chi-square of a table whose margins are fixed, summed over `times` tables.

    With fixed margins the statistic's mean is (rows - 1)(columns - 1)·n/(n - 1), which
    is no different from the usual one for the sizes used here.
    """
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    statistic = float(((table - expected) ** 2 / expected).sum())
    return float(stats.chi2.sf(statistic, times * (table.shape[0] - 1) * (table.shape[1] - 1)))


def two_sided(p: float) -> float:
    """Too even is as odd as too uneven."""
    return 2 * min(p, 1 - p)


def pair_table(first: Orders, second: Orders, bins: int) -> NDArray[np.int64]:
    return np.bincount((first * bins + second).ravel(), minlength=bins**2).reshape(bins, bins)


def binned(values: Orders, samples: int, bins: int, *, low_part: bool) -> Orders:
    """Sort numbers 0..N-1 into bins by size, or by their remainder."""
    return values % bins if low_part else values * bins // samples


def position_p(orders: Orders, *, bins: int = 16, low_part: bool = False) -> float:
    """Whether samples are spread evenly over positions, all epochs counted together."""
    samples = orders.shape[1]
    positions = np.broadcast_to(np.arange(samples), orders.shape)
    return two_sided(
        contingency_p(
            pair_table(
                binned(positions, samples, bins, low_part=low_part),
                binned(orders, samples, bins, low_part=low_part),
                bins,
            ),
            1,
        )
    )


def each_epoch_position_p(orders: Orders, *, bins: int = 16) -> float:
    """Whether samples are spread evenly over positions within every single epoch."""
    samples = orders.shape[1]
    places = binned(np.arange(samples), samples, bins, low_part=False)
    values = binned(orders, samples, bins, low_part=False)
    statistic = 0.0
    for epoch in values:
        table = pair_table(places, epoch, bins)
        expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
        statistic += float(((table - expected) ** 2 / expected).sum())
    # The mean of the statistic of one permutation is exactly (bins - 1)²·N/(N - 1).
    statistic *= (samples - 1) / samples
    return two_sided(float(stats.chi2.sf(statistic, len(orders) * (bins - 1) ** 2)))


def adjacent_p(orders: Orders, *, bins: int = 16, low_part: bool = False) -> float:
    """Whether a sample says nothing about the one that follows it."""
    samples = orders.shape[1]
    values = binned(orders, samples, bins, low_part=low_part)
    return two_sided(contingency_p(pair_table(values[:, :-1], values[:, 1:], bins), 1))


def distance_p(orders: Orders, *, bins: int = 64) -> float:
    """Whether the distance mod N from a sample to the next is any of 1..N-1 equally often."""
    samples = orders.shape[1]
    distances = (np.diff(orders, axis=1) % samples - 1) * bins // (samples - 1)
    seen = np.bincount(distances.ravel(), minlength=bins)
    size = np.bincount(np.arange(samples - 1) * bins // (samples - 1), minlength=bins)
    return two_sided(float(stats.chisquare(seen, size / size.sum() * seen.sum()).pvalue))


def agreement_p(first: Orders, second: Orders) -> float:
    """Whether positions at which two orders agree are as many as for unrelated ones.

    The number is Poisson distributed with mean 1, but for less than 1e-10 here.
    """
    agreeing = (first == second).sum(axis=1)
    seen = np.bincount(np.minimum(agreeing, 5), minlength=6)
    chances = [stats.poisson.pmf(k, 1) for k in range(5)] + [stats.poisson.sf(4, 1)]
    return float(stats.chisquare(seen, np.array(chances) * len(first)).pvalue)


def rank_correlation_p(first: Orders, second: Orders) -> float:
    """Whether the rank correlations of pairs of orders are those of unrelated ones.

    Spearman's coefficient of two unrelated permutations has mean 0 and variance
    1/(N - 1), so that the sum of (N - 1)·ρ² over pairs is chi-square distributed.
    """
    samples = first.shape[1]
    centre = (samples - 1) / 2
    products = ((first - centre) * (second - centre)).sum(axis=1)
    rho = products / (samples * (samples**2 - 1) / 12)
    return two_sided(float(stats.chi2.sf((samples - 1) * float((rho**2).sum()), len(first))))


def permutation_p(orders: Orders) -> float:
    """Whether all N! permutations of a few samples come equally often."""
    every = list(itertools.permutations(range(orders.shape[1])))
    seen = Counter(map(tuple, orders.tolist()))
    return float(stats.chisquare([seen[one] for one in every]).pvalue)


def is_permutation(order: NDArray[np.int64]) -> bool:
    return bool((np.bincount(order, minlength=order.size) == 1).all())


# Known bad orders.


def identity(samples: int, count: int) -> Orders:
    return np.tile(np.arange(samples), (count, 1))


def same_every_epoch(samples: int, count: int) -> Orders:
    return np.tile(Order(samples=samples, seed=0).indices(0, 0, samples), (count, 1))


def shifted(samples: int, count: int) -> Orders:
    """0..N-1 begun at another place each epoch."""
    starts = np.random.default_rng(0).integers(0, samples, (count, 1))
    return (np.arange(samples) + starts) % samples


def few_rounds(samples: int, count: int, rounds: int) -> Orders:
    """Our own network, cut short."""
    return np.stack(
        [
            order_module._Network(
                samples=samples,
                keys=order_module._keys(0, epoch, samples)[:rounds],
                tables=None,
            ).permuted(np.arange(samples, dtype=np.uint64))
            for epoch in range(count)
        ]
    ).astype(np.int64)


# Bijection.


def test_every_epoch_of_a_small_set_is_a_permutation() -> None:
    """For each N up to 300 and the sizes round 1,024, an epoch holds each sample once."""
    for samples in [*range(1, 301), *range(1020, 1030)]:
        for seed, epoch in [(0, 0), (0, 1), (2**64 - 1, 2**64 - 1)]:
            order = Order(samples=samples, seed=seed)

            assert is_permutation(order.indices(epoch, 0, samples)), (samples, seed, epoch)


@pytest.mark.parametrize("seed", [0, 1, 2**63])
def test_every_epoch_of_a_larger_set_is_a_permutation(seed: int) -> None:
    """For sizes up to 10^6, squares and primes among them, an epoch holds each sample once."""
    chosen = np.random.default_rng(seed % 1000).integers(1025, 10**6, 12).tolist()
    for samples in [*chosen, 10**6, 999_983, 65_536, 65_537, 90_000, 90_001]:
        order = Order(samples=samples, seed=seed)

        assert is_permutation(order.indices(seed % 7, 0, samples)), samples


@pytest.mark.parametrize("samples", [10**12, 10**12 + 39, 2**40, MOST_SAMPLES])
def test_windows_of_a_huge_set_hold_different_samples_in_range(samples: int) -> None:
    """Windows at both ends and inside an epoch of 10^12 samples share no sample."""
    order = Order(samples=samples, seed=3)
    starts = [0, samples // 3, samples // 2, samples - 50_000]
    seen = np.concatenate([order.indices(2, start, start + 50_000) for start in starts])

    assert np.unique(seen).size == 200_000
    assert seen.min() >= 0
    assert seen.max() < samples
    assert stats.kstest(seen / samples, "uniform").pvalue > CHANCE


def test_the_check_for_permutations_refuses_a_repeated_sample() -> None:
    """The bijection check is able to fail."""
    broken = np.arange(300)
    broken[7] = 8

    assert not is_permutation(broken)


@given(
    samples=st.integers(1025, 2**30) | st.integers(2**30 - 100, 10**15),
    start=st.floats(0, 1),
    seed=st.integers(0, 2**64 - 1),
    epoch=st.integers(0, 2**64 - 1),
)
@settings(max_examples=60, deadline=None)
def test_tabulated_and_direct_rounds_agree(
    samples: int, start: float, seed: int, epoch: int
) -> None:
    """Tables change no sample: both ways of evaluating a round give the same order."""
    network = order_module._Network(
        samples=samples, keys=order_module._keys(seed, epoch, samples), tables=None
    )
    first = int(start * (samples - 100))
    window = np.arange(first, first + 100, dtype=np.uint64)
    direct = network.permuted(window.copy())

    assert np.array_equal(
        Order(samples=samples, seed=seed).indices(epoch, first, first + 100), direct
    )
    if max(network.halves) <= 2**16:
        assert np.array_equal(network.tabulated().permuted(window.copy()), direct)


@given(samples=st.integers(2, 10**15))
def test_the_network_covers_the_set_with_little_excess(samples: int) -> None:
    """The halves a and b make N <= a·b < N + a, so few numbers are walked on."""
    a, b = order_module._Network(samples=samples, keys=(), tables=None).halves

    assert samples <= a * b < samples + a


# Windows, batches and shards.


@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_a_window_is_that_part_of_the_epoch(data: st.DataObject) -> None:
    """F12: any window is the same positions of the whole epoch, whatever was read before."""
    samples = data.draw(st.sampled_from([1, 2, 10, 1000, 1024, 1025, 1500, 40_000, 70_001]))
    order = Order(
        samples=samples, seed=data.draw(st.integers(0, 3)), shuffle=data.draw(st.booleans())
    )
    epoch = data.draw(st.integers(0, 10))
    start = data.draw(st.integers(0, samples))
    stop = data.draw(st.integers(start, samples))

    window = order.indices(epoch, start, stop)

    assert window.dtype == np.int64
    assert np.array_equal(window, order.indices(epoch, 0, samples)[start:stop])
    if start < samples:
        assert order.index(epoch, start) == order.indices(epoch, 0, samples)[start]


@given(
    samples=st.integers(1, 5000),
    batch_size=st.integers(1, 600),
    seed=st.integers(0, 5),
    epoch=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_batches_cut_the_epoch_without_loss(
    samples: int, batch_size: int, seed: int, epoch: int
) -> None:
    """A10: batches in turn are the epoch, each sample once; only the last may be short."""
    order = Order(samples=samples, seed=seed)
    whole = order.indices(epoch, 0, samples)
    single = [order.batch(epoch, i, batch_size) for i in range(math.ceil(samples / batch_size))]
    full = samples // batch_size
    stacked = order.batches(epoch, 0, full, batch_size)

    assert np.array_equal(np.concatenate(single), whole)
    assert {batch.size for batch in single[:-1]} <= {batch_size}
    assert stacked.shape == (full, batch_size)
    assert np.array_equal(stacked.ravel(), whole[: full * batch_size])
    assert np.array_equal(
        order.batches(epoch, full // 2, full - full // 2, batch_size), stacked[full // 2 :]
    )


def test_batches_are_as_narrow_as_their_numbers() -> None:
    """Batches are int32 below 2^31 samples and int64 from there on."""
    narrow, wide = Order(samples=2**31 - 1, seed=0), Order(samples=2**31, seed=0)

    assert narrow.batches(0, 0, 2, 8).dtype == narrow.dtype == np.int32
    assert wide.batches(0, 0, 2, 8).dtype == wide.dtype == np.int64
    assert np.array_equal(narrow.batches(0, 0, 2, 8).ravel(), narrow.indices(0, 0, 16))


def test_without_shuffling_an_epoch_is_the_data_as_it_stands() -> None:
    """With shuffle=False every epoch is 0, 1, ..., N-1."""
    order = Order(samples=2000, seed=5, shuffle=False)

    assert order.indices(3, 0, 2000).tolist() == list(range(2000))


def test_a13_shards_differ_by_one_and_lose_nothing() -> None:
    """A13: ten samples on three shards are 4, 3 and 3, and together all ten once."""
    batch = Order(samples=10, seed=1).batch(0, 0, 10)
    parts = [batch[shard(10, 3, index)] for index in range(3)]

    assert [part.size for part in parts] == [4, 3, 3]
    assert sorted(np.concatenate(parts).tolist()) == list(range(10))


@given(count=st.integers(0, 400), shards=st.integers(1, 50))
def test_a10_shards_tile_a_batch(count: int, shards: int) -> None:
    """A10: shards follow one another without gap or overlap, the larger ones first."""
    parts = [shard(count, shards, index) for index in range(shards)]
    sizes = [part.stop - part.start for part in parts]

    assert [part.start for part in parts] == [0, *itertools.accumulate(sizes[:-1])]
    assert parts[-1].stop == count
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] - sizes[-1] <= 1


@pytest.mark.parametrize(("samples", "shards"), [(21, 2), (10, 4)])
def test_j01_a_mean_over_shards_is_the_mean_over_all(samples: int, shards: int) -> None:
    """J01: 21 samples on 2 shards give 21 results, not 22; nothing is padded."""
    batch = Order(samples=samples, seed=0, shuffle=False).batch(0, 0, samples)
    parts = [batch[shard(samples, shards, index)] for index in range(shards)]

    assert sum(part.size for part in parts) == samples
    assert sum(part.sum() for part in parts) / samples == batch.mean()


def test_d05_sharded_epochs_are_complete_and_differ() -> None:
    """D05: three epochs on two shards are three orders; shards are disjoint and complete."""
    order = Order(samples=64, seed=0)
    epochs = []
    for epoch in range(3):
        batches = order.batches(epoch, 0, 8, 8)
        left, right = (batches[:, shard(8, 2, index)] for index in range(2))
        assert not set(left.ravel().tolist()) & set(right.ravel().tolist())
        assert sorted([*left.ravel().tolist(), *right.ravel().tolist()]) == list(range(64))
        epochs.append(np.concatenate([left, right], axis=1).ravel().tolist())

    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_a21_epochs_are_different_permutations() -> None:
    """A21: three epochs of 64 samples are three permutations, the same when asked again."""
    epochs = epochs_of(64, 3, seed=9)

    assert len({tuple(epoch) for epoch in epochs.tolist()}) == 3
    assert all(is_permutation(epoch) for epoch in epochs)
    assert np.array_equal(
        epochs[::-1], np.stack([Order(samples=64, seed=9).indices(e, 0, 64) for e in (2, 1, 0)])
    )


def test_d04_seeds_differ_and_a_resumed_run_continues_the_order() -> None:
    """D04: seeds 1 and 2 differ; epochs 3 to 5 alone are those that follow epochs 0 to 2."""
    whole = epochs_of(5000, 6, seed=1)
    order_module._network.cache_clear()
    resumed = np.stack([Order(samples=5000, seed=1).indices(e, 0, 5000) for e in (3, 4, 5)])

    assert np.array_equal(resumed, whole[3:])
    assert not np.array_equal(whole, epochs_of(5000, 6, seed=2))
    assert not np.array_equal(whole[:3], resumed)


# Uniformity.

SIZES = [1000, 1025, 4099, 60_000]


@pytest.mark.parametrize("samples", SIZES)
@pytest.mark.parametrize("low_part", [False, True])
def test_samples_are_spread_evenly_over_positions(samples: int, low_part: bool) -> None:
    """No part of the set prefers a part of the epoch (chi-square, 16 by 16 bins)."""
    orders = epochs_of(samples, 100, seed=11)

    assert position_p(orders, low_part=low_part) > CHANCE
    assert each_epoch_position_p(orders) > CHANCE


@pytest.mark.parametrize("samples", SIZES)
@pytest.mark.parametrize("low_part", [False, True])
def test_a_sample_says_nothing_about_the_next(samples: int, low_part: bool) -> None:
    """Adjacent pairs and the distances within them are uniform (chi-square)."""
    orders = epochs_of(samples, 100, seed=12)

    assert adjacent_p(orders, low_part=low_part) > CHANCE
    assert distance_p(orders) > CHANCE


def test_a_sample_says_nothing_about_the_next_in_a_huge_set() -> None:
    """Adjacent pairs are uniform in a window of 10^12 samples, where no table is used."""
    order = Order(samples=10**12, seed=13)
    window = np.stack([order.indices(e, 10**11, 10**11 + 50_000) for e in range(10)])
    table = pair_table(window[:, :-1] * 16 // 10**12, window[:, 1:] * 16 // 10**12, 16)

    assert two_sided(contingency_p(table, 1)) > CHANCE


@pytest.mark.parametrize("samples", [2, 3, 4, 5])
def test_every_permutation_of_a_few_samples_is_as_likely(samples: int) -> None:
    """For N of 2 to 5 all N! permutations come equally often over 24,000 epochs."""
    assert permutation_p(epochs_of(samples, 24_000, seed=14)) > CHANCE


def test_odd_and_even_permutations_come_equally_often_where_the_network_begins() -> None:
    """Of 300 epochs of 1,025 samples about half are even permutations, half odd ones."""

    def is_even(order: NDArray[np.int64]) -> bool:
        seen = np.zeros(order.size, np.bool_)
        cycles = 0
        for start in range(order.size):
            cycles += not seen[start]
            place = start
            while not seen[place]:
                seen[place] = True
                place = order[place]
        return (order.size - cycles) % 2 == 0

    even = sum(is_even(order) for order in epochs_of(1025, 300, seed=15))

    assert stats.binomtest(even, 300).pvalue > CHANCE


@pytest.mark.parametrize("bad", [identity, same_every_epoch, shifted])
def test_position_checks_refuse_bad_orders(bad: object) -> None:
    """The position checks are able to fail: identity, one order for all epochs, shifts."""
    orders = bad(4099, 100)  # type: ignore[operator]
    worst = min(position_p(orders), each_epoch_position_p(orders))

    assert worst < REFUSED


@pytest.mark.parametrize("bad", [identity, shifted])
def test_adjacent_checks_refuse_bad_orders(bad: object) -> None:
    """The adjacency checks are able to fail: the set as it stands, and begun elsewhere."""
    orders = bad(4099, 100)  # type: ignore[operator]

    assert adjacent_p(orders) < REFUSED
    assert adjacent_p(orders, low_part=True) < REFUSED
    assert distance_p(orders) < REFUSED


@pytest.mark.parametrize("rounds", [2, 3])
def test_the_checks_refuse_a_network_with_too_few_rounds(rounds: int) -> None:
    """The checks tell two and three rounds of our own network from eight."""
    weak = few_rounds(1025, 400, rounds)

    assert all(is_permutation(order) for order in weak)
    assert distance_p(weak) < REFUSED


def test_four_rounds_are_too_few_and_five_are_not() -> None:
    """In 1,500 epochs of 1,025 samples four rounds are seen to be uneven, five are not."""
    assert each_epoch_position_p(few_rounds(1025, 1500, 4)) < 1e-9
    for rounds in (5, 8):
        orders = few_rounds(1025, 1500, rounds)
        assert (
            min(each_epoch_position_p(orders), adjacent_p(orders), distance_p(orders)) > CHANCE
        )


def test_the_check_of_all_permutations_refuses_even_ones_alone() -> None:
    """The N! check is able to fail: it refuses orders that are always even."""
    even = [[0, 1, 2], [1, 2, 0], [2, 0, 1]]

    assert permutation_p(np.array(even * 8000)) < REFUSED


# Independence.


def orders_at(samples: int, pairs: list[tuple[int, int]]) -> Orders:
    return np.stack(
        [Order(samples=samples, seed=seed).indices(epoch, 0, samples) for seed, epoch in pairs]
    )


RELATIONS = {
    "next epoch": lambda k: ((5, k), (5, k + 1)),
    "next seed": lambda k: ((k, 3), (k + 1, 3)),
    "next epoch, next seed (D04)": lambda k: ((k, k + 1), (k + 1, k)),
    "one bit of the seed": lambda k: ((k, 0), (k ^ (1 << (k % 64)), 0)),
}


@pytest.mark.parametrize("samples", [997, 2003])
@pytest.mark.parametrize("relation", RELATIONS)
def test_orders_of_neighbours_are_unrelated(samples: int, relation: str) -> None:
    """Neighbouring epochs and seeds agree at as many positions as unrelated orders do.

    Seed s, epoch e + 1 against seed s + 1, epoch e among them.
    """
    pairs = [RELATIONS[relation](k) for k in range(600)]
    first = orders_at(samples, [left for left, _ in pairs])
    second = orders_at(samples, [right for _, right in pairs])

    assert agreement_p(first, second) > CHANCE
    assert rank_correlation_p(first, second) > CHANCE


def test_an_epoch_is_unrelated_to_the_data_as_it_stands() -> None:
    """Fixed points are Poisson distributed, and ranks do not follow the data's."""
    orders = epochs_of(2003, 600, seed=16)

    assert agreement_p(orders, identity(2003, 600)) > CHANCE
    assert rank_correlation_p(orders, identity(2003, 600)) > CHANCE


def test_independence_checks_refuse_related_orders() -> None:
    """The checks are able to fail: seed + epoch as the key, the same order, a reversed one."""
    added = orders_at(997, [(0, 2 * k + 1) for k in range(600)])
    assert agreement_p(added, added) < REFUSED
    assert rank_correlation_p(added, added) < REFUSED
    assert rank_correlation_p(added, 996 - added) < REFUSED

    first, second = shifted(997, 600), np.roll(shifted(997, 600), 1, axis=0)
    assert agreement_p(first, second) < REFUSED


# The same on every machine, in every process, with every version.


def test_the_mixer_is_splitmix64() -> None:
    """Seeded with 1234567, the mixer gives the published first outputs of SplitMix64."""
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]

    assert (
        order_module._splitmix64(1234567, np.arange(5, dtype=np.uint64)).tolist() == published
    )


@given(
    key=st.integers(0, 2**64 - 1),
    value=st.integers(0, 2**32),
    modulus=st.integers(1, 2**32 - 1),
)
def test_round_values_are_the_high_word_of_a_product(
    key: int, value: int, modulus: int
) -> None:
    """A round's value is hash · modulus / 2^64 rounded down, as exact integers give it."""
    values = np.array([value], np.uint64)
    exact = int(order_module._splitmix64(key, values)[0]) * modulus >> 64

    assert order_module._round_values(key, values, modulus).tolist() == [exact]


@pytest.mark.parametrize("golden", GOLDEN["epochs"], ids=str)
def test_epochs_are_the_golden_ones(golden: dict[str, int | str]) -> None:
    """Digests of whole epochs are those kept in golden_orders.json."""
    order = Order(samples=golden["samples"], seed=golden["seed"])  # type: ignore[arg-type]

    assert order.digest(golden["epoch_index"]) == golden["sha256"]  # type: ignore[arg-type]


@pytest.mark.parametrize("golden", GOLDEN["windows"], ids=lambda g: f"{g['samples']}")
def test_windows_are_the_golden_ones(golden: dict[str, int]) -> None:
    """Windows of huge epochs are those kept in golden_orders.json."""
    order = Order(samples=golden["samples"], seed=golden["seed"])
    start = golden["start"]

    assert order.indices(golden["epoch_index"], start, start + 4).tolist() == golden["indices"]


@pytest.mark.parametrize("golden", GOLDEN["position_seeds"], ids=str)
def test_position_seeds_are_the_golden_ones(golden: dict[str, object]) -> None:
    """Derived seeds are those kept in golden_orders.json."""
    found = position_seed(golden["seed"], golden["purpose"], *golden["position"])  # type: ignore[arg-type]

    assert found == golden["value"]


def test_a_digest_is_of_little_endian_int64() -> None:
    """The digest hashes the order as little-endian 64-bit numbers, over several blocks."""
    order = Order(samples=40_000, seed=2)
    whole = b"".join(int(i).to_bytes(8, "little") for i in order.indices(4, 0, 40_000))

    assert order.digest(4) == hashlib.sha256(whole).hexdigest()


def test_a_fresh_process_gives_the_same_orders() -> None:
    """Processes with different PYTHONHASHSEED give the golden digests."""
    wanted = [golden for golden in GOLDEN["epochs"] if golden["samples"] <= 60_000]
    program = (
        "import json, sys\n"
        "from epochwise.data.order import Order\n"
        "for g in json.load(sys.stdin):\n"
        "    print(Order(samples=g['samples'], seed=g['seed']).digest(g['epoch_index']))\n"
    )
    for hash_seed in ("1", "2"):
        printed = subprocess.run(
            [sys.executable, "-c", program],
            input=json.dumps(wanted),
            env=os.environ | {"PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()

        assert printed == [golden["sha256"] for golden in wanted]


# Seeds of other random things.


def test_position_seeds_do_not_meet() -> None:
    """No two of 40,000 neighbouring seeds, purposes and positions give one seed."""
    seen = {
        position_seed(seed, purpose, *position)
        for seed in range(20)
        for purpose in ("dropout", "dropout2", "split", "")
        for position in [
            (),
            *((e,) for e in range(20)),
            *itertools.product(range(22), range(22)),
        ]
    }

    assert len(seen) == 20 * 4 * (1 + 20 + 22 * 22)


def test_position_seed_separates_its_parts() -> None:
    """A trailing zero, a longer word and swapped numbers are other positions."""
    assert position_seed(0, "a") != position_seed(0, "a", 0)
    assert position_seed(0, "a", 0) != position_seed(0, "a\0\0\0\0\0\0\0\0")
    assert position_seed(1, "a", 2) != position_seed(2, "a", 1)


# Refusals.


@pytest.mark.parametrize("seed", [-1, 2**64, 0.5, True, "7", None])
def test_a_seed_out_of_range_is_refused(seed: object) -> None:
    """Seeds are whole numbers from 0 to 2^64 - 1; the error says so."""
    with pytest.raises(
        PlanError, match=r"(?s)seed=.*Remedy: use a whole number from 0 to 1844"
    ):
        Order(samples=10, seed=seed)  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="seed="):
        position_seed(seed, "split")  # type: ignore[arg-type]


def test_problems_of_size_and_seed_are_told_together() -> None:
    """One error names both the samples and the seed."""
    with pytest.raises(PlanError) as caught:
        Order(samples=0, seed=-1)

    assert [problem.what for problem in caught.value.problems] == [
        "samples=0 is less than 1.",
        "seed=-1 is less than 0.",
    ]


@pytest.mark.parametrize("samples", [0, -5, MOST_SAMPLES + 1, 2.0])
def test_a_size_out_of_range_is_refused(samples: object) -> None:
    """Orders are for 1 to 10^15 samples."""
    with pytest.raises(PlanError, match="use a whole number from 1 to 1000000000000000"):
        Order(samples=samples, seed=0)  # type: ignore[arg-type]


def test_places_that_are_not_there_are_refused() -> None:
    """Epochs, positions, iterations and shards out of range are errors, never wrapped."""
    order = Order(samples=10, seed=0)
    for outside in (
        lambda: order.indices(-1, 0, 10),
        lambda: order.indices(0, -1, 10),
        lambda: order.indices(0, 0, 11),
        lambda: order.indices(0, 5, 4),
        lambda: order.index(0, 10),
        lambda: order.index(0, -1),
        lambda: order.batch(0, 3, 4),
        lambda: order.batch(0, 0, 0),
        lambda: order.batches(0, 0, 3, 4),
        lambda: order.batches(0, -1, 1, 4),
        lambda: shard(10, 0, 0),
        lambda: shard(10, 3, 3),
        lambda: shard(-1, 3, 0),
    ):
        with pytest.raises(PlanError, match="Remedy: "):
            outside()


def test_whole_numbers_of_numpy_are_taken() -> None:
    """NumPy's integers of any width work as Python's and do not overflow."""
    narrow = Order(samples=np.int32(70_000), seed=np.uint64(2**64 - 1))  # type: ignore[arg-type]
    plain = Order(samples=70_000, seed=2**64 - 1)

    assert narrow == plain
    assert np.array_equal(
        narrow.batches(np.int8(1), np.int8(100), np.int16(40), np.int16(400)),  # type: ignore[arg-type]
        plain.batches(1, 100, 40, 400),
    )
