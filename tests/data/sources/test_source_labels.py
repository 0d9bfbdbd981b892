"""Targets as stored become class numbers or a regression's targets, by one rule."""

from __future__ import annotations

import numpy as np
import pytest

from epochwise.data.sources.labels import NameCodes, encode
from epochwise.errors import DataError


def test_whole_numbers_become_classes_in_numerical_order() -> None:
    """Classes 10, 9 and 2 are numbered 2, 1 and 0, and keep their names as text."""
    targets = encode(np.array([10, 9, 2, 10], np.uint8), None, place="y")

    assert targets.train.dtype == np.int32
    assert targets.train.tolist() == [2, 1, 0, 2]
    assert targets.classes == ("2", "9", "10")


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "g", "i1", ">i4", "u8"])
def test_whole_numbers_are_classes_in_every_dtype(dtype: str) -> None:
    """3.0 is the class "3", whatever the number's width and byte order."""
    targets = encode(np.array([3, 1, 3]).astype(dtype), None, place="y")

    assert (targets.train.tolist(), targets.classes) == ([1, 0, 1], ("1", "3"))


@pytest.mark.parametrize("dtype", ["U3", "S3"])
def test_text_becomes_classes_in_alphabetical_order(dtype: str) -> None:
    """Text labels are mapped and their names kept."""
    targets = encode(np.array(["owl", "cat", "owl"], dtype), None, place="y")

    assert (targets.train.tolist(), targets.classes) == ([1, 0, 1], ("cat", "owl"))


def test_truth_values_become_two_classes() -> None:
    """False and True are names of classes."""
    assert encode(np.array([True, False]), None, place="y").classes == ("False", "True")


def test_fractions_in_either_part_make_a_regression() -> None:
    """One fraction, be it in the test part, makes both parts float32 targets."""
    targets = encode(np.array([1.0, 2.0]), np.array([0.5]), place="y")

    assert targets.classes is None
    assert targets.train.dtype == np.float32
    assert targets.test is not None
    assert targets.test.tolist() == [0.5]


@pytest.mark.parametrize(("distinct", "classes"), [(1000, 1000), (1001, None)])
def test_more_than_a_thousand_whole_numbers_are_a_regression(
    distinct: int, classes: int | None
) -> None:
    """1000 distinct whole numbers are classes, 1001 are targets."""
    found = encode(np.arange(distinct), None, place="y").classes

    assert (None if found is None else len(found)) == classes


def test_a_column_of_shape_n_1_counts_as_n() -> None:
    """Labels of shape (N, 1), as CIFAR's, lose the axis."""
    assert encode(np.array([[5], [7]]), None, place="y").train.tolist() == [0, 1]


def test_one_hot_targets_become_float32() -> None:
    """Zeros and ones with two axes are float32 targets without class names."""
    targets = encode(np.eye(3, dtype=np.int64), None, place="y")

    assert (targets.train.dtype, targets.train.shape, targets.classes) == (
        np.float32,
        (3, 3),
        None,
    )


def test_whole_numbers_of_two_axes_stay_numbers() -> None:
    """One label for each place of a sequence stays what it is, as int32."""
    targets = encode(np.array([[5, 7], [9, 0]], np.int64), None, place="y")

    assert (targets.train.dtype, targets.train.tolist()) == (np.int32, [[5, 7], [9, 0]])


def test_labels_never_seen_in_training_are_named() -> None:
    """A label of the test part that training lacks is an error with its name."""
    with pytest.raises(DataError, match=r"file, y_test: labels that never occur .*'7', '9'"):
        encode(np.array([1, 2]), np.array([1, 9, 7]), place="y", test_place="file, y_test")


@pytest.mark.parametrize(
    ("train", "test", "text"),
    [
        (np.array([1.5, np.nan]), None, r"y\[1\] is nan"),
        (np.array([1j]), None, "complex128"),
        (np.array([1.5e300, 0.5]), None, "more than float32"),
        (np.array([["a", "b"]]), None, "text labels of shape"),
        (np.array(["a"]), np.array([1]), "of both parts alike"),
        (np.array([[2**40, 1]]), None, "beyond int32"),
        (np.array([b"\xff"]), None, "UTF-8"),
    ],
)
def test_what_is_no_target_is_refused(
    train: np.ndarray, test: np.ndarray | None, text: str
) -> None:
    """Targets that no loss could take end in an error that says why."""
    with pytest.raises(DataError, match=text):
        encode(train, test, place="y", test_place="y_test")


def test_chunks_agree_with_the_whole() -> None:
    """Half a million labels, read in pieces, are numbered as NumPy numbers them at once."""
    labels = np.random.default_rng(0).integers(-50, 50, 500_000)
    names, numbers = np.unique(labels, return_inverse=True)

    targets = encode(labels, None, place="y")

    assert targets.classes == tuple(str(name) for name in names)
    assert np.array_equal(targets.train, numbers)


def test_a_column_of_identifiers_is_no_label() -> None:
    """More than 65,536 distinct texts end in an error, not in as many classes."""
    codes = NameCodes("a.csv, column 'id'")
    assert [codes.code(str(number)) for number in range(1 << 16)][-1] == 65_535
    with pytest.raises(DataError, match="identifier"):
        codes.code("one more")
