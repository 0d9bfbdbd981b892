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
        ("a,y\n1,2\n1\n", "y", "line 3: 1 cells, but the first line has 2"),
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


@pytest.mark.parametrize(
    ("labels", "classes", "note"),
    [
        (["001", "01", "1"], ("001", "01", "1"), "y holds codes with leading zeros"),
        (["1", "2", "007"], ("007", "1", "2"), "such as 007"),
        (["0", "1", "10"], ("0", "1", "10"), ""),
        (["1", "1.0", "2"], ("1", "2"), "'1' and '1.0' are one number"),
        (["+1", "1", "-1"], ("-1", "1"), "'+1' and '1' are one number"),
        (["1e3", "1000", "2"], ("2", "1000"), "'1e3' and '1000' are one number"),
        (["-01", "-1", "1"], ("-01", "-1", "1"), "leading zeros"),
        (["True", "False", "True"], ("False", "True"), ""),
        (["1_0", "10", "10"], ("10", "1_0"), ""),
    ],
)
def test_l30_labels_that_look_like_numbers_stay_apart(
    tmp_path: Path, labels: list[str], classes: tuple[str, ...], note: str
) -> None:
    """L30: leading zeros make text; two spellings of one number are one class, and named."""
    rows = "".join(f"{place},{label}\n" for place, label in enumerate(labels * 4))
    data = load(table(tmp_path, "a,y\n" + rows), label="y")

    assert data.classes == classes
    assert [classes[number] for number in leaves(data.train.y)[0]] == [
        label if label in classes else str(int(float(label))) for label in labels * 4
    ]
    assert note in " ".join(data.notes)


def test_l30_codes_are_no_numbers_unless_asked(tmp_path: Path) -> None:
    """L30: a feature with leading zeros is refused with its flag; targets follow `--task`."""
    text = "id,a,y\n007,1,010\n001,2,020\n"
    with pytest.raises(
        DataError, match=r"line 2, column 'id': '007' .* leading zeros"
    ) as caught:
        load(table(tmp_path, text), label="y")
    assert "--drop id" in str(caught.value)

    dropped = load(table(tmp_path, text), label="y", drop=["id"])
    assert (dropped.columns, dropped.classes) == (("a",), ("010", "020"))
    numbers = load(table(tmp_path, text), label="y", drop=["id"], task="regression")
    assert leaves(numbers.train.y)[0].tolist() == [10.0, 20.0]
    with pytest.raises(DataError, match="line 3: 'b' is text"):
        load(table(tmp_path, "a,y\n1,2\n1,b\n"), label="y", task="regression")
    big = f"a,y\n1,{2**53}\n2,{2**53 + 1}\n"
    with pytest.raises(DataError, match="cannot be told apart"):
        load(table(tmp_path, big), label="y")
    for drop, told in (("b", "is no column"), ("y", "is the label")):
        with pytest.raises(DataError, match=told):
            load(table(tmp_path, "a,y\n1,2\n"), label="y", drop=[drop])


@pytest.mark.parametrize(
    ("first", "second", "asked"),
    [
        ("0.75,1.5,c", "-0.60,-0.34,b", True),
        ("1,2,3", "4,5,6", True),
        ("2019,2020,kind", "1,2,a", True),
        ("1,1,5", "2,3,5", True),
        ("1,,c", "2,3,b", True),
        ("2019,2020,price", "1,2,3", False),
        ("x1,x2,kind", "1,2,a", False),
        ("1st,2nd,y", "1,2,0", False),
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize(("end", "mark"), [("\n", ""), ("\r\n", "\ufeff")])
def test_l30_a_first_line_that_may_be_a_sample_is_asked_about(
    tmp_path: Path, first: str, second: str, asked: bool, delimiter: str, end: str, mark: str
) -> None:
    """L30: both answers are flags; without a header the first line is the first sample."""
    lines = [first, second.replace("-", ""), *[second] * 3]
    text = mark + "".join(line.replace(",", delimiter) + end for line in lines)
    path = table(tmp_path, text)
    label = first.split(",")[2]

    if not asked:
        assert load(path, label=label).train.count == 4
        return
    with pytest.raises(DataError, match="may be a header or a sample") as caught:
        load(path, label=label)
    assert "--no-header" in str(caught.value)
    assert "--label 3" in str(caught.value)
    if len(set(first.split(","))) == 3 and "" not in first.split(","):
        assert load(path, label=label, header=True).train.count == 4
    if "" not in first.split(","):
        headless = load(path, label="3", header=False)
        assert (headless.train.count, headless.columns) == (5, ("1", "2"))
        assert leaves(headless.train.x)[0][0].tolist() == [
            float(c) for c in first.split(",")[:2]
        ]


def test_l30_decimal_commas_do_not_make_a_delimiter(tmp_path: Path) -> None:
    """L30: in a line with as many commas as semicolons the cells are apart by semicolons."""
    with pytest.raises(DataError, match=r"'0,75' is not a number[^$]*decimals with a point"):
        load(table(tmp_path, "0,75;1,44;c\n0,75;1,4;c\n"), label="3", header=False)
