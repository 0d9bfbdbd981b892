"""Samples held in arrays: what every source turns into, and what engines read.

Owns the shape of a data set in memory. Reads no file and imports no framework.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from epochwise.errors import DataError

Array: TypeAlias = npt.NDArray[Any]
Arrays: TypeAlias = Any
"""An array (or `SparseRows`), or a tree of them: tuples, lists and mappings, one in another.

All have the same number of rows; `None` stands where an optional input is not given.
"""


def is_nested(arrays: object) -> bool:
    """Tell whether this is a tree of arrays rather than an array."""
    return isinstance(arrays, tuple | list | Mapping)


def named_leaves(arrays: Arrays | None, place: str = "") -> Iterator[tuple[str, Array]]:
    """Yield the arrays of a tree with their places, a mapping's in its keys' order.

    Example:
        >>> tree = {"a": np.zeros(3), "b": [None, np.zeros((3, 2))]}
        >>> [(place, leaf.shape) for place, leaf in named_leaves(tree, "x")]
        [("x['a']", (3,)), ("x['b'][1]", (3, 2))]
    """
    if is_nested(arrays):
        tree: Any = arrays
        pairs = tree.items() if isinstance(tree, Mapping) else enumerate(tree)
        for key, part in pairs:
            yield from named_leaves(part, f"{place}[{key!r}]")
    elif arrays is not None:
        yield place, arrays


def leaves(arrays: Arrays | None) -> tuple[Array, ...]:
    """Return the arrays of a tree in the same order.

    Example:
        >>> [leaf.shape for leaf in leaves({"a": np.zeros(3), "b": np.zeros((3, 2))})]
        [(3,), (3, 2)]
    """
    return tuple(leaf for _, leaf in named_leaves(arrays))


def structure(arrays: Arrays | None) -> str:
    """Return a tree's form as text, the same for trees that differ in their arrays alone.

    Example:
        >>> structure({"a": np.zeros(3), "b": [None, np.zeros(2)]})
        "{'a': '*', 'b': [None, '*']}"
    """
    return repr(map_leaves(lambda _: "*", arrays))


def unmasked(array: Any, place: str) -> Any:
    """Return what was given, without NumPy's mask where it has one that hides nothing.

    Args:
        array: masked or not.
        place: what it is called, for messages.

    Raises:
        DataError: the mask hides a value.

    Example:
        >>> unmasked(np.ma.masked_array([1, 2], mask=[False, False]), "x")
        array([1, 2])
    """
    if not isinstance(array, np.ma.MaskedArray):
        return array
    if np.ma.is_masked(array):
        first = np.argwhere(np.ma.getmaskarray(array))[0]
        raise DataError(
            f"{place}[{', '.join(map(str, first))}] is masked: it has no value.",
            "fill what is missing, e.g. with .filled(0), or leave those samples out.",
        )
    return np.asarray(array.data)


ALIGNMENT = 64
"""What the addresses of arrays are multiples of that devices read in place [bytes]."""


def aligned_empty(count: int, dtype: npt.DTypeLike) -> Array:
    """Return an array of `count` elements, not set, at an address of `ALIGNMENT`.

    Example:
        >>> array = aligned_empty(1000, np.float32)
        >>> array.shape, array.ctypes.data % ALIGNMENT
        ((1000,), 0)
    """
    dtype = np.dtype(dtype)
    raw = np.empty(count * dtype.itemsize + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + count * dtype.itemsize].view(dtype)


def map_leaves(change: Callable[[Array], Any], arrays: Arrays | None) -> Any:
    """Return the same tree with each of its arrays changed."""
    if arrays is None:
        return None
    if isinstance(arrays, Mapping):
        return {name: map_leaves(change, part) for name, part in arrays.items()}
    if isinstance(arrays, tuple | list):
        parts = [map_leaves(change, part) for part in arrays]
        return parts if isinstance(arrays, list) else tuple(parts)
    return change(arrays)


def empty_rows(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Return an array to copy rows into: zeros, or empty text."""
    if np.dtype(dtype) == object:
        return np.full(shape, b"", object)
    return np.zeros(shape, dtype)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """N training examples: features, targets and weights, row by row.

    Args:
        x: features, first axis N; one array or a tree of them. May be memory-mapped or
            sparse. Small integers (uint8 images) stay as they are; text is an array of
            Python's `bytes`.
        y: targets, first axis N; the same kinds; `None` when the model has none.
        weight: one weight a sample, shape `(N,)`, or `None` for all equal.
        divisor: what `x` is divided by, as float32, inside the batch; 255.0 for
            uint8 images of full range, `None` to hand `x` over as it is.
        private: whether nobody outside this package holds the arrays, so that a device
            that computes in the host's memory may read them where they lie.
    """

    x: Arrays
    y: Arrays | None = None
    weight: Arrays | None = None
    divisor: float | None = None
    private: bool = False

    @property
    def count(self) -> int:
        """N, the number of samples [samples]."""
        return int(leaves(self.x)[0].shape[0])

    @property
    def nbytes(self) -> int:
        """Memory that all arrays take, mapped or not [bytes]."""
        trees = (self.x, self.y, self.weight)
        return sum(int(leaf.nbytes) for tree in trees for leaf in leaves(tree))

    def map(self, change: Callable[[Array], Array]) -> Samples:
        """Return the same samples with each of their arrays changed."""
        return replace(
            self,
            x=map_leaves(change, self.x),
            y=map_leaves(change, self.y),
            weight=map_leaves(change, self.weight),
        )

    def rows(self, rows: npt.NDArray[np.int64]) -> Samples:
        """Return the samples at these rows, in this order (a copy)."""
        return self.map(lambda leaf: leaf[rows])


TargetKind = Literal["classes", "one_hot", "multi_label", "regression"]
"""One class number a sample; a row with a single 1 for the class; a row of zeros and ones,
each on its own; or numbers to come close to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What the targets ask of a network.

    Args:
        kind: what one target is.
        outputs: numbers that a network gives for one sample: one for each class, label or
            number.
        shape: of one sample's target.
        evidence: a sentence that says what the targets were taken for, why, and how to
            change it; empty where nothing was decided.
    """

    kind: TargetKind = "regression"
    outputs: int = 1
    shape: tuple[int, ...] = ()
    evidence: str = ""

    @property
    def classes(self) -> int | None:
        """How many classes exclude each other; `None` where the targets name none."""
        return self.outputs if self.kind in ("classes", "one_hot") else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dataset:
    """What a source gives: its parts, what their targets are, and their names.

    Args:
        name: what people call it: `digits`, `mnist`, a file's name.
        train: the training part; targets are int32 in 0..classes-1 where they name
            classes, else float32 (int32 for several whole numbers a sample).
        validation: the part to evaluate during training that came with the source, or
            `None`.
        test: a held-out part that came with the source, or `None`.
        task: what the targets ask of a network.
        classes: the label names, text, in the order of their numbers; `None` where the
            targets name no classes.
        columns: the names of the feature columns of a table, else `None`.
        notes: what a user should know of how the source was read, sentences.
    """

    name: str
    train: Samples
    validation: Samples | None = None
    test: Samples | None = None
    task: Task = Task()
    classes: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one sample's features, without the axis of samples."""
        return tuple(int(size) for size in leaves(self.train.x)[0].shape[1:])

    @property
    def labels(self) -> Array | None:
        """The training targets where they name classes, which a split keeps in proportion."""
        return None if self.task.classes is None else leaves(self.train.y)[0]

    @property
    def split_rule(self) -> str | None:
        """A sentence on the validation part that came with the source; `None` without."""
        if self.validation is None:
            return None
        return (
            f"The validation part, {self.validation.count:,} samples, came with the data; all "
            f"{self.train.count:,} training samples train."
        )

    def told(self) -> tuple[str, ...]:
        """Return the sentences to show before training."""
        return tuple(filter(None, (self.task.evidence, self.split_rule, *self.notes)))
