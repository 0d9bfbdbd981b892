"""Targets as they come, turned into class numbers or regression targets.

Owns one decision, the same for every file format:

    text, truth values                    classes, in alphabetical order
    numbers with fractions                a regression
    whole numbers that are few or         classes, in numerical order (see `_names_classes`)
      consecutive
    other whole numbers                   a regression
    rows of 0 and 1, a single 1 in each   one-hot: a class for each column
    other rows of 0 and 1                 several labels at once
    other rows                            a regression of several numbers
    more axes, whole numbers in rows      as they are (one label for each place of a sequence)

Where the user asks for a classification or a regression, that is taken, or refused where
the targets cannot be it. A column of shape `(N, 1)` counts as `(N,)`. Whole numbers stored
as floats (3.0) are whole numbers, since tables with a gap once stored them so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from epochwise.data.samples import Array, TargetKind, Task
from epochwise.data.sources.arrays import first_not_finite, row_chunks
from epochwise.errors import DataError

AskedTask: TypeAlias = Literal["classification", "regression"]
"""What the user says the targets are; `None` to decide from their values."""

FEW_CLASSES = 20
"""So many distinct whole numbers may name classes though numbers between them are missing."""

MOST_NUMBERED_CLASSES = 1000
"""Whole numbers with more distinct values than this are a regression's targets."""

MOST_NAMED_CLASSES = 1 << 16
"""Text with more distinct values than this is no label [classes]."""

NAMES_TOLD = 10
"""How many names an error lists before it says how many more there are."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Targets:
    """The targets of all parts, ready for a loss.

    Args:
        parts: for each part, int32 class numbers `(N,)`, or float32 or int32 targets.
        task: what they ask of a network.
        classes: the classes' names in the order of their numbers, or `None`.
    """

    parts: tuple[Array, ...]
    task: Task
    classes: tuple[str, ...] | None = None


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

    @property
    def first(self) -> str:
        """The name that came first."""
        return next(iter(self._codes))

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


def named_classes(names: tuple[str, ...], parts: Sequence[Array]) -> Targets:
    """Return class numbers that are made already, as targets."""
    task = Task(kind="classes", outputs=len(names))
    return Targets(parts=tuple(parts), task=task, classes=names)


def no_number(place: str, label: str) -> DataError:
    """Return the error for a label that is text where a regression is asked for."""
    return DataError(
        f"{place}: {label!r} is text, and a regression needs numbers.",
        "leave --task out, or take numbers for the targets.",
    )


def encode(
    parts: Sequence[tuple[Array, str]], *, name: str, asked: AskedTask | None = None
) -> Targets:
    """Turn targets as stored into what a loss takes; see the module for the rules.

    Args:
        parts: the targets of the training part, first axis N, then those of other parts,
            each with its place for messages: file and key or column.
        name: what the user calls the targets: the key, the column or the file.
        asked: what the user says they are.

    Returns:
        Class numbers with names, or other targets without.

    Raises:
        DataError: a dtype that is no target, NaN or infinity, parts of different kinds, a
            label that never occurs in training, or targets that are not what is asked.

    Example:
        >>> found = encode([(np.array([7, 3, 7, 3]), "file")], name="y")
        >>> found.parts[0].tolist(), found.classes
        ([1, 0, 1, 0], ('3', '7'))
        >>> encode([(np.array([0.5, 2.0]), "file")], name="y").task.evidence
        'Regression: y has fractions, such as 0.5.'
    """
    parts = [(_squeezed(targets, place), place) for targets, place in parts]
    for part, place in parts[1:]:
        _check_same_kind(*parts[0], part, place)
    train, place = parts[0]
    text = train.dtype.kind in "US"
    if text and train.ndim > 1:
        raise DataError(
            f"{place}: text labels of shape {train.shape}; one label a sample is needed.",
            "store one label a sample, or numbers.",
        )
    if text and asked == "regression":
        raise no_number(place, _label_name(_key(train[0].item())))
    if text:
        return _numbered(parts, _distinct(train, place), "")
    if train.ndim > 1:
        return _rows(parts, name, asked)
    if asked == "regression":
        return _numbers(parts, f"Regression, as asked: {name} is taken as numbers.")
    fraction = next(
        (found for part, _ in parts if (found := _fraction(part)) is not None), None
    )
    if fraction is not None:
        if asked == "classification":
            raise DataError(
                f"{place}: {fraction:g} has a fraction, and classes are whole numbers or text.",
                "leave --task out for a regression, or store class numbers or names.",
            )
        return _numbers(parts, f"Regression: {name} has fractions, such as {fraction:g}.")
    codes = _distinct(train, place)
    return _of_whole_numbers(parts, codes, name, asked)


def _of_whole_numbers(
    parts: Sequence[tuple[Array, str]],
    codes: dict[Any, int],
    name: str,
    asked: AskedTask | None,
) -> Targets:
    """Return classes or a regression, as asked or by the rule, with its evidence."""
    train, place = parts[0]
    if train.dtype.kind == "b":
        return _numbered(parts, codes, "")
    count = train.shape[0]
    several = f"{len(codes):,}" if len(codes) <= MOST_NAMED_CLASSES else "too many"
    if asked == "classification":
        if len(codes) > MOST_NAMED_CLASSES:
            raise too_many_names(place)
        return _numbered(
            parts, codes, f"Classification, as asked: {name} has {several} different values."
        )
    seen = f"{name} has {several} different whole numbers"
    if len(codes) > MOST_NAMED_CLASSES:
        seen = f"{name} has more than {MOST_NAMED_CLASSES:,} different whole numbers"
    if not _names_classes(list(codes), count):
        return _numbers(
            parts,
            f"Regression: {seen} in {count:,} samples; --task classification makes them "
            "classes.",
        )
    ends = f" ({min(codes)} to {max(codes)})" if len(codes) > 1 else f" ({min(codes)})"
    return _numbered(
        parts,
        codes,
        f"Classification: {seen}{ends} in {count:,} samples, taken as classes; --task "
        "regression takes them as numbers.",
    )


def _names_classes(values: Sequence[int], count: int) -> bool:
    """Tell whether whole numbers name classes.

    They do when they are few or when they number things, that is, run from 0 or 1 without
    a gap; but many, or few with gaps, must also come twice on average, for a label that
    hardly ever comes again is a measurement.

    Args:
        values: the distinct ones, ascending.
        count: of samples.

    Example:
        >>> _names_classes([-1, 1], 8), _names_classes([0, 1, 2, 4], 8)
        (True, True)
        >>> _names_classes(range(100), 500), _names_classes(range(1950, 2020), 500)
        (True, False)
    """
    distinct = len(values)
    runs = values[0] in (0, 1) and values[-1] - values[0] + 1 == distinct
    repeated = count >= 2 * distinct
    if distinct <= FEW_CLASSES:
        return runs or repeated or distinct <= 2
    return runs and repeated and distinct <= MOST_NUMBERED_CLASSES


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


def _check_same_kind(train: Array, place: str, other: Array, other_place: str) -> None:
    text = [part.dtype.kind in "US" for part in (train, other)]
    if text[0] != text[1] or train.shape[1:] != other.shape[1:]:
        raise DataError(
            f"{place} holds {train.dtype} of shape {train.shape}, but {other_place} holds "
            f"{other.dtype} of shape {other.shape}.",
            "store the targets of all parts alike.",
        )


def _fraction(targets: Array) -> float | None:
    """Return the first number that is not whole, or `None`."""
    if targets.dtype.kind == "f":
        for _, part in row_chunks(targets):
            fractions = np.floor(part) != part
            if fractions.any():
                return float(part[int(np.argmax(fractions))])
    return None


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


def _distinct(train: Array, place: str) -> dict[Any, int]:
    """Number the distinct labels in order; of numbers, one more than may be classes."""
    found: set[Any] = set()
    for _, part in row_chunks(train):
        found.update(_unique(part, place)[0])
        if len(found) > MOST_NAMED_CLASSES:
            if train.dtype.kind in "US":
                raise too_many_names(place)
            break
    return {label: number for number, label in enumerate(sorted(found))}


def _numbered(
    parts: Sequence[tuple[Array, str]], codes: dict[Any, int], evidence: str
) -> Targets:
    """Return class numbers; a label of another part that training lacks is refused."""
    names = tuple(_label_name(value) for value in codes)
    encoded = tuple(_encoded(targets, codes, place) for targets, place in parts)
    task = Task(kind="classes", outputs=len(names), evidence=evidence)
    return Targets(parts=encoded, task=task, classes=names)


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


def _numbers(parts: Sequence[tuple[Array, str]], evidence: str) -> Targets:
    """Return one number a sample, to come close to."""
    task = Task(kind="regression", evidence=evidence)
    return Targets(parts=tuple(_as_float32(part, place) for part, place in parts), task=task)


def _rows(parts: Sequence[tuple[Array, str]], name: str, asked: AskedTask | None) -> Targets:
    """Return targets of two or more axes: rows of zeros and ones, or of numbers."""
    train, place = parts[0]
    shape = tuple(int(size) for size in train.shape[1:])
    flags = all(_is_flags(part) for part, _ in parts)
    kind: TargetKind = "regression"
    evidence = (
        f"Regression: {name} holds {' × '.join(map(str, shape))} numbers for each sample."
    )
    if asked == "regression":
        evidence = evidence.replace(":", ", as asked:", 1)
    elif flags and train.ndim == 2:
        if all(_is_one_hot(part) for part, _ in parts):
            kind = "one_hot"
            evidence = (
                f"Classification: each row of {name} holds a single 1 among zeros, so its "
                f"{shape[0]} columns are classes (one-hot)"
            )
        else:
            kind = "multi_label"
            evidence = (
                f"Classification: {name} holds zeros and ones, any number of ones in a row, so "
                f"each of its {shape[0]} columns is a label of its own"
            )
        evidence += "; --task regression takes them as numbers."
    elif asked == "classification":
        raise DataError(
            f"{place}: rows of shape {shape} that are not zeros and ones name no class.",
            "store one class a sample, or rows of 0 and 1; or leave --task out.",
        )
    whole = all(part.dtype.kind in "iu" for part, _ in parts)
    made = _as_int32 if whole and not flags else _as_float32
    outputs = int(np.prod(shape))
    return Targets(
        parts=tuple(made(part, place) for part, place in parts),
        task=Task(kind=kind, outputs=outputs, shape=shape, evidence=evidence),
        classes=tuple(str(n) for n in range(outputs)) if kind == "one_hot" else None,
    )


def _is_flags(targets: Array) -> bool:
    return all(bool(((part == 0) | (part == 1)).all()) for _, part in row_chunks(targets))


def _is_one_hot(flags: Array) -> bool:
    return all(bool((part.sum(axis=1) == 1).all()) for _, part in row_chunks(flags))


def _as_int32(targets: Array, place: str) -> Array:
    limits = np.iinfo(np.int32)
    if int(targets.min()) < limits.min or int(targets.max()) > limits.max:
        raise DataError(
            f"{place}: a whole number lies beyond int32.",
            "store targets that are no class numbers as floats.",
        )
    return targets.astype(np.int32, copy=False)
