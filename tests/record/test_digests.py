"""Digests are equal exactly for equal bits; the file of weights gives them back."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from epochwise.data import sources
from epochwise.data.samples import Samples
from epochwise.errors import RunError
from epochwise.record import (
    RunFolder,
    arrays,
    data_sha256,
    read_weights,
    tensors,
    weights_sha256,
)
from staged import weights

BASE = [np.arange(6, dtype=np.float32).reshape(2, 3), np.zeros(3, np.float32)]


@pytest.mark.parametrize(
    "other",
    [
        [BASE[0].reshape(3, 2), BASE[1]],
        [BASE[0].astype(np.float64), BASE[1]],
        [BASE[0], -BASE[1]],
        [BASE[1], BASE[0]],
        [BASE[0]],
        [BASE[0], BASE[1].view(np.int32)],
        [np.nextafter(BASE[0], np.float32(9)), BASE[1]],
    ],
    ids=["shape", "dtype", "sign of zero", "order", "count", "same bytes", "one bit"],
)
def test_any_difference_changes_the_digest(other: list[np.ndarray]) -> None:
    """Shape, dtype, order and every bit count."""
    assert weights_sha256(other) != weights_sha256(BASE)


def test_how_an_array_lies_in_memory_does_not_count() -> None:
    """Column by column, strided or byte-swapped: equal values have one digest."""
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    strided = np.repeat(array, 2, axis=1)[:, ::2]

    digests = {
        weights_sha256([other])
        for other in (array, np.asfortranarray(array), strided, array.astype(">f4"))
    }

    assert len(digests) == 1


def test_large_arrays_are_hashed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where an array is cut for hashing changes nothing."""
    whole = weights_sha256(BASE)
    monkeypatch.setattr(tensors, "CHUNK_BYTES", 5)

    assert weights_sha256(BASE) == whole


def test_data_digest_tells_parts_apart() -> None:
    """Moving an array from x to y, or naming it anew, is other data."""
    a, b = np.zeros(3), np.ones(3)

    digests = [
        data_sha256(samples)
        for samples in (
            Samples(x=a, y=b),
            Samples(x=b, y=a),
            Samples(x=(a, b)),
            Samples(x={"a": a, "b": b}),
            Samples(x={"b": a, "a": b}),
            Samples(x=a, weight=b),
            Samples(x=a, y=b, divisor=255.0),
        )
    ]

    assert len(set(digests)) == len(digests)


X = np.arange(24, dtype=np.uint8).reshape(6, 4)
Y = np.array([0, 1, 2, 0, 1, 2])
DATA = Samples(x=X, y=Y, divisor=255.0)


@pytest.mark.parametrize("place", range(X.size))
def test_one_changed_byte_of_the_data_is_found(place: int) -> None:
    """Each byte of the features counts, in its lowest bit too."""
    changed = X.copy()
    changed.flat[place] ^= 1

    assert data_sha256(Samples(x=changed, y=Y, divisor=255.0)) != data_sha256(DATA)


@pytest.mark.parametrize(
    "samples",
    [
        Samples(x=X, y=np.array([0, 1, 2, 0, 1, 1]), divisor=255.0),
        DATA.rows(np.array([1, 0, 2, 3, 4, 5])),
        Samples(x=X.astype(np.int16), y=Y, divisor=255.0),
        Samples(x=X.view(np.int8), y=Y, divisor=255.0),
        Samples(x=X, y=Y.astype(np.int32), divisor=255.0),
        DATA.rows(np.arange(5)),
        DATA.rows(np.array([0, 1, 2, 3, 4, 5, 5])),
        Samples(x=X.reshape(6, 2, 2), y=Y, divisor=255.0),
    ],
    ids=["label", "order", "dtype", "sign", "dtype of y", "shorter", "longer", "shape"],
)
def test_other_data_are_found(samples: Samples) -> None:
    """A label, the order, a dtype, the length, the shape: each makes other data."""
    assert data_sha256(samples) != data_sha256(DATA)


def test_a_copied_or_touched_file_holds_the_same_data(tmp_path: Path) -> None:
    """When a file was changed, and where it lies, is no part of what it holds."""
    path, copy = tmp_path / "data.npz", tmp_path / "copy.npz"
    np.savez(path, x_train=X, y_train=Y)
    before = data_sha256(sources.load(str(path), label=None).train)
    os.utime(path, (1, 1))
    np.savez_compressed(copy, x_train=X, y_train=Y)

    assert data_sha256(sources.load(str(path), label=None).train) == before
    assert data_sha256(sources.load(str(copy), label=None).train) == before


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "bool", "bfloat16"])
def test_weights_are_read_back_bit_for_bit(tmp_path: Path, dtype: str) -> None:
    """Names, order, dtypes, shapes and bits survive; scalars and empty weights too."""
    kind = np.dtype(getattr(ml_dtypes, dtype, None) or dtype)
    written = [
        ("b", np.arange(6).reshape(2, 3).astype(kind)),
        ("a", np.array(1).astype(kind)),
        ("b", np.zeros((0, 2), kind)),
    ]
    folder = RunFolder.create(tmp_path / "run")

    digest = arrays.write_weights(folder, written)
    read = read_weights(folder)

    assert list(read) == ["b", "a", "b#2"]
    assert weights_sha256(read.values()) == weights_sha256(w for _, w in written) == digest
    assert [w.dtype for w in read.values()] == [kind] * 3


def test_the_file_has_the_safetensors_layout(tmp_path: Path) -> None:
    """Header length, JSON header with offsets, raw little-endian numbers, no gaps."""
    folder = RunFolder.create(tmp_path / "run")
    arrays.write_weights(folder, weights())
    data = (tmp_path / "run/weights.safetensors").read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])

    assert length % 8 == 0
    assert header["mlp/dense/kernel"] == {
        "dtype": "F32",
        "shape": [2, 3],
        "data_offsets": [0, 24],
    }
    assert data[8 + length :] == b"".join(value.tobytes() for _, value in weights())


def test_a_damaged_file_of_weights_is_refused(tmp_path: Path) -> None:
    """A changed bit, a cut file and a missing one are told apart from weights."""
    folder = RunFolder.create(tmp_path / "run")
    with pytest.raises(RunError, match="holds no final weights"):
        read_weights(folder)
    arrays.write_weights(folder, weights())
    file = tmp_path / "run/weights.safetensors"
    data = file.read_bytes()
    for damaged in (data[:-1] + b"\x01", data[:-3], data[:20], b"", b"\xff" * 64):
        file.write_bytes(damaged)
        with pytest.raises(RunError, match="damaged"):
            read_weights(folder)
