"""Arrays in Python pass the checks of every source, and are not copied for it."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from epochwise.data.sources import from_arrays
from epochwise.errors import DataError


def test_arrays_are_taken_as_they_are() -> None:
    """Neither dtype nor memory changes: what `fit` gets is what the model sees."""
    x, y = np.zeros((3, 2), np.uint8), np.array([0, 5, 9])

    data = from_arrays(x, y)

    assert data.train.x is x
    assert data.train.y is y
    assert (data.train.divisor, data.classes, data.test) == (None, None, None)


def test_trees_keep_their_form() -> None:
    """A tuple stays a tuple, a mapping a mapping; a list of arrays a list."""
    a, b = np.zeros(3), np.ones((3, 2))

    assert isinstance(from_arrays((a, b)).train.x, tuple)
    assert isinstance(from_arrays([a, b]).train.x, list)
    assert list(from_arrays({"p": a, "q": b}, {"r": a}).train.x) == ["p", "q"]
    assert from_arrays([[1.0, 2.0], [3.0, 4.0]]).input_shape == (2,)


@pytest.mark.parametrize(
    ("x", "y", "weight", "text"),
    [
        (np.array([1, "a"], object), None, None, "x has dtype object"),
        (np.array(["a"]), None, None, "not numbers"),
        (np.zeros((3, 2)), np.array(["a", "b", "c"]), None, "np.unique"),
        (np.zeros((3, 2)), np.zeros(4), None, "x has 3, y has 4"),
        (np.zeros((3, 2)), np.zeros(3), np.zeros(2), "weight has 2"),
        (np.zeros((3, 2)), None, np.zeros((3, 2)), "one weight"),
        (np.zeros((0, 2)), None, None, r"empty: its shape is \(0, 2\)"),
        (np.zeros((3, 0)), None, None, "empty"),
        (np.float32(3), None, None, "single number"),
        (np.array([[0, 1], [np.inf, 3]]), None, None, r"x\[1, 0\] is inf"),
        ({"a": np.array([1.0]), "b": np.array([np.nan])}, None, None, r"x\['b'\]\[0\] is nan"),
        (np.zeros(2), (np.array([0.0, np.nan]),), None, r"y\[0\]\[1\] is nan"),
        ([[1], [2, 3]], None, None, "cannot make into an array"),
        ({}, None, None, "no array"),
        (np.zeros(2, [("a", "f4")]), None, None, "not numbers"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(
    x: object, y: object, weight: object, text: str
) -> None:
    """A bad array ends in an error that says which one, where and why."""
    with pytest.raises(DataError, match=text):
        from_arrays(x, y, weight=weight)


def test_several_problems_are_told_together() -> None:
    """A NaN in x and a length that disagrees are in one error."""
    with pytest.raises(DataError) as caught:
        from_arrays(np.array([np.nan]), np.zeros(2))

    assert len(caught.value.problems) == 2


def test_a_mapped_file_is_checked_without_a_copy(tmp_path: Path) -> None:
    """A NaN at the end of a mapped file of 32 MB is found with less than 2 MB of memory."""
    path = tmp_path / "x.npy"
    x = np.lib.format.open_memmap(path, "w+", np.float32, (1 << 20, 8))
    x[-1, 3] = np.nan
    x.flush()
    mapped = np.load(path, mmap_mode="r")
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"x\[1048575, 3\] is nan"):
            from_arrays(mapped)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 2_000_000


def test_arrays_in_any_memory_order_are_checked() -> None:
    """The place of a NaN is right in transposed and strided arrays."""
    x = np.zeros((50, 40, 3))
    x[7, 31, 2] = np.nan
    for array, place in ((x.T, r"\[2, 31, 7\]"), (x[::-1], r"\[42, 31, 2\]")):
        with pytest.raises(DataError, match=place):
            from_arrays(array)


def test_numbers_of_other_libraries_are_taken() -> None:
    """bfloat16, a type registered with NumPy, is a number; its NaN is found."""
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="comes with JAX")
    x = np.zeros((4, 2), ml_dtypes.bfloat16)

    assert from_arrays(x).train.count == 4
    x[2, 1] = np.nan
    with pytest.raises(DataError, match=r"x\[2, 1\] is nan"):
        from_arrays(x)
