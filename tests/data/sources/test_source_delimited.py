"""Tables of text: columns, cells, and the line and column of what is wrong."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from epochwise.data.samples import leaves
from epochwise.data.sources import load
from epochwise.errors import DataError


def table(path: Path, text: str | bytes, name: str = "data.csv") -> Path:
    raw = text.encode() if isinstance(text, str) else text
    (path / name).write_bytes(raw)
    return path / name


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_delimiters_line_ends_and_marks_are_understood(
    tmp_path: Path, delimiter: str, end: str, mark: str
) -> None:
    """The same table is read whatever its delimiter, line ends and byte order mark."""
    rows = [["width", "kind", "height, cm"], ["1.5", "cat", "-2e1"], ['"3"', "dog", " 4 "]]
    rows[0][2] = '"height, cm"'
    text = mark + end.join(delimiter.join(row) for row in rows)

    data = load(table(tmp_path, text), label="kind")

    assert data.train.x.dtype == np.float32
    assert leaves(data.train.x)[0].tolist() == [[1.5, -20.0], [3.0, 4.0]]
    assert leaves(data.train.y)[0].tolist() == [0, 1]
    assert data.classes == ("cat", "dog")
    assert data.columns == ("width", "height, cm")


def test_a_label_turns_to_text_where_the_first_text_comes(tmp_path: Path) -> None:
    """Labels 1, 2 and then "none of these" are all text, those before included."""
    data = load(table(tmp_path, "a,y\n1,01\n2,2\n3,none of these\n"), label="y")

    assert data.classes == ("01", "2", "none of these")
    assert leaves(data.train.y)[0].tolist() == [0, 1, 2]


def test_a_label_with_fractions_is_a_regression(tmp_path: Path) -> None:
    """Targets 0.5 and 2 are float32, without class names."""
    data = load(table(tmp_path, "a,y\n1,0.5\n2,2\n"), label="y")

    assert data.classes is None
    assert leaves(data.train.y)[0].dtype == np.float32


def test_a_tsv_is_apart_by_tabs(tmp_path: Path) -> None:
    """In a .tsv commas may be part of the names."""
    data = load(table(tmp_path, "a,b,c\ty\n1\t0\n", "data.tsv"), label="y")

    assert data.columns == ("a,b,c",)


@pytest.mark.parametrize(
    ("text", "label", "told"),
    [
        ("a,b,y\n1,2,3\n", None, "its columns are 'a', 'b', 'y'"),
        ("a,b,y\n1,2,3\n", "z", "no column 'z'; its columns are 'a', 'b', 'y'"),
        ("a,a,y\n1,2,3\n", "y", "column 'a' is there more than once"),
        (",a,y\n0,2,3\n", "y", "column 1 has no name"),
        ("y\n1\n", "y", "no column beside the label"),
        ("", "y", "empty"),
        ("a,y\n", "y", "no row of data"),
        ("a,y\n1,2\n1\n", "y", "line 3: 1 cells, but the header has 2"),
        ("a,y\n1,2\n1,2,3\n", "y", "line 3: 3 cells"),
        ("a,b,y\n1,2,3\n\n1,red,3\n", "y", "line 4, column 'b': 'red' is not a number"),
        ("a,b,y\n1,2,3\n1,,3\n", "y", r"line 3, column 'b': no value \(''\)"),
        ("a,b,y\n1,2,3\n1,NA,3\n", "y", "line 3, column 'b': no value"),
        ("a,b,y\n1,2,3\n1,nan,3\n", "y", "line 3, column 'b': no value"),
        ("a,b,y\n1,2,3\n1,inf,3\n", "y", "line 3, column 'b': inf"),
        ("a,b,y\n1,2,3\n1,1e39,3\n", "y", "line 3, column 'b': 1e.39"),
        ("a,b,y\n1,2,3\n1,1_0,3\n", "y", "line 3, column 'b': '1_0' is not a number"),
        ("a,b,y\n1,2,3\n1,2,\n", "y", "line 3, column 'y': no value"),
        ("a,b,y\n1,2,3\n1,2,inf\n", "y", "column 'y', line 3: 'inf' is no target"),
        ('a,"b\n1,2\n', "b", "no column 'b'|not a table"),
        ('a,y\n"1"2,2\n', "y", "line 2: not a table"),
        (b"a,y\n1,2\n1,\xff\n", "y", "line 3: byte 3 is not UTF-8"),
        ("a,y\n1,2\n".encode("utf-16"), "y", "line 1: byte 1 is not UTF-8"),
        ("a,y\r1,2\r", "y", "line 1: not a table"),
        ("a,y\n1,\"" + "x" * 200_000 + '"\n', "y", "line 2: not a table .*field larger"),
        ("a,y\n" + "1" * 2_000_000, "y", "line 2: a record longer than 1,048,576 bytes"),
        ("a,y\n" + '"1\n",' * 300_000, "y", "line 2: a record longer"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line_and_column(
    tmp_path: Path, text: str | bytes, label: str | None, told: str
) -> None:
    """Each error has the file, the line, the column and the value."""
    with pytest.raises(DataError, match=told) as caught:
        load(table(tmp_path, text), label=label)

    assert "data.csv" in str(caught.value)


def test_lines_within_quotes_are_counted(tmp_path: Path) -> None:
    """A record's line is the one it begins at, also after a quoted cell of several lines."""
    with pytest.raises(DataError, match="line 4, column 'a': 'x' is not a number"):
        load(table(tmp_path, 'a,y\n1,"two\nlines"\nx,b\n'), label="y")


@pytest.mark.parametrize(
    "text",
    [
        b"a,y\n" + b"1,2\n" * 100_000,
        b"a,y\n" + b"1,b\n" * 100_000,
        b"a,y\n" + b'"1\n",2\n' * 50_000,
        b",".join(b"%x" % number for number in range(170_000)) + b",y\n",
    ],
)
def test_memory_stays_within_four_times_the_file(tmp_path: Path, text: bytes) -> None:
    """The shortest rows, and the widest header, stay within four times the file and 64 MB."""
    path = table(tmp_path, text)
    tracemalloc.start()
    try:
        try:
            load(path, label="y")
        except DataError as error:
            assert "no row" in str(error) or "longer" in str(error)  # noqa: PT017
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 4 * len(text) + 64_000_000


def test_long_tables_agree_with_numpy(tmp_path: Path) -> None:
    """Fifty thousand rows, many pieces, hold the numbers written."""
    numbers = np.random.default_rng(0).standard_normal((50_000, 3))
    lines = "\n".join(",".join(map(repr, row)) for row in numbers.tolist())

    data = load(table(tmp_path, "a,b,y\n" + lines), label="y")

    assert np.array_equal(data.train.x, numbers[:, :2].astype(np.float32))
    assert np.array_equal(data.train.y, numbers[:, 2].astype(np.float32))
