"""Parquet tables: types, nulls, and metadata that is not believed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epochwise.data.samples import leaves
from epochwise.data.sources import load
from epochwise.errors import BackendError, DataError

pa = pytest.importorskip("pyarrow", reason="pip install 'epochwise[table]'")
pq = pytest.importorskip("pyarrow.parquet", reason="pip install 'epochwise[table]'")


def table(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path / "data.parquet", **options)
    return path / "data.parquet"


def test_columns_become_float32_features(tmp_path: Path) -> None:
    """Integers, floats, truth values and dictionaries of numbers are features."""
    columns = {
        "a": pa.array([1, 2, 3], pa.int16()),
        "b": [0.5, 1.5, 2.5],
        "y": ["dog", "cat", "dog"],
        "c": [True, False, True],
        "d": pa.array([7, 7, 9]).dictionary_encode(),
    }
    data = load(table(tmp_path, columns, row_group_size=2), label="y")

    assert data.train.x.dtype == np.float32
    assert leaves(data.train.x)[0].tolist() == [
        [1, 0.5, 1, 7],
        [2, 1.5, 0, 7],
        [3, 2.5, 1, 9],
    ]
    assert leaves(data.train.y)[0].tolist() == [1, 0, 1]
    assert data.classes == ("cat", "dog")
    assert data.columns == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("label", "classes"),
    [
        (pa.array(["b", "a"]).dictionary_encode(), ("a", "b")),
        (pa.array(["b", "a"], pa.large_string()), ("a", "b")),
        (pa.array([5, 3]), ("3", "5")),
        (pa.array([5.0, 3.0]), ("3", "5")),
        (pa.array([5.5, 3.0]), None),
    ],
)
def test_labels_of_every_type_are_mapped(
    tmp_path: Path, label: Any, classes: tuple[str, ...] | None
) -> None:
    """Text, dictionaries and whole numbers are classes; fractions are a regression."""
    assert load(table(tmp_path, {"a": [1, 2], "y": label}), label="y").classes == classes


@pytest.mark.parametrize(
    ("columns", "label", "told"),
    [
        ({"a": [1], "y": [1]}, None, "its columns are 'a', 'y'"),
        ({"a": [1], "y": [1]}, "z", "no column 'z'"),
        ({"a": ["x"], "y": [1]}, "y", "column 'a': string is not a number"),
        ({"a": [[1]], "y": [1]}, "y", "column 'a': list"),
        ({"a": [1], "y": [[1]]}, "y", "column 'y': list.* is no label"),
        ({"a": [1, None], "y": [1, 1]}, "y", r"row 2, column 'a': no value \(null\)"),
        ({"a": [1, 2], "y": ["a", None]}, "y", "row 2, column 'y': no value"),
        ({"a": [1.0, np.nan], "y": [1, 1]}, "y", r"row 2, column 'a': no value \(nan\)"),
        ({"a": [1.0, 1e300], "y": [1, 1]}, "y", "row 2, column 'a': 1e.300 is more"),
        ({"a": [1.0, 1.0], "y": [1, np.inf]}, "y", r"row 2, column 'y': no value \(inf\)"),
        ({"a": pa.array([], pa.int8()), "y": pa.array([], pa.int8())}, "y", "0 rows"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(
    tmp_path: Path, columns: dict[str, Any], label: str | None, told: str
) -> None:
    """The error names the file, the row and the column."""
    with pytest.raises(DataError, match=told) as caught:
        load(table(tmp_path, columns), label=label)

    assert "data.parquet" in str(caught.value)


def test_a_null_far_down_is_placed_by_its_row(tmp_path: Path) -> None:
    """Rows are counted through the batches and row groups."""
    values = pa.array([*range(299_999), None, 1])
    path = table(tmp_path, {"a": values, "y": [0] * 300_001}, row_group_size=70_000)
    with pytest.raises(DataError, match="row 300000, column 'a'"):
        load(path, label="y")


def test_a_table_that_outgrows_its_file_is_refused(tmp_path: Path) -> None:
    """Thirty million equal cells in a few kB are refused by their count, with the remedy."""
    ones = pa.array(np.ones(15_000_000, np.int8))
    path = table(tmp_path, {"a": ones, "b": ones, "y": ones})
    before = pa.total_allocated_bytes()
    with pytest.raises(DataError, match="use_dictionary=False"):
        load(path, label="y")

    assert pa.total_allocated_bytes() == before


def test_a_long_name_repeated_stays_one_name(tmp_path: Path) -> None:
    """A label of 100 kB in 2,000 rows is decoded once, not 2,000 times (200 MB)."""
    path = table(tmp_path, {"a": list(range(2000)), "y": ["x" * 100_000] * 2000})
    before = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(before)
    pa.set_memory_pool(pool)
    try:
        data = load(path, label="y")
    finally:
        pa.set_memory_pool(before)

    assert data.classes == ("x" * 100_000,)
    assert 0 < pool.max_memory() < 4_000_000


def test_every_cut_of_a_file_is_an_error(tmp_path: Path) -> None:
    """A file cut at any byte is an error with a remedy."""
    path = table(tmp_path, {"a": [1], "y": [1]})
    raw = path.read_bytes()
    for length in range(0, len(raw), 3):
        path.write_bytes(raw[:length])
        with pytest.raises(DataError, match="not a readable Parquet file"):
            load(path, label="y")


def test_without_pyarrow_the_install_line_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing pyarrow is an error with the line to type."""
    path = table(tmp_path, {"a": [1], "y": [1]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(BackendError, match=r"pip install 'epochwise\[table\]'"):
        load(path, label="y")


def test_a_page_that_claims_what_it_cannot_hold_is_refused(tmp_path: Path) -> None:
    """The size in a page's header is compared with the file before pyarrow allocates it."""
    columns = {"a": np.random.default_rng(0).standard_normal(5000), "y": [0.5] * 5000}
    path = table(tmp_path, columns, use_dictionary=False, compression="none")
    raw = bytearray(path.read_bytes())
    # Behind the magic: field 1 (the page's type, 0), then field 2, its size, in three bytes.
    assert raw[4:7] == b"\x15\x00\x15"
    assert load(path, label="y").train.count == 5000
    raw[7:10] = b"\xff\xff\x7f"
    path.write_bytes(raw)

    with pytest.raises(DataError, match="row group 1, column 'a', byte 4: claims a page that"):
        load(path, label="y")


def test_several_row_groups_and_encodings_pass_the_check(tmp_path: Path) -> None:
    """Sound files of every writer's options are read, dictionaries and long pages included."""
    numbers = np.random.default_rng(0).integers(0, 50, 3000)
    for options in (
        {"compression": "zstd", "data_page_version": "2.0", "data_page_size": 500},
        {"compression": "gzip", "write_page_index": True, "row_group_size": 999},
        {"use_dictionary": False, "column_encoding": "DELTA_BINARY_PACKED"},
        {"write_page_checksum": True, "dictionary_pagesize_limit": 64},
    ):
        path = table(tmp_path, {"a": numbers, "y": numbers % 3}, **options)
        data = load(path, label="y")

        assert np.array_equal(leaves(data.train.x)[0][:, 0], numbers)
        assert np.array_equal(leaves(data.train.y)[0], numbers % 3)


def test_l30_text_labels_and_long_numbers_stay_apart(tmp_path: Path) -> None:
    """L30: '001' and '1' are two classes, as are whole numbers that one float64 stands for."""
    codes = [2**53, 2**53 + 1, 2**53] * 2
    rows = {
        "a": [0.5] * 6,
        "s": ["001", "01", "1"] * 2,
        "n": codes,
        "b": [True, False, True] * 2,
    }
    path = table(tmp_path, rows)

    assert load(path, label="s", drop=["n"]).classes == ("001", "01", "1")
    assert load(path, label="n", drop=["s"]).classes == (str(2**53), str(2**53 + 1))
    named = load(path, label="b", drop=["s", "n"])
    assert (named.classes, named.columns) == (("False", "True"), ("a",))
    with pytest.raises(DataError, match="--drop s"):
        load(path, label="n")
    with pytest.raises(DataError, match="'001' is text, and a regression needs numbers"):
        load(path, label="s", drop=["n"], task="regression")
    with pytest.raises(DataError, match="header line"):
        load(path, label="b", header=True)


def test_l04_whole_numbers_are_a_regression_as_in_text(tmp_path: Path) -> None:
    """L04: a column of 150 different whole numbers is a regression, and says so."""
    prices = np.random.default_rng(0).permutation(np.arange(200_000, 500_000, 2_000))
    path = table(tmp_path, {"a": np.arange(150.0), "price": prices})

    data = load(path, label="price")

    assert data.classes is None
    assert np.array_equal(data.train.y, prices.astype(np.float32))
    assert "price has 150 different whole numbers in 150 samples" in data.task.evidence
    assert load(path, label="price", task="classification").task.outputs == 150
