"""The feed: which samples each iteration trains on, window by window.

A window is a stretch of iterations of one batch size inside one epoch, handed to an
engine as a whole; the engine may run any part of it at a time. Windows bound the memory
that indices or gathered samples take; where they are cut changes no weight.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from epochwise.counting.plan import Plan
from epochwise.data.buffers import BufferPool
from epochwise.data.order import Order, index_type
from epochwise.data.samples import Samples, empty_rows
from epochwise.data.sparse import SparseRows

INDEX_ENTRIES = 1 << 20
"""Most indices in one window of resident data: 4 MiB as int32."""

GATHERED_BYTES = 32 << 20
"""About the most memory for the samples of one window gathered on the host [bytes]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Window:
    """Iterations `first` to `first + iterations - 1` of one epoch, all of one batch size.

    Args:
        epoch_index: zero-based.
        first_iteration_index: zero-based in its epoch.
        iterations: how many there are; at least 1.
        rows: shape `(capacity, batch size)`, int32 or int64, capacity >= iterations: the
            rows of the samples of each iteration. Rows past `iterations` are padding,
            never trained on, there so that every window has one shape.
        samples: what `rows` counts in: the samples of this window alone, or `None` for
            the data set that the engine holds.
        closes_epoch: whether the epoch ends with it.
    """

    epoch_index: int
    first_iteration_index: int
    iterations: int
    rows: npt.NDArray[np.signedinteger]
    samples: Samples | None
    closes_epoch: bool

    @property
    def batch_size(self) -> int:
        """Samples in each of its iterations [samples / iteration]."""
        return int(self.rows.shape[1])

    @property
    def end_iteration_index(self) -> int:
        """The iteration after its last, counted in its epoch."""
        return self.first_iteration_index + self.iterations


class Feed(Protocol):
    """Where windows come from."""

    @property
    def resident(self) -> Samples | None:
        """The data set that windows without samples of their own count in."""

    @property
    def samples(self) -> int | None:
        """Training samples in an epoch; `None` while that is not known [samples]."""

    @property
    def iterations_per_epoch(self) -> int | None:
        """Iterations in an epoch; `None` while that is not known."""

    @property
    def is_pure(self) -> bool:
        """Whether any window may be had at any time, without effect on anything else."""

    def window(self, epoch_index: int, iteration_index: int) -> Window:
        """Return a window that holds this iteration of this epoch.

        Raises:
            DataError: the epoch has no such iteration, or cannot be had again.
        """


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ArrayFeed:
    """Samples in arrays, in an order that is a function of (seed, epoch).

    Args:
        train: the training samples.
        order: their order.
        part: the rows of `train` that are fed, shape `(plan.samples,)`, where they are not
            all: the order counts in them.
        plan: gives the batch size and what happens to the remainder.
        gather: whether the samples of a window are gathered on the host, for data that
            does not fit on the device; else they are resident there.
        epochs_before: epochs of this order that were trained before this run [epochs].
        buffers: the memory of windows that are gathered.
    """

    train: Samples
    order: Order
    plan: Plan
    part: npt.NDArray[np.signedinteger] | None = None
    gather: bool = False
    epochs_before: int = 0
    buffers: BufferPool = field(default_factory=BufferPool)

    @property
    def resident(self) -> Samples | None:
        """See `Feed.resident`."""
        return None if self.gather else self.train

    @property
    def samples(self) -> int | None:
        """See `Feed.samples`."""
        return self.plan.samples

    @property
    def iterations_per_epoch(self) -> int | None:
        """See `Feed.iterations_per_epoch`."""
        return self.plan.iterations_per_epoch

    @property
    def is_pure(self) -> bool:
        """See `Feed.is_pure`."""
        return True

    @property
    def capacity(self) -> int:
        """Iterations that a window of full batches has room for."""
        batch_size = self.plan.batch_size_of(0)
        room = INDEX_ENTRIES // batch_size
        if self.gather:
            bytes_per_sample = max(1, self.train.nbytes // self.train.count)
            room = min(room, GATHERED_BYTES // (bytes_per_sample * batch_size))
        full = max(1, self.plan.samples // batch_size)
        return max(1, min(full, room))

    def window(self, epoch_index: int, iteration_index: int) -> Window:
        """See `Feed.window`."""
        plan = self.plan
        full_size = plan.batch_size_of(0)
        full = plan.samples // full_size
        per_epoch = plan.iterations_per_epoch
        rows: Any
        if iteration_index < full:
            first = iteration_index - iteration_index % self.capacity
            count = min(self.capacity, full - first)
            rows = self.order.batches(self.epochs_before + epoch_index, first, count, full_size)
            capacity = self.capacity
        else:
            first, count, capacity = full, 1, 1
            tail = self.order.indices(
                self.epochs_before + epoch_index, full * full_size, plan.samples
            )
            rows = tail.astype(self.order.dtype).reshape(1, -1)
        if self.part is not None:
            rows = self.part[rows].astype(index_type(self.train.count))
        samples = None
        if self.gather:
            samples = self._own_samples(rows, count, capacity)
            rows = np.arange(capacity * rows.shape[1], dtype=np.int32).reshape(capacity, -1)
        elif count < capacity:
            padded = np.zeros((capacity, full_size), rows.dtype)
            padded[:count] = rows
            rows = padded
        return Window(
            epoch_index=epoch_index,
            first_iteration_index=first,
            iterations=count,
            rows=rows,
            samples=samples,
            closes_epoch=first + count == per_epoch,
        )

    def _own_samples(
        self, rows: npt.NDArray[np.signedinteger], count: int, capacity: int
    ) -> Samples:
        """Return the samples of a window, copied only where they do not lie in a row."""
        if self.part is None and not self.order.shuffle and count == capacity:
            first, end = int(rows[0, 0]), int(rows[-1, -1]) + 1
            return self.train.map(lambda leaf: leaf[first:end])
        return _gather(self.train, rows, capacity, self.buffers)


def _gather(
    train: Samples, rows: npt.NDArray[np.signedinteger], capacity: int, buffers: BufferPool
) -> Samples:
    """Copy the samples of a window into arrays with room for `capacity` batches."""
    flat = rows.ravel()
    room = capacity * rows.shape[1]

    def gather(leaf: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        if leaf.dtype == object:
            out = empty_rows((room, *leaf.shape[1:]), object)
        else:
            out = buffers.empty((room, *leaf.shape[1:]), leaf.dtype)
            out[flat.size :] = 0
        if isinstance(leaf, SparseRows):
            out[: flat.size] = leaf[flat]
        else:
            np.take(leaf, flat, axis=0, out=out[: flat.size], mode="clip")
        return out

    return replace(train.map(gather), private=True)
