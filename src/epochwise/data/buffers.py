"""A pool of reusable buffers for gathered windows.

New memory can take longer to get than samples take to copy: the system clears each page
of it, and may first have to find some. So a window's memory is used again as soon as
nobody reads that window any more.
"""

from __future__ import annotations

import math
import weakref
from collections import defaultdict

import numpy as np
import numpy.typing as npt

from epochwise.data.samples import Array, aligned_empty


class BufferPool:
    """Hands out arrays, and their memory again when these are gone.

    Example:
        >>> buffers = BufferPool()
        >>> first = buffers.empty((1000, 2), np.float32)
        >>> address = first.ctypes.data
        >>> second = buffers.empty((1000, 2), np.float32)  # beside the first
        >>> del first
        >>> buffers.empty((2000,), np.int32).ctypes.data == address
        True
    """

    def __init__(self) -> None:
        """Hold no memory yet."""
        self._free: defaultdict[int, list[memoryview]] = defaultdict(list)

    def empty(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """Return an array that is not set, at an address of `samples.ALIGNMENT`.

        Args:
            shape: of the array.
            dtype: of a fixed size, without Python objects.
        """
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size == 0:
            return np.empty(shape, dtype)
        free = self._free[size]
        try:
            memory = free.pop()
        except IndexError:
            memory = aligned_empty(size, np.uint8).data
        # Every view of an array keeps alive the array next to the memory: this one.
        whole = np.frombuffer(memory, np.uint8)
        weakref.finalize(whole, free.append, memory).atexit = False
        return whole.view(dtype).reshape(shape)
