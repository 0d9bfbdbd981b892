"""Folders of IDX files, gzipped or not."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from epochwise.data.samples import leaves
from epochwise.data.sources import load
from epochwise.errors import DataError

X = np.arange(48, dtype=np.uint8).reshape(8, 3, 2)
Y = np.array([5, 7] * 4, np.uint8)


def idx(array: np.ndarray, code: int = 8, shape: tuple[int, ...] | None = None) -> bytes:
    shape = array.shape if shape is None else shape
    head = bytes((0, 0, code, len(shape))) + struct.pack(f">{len(shape)}I", *shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


def folder(path: Path, suffix: str = "", mark: str = "-", **changed: bytes) -> Path:
    """Write the four files; `changed` replaces the bytes of one, `train_images` say."""
    files = {
        "train_images": idx(X),
        "train_labels": idx(Y),
        "t10k_images": idx(X[:2]),
        "t10k_labels": idx(Y[:2]),
    } | changed
    for role, raw in files.items():
        part, kind = role.split("_")
        axes = 3 if kind == "images" else 1
        packed = gzip.compress(raw, mtime=0) if suffix == ".gz" else raw
        (path / f"{part}-{kind}{mark}idx{axes}-ubyte{suffix}").write_bytes(packed)
    return path


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("mark", ["-", "."])
def test_a_folder_named_as_mnist_is_read(tmp_path: Path, suffix: str, mark: str) -> None:
    """Both parts are read, gzipped or not, with a dash or a point in the names."""
    data = load(folder(tmp_path, suffix, mark))

    assert data.name == tmp_path.name
    assert np.array_equal(data.train.x, X)
    assert leaves(data.train.y)[0].tolist() == [0, 1] * 4
    assert data.classes == ("5", "7")
    assert data.train.divisor == 255.0
    assert data.test is not None
    assert np.array_equal(data.test.x, X[:2])


@pytest.mark.parametrize(("code", "dtype"), [(9, "i1"), (11, "i2"), (12, "i4"), (14, "f8")])
def test_other_dtypes_become_float32(tmp_path: Path, code: int, dtype: str) -> None:
    """Images of wider numbers are float32, with no divisor."""
    raw = idx(X.astype(dtype), code)
    test = idx(X[:2].astype(dtype), code)
    data = load(folder(tmp_path, train_images=raw, t10k_images=test))

    assert data.train.x.dtype == np.float32
    assert np.array_equal(data.train.x, X)
    assert data.train.divisor is None


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize(
    ("role", "raw", "text"),
    [
        ("train_images", b"", "no IDX file"),
        ("train_images", b"\x89PNG\r\n", "no IDX file"),
        ("train_images", b"\0\0\x08\x03\0\0", "within its header"),
        ("train_images", idx(X, code=10), "no IDX file"),
        ("train_images", idx(X, shape=(2**32 - 1, 2**32 - 1, 2)), "header claims shape"),
        ("train_images", idx(X, shape=(0, 3, 2)), "empty|header claims"),
        ("train_images", idx(X[:7]), "has 7 samples, but"),
        ("train_images", idx(X) + b"junk", "goes on after|header claims"),
        ("train_images", idx(X)[:-1], "ends after|header claims"),
        ("t10k_images", idx(X[:2, :2]), "files of the same set"),
        ("t10k_labels", idx(Y[:2] + 1), "never occur"),
    ],
)
def test_a_bad_file_is_told(
    tmp_path: Path, suffix: str, role: str, raw: bytes, text: str
) -> None:
    """The error names the file and what is wrong with it."""
    with pytest.raises(DataError, match=text):
        load(folder(tmp_path, suffix, **{role: raw}))


def test_truncated_gzip_is_told(tmp_path: Path) -> None:
    """A gzip file cut at any byte is an error."""
    path = folder(tmp_path, ".gz") / "train-images-idx3-ubyte.gz"
    raw = path.read_bytes()
    for length in range(len(raw)):
        path.write_bytes(raw[:length])
        with pytest.raises(DataError, match=r"train-images-idx3-ubyte\.gz"):
            load(tmp_path)


def test_a_gzip_bomb_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    """A header that claims what gzip could hold, but memory should not, costs nothing."""
    zeros = np.zeros((100, 1000, 1000), np.uint8)
    for kind, raw in (("images-idx3", idx(zeros)), ("labels-idx1", idx(zeros[:, 0, 0]))):
        packed = gzip.compress(raw, 1, mtime=0)
        (tmp_path / f"train-{kind}-ubyte.gz").write_bytes(packed)
    del zeros, raw
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="gunzip"):
            load(tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 1_000_000


def test_missing_and_doubled_files_are_told(tmp_path: Path) -> None:
    """A part without its labels, or files of two sets, are errors."""
    folder(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="no file with the labels of the test part"):
        load(tmp_path)
    (tmp_path / "letters-train-images-idx3-ubyte").write_bytes(idx(X))
    with pytest.raises(DataError, match="several sets"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev"])
def test_l05_a_validation_part_is_read(tmp_path: Path, name: str) -> None:
    """L05: files of a validation part are used, other files named, doubled ones refused."""
    folder(tmp_path, **{f"{name}_images": idx(X[1:4]), f"{name}_labels": idx(Y[1:4])})
    (tmp_path / "readme.txt").write_text("x")

    data = load(tmp_path)

    assert data.validation is not None
    assert np.array_equal(data.validation.x, X[1:4])
    assert leaves(data.validation.y)[0].tolist() == [1, 0, 1]
    assert data.test is not None
    assert data.test.count == 2
    assert "Not used: 'readme.txt'." in data.told()
    (tmp_path / "test-images-idx3-ubyte").write_bytes(idx(X))
    with pytest.raises(DataError, match="both hold the images of the test part"):
        load(tmp_path)
