"""Arrays in Python: what training needs of them, checked without copying them.

Owns the check for finite numbers, which every other source uses too. Changes no value and
no dtype: what `fit` is given is what the model sees, as with Keras's own `fit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from epochwise.data.samples import (
    Array,
    Arrays,
    Dataset,
    Samples,
    leaves,
    named_leaves,
    unmasked,
)
from epochwise.data.sources.limits import CHUNK_BYTES
from epochwise.data.sparse import SparseRows, sparse_rows
from epochwise.data.text import encoded, is_text
from epochwise.errors import DataError, Problem

NUMBERS = "biuf"
"""NumPy's kinds of numbers that networks take: truth, integers and floats."""


def from_arrays(
    x: Any,
    y: Any = None,
    *,
    weight: Any = None,
    name: str = "arrays",
    text: bool = False,
) -> Dataset:
    """Take arrays as a training set, after the checks that every source passes.

    Nothing is copied, cast or scaled: uint8 stays uint8 and `divisor` is `None`, so that a
    model sees the same numbers as in its framework's own `fit`. Memory-mapped arrays stay
    on disk; they are read once, in pieces, to look for numbers that cannot be trained on.

    Args:
        x: features, first axis N: an array (or what NumPy makes into one), a sparse matrix,
            or a tuple, list or mapping of these, also one in another; `None` in the place of
            an optional input.
        y: targets, first axis N, the same kinds, numbers only; `None` when the model needs
            none.
        weight: a weight for each sample, shape `(N,)`, or for each of its targets along
            their next axes, `(N, T)` for T places in a text; or a tree of them as `y`'s.
        name: what people call this data.
        text: whether x may hold text, for a layer that turns it into numbers.

    Returns:
        The training part; no test part, no class names.

    Raises:
        DataError: an array holds Python objects or text, is empty, holds NaN, infinity or
            what 32 bits cannot hold, or the lengths disagree; all such problems together.

    Example:
        >>> data = from_arrays(np.zeros((4, 3), np.float32), np.arange(4))
        >>> data.train.count, data.input_shape
        (4, (3,))
        >>> from_arrays(np.array([[0.5], [np.nan]]))
        Traceback (most recent call last):
        ...
        epochwise.errors.DataError: x[1, 0] is nan; one such value turns every weight into NaN.
          Remedy: fill or leave out what is missing, e.g. keep = np.isfinite(x).all(axis=1).
    """
    trees = {
        "x": _tree(x, "x", text=text),
        "y": None if y is None else _tree(y, "y"),
        "sample_weight": None if weight is None else _tree(weight, "sample_weight"),
    }
    problems: list[Problem] = []
    lengths: dict[str, int] = {}
    for part, tree in trees.items():
        for place, leaf in named_leaves(tree, part):
            found = _leaf_problem(leaf, place, text=text and part == "x")
            if found is not None:
                problems.append(found)
            elif part == "sample_weight" and isinstance(leaf, SparseRows):
                problems.append(
                    Problem(f"{place} is sparse.", "give a dense array of shape (N,).")
                )
            elif part == "sample_weight" and not _weighs(leaf, trees["y"]):
                problems.append(
                    Problem(
                        f"{place} has shape {leaf.shape}, but each sample has one weight, or "
                        "one for each of its targets.",
                        "give an array of shape (N,).",
                    )
                )
            if leaf.ndim:
                lengths[place] = int(leaf.shape[0])
    if not lengths and not problems:
        problems.append(Problem("x holds no array.", "give at least one array as x."))
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{place} has {count:,}" for place, count in lengths.items())
        problems.append(
            Problem(
                f"the numbers of samples disagree: {told}.",
                "give arrays with the same first axis, one row a sample.",
            )
        )
    if problems:
        raise DataError(problems)
    assert trees["x"] is not None
    train = Samples(x=trees["x"], y=trees["y"], weight=trees["sample_weight"])
    return Dataset(name=name, train=train)


def first_not_finite(array: Array | SparseRows) -> tuple[int, ...] | None:
    """Find the first NaN or infinity in row order, looking at a piece at a time.

    Args:
        array: any shape, float; may be memory-mapped or sparse.

    Returns:
        Its index, or `None` when all numbers are finite. No temporary is larger than
        `CHUNK_BYTES`, unless one row is.

    Example:
        >>> first_not_finite(np.array([[1.0, 2.0], [np.inf, 4.0]]))
        (1, 0)
    """
    return _first_value_without(lambda rows, _: np.isfinite(rows), array)


def _first_value_without(
    has: Callable[[Array, int], npt.NDArray[np.bool_]], array: Array | SparseRows
) -> tuple[int, ...] | None:
    """Return the same as `first_without` for a property that every 0 has, wherever it is."""
    if not isinstance(array, SparseRows):
        return first_without(has, array)
    found = first_without(has, array.values)
    return None if found is None else array.place_of(found[0])


def first_without(
    has: Callable[[Array, int], npt.NDArray[np.bool_]], array: Array
) -> tuple[int, ...] | None:
    """Return the place of the first element that has not a property, in row order.

    Args:
        has: `(rows, first_row) -> for each element whether it has it`, of some rows.
        array: any shape; may be memory-mapped: it is looked at a piece at a time.
    """
    if array.ndim == 0:
        return None if has(array, 0) else ()
    for start, rows in row_chunks(array):
        fit = has(rows, start)
        if not fit.all():
            place = np.unravel_index(int(np.argmin(fit)), rows.shape)
            return (start + int(place[0]), *(int(index) for index in place[1:]))
    return None


def _is_float32(rows: Array, _start: int) -> npt.NDArray[np.bool_]:
    """Tell which numbers are finite as float32."""
    with np.errstate(over="ignore"):
        return np.isfinite(rows.astype(np.float32))


def _is_int32(rows: Array, _start: int) -> npt.NDArray[np.bool_]:
    """Tell which whole numbers 32 bits hold."""
    bounds = np.iinfo(np.int32)
    return (rows >= bounds.min) & (rows <= bounds.max)


def row_chunks(array: Array) -> Iterator[tuple[int, Array]]:
    """Yield views of consecutive rows of about `CHUNK_BYTES`, with the first row's index."""
    row_bytes = max(1, array.nbytes // max(1, array.shape[0]))
    rows = max(1, CHUNK_BYTES // row_bytes)
    for start in range(0, array.shape[0], rows):
        yield start, array[start : start + rows]


def _tree(value: Any, place: str, *, text: bool = False) -> Arrays:
    """Turn what the user gave into one array or a tree of them, in the same form."""
    if isinstance(value, Mapping):
        return {
            key: None if part is None else _tree(part, f"{place}[{key!r}]", text=text)
            for key, part in value.items()
        }
    if isinstance(value, tuple) or (isinstance(value, list) and _holds_arrays(value)):
        parts = [
            None if part is None else _tree(part, f"{place}[{index}]", text=text)
            for index, part in enumerate(value)
        ]
        return parts if isinstance(value, list) else tuple(parts)
    return _array(value, place, text=text)


def _holds_arrays(value: object) -> bool:
    """Tell a list of arrays from a list of numbers, which is an array itself."""
    if isinstance(value, tuple | list):
        return any(map(_holds_arrays, value))
    return isinstance(value, Mapping) or getattr(value, "ndim", 0) > 0


def _array(value: Any, place: str, *, text: bool) -> Array | SparseRows:
    sparse = sparse_rows(value, place)
    if sparse is not None:
        return sparse
    try:
        is_array = isinstance(value, np.ndarray)  # one that maps a file stays one
        array: Array = unmasked(value, place) if is_array else np.asarray(value)
        return encoded(array) if text and is_text(array) else array
    except DataError:
        raise
    except Exception as error:  # anything with `__array__` may raise anything
        raise DataError(
            f"{place} is a {type(value).__name__} that NumPy cannot make into an array "
            f"({error}).",
            "give an array whose rows all have the same shape.",
        ) from error


def _weighs(weight: Array, y: Arrays | None) -> bool:
    """Tell whether there is a weight a sample, or one for each of some target's places."""
    if weight.ndim <= 1 or weight.size == weight.shape[0]:
        return True
    return any(weight.shape == target.shape[: weight.ndim] for target in leaves(y))


def _is_extension_float(array: Array) -> bool:
    """Tell a number type registered with NumPy (bfloat16) from a structured one."""
    if array.dtype.kind != "V" or array.dtype.names is not None:
        return False
    try:
        np.isfinite(np.zeros(1, array.dtype))
    except TypeError:
        return False
    return True


def _leaf_problem(leaf: Array, place: str, *, text: bool) -> Problem | None:
    """Return what is wrong with one array, or `None`."""
    kind = leaf.dtype.kind
    extension = _is_extension_float(leaf)
    if text and leaf.size and leaf.ndim and is_text(leaf):
        return None
    if kind not in NUMBERS and not extension:
        remedy = f"convert it, e.g. {place.partition('[')[0]} = np.asarray(rows, np.float32)."
        if kind in "USO":
            remedy = (
                "turn text into numbers first, e.g. "
                "classes, y = np.unique(y, return_inverse=True)."
                if is_text(leaf)
                else "give rows of one shape, and numbers only: "
                "np.asarray(rows, dtype=np.float32) says which row differs."
            )
        return Problem(f"{place} has dtype {leaf.dtype}, not numbers.", remedy)
    if leaf.ndim == 0:
        return Problem(
            f"{place} is a single number ({leaf}), not one row a sample.",
            "give an array whose first axis counts the samples.",
        )
    if leaf.size == 0:
        return Problem(
            f"{place} is empty: its shape is {leaf.shape}.",
            "give at least one sample with at least one number.",
        )
    if isinstance(leaf, np.memmap) and not leaf.dtype.isnative:
        return Problem(
            f"{place} is mapped from a file in another byte order ({leaf.dtype.str}).",
            f"read it into memory, {place} = np.array({place}), or write the file anew.",
        )
    if kind == "f" or extension:
        index = first_not_finite(leaf)
        if index is not None:
            return Problem(
                f"{_element(leaf, index, place)}; one such value turns every weight into NaN.",
                "fill or leave out what is missing, e.g. keep = "
                f"np.isfinite({place}){'.all(axis=1)' if leaf.ndim == 2 else ''}.",
            )
    if leaf.dtype.itemsize > np.dtype(np.float32).itemsize:
        index = _first_value_without(_is_float32 if kind == "f" else _is_int32, leaf)
        if index is not None:
            return Problem(
                f"{_element(leaf, index, place)}, beyond "
                f"{'the range of float32' if kind == 'f' else '32 bits'}, which is what is "
                "trained with.",
                "scale the values." if kind == "f" else "number the values anew, from 0.",
            )
    return None


def _element(leaf: Array, index: tuple[int, ...], place: str) -> str:
    """Return an element of an array with its value for a sentence: `x[3, 1] is nan`."""
    return f"{place}[{', '.join(map(str, index))}] is {leaf[index]}"
