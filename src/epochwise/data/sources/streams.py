"""Numbers out of a stream of bytes, straight into the array they end up in.

Owns what becomes of a stored dtype, and reading of claimed sizes: a stream is read a piece
at a time, so a file costs its final arrays and no more than a megabyte beside them.

    uint8                              stays uint8, divided by 255 inside the batch
    truth values                       uint8, 0 and 1, as they are
    other integers, two axes           int32 (tokens, columns of counts)
    other integers, any other shape    float32
    floats                             float32
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np

from epochwise.data.samples import Array, aligned_empty
from epochwise.data.sources.limits import CHUNK_BYTES
from epochwise.errors import DataError

UINT8_DIVISOR = 255.0
"""What uint8 features are divided by inside the batch: images of full range."""


class Bytes(Protocol):
    """A stream that fills a buffer and says how much it filled; 0 at its end."""

    def readinto(self, buffer: Any, /) -> int:
        """Fill the buffer from the stream; return the count [bytes]."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a file says an array is, before one of its numbers is read.

    Args:
        dtype: of the stored numbers, with their byte order.
        shape: axes as the user knows them.
        fortran_order: whether the first axis varies fastest in the file.
        header_bytes: where the numbers begin [bytes].
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    header_bytes: int
    fortran_order: bool = False

    @property
    def data_bytes(self) -> int:
        """What the numbers take in the file; exact for any claim [bytes]."""
        return prod(self.shape) * self.dtype.itemsize

    def peak_bytes(self, target: np.dtype[Any]) -> int:
        """What reading into this dtype takes [bytes]; reordering needs the array twice."""
        return prod(self.shape) * target.itemsize * (2 if self.fortran_order else 1)


def feature_dtype(dtype: np.dtype[Any], axes: int) -> np.dtype[Any]:
    """Return the dtype that features of a stored dtype are kept in.

    Args:
        dtype: the stored one; truth values, integers or floats.
        axes: the array's number of axes, samples included.

    Example:
        >>> feature_dtype(np.dtype("int64"), 2), feature_dtype(np.dtype("int64"), 4)
        (dtype('int32'), dtype('float32'))
    """
    if dtype.kind == "b" or dtype == np.uint8:
        return np.dtype(np.uint8)
    if dtype.kind in "iu" and axes == 2:
        return np.dtype(np.int32)
    return np.dtype(np.float32)


def divisor_of(dtype: np.dtype[Any]) -> float | None:
    """Return what features stored with this dtype are divided by in the batch."""
    return UINT8_DIVISOR if dtype == np.uint8 else None


def check_not_empty(header: Header, place: str) -> None:
    """Refuse an array without samples, or whose samples hold nothing."""
    if not header.shape:
        raise DataError(
            f"{place}: a single number, not one row a sample.",
            "store an array whose first axis counts the samples.",
        )
    if 0 in header.shape:
        raise DataError(
            f"{place}: empty, its shape is {header.shape}.",
            "store at least one sample with at least one number.",
        )


def read_features(stream: Bytes, header: Header, place: str) -> Array:
    """Read an array and keep it as features are kept; see the module for the dtypes.

    Raises:
        DataError: the stream ends early, or a number is NaN, infinite or too large.
    """
    if header.dtype.kind not in "biuf":
        raise DataError(
            f"{place}: dtype {header.dtype} cannot be trained on.",
            "store features as numbers, e.g. x.astype(np.float32).",
        )
    return _read(stream, header, feature_dtype(header.dtype, len(header.shape)), place)


def read_as_stored(stream: Bytes, header: Header, place: str) -> Array:
    """Read an array with its own dtype, in this machine's byte order."""
    return _read(stream, header, header.dtype.newbyteorder("="), place)


def _read(stream: Bytes, header: Header, target: np.dtype[Any], place: str) -> Array:
    count = prod(header.shape)
    flat = aligned_empty(count, target)
    if header.dtype == target:
        raw = flat.view(np.uint8)
        for start in range(0, raw.size, CHUNK_BYTES):
            _fill(stream, raw[start : start + CHUNK_BYTES], start, place)
            if target.kind == "f":
                numbers = flat[
                    start // target.itemsize : (start + CHUNK_BYTES) // target.itemsize
                ]
                _check_numbers(numbers, numbers, start // target.itemsize, header, place)
    else:
        items = max(1, CHUNK_BYTES // header.dtype.itemsize)
        stored = np.empty(min(items, count), header.dtype)
        for start in range(0, count, items):
            piece = stored[: min(items, count - start)]
            _fill(stream, piece.view(np.uint8), start * header.dtype.itemsize, place)
            _check_range(piece, target, start, header, place)
            numbers = flat[start : start + piece.size]
            with np.errstate(over="ignore", invalid="ignore"):
                numbers[...] = piece
            if target.kind == "f":
                _check_numbers(numbers, piece, start, header, place)
    if not header.fortran_order:
        return flat.reshape(header.shape)
    return np.ascontiguousarray(flat.reshape(header.shape[::-1]).T)


def _fill(stream: Bytes, raw: Array, offset: int, place: str) -> None:
    """Fill a piece to its end."""
    view = raw.data
    filled = 0
    while filled < len(view):
        got = stream.readinto(view[filled:])
        if not got:
            raise DataError(
                f"{place}: ends after {offset + filled:,} bytes of data, before the last "
                "number.",
                "the file is truncated; copy or download it again.",
            )
        filled += got


def index_of(position: int, header: Header) -> tuple[int, ...]:
    """Return the index of the number that is this many numbers into the file."""
    order = header.shape[::-1] if header.fortran_order else header.shape
    index = tuple(int(part) for part in np.unravel_index(position, order))
    return index[::-1] if header.fortran_order else index


def _told(position: int, header: Header) -> str:
    return "[" + ", ".join(str(part) for part in index_of(position, header)) + "]"


def _check_numbers(
    numbers: Array, stored: Array, start: int, header: Header, place: str
) -> None:
    """Refuse NaN, infinity, and what became infinite on the way to float32."""
    finite = np.isfinite(numbers)
    if finite.all():
        return
    first = int(np.argmin(finite))
    where = f"{place}{_told(start + first, header)}"
    if np.isfinite(stored[first]):
        raise DataError(
            f"{where} is {stored[first]}, more than float32 can hold.",
            "scale the features before saving them.",
        )
    raise DataError(
        f"{where} is {stored[first]}; one such value turns every weight into NaN.",
        "fill or leave out what is missing before saving, e.g. np.nan_to_num(x).",
    )


def _check_range(
    stored: Array, target: np.dtype[Any], start: int, header: Header, place: str
) -> None:
    """Refuse integers that int32 cannot hold."""
    if target != np.int32 or np.can_cast(stored.dtype, target):
        return
    limits = np.iinfo(np.int32)
    outside = (stored > limits.max) | (stored < limits.min)
    if outside.any():
        first = int(np.argmax(outside))
        raise DataError(
            f"{place}{_told(start + first, header)} is {stored[first]}, beyond int32.",
            "save such features as floats, e.g. x.astype(np.float32).",
        )
