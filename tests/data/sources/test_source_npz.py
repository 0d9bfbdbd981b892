"""`.npz` files: keys, dtypes, and headers that are not believed."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epochwise.data.samples import Dataset
from epochwise.data.sources import load
from epochwise.errors import DataError

X = np.arange(24, dtype=np.uint8).reshape(6, 2, 2)
Y = np.array([0, 1, 2, 0, 1, 2])


def saved(path: Path, **arrays: Any) -> Path:
    np.savez_compressed(path / "data.npz", **arrays)
    return path / "data.npz"


def npy(descr: str, shape: str, data: bytes, order: str = "False") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def zipped(path: Path, method: int = zipfile.ZIP_STORED, **members: bytes) -> Path:
    with zipfile.ZipFile(path / "data.npz", "w", method) as archive:
        for key, raw in members.items():
            archive.writestr(f"{key}.npy", raw)
    return path / "data.npz"


def read_within(path: Path, more_bytes: int) -> Dataset | DataError:
    """Read a file while counting memory, which must stay below four times it and this."""
    tracemalloc.start()
    try:
        try:
            return load(path)
        except DataError as error:
            return error
        finally:
            _, peak = tracemalloc.get_traced_memory()
            assert peak <= 4 * path.stat().st_size + more_bytes
    finally:
        tracemalloc.stop()


def test_uint8_stays_uint8_to_be_scaled_in_the_batch(tmp_path: Path) -> None:
    """Images keep their bytes; the divisor is 255 for both parts."""
    data = load(saved(tmp_path, x_train=X, y_train=Y, x_test=X[:2], y_test=Y[:2]))

    assert data.name == "data.npz"
    assert np.array_equal(data.train.x, X)
    assert data.train.x.dtype == np.uint8
    assert data.train.divisor == 255.0
    assert data.test is not None
    assert data.test.divisor == 255.0
    assert np.array_equal(data.test.x, X[:2])
    assert data.classes == ("0", "1", "2")


@pytest.mark.parametrize(
    ("stored", "shape", "kept"),
    [
        ("u1", (6, 4), "u1"), ("?", (6, 4), "u1"), ("<f8", (6, 4), "f4"), (">f4", (6, 4), "f4"),
        ("<f2", (6, 2, 2), "f4"), ("<i8", (6, 4), "i4"), (">i2", (6, 4), "i4"),
        ("<u4", (6, 4), "i4"), ("<i8", (6, 2, 2), "f4"), ("i1", (6, 2, 2), "f4"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("order", ["C", "F"])
def test_dtypes_become_what_networks_take(
    tmp_path: Path, stored: str, shape: tuple[int, ...], kept: str, order: Any
) -> None:
    """uint8 stays; floats become float32; integers of two axes int32, of others float32."""
    x = np.array((np.arange(24) % 2).reshape(shape).astype(stored), order=order)

    data = load(saved(tmp_path, x=x, y=Y))

    assert data.train.x.dtype == np.dtype(kept)
    assert data.train.x.flags.c_contiguous
    assert np.array_equal(data.train.x, x)
    assert data.train.divisor == (255.0 if stored == "u1" else None)


def test_chunks_agree_with_numpy(tmp_path: Path) -> None:
    """Arrays of many pieces, cast or not, are those that NumPy reads."""
    numbers = np.random.default_rng(0)
    for x in (
        numbers.standard_normal((70_001, 3, 5)),
        numbers.standard_normal((70_001, 3), np.float32),
        np.asfortranarray(numbers.integers(0, 256, (70_001, 7), np.uint8)),
    ):
        y = numbers.standard_normal(70_001)
        data = load(saved(tmp_path, x=x, y=y))

        kept = x if x.dtype == np.uint8 else x.astype(np.float32)
        assert np.array_equal(data.train.x, kept)
        assert np.array_equal(data.train.y, y.astype(np.float32))


def test_missing_keys_are_told_with_those_there(tmp_path: Path) -> None:
    """A file with other keys says which it has."""
    with pytest.raises(DataError, match="there are: 'images', 'labels'") as caught:
        load(saved(tmp_path, images=X, labels=Y))

    assert "np.savez" in caught.value.problems[0].remedy


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"x": X, "y": Y[:5]}, "'x' has 6 samples, but 'y' has 5"),
        ({"x": X[:0], "y": Y[:0]}, "key 'x': empty"),
        ({"x": X[:, :0], "y": Y}, "key 'x': empty"),
        ({"x": np.uint8(1), "y": Y}, "single number"),
        ({"x": X, "y": [0, 1, 2, 0, 1, np.nan]}, r"key 'y'\[5\] is nan"),
        ({"x": np.array([[0, 1], [2, -np.inf]]), "y": [0, 1]}, r"'x'\[1, 1\] is -inf"),
        ({"x": np.array([[0, 1e300]]), "y": [0]}, r"'x'\[0, 1\] is 1e\+300, more than float32"),
        ({"x": np.array([[0, 2**31]]), "y": [0]}, r"'x'\[0, 1\] is 2147483648, beyond int32"),
        ({"x": np.array([["a"]]), "y": [0]}, "cannot be trained on"),
        ({"x": np.zeros((1, 1), complex), "y": [0]}, "dtype '<c16'"),
        ({"x": np.zeros(1, "f4,f4"), "y": [0]}, "records"),
        ({"x": np.array([[None]]), "y": [0]}, "pickle"),
        ({"x_train": X, "y_train": Y, "x_test": X}, "'x_test' is there without its partner"),
        ({"x_train": X, "y_train": Y, "y_test": Y}, "'y_test' is there without its partner"),
        ({"x_train": X, "y_train": Y, "x_test": X[:, :1], "y_test": Y}, "all parts alike"),
        ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y + 1}, "never occur .*: '3'"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained_on_is_refused(
    tmp_path: Path, arrays: dict[str, Any], text: str
) -> None:
    """The error names file, key and place."""
    with pytest.raises(DataError, match=text) as caught:
        load(saved(tmp_path, **arrays))

    assert "data.npz" in str(caught.value)


def test_a_nan_in_fortran_order_is_placed_right(tmp_path: Path) -> None:
    """The place told is the index the user would type."""
    x = np.zeros((6, 4, 3), order="F")
    x[4, 1, 2] = np.nan
    with pytest.raises(DataError, match=r"'x'\[4, 1, 2\] is nan"):
        load(saved(tmp_path, x=x, y=Y))


@pytest.mark.parametrize(
    ("descr", "shape", "text"),
    [
        ("'|u1'", "(1000000, 1000000)", "header claims shape"),
        ("'<f4'", "(9999999999999999999999, 4)", "header claims shape"),
        ("'|u1'", "(5, 4)", "20 bytes, but the member holds 24"),
        ("'|u1'", "(-6, -4)", "is no shape"),
        ("'<U9999999'", "(6,)", "header claims"),
        ("'<f99'", "(6,)", "dtype '<f99'"),
        ("'|u1'", "(6, 4", "cannot be read"),
    ],
)
def test_a_header_that_claims_too_much_is_refused_before_memory_is_taken(
    tmp_path: Path, descr: str, shape: str, text: str
) -> None:
    """A claim of terabytes costs less than a megabyte."""
    y = io.BytesIO()
    np.save(y, Y)
    error = read_within(
        zipped(tmp_path, x=npy(descr, shape, X.tobytes()), y=y.getvalue()), 1_000_000
    )

    assert isinstance(error, DataError)
    assert text in str(error)


def test_a_bomb_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    """100 MB of zeros in 100 kB are refused with the remedy, and cost less than a megabyte."""
    path = saved(tmp_path, x=np.zeros((100, 1_000_000), np.uint8), y=np.arange(100))

    error = read_within(path, 1_000_000)

    assert isinstance(error, DataError)
    assert "np.savez(" in str(error)


def test_the_same_zeros_uncompressed_are_read_within_the_bound(tmp_path: Path) -> None:
    """What a bomb's remedy says works: stored plainly, the same shape of data is read."""
    path = tmp_path / "data.npz"
    np.savez(path, x=np.zeros((100, 800_000), np.uint8), y=np.arange(100))

    data = read_within(path, 64_000_000)

    assert isinstance(data, Dataset)
    assert data.train.count == 100


def test_reading_takes_the_arrays_and_little_more(tmp_path: Path) -> None:
    """The peak while reading is the final arrays plus less than 3 MB."""
    numbers = np.random.default_rng(0)
    x = numbers.integers(0, 256, (20_000, 28, 28), np.uint8)
    path = saved(tmp_path, x=x, y=numbers.integers(0, 10, 20_000, np.uint8))
    tracemalloc.start()
    try:
        data = load(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < data.train.nbytes + 3_000_000


def test_a_claim_that_deflate_cannot_hold_is_refused(tmp_path: Path) -> None:
    """A member said to inflate 1032 times over is refused by its entry alone."""
    path = saved(tmp_path, x=X, y=Y)
    raw = bytearray(path.read_bytes())
    entry = raw.find(b"PK\x01\x02")
    raw[entry + 24 : entry + 28] = struct.pack("<I", 500_000_000)
    path.write_bytes(raw)

    error = read_within(path, 1_000_000)

    assert isinstance(error, DataError)
    assert "which cannot be" in str(error)


@pytest.mark.parametrize(
    ("place", "raw", "text"),
    [
        (b"PK\x01\x02", (8, b"\x01\x00"), "encrypted"),
        (b"PK\x01\x02", (10, b"\x0e\x00"), "zip compression number 14"),
        (b"PK\x01\x02", (16, b"\0\0\0\0"), "CRC"),
        (b"PK\x05\x06", (12, b"\0\0\0\x70"), "zip directory claims"),
        (b"PK\x05\x06", (0, b"XX"), "not a readable .npz"),
    ],
)
def test_a_damaged_zip_is_told(
    tmp_path: Path, place: bytes, raw: tuple[int, bytes], text: str
) -> None:
    """Encryption, other compressions, checksums and a lost directory each have their words."""
    path = saved(tmp_path, x=X, y=Y)
    data = bytearray(path.read_bytes())
    at = data.find(place) + raw[0]
    data[at : at + len(raw[1])] = raw[1]
    path.write_bytes(data)
    with pytest.raises(DataError, match=text):
        load(path)


def test_every_cut_of_a_file_is_an_error(tmp_path: Path) -> None:
    """A file cut at any byte is an error with a remedy."""
    path = saved(tmp_path, x=X, y=Y)
    raw = path.read_bytes()
    for length in range(len(raw)):
        path.write_bytes(raw[:length])
        with pytest.raises(DataError, match="Remedy"):
            load(path)


VALIDATION = {"x_train": X, "y_train": Y, "x_test": X[:1], "y_test": Y[:1]}


@pytest.mark.parametrize(
    "keys",
    ["x_val y_val", "x_valid y_valid", "X_val Y_val", "val_x val_y", "x_validation y_dev",
     "validX validY", "x-validation y-validation"],
)  # fmt: skip
def test_l05_a_validation_part_is_read_under_every_usual_name(
    tmp_path: Path, keys: str
) -> None:
    """L05: features and targets of the validation part are read, scaled as the training's."""
    x_key, y_key = keys.split()
    data = load(saved(tmp_path, **VALIDATION, **{x_key: X[2:], y_key: Y[2:]}))

    assert data.validation is not None
    assert np.array_equal(data.validation.x, X[2:])
    assert np.array_equal(data.validation.y, Y[2:])
    assert data.validation.divisor == data.train.divisor == 255.0
    assert data.test is not None
    assert "The validation part, 4 samples, came with the data" in " ".join(data.told())


def test_l05_what_is_not_used_is_named(tmp_path: Path) -> None:
    """L05: other keys are named before training; `x` and `y` may have parts beside them."""
    rest = {"ids": Y, "sample_weight": np.ones(6), "y_names": np.array(["a", "b"])}
    data = load(saved(tmp_path, x=X, y=Y, x_val=X, y_val=Y, x_test=X, y_test=Y, **rest))

    assert data.validation is not None
    assert data.test is not None
    assert "Not used: 'ids', 'sample_weight', 'y_names'." in data.told()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"x_val": X}, "key 'x_val' is there without its partner"),
        ({"y_valid": Y}, "store both x_val and y_val"),
        ({"x_vla": X, "y_vla": Y}, "did you mean 'x_val'"),
        ({"x_valdation": X, "y_val": Y}, "'y_val' is there without its partner"),
        ({"x_val": X, "y_val": Y, "x_dev": X}, "'x_val' and 'x_dev' both name"),
        ({"x": X, "y": Y}, "'x_train' and 'x' both name the x of the train part"),
        ({"x_val": X[:, :1], "y_val": Y}, "store all parts alike"),
        ({"x_val": X / 2, "y_val": Y}, "store all parts alike"),
        ({"x_val": X[:5], "y_val": Y}, "'x_val' has 5 samples, but 'y_val' has 6"),
        ({"x_val": X, "y_val": Y + 1}, "key 'y_val': labels that never occur .*: '3'"),
        ({"x_val": X, "y_val": np.eye(6)}, "store the targets of all parts alike"),
        ({"x_val": X, "y_val": np.array(list("abcabc"))}, "of all parts alike"),
    ],
)  # fmt: skip
def test_l05_a_validation_part_that_is_not_whole_is_refused(
    tmp_path: Path, more: dict[str, Any], told: str
) -> None:
    """L05: a half, misspelled, doubled or unlike part is an error, never passed over."""
    with pytest.raises(DataError, match=told):
        load(saved(tmp_path, **VALIDATION, **more))
