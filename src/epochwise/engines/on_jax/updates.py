"""How far an iteration moved the weights of each layer."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

Groups = dict[str, list[int]]
"""By layer, the places of its weights among the model's trainable ones."""


def groups_of(model: keras.Model) -> Groups:
    """Return the model's trainable weights by layer, in the model's order.

    A layer inside another one is named by both, `encoder/dense`; the model's own name is
    left out.

    Args:
        model: built.
    """
    groups: Groups = {}
    for place, variable in enumerate(model.trainable_variables):
        layer = variable.path.rpartition("/")[0].removeprefix(f"{model.name}/")
        groups.setdefault(layer or model.name, []).append(place)
    return groups


def update_sizes(
    groups: Sequence[Sequence[int]],
    before: Sequence[Any],
    after: Sequence[Any],
    *,
    numpy: ModuleType = jnp,
) -> Any:
    """Return the size of an update relative to the weights, |w after − w before| / |w before|.

    Norms are over all weights of a layer together. Where these were all zero before, there
    is nothing to compare with, and the size is NaN.

    Args:
        groups: places of the weights of each layer.
        before: the trainable weights before the update, arrays of `numpy`.
        after: the same after it.
        numpy: what computes it, NumPy or JAX's own.

    Returns:
        One number for each group, float32, an array of `numpy`.
    """

    def length(arrays: Sequence[Any]) -> Any:
        squares = [numpy.sum(numpy.square(array)) for array in arrays]
        return numpy.sqrt(numpy.sum(numpy.stack(squares)))

    def size(places: Sequence[int]) -> Any:
        whole = length([old[place] for place in places])
        moved = length([new[place] - old[place] for place in places])
        nothing = whole == 0
        return numpy.where(nothing, numpy.nan, moved / numpy.where(nothing, 1, whole))

    old, new = ([leaf.astype(numpy.float32) for leaf in leaves] for leaves in (before, after))
    return numpy.stack([size(places) for places in groups])


def update_sizes_here(
    groups: Sequence[Sequence[int]], before: Sequence[jax.Array], after: Sequence[jax.Array]
) -> np.ndarray[Any, Any]:
    """Return the same where the weights are in this machine's memory: nothing to compile.

    Waits for the weights; what is not finite gives NaN or infinity without a warning.
    """
    with np.errstate(all="ignore"):
        old, new = ([np.asarray(leaf) for leaf in leaves] for leaves in (before, after))
        return np.asarray(update_sizes(groups, old, new, numpy=np), np.float32)
