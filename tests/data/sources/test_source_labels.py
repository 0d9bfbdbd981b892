"""Targets as stored become class numbers or a regression's targets, by one rule."""

from __future__ import annotations

import numpy as np
import pytest

from epochwise.data.sources import AskedTask, labels
from epochwise.data.sources.labels import NameCodes, Targets
from epochwise.errors import DataError


def encode(
    train: np.ndarray, test: np.ndarray | None = None, asked: AskedTask | None = None
) -> Targets:
    """Return the targets of a training part "y" and perhaps a test part "y_test"."""
    parts = [(train, "y")] + ([] if test is None else [(test, "y_test")])
    return labels.encode(parts, name="y", asked=asked)


def test_whole_numbers_become_classes_in_numerical_order() -> None:
    """Classes 10, 9 and 2 are numbered 2, 1 and 0, and keep their names as text."""
    targets = encode(np.array([10, 9, 2, 10, 2, 9], np.uint8))

    assert targets.parts[0].dtype == np.int32
    assert targets.parts[0].tolist() == [2, 1, 0, 2, 0, 1]
    assert targets.classes == ("2", "9", "10")


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", "i1", ">i4", "u8"])
def test_whole_numbers_are_classes_in_every_dtype(dtype: str) -> None:
    """3.0 is the class "3", whatever the number's width and byte order."""
    targets = encode(np.array([3, 1, 3]).astype(dtype))

    assert (targets.parts[0].tolist(), targets.classes) == ([1, 0, 1], ("1", "3"))


@pytest.mark.parametrize("dtype", ["U3", "S3"])
def test_text_becomes_classes_in_alphabetical_order(dtype: str) -> None:
    """Text labels are mapped and their names kept."""
    targets = encode(np.array(["owl", "cat", "owl"], dtype))

    assert (targets.parts[0].tolist(), targets.classes) == ([1, 0, 1], ("cat", "owl"))


def test_truth_values_become_two_classes() -> None:
    """False and True are names of classes."""
    assert encode(np.array([True, False])).classes == ("False", "True")


def test_fractions_in_either_part_make_a_regression() -> None:
    """One fraction, be it in the test part, makes both parts float32 targets."""
    targets = encode(np.array([1.0, 2.0]), np.array([0.5]))

    assert targets.classes is None
    assert targets.parts[0].dtype == np.float32
    assert targets.parts[1].tolist() == [0.5]


@pytest.mark.parametrize(
    ("values", "are_classes"),
    [
        (np.arange(10).repeat(5), True),
        (np.arange(100).repeat(5), True),  # CIFAR-100's
        (np.arange(1, 27).repeat(5), True),  # letters, counted from 1
        (np.arange(1000).repeat(2), True),
        (np.array([0, 1, 2, 4] * 3), True),  # a class is missing
        (np.array([-1, 1] * 4), True),
        (np.array([1, 2, 3, 4, 5, 5]), True),  # ratings
        (np.array([2**60, 2**60 + 1, 3] * 4), True),  # codes
        (np.arange(1001).repeat(2), False),
        (np.arange(150), False),  # each comes once
        (np.arange(1950, 2020).repeat(5), False),  # years
        (np.arange(-40, 60).repeat(3), False),  # minutes late
        (np.arange(0, 300, 3).repeat(9), False),  # prices
        (np.array([7, 3, 9, 12]), False),
    ],
)
def test_l04_whole_numbers_are_classes_where_few_or_counted(
    values: np.ndarray, are_classes: bool
) -> None:
    """L04: few or consecutive whole numbers are classes, others a regression, and it is said.

    The sentence has the evidence and the flag, which gives the other answer.
    """
    shuffled = np.random.default_rng(0).permutation(values)
    found = encode(shuffled)

    assert (found.classes is not None) == are_classes
    assert f"{np.unique(values).size:,} different whole numbers" in found.task.evidence
    other: AskedTask = "regression" if are_classes else "classification"
    assert f"--task {other}" in found.task.evidence
    asked = encode(shuffled, asked=other)
    assert (asked.classes is not None) != are_classes
    if asked.classes is not None:
        names = np.array([int(name) for name in asked.classes])
        assert np.array_equal(names[asked.parts[0]], shuffled)
    else:
        assert np.array_equal(asked.parts[0], shuffled.astype(np.float32))
    floats = shuffled.astype(np.float64)
    if np.array_equal(floats.astype(np.int64), shuffled):
        assert np.array_equal(encode(floats).parts[0], found.parts[0])


def test_a_column_of_shape_n_1_counts_as_n() -> None:
    """Labels of shape (N, 1), as CIFAR's, lose the axis."""
    assert encode(np.array([[5], [7]])).parts[0].tolist() == [0, 1]


@pytest.mark.parametrize("dtype", ["?", "u1", "i8", "f8"])
def test_l03_rows_of_zeros_and_ones_are_one_hot_or_several_labels(dtype: str) -> None:
    """L03: a single 1 in each row of both parts is one-hot, else each column is a label."""
    rows = np.eye(3)[[0, 2, 1, 0]].astype(dtype)
    several = np.array([[1, 1, 0], [0, 0, 0]], dtype)

    one_hot, labelled, mixed = encode(rows), encode(several), encode(rows, several)

    assert (one_hot.task.kind, one_hot.task.outputs) == ("one_hot", 3)
    assert one_hot.classes == ("0", "1", "2")
    assert (labelled.task.kind, labelled.task.classes) == ("multi_label", None)
    assert mixed.task.kind == "multi_label"
    for found in (one_hot, labelled, mixed):
        assert {part.dtype for part in found.parts} == {np.dtype(np.float32)}
    numbers = encode(rows, asked="regression").task
    assert (numbers.kind, numbers.outputs) == ("regression", 3)


def test_whole_numbers_of_two_axes_stay_numbers() -> None:
    """One label for each place of a sequence stays what it is, as int32."""
    targets = encode(np.array([[5, 7], [9, 0]], np.int64))

    assert (targets.parts[0].dtype, targets.parts[0].tolist()) == (np.int32, [[5, 7], [9, 0]])


def test_labels_never_seen_in_training_are_named() -> None:
    """A label of the test part that training lacks is an error with its name."""
    with pytest.raises(DataError, match=r"y_test: labels that never occur .*'7', '9'"):
        encode(np.array([1, 2]), np.array([1, 9, 7]))


@pytest.mark.parametrize(
    ("train", "test", "text"),
    [
        (np.array([1.5, np.nan]), None, r"y\[1\] is nan"),
        (np.array([1j]), None, "complex128"),
        (np.array([1.5e300, 0.5]), None, "more than float32"),
        (np.array([["a", "b"]]), None, "text labels of shape"),
        (np.array(["a"]), np.array([1]), "of all parts alike"),
        (np.array([[2**40, 1]]), None, "beyond int32"),
        (np.array([b"\xff"]), None, "UTF-8"),
        (np.array([0, 1]), np.array([[0, 1]]), "of all parts alike"),
    ],
)
def test_what_is_no_target_is_refused(
    train: np.ndarray, test: np.ndarray | None, text: str
) -> None:
    """Targets that no loss could take end in an error that says why."""
    with pytest.raises(DataError, match=text):
        encode(train, test)


def test_chunks_agree_with_the_whole() -> None:
    """Half a million labels, read in pieces, are numbered as NumPy numbers them at once."""
    numbers = np.random.default_rng(0).integers(0, 100, 500_000)
    targets = encode(numbers)

    assert targets.classes == tuple(map(str, range(100)))
    assert np.array_equal(targets.parts[0], numbers)


def test_a_column_of_identifiers_is_no_label() -> None:
    """More than 65,536 distinct texts end in an error, not in as many classes."""
    codes = NameCodes("a.csv, column 'id'")
    assert [codes.code(str(number)) for number in range(1 << 16)][-1] == 65_535
    with pytest.raises(DataError, match="identifier"):
        codes.code("one more")


@pytest.mark.parametrize(
    ("values", "asked", "text"),
    [
        (np.array(["a", "b"]), "regression", "'a' is text"),
        (np.array([0.5, 1.0]), "classification", "0.5 has a fraction"),
        (np.array([[0.5, 1.0]]), "classification", "name no class"),
        (np.arange(70_000), "classification", "identifier"),
    ],
)
def test_l04_a_task_that_the_targets_cannot_have_is_refused(
    values: np.ndarray, asked: AskedTask, text: str
) -> None:
    """L04: `--task` is taken or refused, never passed over."""
    with pytest.raises(DataError, match=text):
        encode(values, asked=asked)
