"""Tables as text: `.csv` and `.tsv`, with one label column.

Owns the delimiter, the header line, line numbers and the reading of cells. Features are
numbers and become float32; what is missing or is text is refused with its line and column,
since a default would train on something that nobody wrote. Digits after a leading zero are
text too: 001 is a code and not the number 1. A first line that may be a sample is asked
about. A line is read at a time, and no record may be longer than a mebibyte, so memory
follows the numbers, not the text.
"""

from __future__ import annotations

import csv
import math
import re
import shlex
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import IO, NoReturn

import numpy as np

from epochwise.data.samples import Array, Dataset, Samples
from epochwise.data.sources import labels
from epochwise.errors import DataError, near

MOST_RECORD_BYTES = 1 << 20
"""The longest record read [bytes]: a line, or several where a quoted cell spans them."""

CELLS_AT_ONCE = 1 << 15
"""How many cells are held as Python numbers before they go into the array [cells]."""

DELIMITERS = "\t;,"
"""In the order in which one of equal count is preferred: decimals may hold a comma."""

_CODE = re.compile(r"\s*[+-]?0[0-9]")
"""How digits with a leading zero begin."""

_MAY_HOLD_CODE = re.compile(r"0(?:(?<![0-9.eE+\-]0)|(?<=[+\-]0)(?<![0-9.eE][+\-]0))[0-9]")
"""A zero, perhaps after a sign, that begins a number and has a digit after it. The zero comes
first in the pattern so that lines are searched fast."""

EXACT_IN_FLOAT64 = 1 << 53
"""Whole numbers from here on may have no float64 of their own."""

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-"})
"""Cells, lower case and stripped, that stand for a value nobody knows."""


class _NamedLabelsError(Exception):
    """This label is text although all before it were numbers: read the labels as text."""


def read_delimited(
    path: Path,
    label: str | None,
    *,
    drop: Collection[str] = (),
    header: bool | None = None,
    asked: labels.AskedTask | None = None,
) -> Dataset:
    """Read a table of text as a data set.

    Args:
        path: the file, UTF-8; cells apart by `,`, `;` or a tab, as in its first line.
        label: name of the column with the labels or targets.
        drop: names of columns to leave out.
        header: whether the first line names the columns; without, their names are "1",
            "2", and so on. `None` to take it so unless it may be a sample.
        asked: what the user says the targets are.

    Returns:
        One training part, with the names of the feature columns.

    Raises:
        DataError: no such column, a first line that may be a sample, a record of another
            length than the first, a feature that is no finite number, a missing value, a
            quote never closed, or no row.
    """
    reading = _Reading(path=path, label=label, drop=tuple(drop), header=header, asked=asked)
    try:
        return _read(reading, named=False)
    except _NamedLabelsError as error:
        found, cell = _read(reading, named=True), str(error)
        if not _CODE.match(cell):
            return found
        note = (
            f"{label} holds codes with leading zeros, such as {cell}: each is a class; --task "
            "regression takes them as numbers."
        )
        return replace(found, notes=(note,))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """What to read, and how; see `read_delimited`."""

    path: Path
    label: str | None
    drop: tuple[str, ...]
    header: bool | None
    asked: labels.AskedTask | None


def check_columns(
    columns: list[str], label: str | None, path: Path, drop: Collection[str] = ()
) -> tuple[int, list[int]]:
    """Find the label among a table's columns; the rest, but what is dropped, are features.

    Args:
        columns: names, in the file's order.
        label: the name asked for.
        path: the file, for messages.
        drop: names of columns to leave out.

    Returns:
        The label's zero-based place, and those of the features.

    Raises:
        DataError: no label asked for, none of that name, no column of a dropped name,
            names that occur twice or are empty, or no feature beside the label.

    Example:
        >>> check_columns(["id", "width", "species"], "species", Path("a.csv"), ["id"])
        (2, [1])
    """
    told = ", ".join(repr(name) for name in columns[:50]) + (", …" if columns[50:] else "")
    if label is None:
        raise DataError(
            f"{path}: a table needs a label column; its columns are {told}.",
            f"name the label, such as label={columns[-1]!r}.",
        )
    if label not in columns:
        raise DataError(
            f"{path}: no column {label!r}; its columns are {told}.",
            f"use label={(near(label, columns) or columns)[0]!r}, or another of these names.",
        )
    for name in drop:
        if name == label or name not in columns:
            what = "is the label" if name == label else "is no column"
            raise DataError(
                f"{path}: --drop {name!r} {what}; its columns are {told}.",
                "give --drop names of feature columns, with commas between them.",
            )
    twice = (
        sorted({name for name in columns if columns.count(name) > 1})
        if len(set(columns)) < len(columns)
        else []
    )
    if twice:
        raise DataError(
            f"{path}: column {twice[0]!r} is there more than once.",
            "give each column a name of its own.",
        )
    features = [n for n, name in enumerate(columns) if name != label and name not in drop]
    if "" in (columns[n] for n in features):
        raise DataError(
            f"{path}: column {columns.index('') + 1} has no name, as a row index has none.",
            "leave it out (pandas: to_csv(..., index=False)), or name it in the header.",
        )
    if not features:
        raise DataError(
            f"{path}: no column beside the label {label!r} is a feature.",
            "add at least one column of features; cells are apart by a comma, a semicolon "
            "or a tab.",
        )
    return columns.index(label), features


class _Records:
    """Lines of a file, counted and bounded, for `csv.reader` to ask for.

    Attributes:
        line: one-based number of the line read last.
        first_line: the line at which the current record began.
        plain: whether the current record holds neither `_`, which Python's numbers may,
            nor digits with a leading zero, which are codes.
    """

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file = file
        self._path = path
        self._record_bytes = 0
        self.line = 0
        self.first_line = 1
        self.plain = True

    def next_record(self) -> None:
        """Say that a record was taken; the next line begins a new one."""
        self._record_bytes = 0
        self.first_line = self.line + 1
        self.plain = True

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        raw = self._file.readline(MOST_RECORD_BYTES + 1)
        if not raw:
            raise StopIteration
        self.line += 1
        self._record_bytes += len(raw)
        if self._record_bytes > MOST_RECORD_BYTES:
            raise DataError(
                f"{self._path}, line {self.first_line}: a record longer than "
                f"{MOST_RECORD_BYTES:,} bytes.",
                "close the quotes that are open, or store a table this wide as .npz.",
            )
        try:
            text = raw.decode("utf-8-sig" if self.line == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self._path}, line {self.line}: byte {error.start + 1} is not UTF-8 "
                f"({error.reason}).",
                "save the table as UTF-8.",
            ) from error
        if "_" in text or _MAY_HOLD_CODE.search(text):
            self.plain = False
        return text


def _read(reading: _Reading, *, named: bool) -> Dataset:
    """Read the whole table; with `named`, labels are kept as text."""
    with reading.path.open("rb") as file:
        records = _Records(file, reading.path)
        try:
            return _read_records(records, reading, named=named)
        except csv.Error as error:
            raise DataError(
                f"{reading.path}, line {records.line}: not a table ({error}).",
                "close each quote; within quotes write a quote twice; end lines with \\n "
                "or \\r\\n.",
            ) from error


def _read_records(records: _Records, reading: _Reading, *, named: bool) -> Dataset:
    path = reading.path
    line = next(records, "")
    cells = csv.reader(chain((line,), records), delimiter=_delimiter(line, path), strict=True)
    rows = _numbered(cells, records)
    first = next(rows, None)
    if first is None:
        raise DataError(f"{path}: empty.", "give a header line and one line a sample.")
    columns = [name.strip() for name in first[0]]
    header = reading.header
    if header is None or not header:
        second = next(rows, None)
        rows = rows if second is None else chain((second,), rows)
        if header is None and second is not None and _may_be_sample(columns, second[0]):
            raise DataError(
                f"{path}: its first line, {line.strip()[:60]!r}, may be a header or a sample: "
                "it has numbers, and looks like the next line.",
                "add --no-header if it is a sample (the columns are then called 1 to "
                f"{len(columns)}: --label {len(columns)}), or --header if it names them.",
            )
    if header is False:
        columns = [str(number) for number in range(1, len(columns) + 1)]
        rows = chain((first,), rows)
    places = check_columns(columns, reading.label, path, reading.drop)
    table = _Table(reading, columns, places, named=named)
    for row, at, plain in rows:
        table.add(row, at, plain=plain)
    return table.dataset()


def _numbered(
    cells: Iterator[list[str]], records: _Records
) -> Iterator[tuple[list[str], int, bool]]:
    """Yield each record that is not blank, with its first line and whether it is plain."""
    for row in cells:
        line, plain = records.first_line, records.plain
        records.next_record()
        if row:
            yield row, line, plain


def _may_be_sample(first: list[str], second: list[str]) -> bool:
    """Tell whether a table's first line may be a sample, by the line after it.

    It may where a cell is a number, unless a cell of text stands above a number, as a
    column's name does.
    """
    named = (
        not _is_number(cell) and cell.lower() not in MISSING and _is_number(below)
        for cell, below in zip(first, second, strict=False)
    )
    return any(map(_is_number, first)) and not any(named)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _delimiter(header: str, path: Path) -> str:
    """Return the delimiter that occurs most outside quotes in the header line."""
    outside = "".join(header.split('"')[::2])
    if path.suffix.lower() == ".tsv" and "\t" in outside:
        return "\t"
    return max(DELIMITERS, key=outside.count)


class _Table:
    """The numbers read so far, in arrays as large as the file could fill.

    A row of c cells takes at least 2c bytes of text, a digit and a delimiter each, so the
    size of the file bounds the rows; memory is used only as rows come.
    """

    def __init__(
        self,
        reading: _Reading,
        columns: list[str],
        places: tuple[int, list[int]],
        *,
        named: bool,
    ) -> None:
        path = reading.path
        self._path = path
        self._asked = reading.asked
        self._columns = columns
        self._label_place, self._places = places
        self._label = f"{path}, column {columns[self._label_place]!r}"
        self._features = [columns[place] for place in self._places]
        capacity = (path.stat().st_size + 1) // (2 * len(columns)) + 1
        self._x: Array = np.empty((capacity, len(self._features)), np.float32)
        self._y: Array = np.empty(capacity, np.int32 if named else np.float64)
        self._codes = labels.NameCodes(self._label) if named else None
        self._spelled: dict[float, str] = {}
        self._also_spelled: tuple[str, str] | None = None
        self._count = 0
        self._pending: list[float] = []
        self._pending_y: list[float] = []
        self._lines: list[int] = []
        self._rows_at_once = max(1, CELLS_AT_ONCE // len(columns))

    def add(self, row: list[str], line: int, *, plain: bool) -> None:
        """Take one record; `plain` says that no cell holds an underscore or a code."""
        if len(row) != len(self._columns):
            self._refuse_length(row, line)
        label = row[self._label_place]
        row = [row[place] for place in self._places]
        if not plain and any("_" in cell or _CODE.match(cell) for cell in row):
            self._refuse_text(row, line)
        try:
            self._pending.extend(map(float, row))
        except ValueError:
            self._refuse_text(row, line)
        self._pending_y.append(self._target(label, line))
        self._lines.append(line)
        if len(self._lines) == self._rows_at_once:
            self._flush()

    def dataset(self) -> Dataset:
        """Return what was read, in arrays cut to size."""
        self._flush()
        if self._count == 0:
            raise DataError(
                f"{self._path}: a header line, but no row of data.",
                "give one line a sample below the header.",
            )
        # Nothing else holds these arrays, so that they may shrink where they lie.
        self._x.resize((self._count, len(self._features)), refcheck=False)
        self._y.resize(self._count, refcheck=False)
        notes: tuple[str, ...] = ()
        if self._codes is None:
            name = self._columns[self._label_place]
            targets = labels.encode([(self._y, self._label)], name=name, asked=self._asked)
            if self._also_spelled is not None and targets.classes is not None:
                one, other = self._also_spelled
                notes = (f"{name}: {one!r} and {other!r} are one number, and so one class.",)
        else:
            y, names = self._codes.in_order(self._y)
            targets = labels.named_classes(names, [y])
        return Dataset(
            name=self._path.name,
            train=Samples(x=self._x, y=targets.parts[0]),
            task=targets.task,
            classes=targets.classes,
            columns=tuple(self._features),
            notes=notes,
        )

    def _target(self, cell: str, line: int) -> float:
        text = cell.strip()
        if text.lower() in MISSING:
            self._refuse_missing(cell, line, self._columns[self._label_place])
        if self._codes is not None:
            return self._codes.code(text)
        numeric = self._asked == "regression"
        try:
            target = float(text)
        except ValueError:
            target = math.nan
        if target != target or "_" in text or (_CODE.match(text) and not numeric):
            if numeric:
                raise labels.no_number(f"{self._label}, line {line}", text)
            raise _NamedLabelsError(text)
        if target in (math.inf, -math.inf):
            raise DataError(
                f"{self._label}, line {line}: {text!r} is no target.",
                "leave this row out, or give it a finite number.",
            )
        if len(self._spelled) <= labels.MOST_NAMED_CLASSES:
            spelled = self._spelled.setdefault(target, text)
            if spelled != text and not numeric:
                self._compare(spelled, text, line)
        return target

    def _compare(self, one: str, other: str, line: int) -> None:
        """Take note of two spellings of a number; refuse two that only float64 makes one."""
        self._also_spelled = self._also_spelled or (one, other)
        if abs(float(one)) >= EXACT_IN_FLOAT64 and Fraction(one) != Fraction(other):
            raise DataError(
                f"{self._label}, line {line}: {other!r} and {one!r} cannot be told apart as "
                "numbers.",
                "write a letter before each, as in 'c123', or take the numbers as they are "
                "with --task regression.",
            )

    def _flush(self) -> None:
        """Move the numbers held as Python objects into the arrays."""
        count, width = len(self._lines), len(self._features)
        if not count:
            return
        end = self._count + count
        block = self._x[self._count : end]
        exact = np.array(self._pending, np.float64).reshape(count, width)
        with np.errstate(over="ignore"):
            block[...] = exact
        finite = np.isfinite(block)
        if not finite.all():
            row, column = divmod(int(np.argmin(finite)), width)
            self._refuse_number(float(exact[row, column]), self._lines[row], column)
        self._y[self._count : end] = self._pending_y
        self._count = end
        self._pending.clear()
        self._pending_y.clear()
        self._lines.clear()

    def _refuse_length(self, row: list[str], line: int) -> NoReturn:
        raise DataError(
            f"{self._path}, line {line}: {len(row)} cells, but the first line has "
            f"{len(self._columns)}.",
            "give each line one cell a column; quote a cell that holds the delimiter.",
        )

    def _refuse_text(self, row: list[str], line: int) -> NoReturn:
        """Name the first cell that is no number."""
        for name, cell in zip(self._features, row, strict=True):
            if cell.strip().lower() in MISSING:
                self._refuse_missing(cell, line, name)
            code = _CODE.match(cell)
            if code or "_" in cell or not _is_number(cell):
                raise DataError(
                    f"{self._path}, line {line}, column {name!r}: {cell[:60]!r} is not a number"
                    f"{', but a code with leading zeros' if code else ''}.",
                    f"leave the column out with --drop {shlex.quote(name)}, or turn it into "
                    "numbers first (pandas: get_dummies); write decimals with a point.",
                )
        raise AssertionError("a row without text was taken for one with text")

    def _refuse_missing(self, cell: str, line: int, column: str) -> NoReturn:
        raise DataError(
            f"{self._path}, line {line}, column {column!r}: no value ({cell[:60]!r}).",
            "fill what is missing or leave the row out (pandas: fillna, dropna).",
        )

    def _refuse_number(self, value: float, line: int, column: int) -> NoReturn:
        name = self._features[column]
        if value != value:
            self._refuse_missing("nan", line, name)
        raise DataError(
            f"{self._path}, line {line}, column {name!r}: {value} is not a number that "
            "float32 can hold.",
            "scale the column, or leave the row out.",
        )
