"""Arrays in a record: digests of weights and data, and the file of final weights.

The file is in the safetensors layout: eight bytes with the length of a JSON header
(little endian), the header, then the bytes of every array, one after the other. Raw
numbers and JSON only: reading it runs nothing. The header's metadata holds what the
layout has no place for, the order of the weights and the digest of each.

References:
    The safetensors format, https://github.com/huggingface/safetensors#format.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from epochwise.data.samples import Array, Samples, leaves
from epochwise.errors import RunError
from epochwise.record.storage import Chunk, RunFolder

CHUNK_BYTES: Final = 1 << 24
"""Most bytes hashed or copied at once [bytes]."""

WEIGHTS_FILE: Final = "weights.safetensors"

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


def weights_sha256(arrays: Iterable[Array]) -> str:
    """Return one digest of weights: equal exactly when all are equal bit for bit.

    Hashed are, for each array in order, its dtype, its shape and its bytes, little
    endian and row by row. `-0.0` and `0.0` differ, as do two kinds of NaN.

    Args:
        arrays: the weights in the order of `model.weights`.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> weights = [np.zeros((2, 3), np.float32), np.zeros(3, np.float32)]
        >>> weights_sha256(weights)[:16]
        '579c32d521230266'
        >>> weights_sha256(weights) == weights_sha256(weights[::-1])
        False
    """
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.name}{list(array.shape)}\n".encode())
        for chunk in _chunks(array):
            digest.update(chunk)
    return digest.hexdigest()


def data_sha256(samples: Samples) -> str:
    """Return one digest of samples, their weights and their divisor included.

    Read in pieces, so a memory-mapped set need not fit in memory.

    Args:
        samples: the data set, a part of it, or several laid end to end.

    Returns:
        64 hexadecimal digits; equal for the same arrays in the same order.

    Example:
        >>> x = np.arange(6, dtype=np.uint8).reshape(3, 2)
        >>> one = data_sha256(Samples(x=x, divisor=255.0))
        >>> one == data_sha256(Samples(x=x.copy(), divisor=255.0))
        True
        >>> one == data_sha256(Samples(x=x, divisor=None))
        False
    """
    digest = hashlib.sha256(f"divisor {samples.divisor}\n".encode())
    for part, tree in (("x", samples.x), ("y", samples.y), ("weight", samples.weight)):
        names = list(tree) if isinstance(tree, Mapping) else []
        arrays = leaves(tree)
        digest.update(f"{part} {len(arrays)} {json.dumps(names)}\n".encode())
        digest.update(weights_sha256(arrays).encode())
    return digest.hexdigest()


def write_weights(folder: RunFolder, weights: Sequence[tuple[str, Array]]) -> str:
    """Write the final weights to a run's folder, complete or not at all.

    Args:
        folder: the run's.
        weights: name and value of each, in the order of `model.weights`; a name that
            comes twice gets a number.

    Returns:
        Their `weights_sha256`.

    Raises:
        RunError: they could not be written, or have a dtype that the layout lacks.
    """
    header: dict[str, Any] = {}
    digests: dict[str, str] = {}
    offset = 0
    for given, array in weights:
        name, copies = given, 1
        while name in header or name == "__metadata__":
            copies += 1
            name = f"{given}#{copies}"
        if array.dtype.name not in _LAYOUT_NAMES:
            raise RunError(
                f"The weight {name} is of dtype {array.dtype.name}, which a weights file "
                "cannot hold.",
                "build the model with numbers of a usual dtype, such as float32.",
            )
        header[name] = {
            "dtype": _LAYOUT_NAMES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        digests[name] = weights_sha256([array])
        offset += array.nbytes
    total = weights_sha256(array for _, array in weights)
    metadata = {
        "order": json.dumps(list(digests)),
        "sha256": json.dumps(digests),
        "weights_sha256": total,
    }
    text = json.dumps({"__metadata__": metadata, **header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    content = (chunk for _, array in weights for chunk in _chunks(array))
    folder.write(WEIGHTS_FILE, _joined(struct.pack("<Q", len(text)) + text, content))
    return total


def read_weights(folder: RunFolder) -> dict[str, Array]:
    """Read the final weights back, in the order of `model.weights`, and check them.

    Args:
        folder: the run's.

    Returns:
        Each weight's value by its name.

    Raises:
        RunError: there are none, or the file is not what was written.
    """
    data = folder.read(WEIGHTS_FILE)
    path = folder.path / WEIGHTS_FILE
    if data is None:
        raise RunError(
            f"{folder.path} holds no final weights.",
            "choose a run that ended; `epochwise runs` lists them.",
        )
    dtypes = {layout: name for name, layout in _LAYOUT_NAMES.items()}
    try:
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
        content = memoryview(data)[8 + length :]
        weights: dict[str, Array] = {}
        for name in json.loads(header["__metadata__"]["order"]):
            entry = header[name]
            begin, end = entry["data_offsets"]
            dtype = _dtype(dtypes[entry["dtype"]])
            array = np.frombuffer(content[begin:end], dtype.newbyteorder("<"))
            weights[name] = array.reshape(entry["shape"]).astype(dtype.newbyteorder("="))
        expected = header["__metadata__"]["weights_sha256"]
    except (ValueError, KeyError, TypeError, struct.error) as error:
        raise _damaged(path, str(error)) from error
    if weights_sha256(weights.values()) != expected:
        raise _damaged(path, "the numbers are not those that were written")
    return weights


def _damaged(path: object, reason: str) -> RunError:
    return RunError(
        f"{path} is damaged: {reason}.",
        "train again, or choose another run of `epochwise runs`.",
    )


def _dtype(name: str) -> np.dtype[Any]:
    """Return a dtype by its name; those that NumPy lacks come from ml_dtypes."""
    if name == "bfloat16" or name.startswith("float8"):
        import ml_dtypes  # comes with JAX

        found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name))
        return found
    return np.dtype(name)


def _chunks(array: Array) -> Iterator[memoryview]:
    """Yield an array's bytes, little endian, row by row, a piece at a time."""
    rows = array.reshape(1) if array.ndim == 0 else array
    bytes_per_row = max(1, rows.nbytes // max(1, rows.shape[0]))
    at_once = max(1, CHUNK_BYTES // bytes_per_row)
    for first in range(0, rows.shape[0], at_once):
        piece = np.ascontiguousarray(rows[first : first + at_once])
        if piece.dtype.byteorder == ">":
            piece = piece.astype(piece.dtype.newbyteorder("<"))
        yield piece.reshape(-1).view(np.uint8).data


def _joined(first: bytes, rest: Iterable[Chunk]) -> Iterator[Chunk]:
    yield first
    yield from rest
