"""The footer and page headers of a Parquet file, read to see what they claim.

Owns one check that pyarrow lacks: it allocates what a page says it holds before it looks
whether it does, so that one changed byte asks the system for sixteen gigabytes. Here each
page's header is read and its claims compared with the file. The pages themselves are left
to pyarrow.

References:
    Apache Parquet format, `parquet.thrift`: `FileMetaData`, `PageHeader`.
    Apache Thrift, "Thrift compact protocol": fields, variable-length integers, zigzag.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, TypeAlias

from epochwise.errors import DataError

BASE_PAGE_BYTES = 8_000_000
"""What a page of even the smallest file may hold beside the file's size [bytes]."""

_FIRST_READ_BYTES = 512
_MOST_HEADER_BYTES = 1 << 20
_MOST_DEPTH = 8
_TAIL_BYTES = 8

# Numbers of fields and page types in parquet.thrift.
_TYPE, _UNCOMPRESSED, _COMPRESSED = 1, 2, 3
_DATA_HEADER, _DICTIONARY_HEADER, _DATA_HEADER_V2 = 5, 7, 8
_NUM_VALUES = 1
_ROW_GROUPS = 4
_GROUP_COLUMNS, _GROUP_ROWS = 1, 3
_CHUNK_METADATA = 3
_CHUNK_VALUES, _CHUNK_BYTES, _PAGES_AT, _DICTIONARY_AT = 5, 7, 9, 11
_COUNTED_IN = {0: _DATA_HEADER, 2: _DICTIONARY_HEADER, 3: _DATA_HEADER_V2}
_DICTIONARY_PAGE = 2

# Numbers of types in the compact protocol.
_TRUE, _FALSE, _BYTE, _I16, _I64, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = (
    1, 2, 3, 4, 6, 7, 8, 9, 10, 12,
)  # fmt: skip

_Struct: TypeAlias = dict[int, Any]


class _CutError(Exception):
    """The bytes at hand end before the structure does."""


@dataclass(slots=True)
class _Reader:
    """A place in bytes that hold a structure in the compact protocol."""

    raw: bytes
    at: int = 0

    def byte(self) -> int:
        if self.at >= len(self.raw):
            raise _CutError
        self.at += 1
        return self.raw[self.at - 1]

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("a number longer than 64 bits")

    def skip(self, count: int) -> None:
        if self.at + count > len(self.raw):
            raise _CutError
        self.at += count

    def struct(self, depth: int = 0) -> _Struct:
        """Read the fields up to the stop byte; a field that comes twice is refused."""
        if depth > _MOST_DEPTH:
            raise ValueError("structures too deep")
        return {number: self.value(kind, depth) for number, kind in self.fields()}

    def fields(self) -> Iterator[tuple[int, int]]:
        """Yield number and type of each field; the caller reads its value in between."""
        number = 0
        seen: set[int] = set()
        while head := self.byte():
            number = number + (head >> 4) if head >> 4 else _unzigzag(self.varint())
            if number in seen:
                raise ValueError(f"field {number} twice")
            seen.add(number)
            yield number, head & 15

    def list_head(self) -> tuple[int, int]:
        """Read a list's head: the type of its items and their count."""
        head = self.byte()
        return head & 15, head >> 4 if head >> 4 < 15 else self.varint()

    def value(self, kind: int, depth: int) -> Any:
        """Read a field's value; what is not needed is passed over as `None`."""
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind == _BYTE:
            return self.byte()
        if _I16 <= kind <= _I64:
            return _unzigzag(self.varint())
        if kind == _STRUCT:
            return self.struct(depth + 1)
        if kind == _DOUBLE:
            self.skip(8)
        elif kind == _BINARY:
            self.skip(self.varint())
        elif kind in (_LIST, _SET):
            item, count = self.list_head()
            if item == _STRUCT:
                return [self.struct(depth + 1) for _ in range(count)]
            for _ in range(count):
                if item in (_TRUE, _FALSE):
                    self.byte()
                else:
                    self.value(item, depth + 1)
        else:
            raise ValueError(f"a field of type {kind}")
        return None


def _unzigzag(value: int) -> int:
    return value >> 1 ^ -(value & 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chunk:
    """Where the footer says that one column of one row group lies.

    Args:
        start: the first page's first byte, the dictionary's where there is one [bytes].
        end: the byte behind its last page [bytes].
        values: how many values its pages hold together.
    """

    start: int
    end: int
    values: int


def check_pages(
    file: IO[bytes], columns: list[str], rows: int, file_bytes: int, place: str
) -> None:
    """Compare what the footer and every page claim with the file.

    pyarrow's own view of the footer is not used, since looking at a damaged column through
    it can end the process (its C++ exceptions are not all caught).

    Args:
        file: the Parquet file.
        columns: names of its columns, none of them nested.
        rows: how many rows it says it has.
        file_bytes: its size [bytes].
        place: the file, for messages.

    Raises:
        DataError: row groups do not add up to the file's rows, a column lies outside the
            file, or a page claims more values or bytes than it can hold.
    """
    found = 0
    for index, group in enumerate(_row_groups(file, file_bytes, place)):
        where = f"{place}, row group {index + 1}"
        chunks, group_rows = group.get(_GROUP_COLUMNS), group.get(_GROUP_ROWS)
        if not isinstance(chunks, list) or not isinstance(group_rows, int):
            raise _refused(where, "neither columns nor rows")
        if len(chunks) != len(columns):
            raise _refused(where, f"{len(chunks)} columns of {len(columns)}")
        found += group_rows
        for name, fields in zip(columns, chunks, strict=True):
            column = f"{where}, column {name!r}"
            chunk = _chunk(fields, group_rows, file_bytes, column)
            for offset, header in _headers(file, chunk, column):
                _check_page(header, chunk, file_bytes, f"{column}, byte {offset:,}")
    if found != rows:
        raise _refused(place, f"{rows:,} rows, in row groups of {found:,} together")


def _row_groups(file: IO[bytes], file_bytes: int, place: str) -> Iterator[_Struct]:
    """Yield the row groups that the footer lists, one at a time."""
    file.seek(max(0, file_bytes - _TAIL_BYTES))
    tail = file.read(_TAIL_BYTES)
    footer_bytes = int.from_bytes(tail[:4], "little")
    if len(tail) < _TAIL_BYTES or tail[4:] != b"PAR1" or footer_bytes > file_bytes:
        raise _refused(place, f"a footer of {footer_bytes:,} bytes")
    file.seek(max(0, file_bytes - _TAIL_BYTES - footer_bytes))
    reader = _Reader(file.read(footer_bytes))
    try:
        for number, kind in reader.fields():
            if number == _ROW_GROUPS and kind == _LIST:
                item, count = reader.list_head()
                if item != _STRUCT:
                    raise ValueError(f"row groups of type {item}")
                for _ in range(count):
                    yield reader.struct()
            else:
                reader.value(kind, 0)
    except (ValueError, _CutError) as error:
        if isinstance(error, DataError):
            raise
        raise _refused(place, f"a footer with {error or 'no end'}") from error


def _chunk(fields: _Struct, rows: int, file_bytes: int, place: str) -> _Chunk:
    """Read where a column lies, as pyarrow takes it."""
    found = fields.get(_CHUNK_METADATA)
    if not isinstance(found, dict):
        raise _refused(place, "nothing")
    start, size, values = (
        found.get(field) for field in (_PAGES_AT, _CHUNK_BYTES, _CHUNK_VALUES)
    )
    if not isinstance(start, int) or not isinstance(size, int) or values != rows:
        raise _refused(place, f"{size} bytes at {start}, {values} values in {rows} rows")
    dictionary = found.get(_DICTIONARY_AT)
    if isinstance(dictionary, int) and 0 < dictionary < start:
        start = dictionary
    if not 0 <= start <= start + size <= file_bytes:
        raise _refused(
            place, f"to lie at bytes {start:,} to {start + size:,} of {file_bytes:,}"
        )
    return _Chunk(start=start, end=start + size, values=rows)


def _headers(file: IO[bytes], chunk: _Chunk, place: str) -> Iterator[tuple[int, _Struct]]:
    """Yield the pages' headers of one column, as far as its values go."""
    offset, values = chunk.start, 0
    while offset < chunk.end and values < chunk.values:
        header, header_bytes = _read_header(file, offset, chunk.end, place)
        yield offset, header
        if header.get(_TYPE) != _DICTIONARY_PAGE:
            values += _count(header) or 0
        offset += header_bytes + header[_COMPRESSED]


def _read_header(file: IO[bytes], offset: int, end: int, place: str) -> tuple[_Struct, int]:
    for size in (_FIRST_READ_BYTES, _MOST_HEADER_BYTES):
        file.seek(offset)
        reader = _Reader(file.read(min(size, end - offset)))
        try:
            return reader.struct(), reader.at
        except _CutError:
            continue
        except ValueError as error:
            raise _refused(f"{place}, byte {offset:,}", f"a page with {error}") from error
    raise _refused(f"{place}, byte {offset:,}", "a page whose header does not end")


def _count(header: _Struct) -> int | None:
    """Return how many values a page claims; `None` for a page that holds none."""
    field = _COUNTED_IN.get(header.get(_TYPE, 0))
    if field is None:
        return None
    inner = header.get(field)
    return inner.get(_NUM_VALUES) if isinstance(inner, dict) else None


def _check_page(header: _Struct, chunk: _Chunk, file_bytes: int, place: str) -> None:
    compressed, uncompressed = header.get(_COMPRESSED), header.get(_UNCOMPRESSED)
    if not isinstance(compressed, int) or not 0 <= compressed <= file_bytes:
        raise _refused(place, f"a page of {compressed} bytes in a file of {file_bytes:,}")
    if not isinstance(uncompressed, int) or not (
        0 <= uncompressed <= file_bytes + BASE_PAGE_BYTES
    ):
        raise _refused(
            place, f"a page that inflates to {uncompressed} bytes in a file of {file_bytes:,}"
        )
    count = _count(header)
    if count is None and header.get(_TYPE) not in _COUNTED_IN:
        return
    # A dictionary's values are numbers of at least four bytes, or text behind its length.
    dictionary = header.get(_TYPE) == _DICTIONARY_PAGE
    most = uncompressed // 4 if dictionary else chunk.values
    if not isinstance(count, int) or not 0 <= count <= most:
        raise _refused(place, f"a page of {count} values, where {most:,} can be")


def _refused(place: str, claim: str) -> DataError:
    return DataError(
        f"{place}: claims {claim}.",
        "the file is damaged; copy or download it again, or write it again with smaller "
        "pages (pyarrow: data_page_size=1_000_000).",
    )
