"""The order samples are trained in: a function of (seed, epoch, N), not a state.

Owns which sample stands at which position of an epoch, how a batch is cut for several
devices, and the seeds of every other random thing. Holds no array of N samples and no
generator that moves on, so any position of any epoch is read in O(1), in any order, by
any number of readers. Refuses seeds, epochs and positions that are not there.

Up to 1,024 samples an epoch is the ranking of N keyed 64-bit hashes, which gives every
permutation the same chance. Above, it is a keyed generalised Feistel network on the
numbers below a·b >= N, a = ⌈√N⌉ and b = ⌈N/a⌉, walked on until the number is below N.
The network alone would be poor for small N: a handful of round values cannot tell all
permutations apart, and when a and b are odd and a·b = N each round is an even permutation,
so that half of all permutations never come up. For large N the latter is one bit in
thousands, which no look at fewer than N - 1 positions can find. The ranking alone would
need all N hashes for a single position.

Only BLAKE2b (RFC 7693) and wrap-around 64-bit integers are used, never the generators of
a library, whose streams may change with its version.

References:
    Black and Rogaway 2002, Ciphers with Arbitrary Finite Domains, CT-RSA, sections 4 and 5
    (cycle walking; the network on Z_a × Z_b). Hoang and Rogaway 2010, On Generalized
    Feistel Networks, CRYPTO, IACR ePrint 2010/301 (the alternating numeric network; its
    security grows with the rounds). Steele, Lea and Flood 2014, Fast Splittable
    Pseudorandom Number Generators, OOPSLA (SplitMix64). Lemire 2019, Fast Random Integer
    Generation in an Interval, arXiv:1805.10941 (a multiplication in place of a remainder).
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from epochwise.counting.numbers import noted_whole_number
from epochwise.errors import PlanError, Problem

Indices: TypeAlias = npt.NDArray[np.int64]
"""Places of samples in the data set, counted from 0."""

MOST_SAMPLES = 10**15
"""The largest N an order is made for [samples]."""

_Words: TypeAlias = npt.NDArray[np.uint64]

_LARGEST_WORD = 2**64 - 1
_RANKED_SAMPLES = 1024
"""Up to this N an epoch is ranked whole, at a bounded cost."""

_ROUNDS = 8
"""Rounds of the network, each with its own 64-bit key: one BLAKE2b digest in all.

Four, which are enough in theory for halves without end, fail a chi-square test at 1,025
samples and five pass (both in tests/data/test_order.py); eight leave a margin.
"""

_TABLE_ENTRIES = 2**15
"""Up to this half size a round function is tabulated once per epoch (256 KiB a round)."""

_BLOCK = 2**14
"""Positions worked on at once, so that their numbers stay in a core's cache."""

_EPOCHS_KEPT = 8
"""Epochs whose keys and tables are remembered; forgetting one costs time only."""


def position_seed(seed: int, purpose: str, *position: int) -> int:
    """Return the 64-bit seed of one random thing at one position.

    Dropout, augmentation, the split and initial weights each get numbers of their own,
    which depend on where they are used and not on what was drawn before. All parts are
    hashed at their full width (BLAKE2b), so neighbours do not meet: epoch e + 1 under
    seed s has nothing to do with epoch e under seed s + 1.

    Args:
        seed: the run's seed, 0 to 2**64 - 1.
        purpose: what the numbers are for; different words give unrelated seeds.
        *position: where they are used, such as epoch and iteration, each 0 to 2**64 - 1;
            fewer or more numbers are another position.

    Returns:
        A whole number from 0 to 2**64 - 1.

    Raises:
        PlanError: the seed or a position is not a whole number in that range.

    Example:
        >>> position_seed(0, "dropout", 3, 17)
        12853365722206249993
        >>> position_seed(0, "dropout", 2, 0) == position_seed(1, "dropout", 1, 0)
        False
    """
    seed, *places = _whole(
        ("seed", seed, 0, _LARGEST_WORD),
        *(("position", place, 0, _LARGEST_WORD) for place in position),
    )
    return int.from_bytes(_keyed_digest(seed, purpose, places, digest_size=8), "little")


def shard(count: int, shards: int, shard_index: int) -> slice:
    """Return the part of a batch that one of D shards holds.

    The parts are contiguous, in the order of the shards, and differ by at most one
    sample, the larger ones first. Together they are the batch, each sample once; with
    fewer samples than shards the last shards hold none.

    Args:
        count: samples in the batch, over all shards together [samples]; at least 0.
        shards: D, how many parts there are; at least 1.
        shard_index: which part, 0 to D - 1.

    Returns:
        A slice of the batch's positions, for `batch[part]` or `batches[:, part]`.

    Raises:
        PlanError: there is no such part.

    Example:
        Ten samples on three devices are 4, 3 and 3; none is dropped.

        >>> batch = Order(samples=10, seed=0, shuffle=False).batch(0, 0, 10)
        >>> [batch[shard(10, 3, device)].tolist() for device in range(3)]
        [[0, 1, 2, 3], [4, 5, 6], [7, 8, 9]]
    """
    count, shards = _whole(
        ("count", count, 0, MOST_SAMPLES), ("shards", shards, 1, MOST_SAMPLES)
    )
    (shard_index,) = _whole(("shard_index", shard_index, 0, shards - 1))
    size, larger = divmod(count, shards)
    start = shard_index * size + min(shard_index, larger)
    return slice(start, start + size + (shard_index < larger))


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Which samples form which part of which epoch.

    Each epoch is its own permutation of 0..N-1, a function of (seed, epoch, N) alone:
    the same for any number of devices, cut into any segments, read from any position, on
    any machine and with any version of any library.

    Args:
        samples: N, the training set's size [samples]; 1 to 10**15.
        seed: any whole number from 0 to 2**64 - 1.
        shuffle: whether epochs are permuted; if not, each is 0, 1, ..., N-1.

    Raises:
        PlanError: N or the seed is out of range; both are told together.

    Example:
        >>> order = Order(samples=10, seed=0)
        >>> order.indices(0, 0, 10).tolist()
        [1, 8, 0, 7, 5, 2, 9, 6, 3, 4]
        >>> order.indices(1, 0, 10).tolist()
        [1, 3, 8, 4, 7, 2, 5, 6, 9, 0]
        >>> Order(samples=10**12, seed=0).index(5, 999_999_999_999)
        11852883880
    """

    samples: int
    seed: int
    shuffle: bool = True

    def __post_init__(self) -> None:
        """Refuse sizes and seeds that no order is made for."""
        samples, seed = _whole(
            ("samples", self.samples, 1, MOST_SAMPLES), ("seed", self.seed, 0, _LARGEST_WORD)
        )
        object.__setattr__(self, "samples", samples)
        object.__setattr__(self, "seed", seed)

    @property
    def dtype(self) -> type[np.int32] | type[np.int64]:
        """The integer type of `batches`: int32 when N < 2**31, else int64."""
        return index_type(self.samples)

    def indices(self, epoch_index: int, start: int, stop: int) -> Indices:
        """Return the samples at positions start..stop-1 of one epoch.

        The cost is that of the stop - start samples asked for, whatever N is; the first
        call for an epoch also tabulates its rounds, at most 2**18 entries.

        Args:
            epoch_index: which epoch, from 0.
            start: the first position [samples], 0 to N.
            stop: the position after the last [samples], start to N.

        Returns:
            Shape `(stop - start,)`, int64, values in 0..N-1, no two the same.

        Raises:
            PlanError: the epoch or a position is not there.
        """
        epoch_index, start, stop = _whole(
            ("epoch_index", epoch_index, 0, _LARGEST_WORD),
            ("start", start, 0, self.samples),
            ("stop", stop, 0, self.samples),
        )
        if stop < start:
            raise PlanError(
                f"positions {start} to {stop} run backwards.",
                f"give the lower first: indices({epoch_index}, {stop}, {start}).",
            )
        found = np.empty(stop - start, np.int64)
        self._write(epoch_index, start, found)
        return found

    def index(self, epoch_index: int, position: int) -> int:
        """Return the sample at one position, 0 to N-1, of one epoch.

        Raises:
            PlanError: the epoch or the position is not there.
        """
        (position,) = _whole(("position", position, 0, self.samples - 1))
        return int(self.indices(epoch_index, position, position + 1)[0])

    def batch(self, epoch_index: int, iteration_index: int, batch_size: int) -> Indices:
        """Return the samples of one iteration; the last of an epoch may be short.

        Args:
            epoch_index: which epoch, from 0.
            iteration_index: which iteration of that epoch, 0 to ⌈N/B⌉ - 1.
            batch_size: B [samples / iteration]; at least 1.

        Returns:
            Shape `(B,)`, or `(N mod B,)` for a short last batch; int64.

        Raises:
            PlanError: the epoch or the iteration is not there.

        Example:
            >>> order = Order(samples=10, seed=0, shuffle=False)
            >>> order.batch(0, 2, 4).tolist()
            [8, 9]
        """
        (batch_size,) = _whole(("batch_size", batch_size, 1, MOST_SAMPLES))
        last = -(-self.samples // batch_size) - 1
        (iteration_index,) = _whole(("iteration_index", iteration_index, 0, last))
        start = iteration_index * batch_size
        return self.indices(epoch_index, start, min(start + batch_size, self.samples))

    def batches(
        self, epoch_index: int, first_iteration_index: int, count: int, batch_size: int
    ) -> npt.NDArray[np.int32] | Indices:
        """Return the samples of several full batches, one row an iteration.

        Args:
            epoch_index: which epoch, from 0.
            first_iteration_index: the first iteration of that epoch, from 0.
            count: how many iterations; at least 0.
            batch_size: B [samples / iteration]; at least 1.

        Returns:
            Shape `(count, B)`, of type `dtype`.

        Raises:
            PlanError: the epoch is not there or holds fewer full batches.

        Example:
            >>> Order(samples=10, seed=0, shuffle=False).batches(0, 1, 2, 3)
            array([[3, 4, 5],
                   [6, 7, 8]], dtype=int32)
        """
        epoch_index, first_iteration_index, count, batch_size = _whole(
            ("epoch_index", epoch_index, 0, _LARGEST_WORD),
            ("first_iteration_index", first_iteration_index, 0, MOST_SAMPLES),
            ("count", count, 0, MOST_SAMPLES),
            ("batch_size", batch_size, 1, MOST_SAMPLES),
        )
        full = self.samples // batch_size
        if first_iteration_index + count > full:
            raise PlanError(
                f"iterations {first_iteration_index} to {first_iteration_index + count - 1} "
                f"are asked for, but an epoch of {self.samples} samples has {full} full "
                f"batches of {batch_size}.",
                f"end at iteration {full} and take a short last batch with batch().",
            )
        found: npt.NDArray[Any] = np.empty(count * batch_size, self.dtype)
        self._write(epoch_index, first_iteration_index * batch_size, found)
        return found.reshape(count, batch_size)

    def digest(self, epoch_index: int) -> str:
        """Return the SHA-256 of one epoch's order, for records and golden tests.

        The bytes hashed are the N samples in order, each as a little-endian signed 64-bit
        number. They are made block by block, so memory does not grow with N.

        Returns:
            64 hexadecimal digits.

        Raises:
            PlanError: there is no such epoch.

        Example:
            >>> Order(samples=60_000, seed=0).digest(0)[:16]
            '9fdd66466c436e04'
        """
        seen = hashlib.sha256()
        for start in range(0, self.samples, _BLOCK):
            block = self.indices(epoch_index, start, min(start + _BLOCK, self.samples))
            seen.update(block.astype("<i8", copy=False).tobytes())
        return seen.hexdigest()

    def _write(self, epoch_index: int, start: int, found: npt.NDArray[Any]) -> None:
        """Fill `found` with the samples from position `start` on."""
        stop = start + found.size
        if not self.shuffle:
            found[:] = np.arange(start, stop)
        elif self.samples <= _RANKED_SAMPLES:
            found[:] = _ranked(self.seed, epoch_index, self.samples)[start:stop]
        else:
            network = _network(self.seed, epoch_index, self.samples)
            for low in range(start, stop, _BLOCK):
                high = min(low + _BLOCK, stop)
                block = network.permuted(np.arange(low, high, dtype=np.uint64))
                found[low - start : high - start] = block


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Network:
    """A keyed permutation of 0..N-1: a Feistel network on Z_a × Z_b, cycle walking.

    A number v < a·b is the pair (⌊v/b⌋, v mod b). Rounds take turns: the first half
    becomes (first + F(second)) mod a, then the second (second + G(first)) mod b, each F
    and G keyed by its own 64 bits. Every round can be undone, so all of them together are
    a permutation of the a·b numbers; a result of N or more goes through again until it is
    below N, which leaves a permutation of 0..N-1. At most a - 1 numbers are in excess.

    Args:
        samples: N.
        keys: one 64-bit key a round.
        tables: the values of each round's function, or `None` to work them out.
    """

    samples: int
    keys: tuple[int, ...]
    tables: tuple[_Words, ...] | None

    @property
    def halves(self) -> tuple[int, int]:
        """The sizes a and b of the two halves, with N <= a·b < N + a."""
        a = math.isqrt(self.samples - 1) + 1
        return a, -(-self.samples // a)

    def tabulated(self) -> _Network:
        """Return the same permutation with the values of its round functions at hand."""
        a, b = self.halves
        tables = []
        read, changed = b, a
        for key in self.keys:
            tables.append(_round_values(key, np.arange(read, dtype=np.uint64), changed))
            read, changed = changed, read
        return _Network(samples=self.samples, keys=self.keys, tables=tuple(tables))

    def permuted(self, values: _Words) -> _Words:
        """Return the images of these numbers below N; the numbers may be overwritten."""
        values = self._once(values)
        excess = np.flatnonzero(values >= self.samples)
        while excess.size:
            walked = self._once(values[excess])
            values[excess] = walked
            excess = excess[walked >= self.samples]
        return values

    def _once(self, values: _Words) -> _Words:
        a, b = self.halves
        first = values // np.uint64(b)
        second = values - first * np.uint64(b)
        changed, read, modulus, other = first, second, a, b
        for number, key in enumerate(self.keys):
            if self.tables is None:
                added = _round_values(key, read, modulus)
            else:
                # All entries are in range; "clip" only spares the check that they are.
                added = self.tables[number].take(read.view(np.int64), mode="clip")
            changed += added
            # At or above the modulus the difference is the smaller of the two; below it
            # the difference wraps round to a number near 2**64.
            np.minimum(changed, changed - np.uint64(modulus), out=changed)
            changed, read, modulus, other = read, changed, other, modulus
        first *= np.uint64(b)
        first += second
        return first


@functools.lru_cache(maxsize=_EPOCHS_KEPT)
def _network(seed: int, epoch_index: int, samples: int) -> _Network:
    """Return the network of one epoch, tabulated when its halves are small."""
    network = _Network(samples=samples, keys=_keys(seed, epoch_index, samples), tables=None)
    return network.tabulated() if max(network.halves) <= _TABLE_ENTRIES else network


def index_type(samples: int) -> type[np.int32] | type[np.int64]:
    """Return the smallest signed type, of those that devices index with, for N samples."""
    return np.int32 if samples < 2**31 else np.int64


@functools.lru_cache(maxsize=_EPOCHS_KEPT)
def _ranked(seed: int, epoch_index: int, samples: int) -> Indices:
    """Return a whole epoch of a small set: its samples by their keyed hashes.

    SplitMix64 is a bijection of its counter, so no two hashes are equal.
    """
    key = _keys(seed, epoch_index, samples)[0]
    hashes = _splitmix64(key, np.arange(samples, dtype=np.uint64))
    ranked = np.argsort(hashes, kind="stable").astype(np.int64, copy=False)
    ranked.flags.writeable = False
    return ranked


def _keys(seed: int, epoch_index: int, samples: int) -> tuple[int, ...]:
    """Return one 64-bit key a round for the order of one epoch."""
    digest = _keyed_digest(seed, "order", (epoch_index, samples), digest_size=8 * _ROUNDS)
    return tuple(
        int.from_bytes(digest[start : start + 8], "little")
        for start in range(0, len(digest), 8)
    )


def _keyed_digest(
    seed: int, purpose: str, position: Sequence[int], *, digest_size: int
) -> bytes:
    """Hash seed, purpose and position; each part has its own place in the message."""
    word = purpose.encode()
    numbers = (seed, len(word), *position)
    message = b"".join(number.to_bytes(8, "little") for number in numbers)
    return hashlib.blake2b(
        message + word, digest_size=digest_size, person=b"epochwise"
    ).digest()


def _round_values(key: int, values: _Words, modulus: int) -> _Words:
    """Return a keyed random number in 0..modulus-1 for each value; modulus < 2**32.

    The result is ⌊hash · modulus / 2**64⌋, the high word of a 96-bit product worked out
    in two halves; how often two results occur differs by one in 2**64 / modulus.
    """
    hashes = _splitmix64(key, values)
    low = hashes & np.uint64(0xFFFF_FFFF)
    low *= np.uint64(modulus)
    low >>= np.uint64(32)
    hashes >>= np.uint64(32)
    hashes *= np.uint64(modulus)
    hashes += low
    hashes >>= np.uint64(32)
    return hashes


def _splitmix64(key: int, values: _Words) -> _Words:
    """Return the outputs, numbered from 0 by `values`, of a SplitMix64 started at `key`."""
    golden = 0x9E37_79B9_7F4A_7C15
    state = values * np.uint64(golden)
    state += np.uint64((key + golden) & _LARGEST_WORD)
    state ^= state >> np.uint64(30)
    state *= np.uint64(0xBF58_476D_1CE4_E5B9)
    state ^= state >> np.uint64(27)
    state *= np.uint64(0x94D0_49BB_1331_11EB)
    state ^= state >> np.uint64(31)
    return state


def _whole(*numbers: tuple[str, object, int, int]) -> list[int]:
    """Return numbers given as (name, value, least, most) that are whole and in range.

    Raises:
        PlanError: some are not; all of these are told together.
    """
    problems: list[Problem] = []
    whole = [
        noted_whole_number(name, value, problems, least=least, most=most)
        for name, value, least, most in numbers
    ]
    if problems:
        raise PlanError(problems)
    return [number for number in whole if number is not None]
