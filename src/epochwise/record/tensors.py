"""Arrays as the bytes of one file, and back: the safetensors layout.

Eight bytes with the length of a JSON header (little endian), the header, then the bytes
of every array, one after the other. Raw numbers and JSON only: reading it runs nothing.

References:
    The safetensors format, https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from epochwise.data.samples import Array
from epochwise.errors import RunError
from epochwise.storage.disk import Chunk

CHUNK_BYTES: Final = 1 << 24
"""Most bytes hashed or copied at once [bytes]."""

METADATA: Final = "__metadata__"
"""The name in the header that is no array's."""

_LAYOUT_NAMES: Final[Mapping[str, str]] = {
    "bool": "BOOL",
    "int8": "I8",
    "uint8": "U8",
    "int16": "I16",
    "uint16": "U16",
    "int32": "I32",
    "uint32": "U32",
    "int64": "I64",
    "uint64": "U64",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
    "complex64": "C64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
}
_DTYPE_NAMES: Final = {layout: name for name, layout in _LAYOUT_NAMES.items()}


def encoded(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> Iterator[Chunk]:
    """Yield the bytes of a file that holds arrays, a piece at a time.

    Args:
        arrays: by name, in the order in which they are read back.
        metadata: text beside them.

    Raises:
        RunError: an array's dtype is none that the layout has.

    Example:
        >>> data = b"".join(encoded({"w": np.ones(2, np.float32)}, {"kind": "weights"}))
        >>> decoded(data)
        ({'w': array([1., 1.], dtype=float32)}, {'kind': 'weights'})
    """
    header: dict[str, Any] = {METADATA: dict(metadata)}
    offset = 0
    for name, array in arrays.items():
        if array.dtype.name not in _LAYOUT_NAMES:
            raise RunError(
                f"The array {name} is of dtype {array.dtype.name}, which a file of weights "
                "cannot hold.",
                "build the model with numbers of a usual dtype, such as float32.",
            )
        header[name] = {
            "dtype": _LAYOUT_NAMES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        offset += array.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    yield struct.pack("<Q", len(text)) + text
    for array in arrays.values():
        yield from pieces(array)


def decoded(data: bytes) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the arrays and the metadata that a file's bytes hold.

    Args:
        data: all of the file. The arrays look into it: nothing is copied that need not
            be, and none of them can be written to.

    Raises:
        ValueError: this is not what `encoded` gave.
    """
    try:
        (length,) = struct.unpack_from("<Q", data)
        if length > len(data) - 8:
            raise ValueError(f"a header of {length} bytes does not fit")
        header = json.loads(data[8 : 8 + length])
        metadata = {str(key): str(value) for key, value in header.pop(METADATA).items()}
        content = memoryview(data)[8 + length :]
        arrays: dict[str, Array] = {}
        offset = 0
        for name, entry in header.items():
            arrays[name] = _array(entry, content, offset)
            offset += arrays[name].nbytes
        if offset != len(content):
            raise ValueError(f"{len(content)} bytes are there, and {offset} described")
    except (KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error
    return arrays, metadata


def pieces(array: Array) -> Iterator[memoryview]:
    """Yield an array's bytes, little endian, row by row, a piece at a time."""
    rows = array.reshape(1) if array.ndim == 0 else array
    bytes_per_row = max(1, rows.nbytes // max(1, rows.shape[0]))
    at_once = max(1, CHUNK_BYTES // bytes_per_row)
    for first in range(0, rows.shape[0], at_once):
        piece = np.ascontiguousarray(rows[first : first + at_once])
        if piece.dtype.byteorder == ">":
            piece = piece.astype(piece.dtype.newbyteorder("<"))
        yield piece.reshape(-1).view(np.uint8).data


def _array(entry: Mapping[str, Any], content: memoryview, offset: int) -> Array:
    """Return the array that an entry of the header describes, which begins at `offset`."""
    dtype, shape = _dtype(_DTYPE_NAMES[entry["dtype"]]), [*entry["shape"]]
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError(f"{shape} is no shape")
    end = offset + math.prod(shape) * dtype.itemsize
    if entry["data_offsets"] != [offset, end] or end > len(content):
        raise ValueError(f"{entry['data_offsets']} is not where {offset} to {end} should be")
    array = np.frombuffer(content[offset:end], dtype.newbyteorder("<")).reshape(shape)
    native: Array = array.astype(dtype.newbyteorder("="), copy=False)
    found = native if native.flags.aligned else native.copy()
    found.setflags(write=False)
    return found


def _dtype(name: str) -> np.dtype[Any]:
    """Return a dtype by its name; those that NumPy lacks come from ml_dtypes."""
    if name == "bfloat16" or name.startswith("float8"):
        import ml_dtypes  # comes with JAX

        found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return found
    return np.dtype(name)
