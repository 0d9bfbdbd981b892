"""Memory of windows: never handed out while anybody reads it, handed out again after."""

from __future__ import annotations

import gc
import random

import jax
import jax.numpy as jnp
import numpy as np

from epochwise.data.buffers import BufferPool
from epochwise.data.samples import ALIGNMENT, Samples
from epochwise.engines.on_jax.placing import to_device


def test_memory_in_use_is_never_handed_out() -> None:
    """Whatever order arrays and views of them go in, those that are left keep their values."""
    buffers, rng = BufferPool(), random.Random(1)
    held: list[tuple[int, np.ndarray]] = []
    addresses = set()
    for number in range(500):
        array = buffers.empty((rng.choice([64, 128]), 4), np.int32)
        addresses.add(array.ctypes.data)
        array[:] = number
        held.append((number, rng.choice([array, array[3:], array.view(np.int32).T])))
        del array
        while len(held) > 5:
            held.pop(rng.randrange(len(held)))
        for expected, view in held:
            assert (view == expected).all()
    gc.collect()

    assert len(addresses) <= 12  # at most six of each size at a time
    assert all(address % ALIGNMENT == 0 for address in addresses)


def test_memory_that_a_device_reads_in_place_is_not_handed_out() -> None:
    """A computation under way keeps its samples, though the caller has let them go."""
    buffers, results = BufferPool(), []
    total = jax.jit(lambda data: jnp.sum(jnp.sin(data) ** 2 * 0 + data, dtype=jnp.float32))
    for number in range(40):
        array = buffers.empty((1 << 18,), np.float32)
        array[:] = number
        placed = to_device(Samples(x=array, private=True))
        results.append(total(placed[0]))
        del array, placed

    assert [float(result) for result in results] == [number * (1 << 18) for number in range(40)]


def test_nothing_is_an_array_too() -> None:
    """Samples without values take no memory."""
    assert BufferPool().empty((3, 0), np.float32).shape == (3, 0)
