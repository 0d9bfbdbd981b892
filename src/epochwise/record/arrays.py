"""Arrays in a record: digests of weights and data, and the file of final weights.

The file has the layout of `epochwise.record.tensors`. Its metadata holds what the layout
has no place for, the order of the weights and the digest of each.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from epochwise.data.samples import Array, Samples, is_nested, leaves, structure
from epochwise.data.sparse import SparseRows
from epochwise.errors import RunError
from epochwise.record.tensors import METADATA, decoded, encoded, pieces
from epochwise.storage.folder import RunFolder

WEIGHTS_FILE: Final = "weights.safetensors"


def weights_sha256(arrays: Iterable[Array]) -> str:
    """Return one digest of weights: equal exactly when all are equal bit for bit.

    Hashed are, for each array in order, its dtype, its shape and its bytes, little
    endian and row by row. `-0.0` and `0.0` differ, as do two kinds of NaN.

    Args:
        arrays: the weights in the order of `model.weights`.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> import numpy as np
        >>> weights = [np.zeros((2, 3), np.float32), np.zeros(3, np.float32)]
        >>> weights_sha256(weights)[:16]
        '579c32d521230266'
        >>> weights_sha256(weights) == weights_sha256(weights[::-1])
        False
    """
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype.name}{list(array.shape)}\n".encode())
        for piece in pieces(array):
            digest.update(piece)
    return digest.hexdigest()


def data_sha256(samples: Samples) -> str:
    """Return one digest of samples, their weights and their divisor included.

    Read in pieces, so a memory-mapped set need not fit in memory.

    Args:
        samples: the data set, a part of it, or several laid end to end.

    Returns:
        64 hexadecimal digits; equal for the same arrays in the same order.

    Example:
        >>> import numpy as np
        >>> x = np.arange(6, dtype=np.uint8).reshape(3, 2)
        >>> one = data_sha256(Samples(x=x, divisor=255.0))
        >>> one == data_sha256(Samples(x=x.copy(), divisor=255.0))
        True
        >>> one == data_sha256(Samples(x=x, divisor=None))
        False
    """
    return _digest(samples, data_parts(samples))


def data_parts(samples: Samples) -> dict[str, dict[str, Any]]:
    """Return what tells one data set from another in words: of `x`, `y` and `weight`.

    Returns:
        For each part the `shapes` of a sample, the `dtypes`, and one digest of its arrays.
    """
    parts = {}
    for part, tree in (("x", samples.x), ("y", samples.y), ("weight", samples.weight)):
        arrays = leaves(tree)
        parts[part] = {
            "shapes": [list(array.shape[1:]) for array in arrays],
            "dtypes": [str(array.dtype) for array in arrays],
            "sha256": weights_sha256(plain for leaf in arrays for plain in _plain(leaf)),
        }
    return parts


def data_described(samples: Samples) -> dict[str, Any]:
    """Return `data_sha256` and `data_parts`, the samples read once."""
    parts = data_parts(samples)
    return {"sha256": _digest(samples, parts), "parts": parts}


def _digest(samples: Samples, parts: Mapping[str, Mapping[str, Any]]) -> str:
    digest = hashlib.sha256(f"divisor {samples.divisor}\n".encode())
    for part, tree in (("x", samples.x), ("y", samples.y), ("weight", samples.weight)):
        names: object = list(tree) if isinstance(tree, Mapping) else []
        inside: Any = tree.values() if isinstance(tree, Mapping) else tree
        if is_nested(tree) and any(one is None or is_nested(one) for one in inside):
            names = structure(tree)
        digest.update(f"{part} {len(leaves(tree))} {json.dumps(names)}\n".encode())
        digest.update(str(parts[part]["sha256"]).encode())
    return digest.hexdigest()


def _plain(leaf: Array | SparseRows) -> Iterable[Array]:
    """Return arrays of numbers that tell all of one that is sparse, or text."""
    if isinstance(leaf, SparseRows):
        return (*leaf.parts, np.array(leaf.shape))
    if leaf.dtype == object:
        lengths = np.array([len(one) for one in leaf.flat])
        return np.frombuffer(b"".join(leaf.flat), np.uint8), lengths, np.array(leaf.shape)
    return (leaf,)


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
    named: dict[str, Array] = {}
    for given, array in weights:
        name, copies = given, 1
        while name in named or name == METADATA:
            copies += 1
            name = f"{given}#{copies}"
        named[name] = array
    total = weights_sha256(named.values())
    metadata = {
        "order": json.dumps(list(named)),
        "sha256": json.dumps({name: weights_sha256([array]) for name, array in named.items()}),
        "weights_sha256": total,
    }
    folder.write(WEIGHTS_FILE, encoded(named, metadata))
    return total


def read_weights(folder: RunFolder) -> dict[str, Array]:
    """Read the final weights back, in the order of `model.weights`, and check them.

    Args:
        folder: the run's.

    Returns:
        Each weight's value by its name; none of them can be written to.

    Raises:
        RunError: there are none, or the file is not what was written.
    """
    data = folder.read(WEIGHTS_FILE)
    if data is None:
        raise RunError(
            f"{folder.path} holds no final weights.",
            "choose a run that ended; `epochwise runs` lists them.",
        )
    try:
        arrays, metadata = decoded(data)
        weights = {name: arrays[name] for name in json.loads(metadata["order"])}
        if weights_sha256(weights.values()) != metadata["weights_sha256"]:
            raise ValueError("the numbers are not those that were written")
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{folder.path / WEIGHTS_FILE} is damaged: {error}.",
            "train again, or choose another run of `epochwise runs`.",
        ) from error
    return weights
