"""How far an iteration moved the weights of each layer."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import keras

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
    groups: Sequence[Sequence[int]], before: Sequence[jax.Array], after: Sequence[jax.Array]
) -> jax.Array:
    """Return the size of an update relative to the weights, |w after − w before| / |w before|.

    Norms are over all weights of a layer together. Where these were all zero before, there
    is nothing to compare with, and the size is NaN.

    Args:
        groups: places of the weights of each layer.
        before: the trainable weights before the update.
        after: the same after it.

    Returns:
        One number for each group, float32.
    """

    def length(arrays: Sequence[jax.Array]) -> jax.Array:
        squares = [jnp.sum(jnp.square(array)) for array in arrays]
        return jnp.sqrt(jnp.sum(jnp.stack(squares)))

    def size(places: Sequence[int]) -> jax.Array:
        whole = length([old[place] for place in places])
        moved = length([new[place] - old[place] for place in places])
        return jnp.where(whole > 0, moved / whole, jnp.nan)

    old, new = ([leaf.astype(jnp.float32) for leaf in leaves] for leaves in (before, after))
    return jnp.stack([size(places) for places in groups])
