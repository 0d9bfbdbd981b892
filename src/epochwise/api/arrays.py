"""Arguments of `fit`, checked and brought to the types that Keras trains with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from epochwise.data.samples import Array, Samples, leaves, map_leaves
from epochwise.errors import DataError, PlanError


def samples_of(
    x: Any, y: Any, sample_weight: Any, class_weight: Mapping[int, float] | None
) -> Samples:
    """Check arrays and bring them to the types that Keras trains with.

    Raises:
        DataError: lengths disagree, an array is empty or of objects, or both kinds of
            weights are given.
    """
    if sample_weight is not None and class_weight is not None:
        raise DataError(
            "Both sample_weight and class_weight are given.",
            "multiply them into one sample_weight.",
        )
    x, y, sample_weight = (_tuples(tree) for tree in (x, y, sample_weight))
    rows = {
        name: [int(np.shape(leaf)[0]) if np.ndim(leaf) else 0 for leaf in leaves(tree)]
        for name, tree in (("x", x), ("y", y), ("sample_weight", sample_weight))
    }
    counts = {count for of_tree in rows.values() for count in of_tree}
    if len(counts) != 1 or counts == {0}:
        raise DataError(
            f"The arrays do not hold the same number of samples, at least one: {rows}.",
            "give x, y and sample_weight with equal first axes.",
        )
    if class_weight is not None:
        from keras.src.trainers.data_adapters.data_adapter_utils import (
            class_weight_to_sample_weights,
        )

        sample_weight = class_weight_to_sample_weights(y, class_weight)
    trees = (tuple, Mapping)
    if (
        sample_weight is not None
        and isinstance(y, trees)
        and not isinstance(sample_weight, trees)
    ):
        each = sample_weight
        sample_weight = map_leaves(lambda _: each, y)
    return Samples(x=x, y=y, weight=sample_weight).map(_as_keras)


def _tuples(tree: Any) -> Any:
    """Return arrays of NumPy in the same tree, with tuples for lists."""
    if tree is None:
        return None
    if isinstance(tree, Mapping):
        return {name: _array(leaf) for name, leaf in tree.items()}
    if isinstance(tree, (tuple, list)) and all(np.ndim(leaf) for leaf in tree):
        return tuple(_array(leaf) for leaf in tree)
    return _array(tree)


def _array(leaf: Any) -> Array:
    """Return a NumPy array; a memory map stays one."""
    array = leaf if isinstance(leaf, np.memmap) else np.asarray(leaf)
    if array.dtype.kind in "OSUV":
        raise DataError(
            f"An array of type {array.dtype} holds no numbers.",
            "convert it to numbers, for example with x.astype('float32').",
        )
    return array


def _as_keras(leaf: Array) -> Array:
    """Return floats as float32 and integers as at most 32 bits, as Keras on JAX does."""
    if isinstance(leaf, np.memmap):
        return leaf
    if leaf.dtype.kind == "f" and leaf.dtype != np.float32:
        return leaf.astype(np.float32)
    if leaf.dtype in (np.int64, np.uint64):
        if leaf.size and (leaf.max() > 2**31 - 1 or leaf.min() < -(2**31)):
            raise DataError(
                f"An integer array holds {leaf.min()} to {leaf.max()}, beyond 32 bits.",
                "number the values anew, from 0.",
            )
        return leaf.astype(np.int32)
    return leaf


def validation_samples(validation_data: Any) -> Samples | None:
    """Return validation data given as `(x, y)` or `(x, y, sample_weight)`."""
    if validation_data is None:
        return None
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
        raise DataError(
            f"validation_data is a {type(validation_data).__name__}, not (x, y).",
            "give validation_data=(x, y) or (x, y, sample_weight) as arrays.",
        )
    x, y, *weight = validation_data
    return samples_of(x, y, weight[0] if weight else None, None)


def refuse_with_batches(
    y: Any, sample_weight: Any, validation_split: float, batch_size: int, class_weight: Any
) -> None:
    """Refuse what batches formed by somebody else bring themselves, or cannot have."""
    given = {
        "y": y is not None,
        "sample_weight": sample_weight is not None,
        "class_weight": class_weight is not None,
        "validation_split": bool(validation_split),
        "batch_size": batch_size != 32,
    }
    named = [name for name, is_given in given.items() if is_given]
    if named:
        raise PlanError(
            f"x brings batches of its own, so {', '.join(named)} cannot be given.",
            f"leave out {', '.join(named)}, and form the batches in x accordingly.",
        )
