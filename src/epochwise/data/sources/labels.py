"""Targets as they come, turned into class numbers or regression targets.

Owns one decision, the same for every file format, from the training part's targets:

    text, truth values                    classes, in alphabetical order
    whole numbers, at most 1000 distinct  classes, in numerical order
    whole numbers, more                   a regression
    numbers with fractions                a regression
    two or more axes                      targets as they are (one-hot, several outputs,
                                          one label for each place of a sequence)

A column of shape `(N, 1)` counts as `(N,)`. Whole numbers stored as floats (3.0) are whole
numbers, since tables with a gap once stored them so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from epochwise.data.samples import Array
from epochwise.data.sources.arrays import first_not_finite, row_chunks
from epochwise.errors import DataError

MOST_NUMBERED_CLASSES = 1000
"""Whole numbers with more distinct values than this are a regression's targets."""

MOST_NAMED_CLASSES = 1 << 16
"""Text with more distinct values than this is no label [classes]."""

NAMES_TOLD = 10
"""How many names an error lists before it says how many more there are."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Targets:
    """The targets of both parts, ready for a loss.

    Args:
        train: int32 class numbers `(N,)`, or float32 or int32 targets.
        test: the same for the test part, or `None`.
        classes: the classes' names in the order of their numbers, or `None`.
    """

    train: Array
    test: Array | None
    classes: tuple[str, ...] | None


class NameCodes:
    """Text labels counted as they come: the n-th new name gets number n (from 0).

    Holds the distinct names only, so that a long table costs four bytes a row.

    Args:
        place: file and column, for messages.

    Example:
        >>> codes = NameCodes("a.csv, column 'species'")
        >>> [codes.code(name) for name in ("dog", "cat", "dog")]
        [0, 1, 0]
        >>> codes.in_order(np.array([0, 1, 0], np.int32))
        (array([1, 0, 1], dtype=int32), ('cat', 'dog'))
    """

    def __init__(self, place: str) -> None:
        """Start with no name."""
        self._place = place
        self._codes: dict[str, int] = {}

    def code(self, name: str) -> int:
        """Return the number of a name, a new one when it is new.

        Raises:
            DataError: more than `MOST_NAMED_CLASSES` distinct names.
        """
        known = self._codes.setdefault(name, len(self._codes))
        if known >= MOST_NAMED_CLASSES:
            raise too_many_names(self._place)
        return known

    def in_order(self, codes: npt.NDArray[np.int32]) -> tuple[Array, tuple[str, ...]]:
        """Renumber in place so that numbers follow the alphabet; return both."""
        names = tuple(sorted(self._codes))
        renumber = np.empty(len(names), np.int32)
        for number, name in enumerate(names):
            renumber[self._codes[name]] = number
        for start, part in row_chunks(codes):
            codes[start : start + part.shape[0]] = renumber[part]
        return codes, names


def too_many_names(place: str) -> DataError:
    """Return the error for a label that looks like an identifier."""
    return DataError(
        f"{place}: more than {MOST_NAMED_CLASSES:,} distinct text labels.",
        "choose the column that holds the class; this one looks like an identifier.",
    )


def encode(train: Array, test: Array | None, *, place: str, test_place: str = "") -> Targets:
    """Turn targets as stored into what a loss takes; see the module for the rules.

    Args:
        train: the training part's targets, first axis N.
        test: the test part's, or `None`.
        place: file and key or column, for messages.
        test_place: the same for the test part.

    Returns:
        Class numbers with names, or targets of a regression without.

    Raises:
        DataError: a dtype that is no target, NaN or infinity, text in one part only, or a
            label in the test part that never occurs in training.

    Example:
        >>> encode(np.array([7, 3, 7]), None, place="y")
        Targets(train=array([1, 0, 1], dtype=int32), test=None, classes=('3', '7'))
        >>> encode(np.array([0.5, 2.0]), None, place="y")
        Targets(train=array([0.5, 2. ], dtype=float32), test=None, classes=None)
    """
    train = _squeezed(train, place)
    if test is not None:
        test = _squeezed(test, test_place)
        _check_same_kind(train, test, place, test_place)
    if train.ndim > 1:
        return _several_targets(train, test, place, test_place)
    parts = [(train, place)] + ([] if test is None else [(test, test_place)])
    if any(_has_fractions(part) for part, _ in parts):
        return _regression(train, test, place, test_place)
    codes = _distinct(train, place)
    if codes is None:
        return _regression(train, test, place, test_place)
    encoded_test = None if test is None else _encoded(test, codes, test_place)
    return Targets(
        train=_encoded(train, codes, place),
        test=encoded_test,
        classes=tuple(_label_name(value) for value in codes),
    )


def _squeezed(targets: Array, place: str) -> Array:
    """Return `(N, 1)` as `(N,)`, after the check of the dtype and of finiteness."""
    if targets.dtype.kind not in "biufUS":
        raise DataError(
            f"{place}: dtype {targets.dtype} is no label and no target.",
            "store whole numbers, text or floats.",
        )
    if targets.dtype.kind == "f":
        index = first_not_finite(targets)
        if index is not None:
            told = ", ".join(str(part) for part in index)
            raise DataError(
                f"{place}[{told}] is {targets[index]}, which is no target.",
                "fill or leave out the samples whose target is missing.",
            )
    if targets.ndim == 2 and targets.shape[1] == 1:
        return targets.reshape(-1)
    return targets


def _check_same_kind(train: Array, test: Array, place: str, test_place: str) -> None:
    text = [part.dtype.kind in "US" for part in (train, test)]
    if text[0] != text[1] or train.shape[1:] != test.shape[1:]:
        raise DataError(
            f"{place} holds {train.dtype} of shape {train.shape}, but {test_place} holds "
            f"{test.dtype} of shape {test.shape}.",
            "store the targets of both parts alike.",
        )


def _has_fractions(targets: Array) -> bool:
    if targets.dtype.kind != "f":
        return False
    return any(bool((np.floor(part) != part).any()) for _, part in row_chunks(targets))


def _key(value: Any) -> Any:
    """Return a label as a Python value: whole floats as integers, bytes as text."""
    if isinstance(value, float | np.floating):
        return int(value)
    if isinstance(value, bytes):
        return value.decode("utf-8")
    return value


def _label_name(key: Any) -> str:
    return key if isinstance(key, str) else str(key)


def _unique(part: Array, place: str) -> tuple[list[Any], Array]:
    """Return the distinct labels of a piece as Python values, and where each occurs."""
    values, inverse = np.unique(part, return_inverse=True)
    try:
        return [_key(value) for value in values.tolist()], inverse
    except (UnicodeDecodeError, ValueError) as error:
        raise DataError(
            f"{place}: a label is not valid UTF-8 text ({error}).",
            "store labels as numbers or as NumPy text, e.g. y = y.astype(str).",
        ) from error


def _distinct(train: Array, place: str) -> dict[Any, int] | None:
    """Number the distinct labels in order; `None` when numbers have too many."""
    text = train.dtype.kind in "US"
    most = MOST_NAMED_CLASSES if text else MOST_NUMBERED_CLASSES
    found: set[Any] = set()
    for _, part in row_chunks(train):
        found.update(_unique(part, place)[0])
        if len(found) > most:
            if text:
                raise too_many_names(place)
            return None
    return {label: number for number, label in enumerate(sorted(found))}


def _encoded(targets: Array, codes: dict[Any, int], place: str) -> Array:
    """Map each label to its number, a piece at a time."""
    encoded = np.empty(targets.shape[0], np.int32)
    unknown: set[Any] = set()
    for start, part in row_chunks(targets):
        keys, inverse = _unique(part, place)
        unknown.update(key for key in keys if key not in codes)
        numbers = np.array([codes.get(key, 0) for key in keys], np.int32)
        encoded[start : start + part.shape[0]] = numbers[inverse]
    if unknown:
        raise unseen_labels(place, [_label_name(key) for key in sorted(unknown)])
    return encoded


def unseen_labels(place: str, names: list[str]) -> DataError:
    """Return the error for labels of the test part that training never sees."""
    told = ", ".join(repr(name) for name in names[:NAMES_TOLD])
    more = f" and {len(names) - NAMES_TOLD:,} more" if len(names) > NAMES_TOLD else ""
    return DataError(
        f"{place}: labels that never occur in the training part: {told}{more}.",
        "leave these samples out of the test part, or add some to the training part.",
    )


def _as_float32(targets: Array, place: str) -> Array:
    """Cast a piece at a time; refuse what float32 cannot hold."""
    if targets.dtype == np.float32:
        return targets
    cast = np.empty(targets.shape, np.float32)
    with np.errstate(over="ignore"):
        for start, part in row_chunks(targets):
            cast[start : start + part.shape[0]] = part
    index = first_not_finite(cast)
    if index is not None:
        told = ", ".join(str(part) for part in index)
        raise DataError(
            f"{place}[{told}] is {targets[index]}, more than float32 can hold.",
            "scale the targets, e.g. train on their logarithm.",
        )
    return cast


def _regression(train: Array, test: Array | None, place: str, test_place: str) -> Targets:
    return Targets(
        train=_as_float32(train, place),
        test=None if test is None else _as_float32(test, test_place),
        classes=None,
    )


def _several_targets(train: Array, test: Array | None, place: str, test_place: str) -> Targets:
    """Keep targets of two or more axes: 0 and 1 (one-hot) and floats become float32."""
    if train.dtype.kind in "US":
        raise DataError(
            f"{place}: text labels of shape {train.shape}; one label a sample is needed.",
            "store one label a sample, or numbers.",
        )
    parts = [train] if test is None else [train, test]
    whole = all(part.dtype.kind in "iu" for part in parts)
    if not whole or all(_lies_within(part, 0, 1) for part in parts):
        return _regression(train, test, place, test_place)
    limits = np.iinfo(np.int32)
    for part, where in zip(parts, (place, test_place), strict=False):
        if not _lies_within(part, int(limits.min), int(limits.max)):
            raise DataError(
                f"{where}: a whole number lies beyond int32.",
                "store targets that are no class numbers as floats.",
            )
    return Targets(
        train=train.astype(np.int32, copy=False),
        test=None if test is None else test.astype(np.int32, copy=False),
        classes=None,
    )


def _lies_within(array: Array, low: int, high: int) -> bool:
    return int(array.min()) >= low and int(array.max()) <= high
