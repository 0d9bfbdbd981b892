"""Tables as text: `.csv` and `.tsv`, with a header line and one label column.

Owns the delimiter, line numbers and the reading of cells. Features are numbers and become
float32; what is missing or is text is refused with its line and column, since a default
would train on something that nobody wrote. A line is read at a time, and no record may be
longer than a mebibyte, so memory follows the numbers, not the text.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
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

DELIMITERS = ",;\t"
MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-"})
"""Cells, lower case and stripped, that stand for a value nobody knows."""


class _NamedLabelsError(Exception):
    """A label is text although all before it were numbers: read the labels as text."""


def read_delimited(path: Path, label: str | None) -> Dataset:
    """Read a table of text as a data set.

    Args:
        path: the file, UTF-8; cells apart by `,`, `;` or a tab, as in its header line.
        label: name of the column with the labels or targets.

    Returns:
        One training part, with the names of the feature columns.

    Raises:
        DataError: no such column, a record of another length than the header, a feature
            that is no finite number, a missing value, a quote never closed, or no row.
    """
    try:
        return _read(path, label, named=False)
    except _NamedLabelsError:
        return _read(path, label, named=True)


def check_columns(columns: list[str], label: str | None, path: Path) -> int:
    """Find the label among a table's columns; the rest must be features.

    Args:
        columns: names, in the file's order.
        label: the name asked for.
        path: the file, for messages.

    Returns:
        The label's zero-based place.

    Raises:
        DataError: no label asked for, none of that name, names that occur twice or are
            empty, or no feature beside it.

    Example:
        >>> check_columns(["width", "species"], "species", Path("a.csv"))
        1
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
    if "" in columns:
        raise DataError(
            f"{path}: column {columns.index('') + 1} has no name, as a row index has none.",
            "leave it out (pandas: to_csv(..., index=False)), or name it in the header.",
        )
    if len(columns) == 1:
        raise DataError(
            f"{path}: no column beside the label {label!r}.",
            "add at least one column of features; cells are apart by a comma, a semicolon "
            "or a tab.",
        )
    return columns.index(label)


class _Records:
    """Lines of a file, counted and bounded, for `csv.reader` to ask for.

    Attributes:
        line: one-based number of the line read last.
        first_line: the line at which the current record began.
        underscores: whether the current record holds `_`, which Python's numbers may.
    """

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file = file
        self._path = path
        self._record_bytes = 0
        self.line = 0
        self.first_line = 1
        self.underscores = False

    def next_record(self) -> None:
        """Say that a record was taken; the next line begins a new one."""
        self._record_bytes = 0
        self.first_line = self.line + 1
        self.underscores = False

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
        if "_" in text:
            self.underscores = True
        return text


def _read(path: Path, label: str | None, *, named: bool) -> Dataset:
    """Read the whole table; with `named`, labels are kept as text."""
    with path.open("rb") as file:
        records = _Records(file, path)
        try:
            return _read_records(records, path, label, named=named)
        except csv.Error as error:
            raise DataError(
                f"{path}, line {records.line}: not a table ({error}).",
                "close each quote; within quotes write a quote twice; end lines with \\n "
                "or \\r\\n.",
            ) from error


def _read_records(records: _Records, path: Path, label: str | None, *, named: bool) -> Dataset:
    first = next(records, "")
    delimiter = _delimiter(first, path)
    rows = csv.reader(_and_then(first, records), delimiter=delimiter, strict=True)
    columns = [name.strip() for name in next(rows, [])]
    if not columns:
        raise DataError(f"{path}: empty.", "give a header line and one line a sample.")
    place = check_columns(columns, label, path)
    table = _Table(path, columns, place, path.stat().st_size, named=named)
    records.next_record()
    for row in rows:
        if row:
            table.add(row, records.first_line, plain=not records.underscores)
        records.next_record()
    return table.dataset()


def _and_then(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


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
        self, path: Path, columns: list[str], label_place: int, file_bytes: int, *, named: bool
    ) -> None:
        self._path = path
        self._columns = columns
        self._label_place = label_place
        self._label = f"{path}, column {columns[label_place]!r}"
        self._features = columns[:label_place] + columns[label_place + 1 :]
        capacity = (file_bytes + 1) // (2 * len(columns)) + 1
        self._x: Array = np.empty((capacity, len(self._features)), np.float32)
        self._y: Array = np.empty(capacity, np.int32 if named else np.float64)
        self._codes = labels.NameCodes(self._label) if named else None
        self._count = 0
        self._pending: list[float] = []
        self._pending_y: list[float] = []
        self._lines: list[int] = []
        self._rows_at_once = max(1, CELLS_AT_ONCE // len(columns))

    def add(self, row: list[str], line: int, *, plain: bool) -> None:
        """Take one record; `plain` says that no cell holds an underscore."""
        if len(row) != len(self._columns):
            self._refuse_length(row, line)
        label = row.pop(self._label_place)
        if not plain and any("_" in cell for cell in row):
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
        if self._codes is None:
            targets = labels.encode(self._y, None, place=self._label)
            y, classes = targets.train, targets.classes
        else:
            y, classes = self._codes.in_order(self._y)
        return Dataset(
            name=self._path.name,
            train=Samples(x=self._x, y=y),
            classes=classes,
            columns=tuple(self._features),
        )

    def _target(self, cell: str, line: int) -> float:
        text = cell.strip()
        if text.lower() in MISSING:
            self._refuse_missing(cell, line, self._columns[self._label_place])
        if self._codes is not None:
            return self._codes.code(text)
        try:
            target = float(text)
        except ValueError:
            raise _NamedLabelsError from None
        if "_" in text:
            raise _NamedLabelsError
        if target in (float("inf"), float("-inf")):
            raise DataError(
                f"{self._label}, line {line}: {text!r} is no target.",
                "leave this row out, or give it a finite number.",
            )
        return target

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
            f"{self._path}, line {line}: {len(row)} cells, but the header has "
            f"{len(self._columns)}.",
            "give each line one cell a column; quote a cell that holds the delimiter.",
        )

    def _refuse_text(self, row: list[str], line: int) -> NoReturn:
        """Name the first cell that is no number."""
        for name, cell in zip(self._features, row, strict=True):
            if cell.strip().lower() in MISSING:
                self._refuse_missing(cell, line, name)
            try:
                float(cell)
                text = "_" in cell
            except ValueError:
                text = True
            if text:
                raise DataError(
                    f"{self._path}, line {line}, column {name!r}: {cell[:60]!r} is not a "
                    "number.",
                    "turn text into numbers first (pandas: get_dummies), or leave the column "
                    "out; write decimals with a point.",
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
