"""Tables as Parquet files, read in batches of rows by pyarrow.

Owns the choice of columns and their types, and the bounds on what a file's metadata may
claim. Features are numbers and truth values and become float32. Text is read for the label
alone, as a dictionary, so that one long name repeated a million times stays one name.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from epochwise.data.samples import Array, Dataset, Samples
from epochwise.data.sources import labels
from epochwise.data.sources.delimited import check_columns
from epochwise.data.sources.limits import check_memory
from epochwise.data.sources.pages import check_pages
from epochwise.errors import BackendError, DataError

CELLS_AT_ONCE = 1 << 18
"""How many cells are decoded at a time [cells]."""

BUFFER_BYTES = 1 << 18
"""What is read from one column of the file at a time [bytes]."""

MOST_TEXT_BYTES = 1 << 20
"""The longest text and the longest list in the file's metadata [bytes, items]."""

AGAIN = 'write it again: pyarrow.parquet.write_table(table, "data.parquet").'


def read_parquet(
    path: Path,
    label: str | None,
    *,
    drop: Collection[str] = (),
    asked: labels.AskedTask | None = None,
) -> Dataset:
    """Read a Parquet table as a data set.

    Args:
        path: the file.
        label: name of the column with the labels or targets.
        drop: names of columns to leave out.
        asked: what the user says the targets are.

    Returns:
        One training part, with the names of the feature columns.

    Raises:
        DataError: no such column, a column of text, times or lists among the features, a
            null, NaN or infinity, a damaged file, or one that claims too much.
        BackendError: pyarrow is missing.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise BackendError(
            f"{path}: reading Parquet needs pyarrow ({error}).",
            "pip install 'epochwise[table]'",
        ) from error
    file_bytes = path.stat().st_size
    options: dict[str, Any] = {
        "buffer_size": BUFFER_BYTES,
        "pre_buffer": False,
        "page_checksum_verification": True,
        "thrift_string_size_limit": MOST_TEXT_BYTES,
        "thrift_container_size_limit": MOST_TEXT_BYTES,
    }
    with _Decoding(path), parquet.ParquetFile(path, **options) as file:
        schema = file.schema_arrow
        columns = [str(name) for name in schema.names]
        count = int(file.metadata.num_rows)
    if not columns:
        raise DataError(f"{path}: no column.", "give a table with features and a label.")
    label_place, _ = check_columns(columns, label, path, drop)
    kept = [name for name in columns if name not in drop]
    place = kept.index(columns[label_place])
    target = _check_types(schema, kept, place, path, pa.types)
    if count < 1:
        raise DataError(f"{path}: {count} rows.", "give one row a sample.")
    check_memory(
        count * (4 * (len(kept) - 1) + (4 if target is None else 12)),
        file_bytes,
        place=str(path),
        remedy='write it plainly: pyarrow.parquet.write_table(table, "data.parquet", '
        'compression="none", use_dictionary=False).',
    )
    with _Decoding(path), path.open("rb") as raw:
        check_pages(raw, columns, count, file_bytes, str(path))
    if target is None:
        options["read_dictionary"] = [kept[place]]
    table = _Table(path, kept, place, count, target, asked)
    with _Decoding(path), parquet.ParquetFile(path, **options) as file:
        rows_at_once = max(1, CELLS_AT_ONCE // len(kept))
        for batch in file.iter_batches(
            batch_size=rows_at_once, columns=kept if drop else None, use_threads=False
        ):
            table.add(batch)
    return table.dataset()


class _Decoding:
    """Turns whatever pyarrow raises of a file into a `DataError`.

    pyarrow documents `ArrowInvalid` and `OSError`, but damaged files have been seen to
    raise many others (KeyError, TypeError, MemoryError), so that here, around calls into
    it, every exception is taken for its word on the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, DataError):
            told = str(error).splitlines()[0] if str(error) else "no reason given"
            raise DataError(
                f"{self._path}: not a readable Parquet file "
                f"({type(error).__name__}: {told:.300}).",
                f"copy or download it again, or {AGAIN}",
            ) from error


def _check_types(
    schema: Any, columns: list[str], place: int, path: Path, types: Any
) -> np.dtype[Any] | None:
    """Refuse columns that are no features; return the label's dtype, `None` for text."""

    def is_number(kind: Any) -> bool:
        return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind))

    def is_text(kind: Any) -> bool:
        return bool(types.is_string(kind) or types.is_large_string(kind))

    for index, name in enumerate(columns):
        kind = schema.field(name).type
        value = kind.value_type if types.is_dictionary(kind) else kind
        if index != place and not is_number(value):
            raise DataError(
                f"{path}, column {name!r}: {kind} is not a number.",
                f"leave the column out with --drop {shlex.quote(name)}, or turn it into "
                "numbers first (pandas: get_dummies).",
            )
        if index == place and not (is_number(value) or is_text(value)):
            raise DataError(
                f"{path}, column {name!r}: {kind} is no label.",
                "store labels as whole numbers, text or floats.",
            )
    kind = schema.field(columns[place]).type
    value = kind.value_type if types.is_dictionary(kind) else kind
    if is_text(value):
        return None
    # Whole numbers keep all their digits, which a float64 would not.
    return np.dtype(np.float64 if types.is_floating(value) else value.to_pandas_dtype())


class _Table:
    """The numbers read so far, in arrays of the size that the metadata claims."""

    def __init__(
        self,
        path: Path,
        columns: list[str],
        label_place: int,
        count: int,
        target: np.dtype[Any] | None,
        asked: labels.AskedTask | None,
    ) -> None:
        self._path = path
        self._asked = asked
        self._columns = columns
        self._label_place = label_place
        self._label = f"{path}, column {columns[label_place]!r}"
        self._claimed = count
        self._done = 0
        self._features = columns[:label_place] + columns[label_place + 1 :]
        self._x: Array = np.empty((count, len(self._features)), np.float32)
        self._y: Array = np.empty(count, np.int32 if target is None else target)
        self._codes = labels.NameCodes(self._label) if target is None else None

    def add(self, batch: Any) -> None:
        """Take a batch of rows, a column at a time."""
        end = self._done + batch.num_rows
        if end > self._claimed or batch.num_columns != len(self._columns):
            raise DataError(
                f"{self._path}: holds more than the {self._claimed:,} rows of "
                f"{len(self._columns)} columns that it claims.",
                AGAIN,
            )
        for index, column in enumerate(batch.columns):
            self._refuse_null(column, index)
            if index == self._label_place:
                self._y[self._done : end] = self._targets(column)
                continue
            numbers = self._numbers(column)
            block = self._x[self._done : end, index - (index > self._label_place)]
            with np.errstate(over="ignore"):
                block[...] = numbers
            self._check_finite(block, numbers, index)
        self._done = end

    def dataset(self) -> Dataset:
        """Return what was read."""
        if self._done != self._claimed:
            raise DataError(
                f"{self._path}: claims {self._claimed:,} rows, but holds {self._done:,}.",
                AGAIN,
            )
        if self._codes is None:
            name = self._columns[self._label_place]
            targets = labels.encode([(self._y, self._label)], name=name, asked=self._asked)
        elif self._asked == "regression":
            raise labels.no_number(self._label, self._codes.first)
        else:
            y, names = self._codes.in_order(self._y)
            targets = labels.named_classes(names, [y])
        return Dataset(
            name=self._path.name,
            train=Samples(x=self._x, y=targets.parts[0]),
            task=targets.task,
            classes=targets.classes,
            columns=tuple(self._features),
        )

    def _numbers(self, column: Any) -> Array:
        if hasattr(column, "dictionary"):
            column = column.dictionary_decode()
        return np.asarray(column.to_numpy(zero_copy_only=False))

    def _targets(self, column: Any) -> Array:
        """Return the labels of a batch as numbers, text as codes."""
        if self._codes is None:
            numbers = self._numbers(column)
            self._check_finite(numbers, numbers, self._label_place)
            return numbers
        codes = self._codes
        if not hasattr(column, "dictionary"):
            column = column.dictionary_encode()
        if len(column.dictionary) > labels.MOST_NAMED_CLASSES:
            raise labels.too_many_names(self._label)
        names = column.dictionary
        used = column.indices.to_numpy(zero_copy_only=False)
        numbers = np.zeros(len(names), np.int32)
        for index in np.unique(used).tolist():
            numbers[index] = codes.code(names[index].as_py())
        return np.asarray(numbers[used])

    def _refuse_null(self, column: Any, index: int) -> None:
        if column.null_count:
            missing = column.is_null().to_numpy(zero_copy_only=False)
            self._refuse_missing(int(np.argmax(missing)), index, "null")

    def _check_finite(self, cast: Array, stored: Array, index: int) -> None:
        if cast.dtype.kind != "f":
            return
        finite = np.isfinite(cast)
        if finite.all():
            return
        row = int(np.argmin(finite))
        if np.isfinite(stored[row]):
            raise DataError(
                f"{self._path}, row {self._done + row + 1}, column "
                f"{self._columns[index]!r}: {stored[row]} is more than float32 can hold.",
                "scale the column.",
            )
        self._refuse_missing(row, index, str(stored[row]))

    def _refuse_missing(self, row: int, index: int, value: str) -> None:
        raise DataError(
            f"{self._path}, row {self._done + row + 1}, column {self._columns[index]!r}: "
            f"no value ({value}).",
            "fill what is missing or leave the row out (pandas: fillna, dropna).",
        )
