"""The split of a data set into a part that trains and a part that is held out.

Owns which samples are held out for validation or test, and the sentence that says by
what rule. By default the part is stratified: it holds of each class what it holds of the
whole. Which members of a class are held out follows from the seed alone, through
`epochwise.data.order`, so no library's version changes it. Reads labels, moves no sample.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from epochwise.data.order import Indices, Order, position_seed
from epochwise.errors import DataError, PlanError

SplitOrder: TypeAlias = Literal["stratified", "time"]
"""Held out in proportion from each class, or the last samples as they stand."""

MOST_CLASSES = 1000
"""Labels with more distinct values than this are taken as values, not as classes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Split:
    """Which samples train, which are held out, and by what rule.

    Args:
        train: places of the samples that train, ascending, int64.
        held_out: places of the samples that are held out, ascending, int64; together
            with `train` each sample once.
        rule: one sentence with the numbers from which these places follow.
    """

    train: Indices
    held_out: Indices
    rule: str

    @property
    def digest(self) -> str:
        """SHA-256 over both parts, 64 hexadecimal digits.

        Hashed are the length and the places of the training part, then those of the
        held-out part, all as little-endian signed 64-bit numbers. The lengths tell
        apart splits of the same samples at different places.
        """
        seen = hashlib.sha256()
        for part in (self.train, self.held_out):
            seen.update(part.size.to_bytes(8, "little"))
            seen.update(part.astype("<i8", copy=False).tobytes())
        return seen.hexdigest()


def check_share(validation_split: object) -> float:
    """Return the share of the samples to hold out, as a number in [0, 1).

    Raises:
        PlanError: it is not a number in [0, 1).
    """
    if isinstance(validation_split, Real) and 0 <= float(validation_split) < 1:
        return float(validation_split)
    raise PlanError(
        f"validation_split must be in [0, 1); got {validation_split!r}.",
        "use validation_split=0.2 to hold out a fifth, or validation_split=0 for none.",
    )


def split(
    count: int,
    fraction: float,
    *,
    labels: npt.ArrayLike | None = None,
    order: SplitOrder = "stratified",
    seed: int,
) -> Split:
    """Divide N samples into a training part and a held-out part.

    The held-out part has N - ⌊N·(1 - fraction)⌋ samples, the number that Keras's
    `validation_split` has.

    With `order="time"` these are the last samples, so the split is Keras's own: right
    when samples stand in the order of time, wrong when they stand in the order of their
    classes.

    With `order="stratified"` and labels that name classes, each class gives its share,
    rounded by the largest remainder. A class with two or more samples is never missing
    from either part; where that needs more samples than asked for, the held-out part
    grows, and the rule says so. A class with one sample has it in training, and the
    fraction is taken of the samples of the other classes.

    Labels name classes when they are integers, booleans or strings of shape `(N,)` or
    `(N, 1)`, or rows of shape `(N, C)` with a single 1 among zeros, have at most 1,000
    distinct values, and at least one value comes twice. With other labels or none the
    held-out samples are drawn at random from all.

    Args:
        count: N [samples]; at least 2.
        fraction: the share to hold out, between 0 and 1, both excluded.
        labels: one label a sample, or `None`.
        order: how samples are chosen.
        seed: any whole number from 0 to 2**64 - 1; not used with `order="time"`.

    Returns:
        Both parts, neither of them empty.

    Raises:
        PlanError: the fraction, the order, the seed or the number of samples cannot be.
        DataError: the labels are not N, or a part would be empty.

    Example:
        Five sorted classes of four: the last fifth would hold only the last class.

        >>> labels = np.repeat(["a", "b", "c", "d", "e"], 4)
        >>> labels[split(20, 0.2, labels=labels, order="time", seed=0).held_out].tolist()
        ['e', 'e', 'e', 'e']
        >>> parts = split(20, 0.2, labels=labels, seed=0)
        >>> labels[parts.held_out].tolist()
        ['a', 'b', 'c', 'd', 'e']
        >>> print(parts.rule)  # doctest: +NORMALIZE_WHITESPACE
        5 of 20 samples are held out, drawn in proportion from each of 5 classes with seed 0,
        and the other 15 train; 4 held out would leave one of the parts without some class.
    """
    if order not in get_args(SplitOrder):
        raise PlanError(
            f"order={order!r} is not a way to split.", 'use order="stratified" or order="time".'
        )
    if not 0.0 < fraction < 1.0:
        raise PlanError(
            f"a held-out fraction of {fraction} leaves one part empty or means nothing.",
            "use a fraction between 0 and 1, such as 0.2; leave the split out for none.",
        )
    chosen = Order(samples=count, seed=position_seed(seed, "split"))
    count = chosen.samples
    if labels is not None:
        labels = np.asarray(labels)
        if labels.ndim == 0 or labels.shape[0] != count:
            raise DataError(
                f"labels of shape {labels.shape} do not fit {count} samples.",
                f"give one label for each of the {count} samples, in their order.",
            )
    held = count - _training_size(count, fraction)
    if held in (0, count):
        raise DataError(
            f"a held-out fraction of {fraction} of {count} samples is {held} samples and "
            f"leaves {count - held} to train on.",
            "hold out another fraction, such as 0.2, or give more samples."
            if count > 1
            else "give at least two samples, or train without a held-out part.",
        )
    if order == "time":
        return Split(
            train=np.arange(count - held, dtype=np.int64),
            held_out=np.arange(count - held, count, dtype=np.int64),
            rule=f"The last {held} of {count} samples are held out and the first "
            f"{count - held} train, as they stand.",
        )
    classes = None if labels is None else _class_numbers(labels)
    permuted = chosen.indices(0, 0, count)
    if classes is None:
        why = "there are no labels" if labels is None else "the labels do not name classes"
        return _parted(
            permuted[:held],
            count,
            f"{held} of {count} samples are held out, drawn at random with seed {seed} "
            f"because {why}, and the other {count - held} train.",
        )
    return _stratified(permuted, classes, held, fraction, seed)


def _training_size(count: int, fraction: float) -> int:
    """Return ⌊N·(1 - fraction)⌋, in the same floating-point arithmetic as Keras."""
    return math.floor(count * (1.0 - fraction))


def _stratified(
    permuted: Indices, classes: npt.NDArray[np.intp], asked: int, fraction: float, seed: int
) -> Split:
    """Hold out of each class the members that come first in the keyed order."""
    count = permuted.size
    sizes = np.bincount(classes)
    shared = sizes > 1
    members = int(sizes[shared].sum())
    # A fraction of the samples that can be in either part, never more than asked of all.
    wanted = min(asked, members - _training_size(members, fraction))
    parted = int(shared.sum())
    held = min(max(wanted, parted), members - parted)
    shares = np.zeros_like(sizes)
    shares[shared] = _shares(sizes[shared].tolist(), held)

    # Integers of 16 bits sort by radix, in O(N).
    by_class = np.argsort(classes[permuted].astype(np.uint16), kind="stable")
    rank_in_class = np.arange(count) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    members_held = permuted[by_class[rank_in_class < np.repeat(shares, sizes)]]

    rule = (
        f"{held} of {count} samples are held out, drawn in proportion from each of "
        f"{parted} classes with seed {seed}, and the other {count - held} train"
    )
    if held != wanted:
        rule += f"; {wanted} held out would leave one of the parts without some class"
    if parted != sizes.size:
        rule += f"; {sizes.size - parted} more with one sample each are in training only"
    return _parted(members_held, count, rule + ".")


def _shares(sizes: list[int], held: int) -> list[int]:
    """Return how many samples each class gives, in proportion to its size.

    Each share is n·H/M rounded by the largest remainder (Hamilton's method), for n of M
    samples and H held out, and at least 1 and at most n - 1. Equal remainders go to the
    class whose label sorts first.

    Args:
        sizes: n of each class [samples]; at least 2.
        held: H [samples]; from the number of classes K to M - K.

    Returns:
        Whole numbers whose sum is H.

    Example:
        >>> _shares([50, 30, 20], 9), _shares([96, 2, 2], 20), _shares([4, 4], 7 - 1)
        ([4, 3, 2], [18, 1, 1], [3, 3])
    """
    members = sum(sizes)
    shares = [min(max(size * held // members, 1), size - 1) for size in sizes]
    missing = held - sum(shares)
    change = 1 if missing > 0 else -1

    def turn(place: int) -> tuple[int, int]:
        """The class furthest from its exact share comes first; compared exactly."""
        return change * (shares[place] * members - sizes[place] * held), place

    def may_change(place: int) -> bool:
        return 1 <= shares[place] + change <= sizes[place] - 1

    turns = [turn(place) for place in range(len(sizes)) if may_change(place)]
    heapq.heapify(turns)
    for _ in range(abs(missing)):
        _, place = heapq.heappop(turns)
        shares[place] += change
        if may_change(place):
            heapq.heappush(turns, turn(place))
    return shares


def _class_numbers(labels: npt.NDArray[Any]) -> npt.NDArray[np.intp] | None:
    """Return the class of each sample, 0 to C-1 in the order of labels; None if not classes."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    elif labels.ndim == 2 and labels.dtype.kind in "biuf" and _one_hot(labels):
        labels = labels.argmax(axis=1)
    if labels.ndim == 1 and labels.dtype.kind == "O" and set(map(type, labels)) == {str}:
        labels = labels.astype(str)
    if labels.ndim != 1 or labels.dtype.kind not in "biuSTU":
        return None
    values, numbers = np.unique(labels, return_inverse=True)
    return numbers if values.size <= MOST_CLASSES and values.size < labels.size else None


def _one_hot(labels: npt.NDArray[Any]) -> bool:
    """Whether each row is a single 1 among zeros."""
    single = np.count_nonzero(labels, axis=1) == 1
    return bool(single.all() and (labels.sum(axis=1) == 1).all())


def _parted(held_out: Indices, count: int, rule: str) -> Split:
    """Return the split that holds out these samples."""
    trains = np.ones(count, np.bool_)
    trains[held_out] = False
    return Split(
        train=np.flatnonzero(trains).astype(np.int64, copy=False),
        held_out=np.flatnonzero(~trains).astype(np.int64, copy=False),
        rule=rule,
    )
