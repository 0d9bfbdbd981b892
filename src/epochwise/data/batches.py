"""Batches that somebody else forms, as a feed that engines can read.

Owns how a `keras.utils.PyDataset`, a `tf.data.Dataset`, a PyTorch `DataLoader`, a
generator function, a one-shot iterator or any other object that can be iterated over is
read: as it comes, batch by batch, counted, checked and grouped into windows. Whoever
forms the batches decides their sizes and contents, and their order too, except for a
`PyDataset`, whose batches can be asked for by number.

Imports no framework: an object is known by the names of its classes, and its tensors by
the methods they have. Refuses a pass of another length than was said or seen before, an
epoch without a batch, and a second pass over what can be read only once.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from epochwise.data.feed import GATHERED_BYTES, Window
from epochwise.data.order import Order
from epochwise.data.samples import (
    Array,
    Samples,
    empty_rows,
    leaves,
    map_leaves,
    structure,
    unmasked,
)
from epochwise.data.sparse import sparse_rows
from epochwise.data.text import encoded, is_text
from epochwise.errors import DataError, PlanError

MOST_ITERATIONS = 256
"""Most batches in one window [iterations]."""

GATHERING_SECONDS = 0.25
"""A window is handed on once gathering it has taken this long [s]."""

_ORDERED_AT_ONCE = 4096
_WIDEST: Mapping[str, type[np.generic]] = {
    "i": np.int32,
    "u": np.uint32,
    "f": np.float32,
    "c": np.complex64,
}
_ONE_SHOT_REMEDY = (
    "pass the function that makes it, not called: fit(model, batches) instead of "
    "fit(model, batches())."
)

_Layout: TypeAlias = tuple[object, ...]
"""What two batches must share to stand in one window: structure, shapes and types."""


@runtime_checkable
class BatchSource(Protocol):
    """Something that can start a pass over its batches."""

    @property
    def name(self) -> str:
        """What messages call it: its kind and its own name."""

    @property
    def length(self) -> int | None:
        """Batches in a pass, as the source says; `None` when it does not know."""

    @property
    def endless(self) -> bool:
        """Whether a pass is known never to end."""

    @property
    def restartable(self) -> bool:
        """Whether a second pass can be started."""

    @property
    def most_samples(self) -> int | None:
        """Most samples a pass can hold, where that is known; else `None` [samples]."""

    def batches(self, pass_index: int) -> Iterator[object]:
        """Start a pass and return its batches as they come: `x`, `(x, y)` or with weights.

        What the user's own code raises comes through unchanged.
        """


def is_batches(x: object) -> bool:
    """Tell batches that somebody else forms from arrays.

    Batches are a `PyDataset`, a `tf.data.Dataset`, a `DataLoader`, a function that
    returns an iterator, an iterator, and any object that can be iterated over. Arrays
    are whatever has a shape or converts itself to an array (tensors and data frames
    too), and tuples, lists, mappings, sets and text, which hold arrays or name them.

    Example:
        >>> is_batches(lambda: iter([np.zeros((2, 3))]))
        True
        >>> is_batches(np.zeros((2, 3))), is_batches([np.zeros(3)]), is_batches("digits")
        (False, False, False)
    """
    if isinstance(x, Sequence | Mapping | Set | bytearray | type) or _is_array(x):
        return False
    return isinstance(x, Iterable | BatchSource) or callable(x)


def batch_source(x: object, *, seed: int = 0, shuffle: bool = True) -> BatchSource:
    """Return the source that reads x, chosen by what x is.

    Args:
        x: what `is_batches` accepts; a `BatchSource` is returned as it is.
        seed: keys the order of a `PyDataset`'s batches; the others bring their own.
        shuffle: whether a `PyDataset`'s batches are permuted in each epoch.

    Raises:
        DataError: x is not batches.

    Example:
        >>> def batches():
        ...     yield np.zeros((2, 3))
        >>> source = batch_source(batches)
        >>> source.name, source.length, source.restartable
        ('generator function batches', None, True)
        >>> batch_source(batches()).restartable
        False
    """
    if isinstance(x, BatchSource):
        return x
    if not is_batches(x):
        raise DataError(
            f"x is of type {type(x).__qualname__}, which is not a source of batches.",
            "pass a PyDataset, a tf.data.Dataset, a DataLoader, or a function that returns "
            "an iterator of batches; or arrays with batch_size=.",
        )
    if _descends(x, "keras", "PyDataset"):
        return PyDatasetBatches(dataset=x, seed=seed, shuffle=shuffle)
    if _descends(x, "tensorflow", "DatasetV2"):
        return TensorFlowBatches(dataset=x)
    if _descends(x, "torch.utils.data", "DataLoader"):
        return DataLoaderBatches(loader=x)
    if isinstance(x, Iterator):
        return OneShotBatches(iterator=x)
    if isinstance(x, Iterable):
        return IterableBatches(iterable=x)
    assert callable(x)
    return FunctionBatches(function=x)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PyDatasetBatches:
    """A `keras.utils.PyDataset`, whose batches are asked for by number.

    With `shuffle` the order of the batches of an epoch is our keyed order over their
    numbers, a function of (seed, epoch). `on_epoch_begin` is called before the first
    batch of a pass is asked for and `on_epoch_end` once the last one was read, which is
    before it is trained on. With `workers` above 1 that many threads fetch ahead, up to
    `max_queue_size` batches; `use_multiprocessing` uses threads too, since a process
    forked beside a compiled engine may hang. Neither changes the order.

    Args:
        dataset: the `PyDataset`; one whose `num_batches` is `None` never ends.
        seed: keys the order.
        shuffle: whether the order is permuted.
    """

    dataset: Any
    seed: int = 0
    shuffle: bool = True

    restartable = True
    most_samples = None

    @property
    def name(self) -> str:
        """See `BatchSource.name`."""
        return f"PyDataset {type(self.dataset).__name__}"

    @property
    def length(self) -> int | None:
        """See `BatchSource.length`."""
        count = self.dataset.num_batches
        return None if count is None else int(count)

    @property
    def endless(self) -> bool:
        """See `BatchSource.endless`."""
        return self.length is None

    def batches(self, pass_index: int) -> Iterator[object]:
        """See `BatchSource.batches`."""
        self.dataset.on_epoch_begin()
        numbers = self._numbers(pass_index)
        workers = int(self.dataset.workers)
        if workers > 1:
            yield from _fetched_ahead(
                self.dataset.__getitem__, numbers, workers, int(self.dataset.max_queue_size)
            )
        else:
            for number in numbers:
                yield self.dataset[number]
        self.dataset.on_epoch_end()

    def _numbers(self, pass_index: int) -> Iterator[int]:
        """Give the numbers of the batches of one pass, in order."""
        length = self.length
        if length is None:
            yield from itertools.count()
        elif length > 0:
            order = Order(samples=length, seed=self.seed, shuffle=self.shuffle)
            for start in range(0, length, _ORDERED_AT_ONCE):
                stop = min(start + _ORDERED_AT_ONCE, length)
                yield from order.indices(pass_index, start, stop).tolist()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TensorFlowBatches:
    """A `tf.data.Dataset`; its own cardinality says whether and when it ends."""

    dataset: Any

    name = "tf.data.Dataset"
    restartable = True
    most_samples = None

    @property
    def length(self) -> int | None:
        """See `BatchSource.length`. TensorFlow's negative cardinalities mean unknown."""
        cardinality = int(self.dataset.cardinality())
        return cardinality if cardinality >= 0 else None

    @property
    def endless(self) -> bool:
        """See `BatchSource.endless`. TensorFlow's INFINITE_CARDINALITY is -1."""
        return int(self.dataset.cardinality()) == -1

    def batches(self, pass_index: int) -> Iterator[object]:  # noqa: ARG002
        """See `BatchSource.batches`."""
        return iter(self.dataset)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DataLoaderBatches:
    """A PyTorch `DataLoader`; its tensors are copied to the host.

    Over a data set that is indexed, `len(loader)` is the length and is checked. Over an
    `IterableDataset` it is a guess (it knows nothing of how workers share the samples),
    so the length is counted; if the data set says how many samples it has, no pass may
    hold more, which catches workers that each read all of it.
    """

    loader: Any

    endless = False
    restartable = True

    @property
    def name(self) -> str:
        """See `BatchSource.name`."""
        workers = int(self.loader.num_workers)
        return f"DataLoader over {type(self.loader.dataset).__name__} with {workers} workers"

    @property
    def length(self) -> int | None:
        """See `BatchSource.length`."""
        return None if self._streams else _length_if_any(self.loader)

    @property
    def most_samples(self) -> int | None:
        """See `BatchSource.most_samples`."""
        if not self._streams or self.loader.batch_size is None:
            return None
        return _length_if_any(self.loader.dataset)

    def batches(self, pass_index: int) -> Iterator[object]:  # noqa: ARG002
        """See `BatchSource.batches`."""
        return iter(self.loader)

    @property
    def _streams(self) -> bool:
        return _descends(self.loader.dataset, "torch.utils.data", "IterableDataset")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FunctionBatches:
    """A function that returns a fresh iterator of batches each time it is called."""

    function: Callable[[], object]

    length = None
    endless = False
    restartable = True
    most_samples = None

    @property
    def name(self) -> str:
        """See `BatchSource.name`."""
        name = getattr(self.function, "__name__", type(self.function).__name__)
        return f"generator function {name}"

    def batches(self, pass_index: int) -> Iterator[object]:  # noqa: ARG002
        """See `BatchSource.batches`.

        Raises:
            DataError: the function returned something that cannot be iterated over.
        """
        made = self.function()
        if not isinstance(made, Iterable):
            raise DataError(
                f"{self.name} returned a value of type {type(made).__qualname__}, which "
                "cannot be iterated over.",
                "return an iterator of batches, or yield them.",
            )
        return iter(made)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IterableBatches:
    """Any object that gives a fresh iterator of batches each time it is iterated over."""

    iterable: Iterable[object]

    length = None
    endless = False
    restartable = True
    most_samples = None

    @property
    def name(self) -> str:
        """See `BatchSource.name`."""
        return f"iterable {type(self.iterable).__name__}"

    def batches(self, pass_index: int) -> Iterator[object]:  # noqa: ARG002
        """See `BatchSource.batches`."""
        return iter(self.iterable)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OneShotBatches:
    """An iterator, such as a generator that was called already: good for one pass."""

    iterator: Iterator[object]

    length = None
    endless = False
    restartable = False
    most_samples = None

    @property
    def name(self) -> str:
        """See `BatchSource.name`."""
        name = getattr(self.iterator, "__name__", None)
        kind = type(self.iterator).__name__
        return kind if name is None else f"{kind} {name}"

    def batches(self, pass_index: int) -> Iterator[object]:  # noqa: ARG002
        """See `BatchSource.batches`."""
        return self.iterator


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CutBatches:
    """The first batches of every pass over another source that can start again.

    Args:
        source: what is cut.
        most: batches of a pass that are read, at most.
    """

    source: BatchSource
    most: int

    endless = False
    restartable = True
    most_samples = None

    @property
    def name(self) -> str:
        """See `BatchSource.name`."""
        return self.source.name

    @property
    def length(self) -> int | None:
        """See `BatchSource.length`."""
        length = self.most if self.source.endless else self.source.length
        return None if length is None else min(length, self.most)

    def batches(self, pass_index: int) -> Iterator[object]:
        """See `BatchSource.batches`."""
        return itertools.islice(self.source.batches(pass_index), self.most)


def samples_of(batch: object, place: str) -> Samples:
    """Return a batch as samples in host arrays, checked.

    A tuple or list is `(x,)`, `(x, y)` or `(x, y, sample_weight)`, as Keras unpacks it;
    anything else, a mapping too, is x. Each part is an array or a tree of tuples, lists
    and mappings of arrays; sparse ones are made dense. 64-bit numbers become 32-bit ones,
    as JAX makes them, but whole numbers that do not fit are an error instead of wrapping
    around.

    Args:
        batch: what the source gave.
        place: where it stands, for messages: `batch 3 of epoch 1`.

    Returns:
        The batch; arrays may share memory with what was given.

    Raises:
        DataError: the batch has no x, no row, rows that disagree, more than three parts,
            or something that is not an array of numbers.

    Example:
        >>> batch = samples_of((np.zeros((2, 3)), np.arange(2)), "batch 1 of epoch 1")
        >>> batch.x.dtype, batch.y.dtype, batch.count
        (dtype('float32'), dtype('int32'), 2)
    """
    parts = tuple(batch) if isinstance(batch, tuple | list) else (batch,)
    if not 1 <= len(parts) <= 3:
        raise DataError(
            f"{place} has {len(parts)} parts.",
            "make each batch x, (x, y) or (x, y, sample_weight); put several inputs in one "
            "tuple, ((a, b), y).",
        )
    x, y, weight = (
        *(
            map_leaves(partial(_host_array, place=place, text=not index), part)
            for index, part in enumerate(parts)
        ),
        None,
        None,
    )[:3]
    if x is None:
        raise DataError(
            f"{place} has no x: it is None.",
            "make each batch x, (x, y) or (x, y, sample_weight).",
        )
    samples = Samples(x=x, y=y, weight=weight)
    _check_rows(samples, place)
    _check_weights(samples, place)
    return samples


class BatchFeed:
    """Batches of a source, grouped into windows; see `Feed`.

    Consecutive batches of equal structure, shapes and types share a window, as many as
    there is room and time for. A window's arrays are its own and never written again.
    Where windows end changes neither the batches nor their order. One batch is read
    ahead, so that the last iteration of an epoch is known to be the last; if reading it
    fails, the batches before it are handed on first, so that they are trained on wherever
    the windows end.

    An epoch is one pass over the source. With `iterations_per_epoch` below the length of
    a pass, epochs are that many iterations each, cut from a stream of pass after pass:
    a pass that ends inside an epoch is followed by the next, never by a short epoch.

    Places are asked for in order. Another place, as in a resumed run, starts the pass
    anew and reads up to it. What comes then is as reproducible as the source: the order
    of a `PyDataset` is a function of (seed, epoch); a loader that shuffles by itself has
    to be seeded by its owner.

    Args:
        x: what `is_batches` accepts.
        seed: keys the order of a `PyDataset`'s batches.
        shuffle: whether a `PyDataset`'s batches are permuted in each epoch.
        iterations_per_epoch: iterations that make an epoch; `None` for a whole pass.
        told_as: what the caller's own argument for it is called, for messages.
        most_iterations_per_epoch: what cuts every epoch short, whatever else is said.
        iterations: iterations of the whole run, where that was asked; gathering does not
            go beyond, and a source that never ends needs it, or `iterations_per_epoch`.
        prepare: changes each batch after it is checked, to add weights for example.
        clock: tells seconds; tests bring their own.

    Raises:
        DataError: x is not batches, says that it has none or fewer than
            `iterations_per_epoch`, or never ends and nothing says when to stop.
        PlanError: an epoch or a run of no iteration is asked for.

    Example:
        >>> def batches():
        ...     for size in (4, 4, 2):
        ...         yield np.zeros((size, 3)), np.zeros(size)
        >>> feed = BatchFeed(batches)
        >>> feed.iterations_per_epoch is None
        True
        >>> feed.window(0, 0).iterations, feed.window(0, 2).batch_size
        (2, 2)
        >>> feed.iterations_per_epoch, feed.samples
        (3, 10)
    """

    def __init__(
        self,
        x: object,
        *,
        seed: int = 0,
        shuffle: bool = True,
        iterations_per_epoch: int | None = None,
        told_as: str = "iterations_per_epoch",
        most_iterations_per_epoch: int | None = None,
        iterations: int | None = None,
        prepare: Callable[[Samples], Samples] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Check what can be known without reading a batch."""
        source = batch_source(x, seed=seed, shuffle=shuffle)
        most = most_iterations_per_epoch
        if most is not None:
            if iterations_per_epoch is None and source.restartable:
                source = CutBatches(source=source, most=most)
            else:
                iterations_per_epoch = min(iterations_per_epoch or most, most)
        length = source.length
        _check_asked(source, length, {told_as: iterations_per_epoch, "iterations": iterations})
        if length is not None and length < (iterations_per_epoch or 0):
            raise _too_few(source, length, told_as, iterations_per_epoch or 0)
        if iterations_per_epoch == length:
            iterations_per_epoch = None
        self._told = iterations_per_epoch
        self._told_as = told_as
        self._iterations = iterations
        self._clock = clock
        self._passes = _Passes(
            source=source, length=length, told=iterations_per_epoch, prepare=prepare
        )
        self._capacities: dict[_Layout, int] = {}
        self._window: Window | None = None
        self._checks: Callable[[Samples, str], None] | None = None
        self._checked: Window | None = None
        self._failure: Exception | None = None

    @property
    def resident(self) -> None:
        """See `Feed.resident`. Every window brings its own samples."""
        return

    @property
    def is_pure(self) -> bool:
        """See `Feed.is_pure`: reading ahead of an epoch would start the user's loader."""
        return False

    @property
    def samples(self) -> int | None:
        """Samples of the last pass that was read to its end; `None` before [samples].

        Always `None` where epochs are cut from a stream.
        """
        return None if self._told is not None else self._passes.samples

    @property
    def iterations_per_epoch(self) -> int | None:
        """See `Feed.iterations_per_epoch`; unknown lengths are known after one pass."""
        return self._passes.length if self._told is None else self._told

    def window(self, epoch_index: int, iteration_index: int) -> Window:
        """Return a window that holds this iteration of this epoch.

        Args:
            epoch_index: zero-based.
            iteration_index: zero-based in its epoch.

        Returns:
            A window; it begins at this iteration, unless the window given last holds it.

        Raises:
            DataError: there is no such iteration, the source cannot start again, a pass
                has another length than was said or seen before, or a batch is not fit.
                What the user's own loader raises comes through unchanged.
        """
        held = self._window
        if (
            held is None
            or held.epoch_index != epoch_index
            or not held.first_iteration_index <= iteration_index < held.end_iteration_index
        ):
            self._window = held = None
            failure, self._failure = self._failure, None
            if failure is not None:
                raise failure
            self._seek(epoch_index, iteration_index)
            self._window = held = self._gather(epoch_index, iteration_index)
        if held is not self._checked and self._checks is not None:
            assert held.samples is not None
            for place in range(held.iterations):
                batch = held.samples.rows(held.rows[place])
                self._checks(
                    batch,
                    f" of batch {held.first_iteration_index + place + 1} of "
                    f"epoch {epoch_index + 1}",
                )
            self._checked = held
        return held

    def check_by(self, check: Callable[[Samples, str], None]) -> None:
        """Check every batch from now on before it is handed on, that at hand among them.

        Args:
            check: is handed a batch and where it stands, ` of batch 3 of epoch 1`.
        """
        self._checks, self._checked = check, None

    def _seek(self, epoch_index: int, iteration_index: int) -> None:
        """Read up to this iteration, so that it is the next to come."""
        passes = self._passes
        if self._told is None:
            if not passes.reaches(epoch_index, iteration_index):
                passes.begin(epoch_index)
            while passes.taken < iteration_index:
                self._expect(epoch_index, iteration_index)
                passes.take()
            return
        target = epoch_index * self._told + iteration_index
        if not passes.reaches_position(target):
            passes.begin(0 if passes.length is None else target // passes.length)
        while passes.position < target:
            self._expect(epoch_index, iteration_index)
            passes.take()

    def _expect(self, epoch_index: int, iteration_index: int) -> Samples:
        """Return the next batch, which has to be there."""
        upcoming = self._upcoming()
        if upcoming is None:
            raise DataError(
                f"epoch {epoch_index + 1} of {self._passes.source.name} has "
                f"{self._passes.taken} iterations; there is no iteration "
                f"{iteration_index + 1}.",
                "resume with the data that the run began with.",
            )
        return upcoming

    def _upcoming(self) -> Samples | None:
        """Look at the next batch; `None` at the end of an epoch that is a pass."""
        passes, told = self._passes, self._told
        upcoming = passes.peek()
        if upcoming is None and told is not None:
            assert passes.length is not None
            if passes.length < told:
                raise _too_few(passes.source, passes.length, self._told_as, told)
            passes.begin(passes.pass_index + 1)
            upcoming = passes.peek()
        return upcoming

    def _gather(self, epoch_index: int, iteration_index: int) -> Window:
        """Copy the batches from here on into one window, until something ends it."""
        began = self._clock()
        batch = self._expect(epoch_index, iteration_index)
        layout, size = _layout(batch), batch.count
        capacity = self._capacities.get(layout) or self._capacity(batch)
        limit = min(capacity, self._left(epoch_index, iteration_index))
        room = batch.map(
            lambda leaf: empty_rows((capacity * size, *leaf.shape[1:]), leaf.dtype)
        )
        gathered = 0
        while True:
            _copy(self._passes.take(), room, gathered * size)
            gathered += 1
            closes_epoch, follows = self._look_ahead(iteration_index + gathered, layout)
            if not follows or gathered == limit or self._clock() - began >= GATHERING_SECONDS:
                break
        if closes_epoch and gathered == 1 and layout not in self._capacities:
            capacity = 1  # most often the short last batch, which no other follows
            room = room.map(lambda leaf: leaf[:size])
        self._capacities[layout] = capacity
        return Window(
            epoch_index=epoch_index,
            first_iteration_index=iteration_index,
            iterations=gathered,
            rows=np.arange(capacity * size, dtype=np.int32).reshape(capacity, size),
            samples=room,
            closes_epoch=closes_epoch,
        )

    def _look_ahead(self, iteration_index: int, layout: _Layout) -> tuple[bool, bool]:
        """Tell whether the epoch ends before this iteration, and if it fits the window.

        What goes wrong here is not this window's fault: its batches are trained on first,
        and the failure is raised when the next window is asked for. Only where none may
        be asked for, at the known end of an epoch, it is raised at once.
        """
        if iteration_index == self._told:
            return True, False
        try:
            upcoming = self._upcoming()
        except Exception as failure:
            if iteration_index == self.iterations_per_epoch:
                raise
            self._failure = failure
            return False, False
        if upcoming is None:
            return True, False
        return False, _layout(upcoming) == layout

    def _capacity(self, batch: Samples) -> int:
        """Return how many batches like this one a window has room for, at least 1."""
        room = GATHERED_BYTES // max(1, batch.nbytes)
        return max(1, min(MOST_ITERATIONS, room, self.iterations_per_epoch or room))

    def _left(self, epoch_index: int, iteration_index: int) -> int:
        """Return how many iterations a window may hold from here on, at least 1."""
        per_epoch = self.iterations_per_epoch
        left = MOST_ITERATIONS if per_epoch is None else per_epoch - iteration_index
        if self._iterations is not None and (per_epoch is not None or epoch_index == 0):
            done = epoch_index * (per_epoch or 0) + iteration_index
            left = min(left, self._iterations - done)
        return max(1, left)


class _Passes:
    """Reads a source batch by batch, one ahead, and checks every pass against the first.

    Args:
        source: what is read.
        length: batches in a pass, as the source says; `None` until it is found.
        told: iterations in an epoch, where epochs are cut from a stream of passes; only
            messages need it.
        prepare: changes each batch after it is checked.
    """

    def __init__(
        self,
        *,
        source: BatchSource,
        length: int | None,
        told: int | None,
        prepare: Callable[[Samples], Samples] | None,
    ) -> None:
        self.source = source
        self.length = length
        self._said = length is not None
        self.samples: int | None = None
        self.pass_index = 0
        self.taken = 0
        self._told = told
        self._prepare = prepare
        self._begun = False
        self._iterator: Iterator[object] | None = None
        self._upcoming: Samples | None = None
        self._ended = False
        self._samples_read = 0

    @property
    def position(self) -> int:
        """Batches handed out since the first pass, all passes being equally long."""
        return self.pass_index * (self.length or 0) + self.taken

    def reaches(self, pass_index: int, batch_index: int) -> bool:
        """Tell whether this batch can be had by reading on in the pass under way."""
        return (
            self._iterator is not None
            and self.pass_index == pass_index
            and self.taken <= batch_index
        )

    def reaches_position(self, position: int) -> bool:
        """Tell whether this position of the stream can be had by reading on."""
        return self._iterator is not None and self.position <= position

    def begin(self, pass_index: int) -> None:
        """Start a pass; the one under way is given up.

        Raises:
            DataError: the source allows one pass only.
        """
        if not self.source.restartable and (self._begun or pass_index > 0):
            raise DataError(
                f"{self.source.name} has nothing left for {self._place(pass_index, 0)}: the "
                "iterator is not restartable, it can be read once only.",
                _ONE_SHOT_REMEDY,
            )
        self._give_up()
        self._begun = True
        self.pass_index = pass_index
        self.taken = self._samples_read = 0
        self._ended = False
        self._iterator = self.source.batches(pass_index)

    def peek(self) -> Samples | None:
        """Return the next batch without handing it out; `None` at the end of the pass.

        Raises:
            DataError: the pass has another length than it should, or the batch is unfit.
        """
        if self._upcoming is None and not self._ended:
            try:
                self._upcoming = self._read()
            except BaseException:
                # What raised cannot be read on; the place is had again by a new pass.
                self._give_up()
                raise
        return self._upcoming

    def take(self) -> Samples:
        """Hand out the batch that `peek` returned."""
        assert self._upcoming is not None
        batch, self._upcoming = self._upcoming, None
        self.taken += 1
        return batch

    def _read(self) -> Samples | None:
        assert self._iterator is not None
        try:
            raw = next(self._iterator)
        except StopIteration:
            self._ended = True
            self._end()
            return None
        if self.length is not None and self.taken >= self.length:
            raise self._other_length(f"goes on after {self.length} batches")
        batch = samples_of(raw, self._place(self.pass_index, self.taken))
        self._samples_read += batch.count
        most = self.source.most_samples
        if most is not None and self._samples_read > most:
            raise DataError(
                f"{self._pass} has {self._samples_read} samples up to batch {self.taken + 1}, "
                f"but the data set says it has {most} ({self.source.name}): each worker "
                "seems to give all of them.",
                "share the samples among the workers with torch.utils.data.get_worker_info(), "
                "or use num_workers=0.",
            )
        return batch if self._prepare is None else self._prepare(batch)

    def _end(self) -> None:
        """Check the count of a pass that is over, and keep it."""
        if self.taken == 0:
            raise DataError(
                f"{self._pass} has no batch: {self.source.name} ended before "
                "the first" + (f", {self.length} were due." if self.length else "."),
                "check that it was not read before, and return a fresh iterator each time."
                if self.source.restartable
                else _ONE_SHOT_REMEDY,
            )
        if self.length is not None and self.taken != self.length:
            raise self._other_length(f"ends after {self.taken} batches")
        self.length = self.taken
        self.samples = self._samples_read

    def _other_length(self, what: str) -> DataError:
        due = f"{'it said it has' if self._said else 'the first had'} {self.length}"
        return DataError(
            f"{self._pass} of {self.source.name} {what}, but {due}.",
            "let its length stay the number of batches that it gives."
            if self._said
            else "let every pass give as many batches as the first.",
        )

    @property
    def _pass(self) -> str:
        """What people call the pass under way."""
        return f"{'epoch' if self._told is None else 'pass'} {self.pass_index + 1}"

    def _place(self, pass_index: int, batch_index: int) -> str:
        """Say where a batch stands, as people count."""
        epoch_index, iteration_index = pass_index, batch_index
        if self._told is not None:
            position = pass_index * (self.length or 0) + batch_index
            epoch_index, iteration_index = divmod(position, self._told)
        return f"batch {iteration_index + 1} of epoch {epoch_index + 1}"

    def _give_up(self) -> None:
        """Drop the pass under way and let a generator clean up."""
        iterator, self._iterator, self._upcoming = self._iterator, None, None
        if iterator is not None and self.source.restartable:
            close = getattr(iterator, "close", None)
            if callable(close):
                close()


def _check_asked(
    source: BatchSource, length: int | None, asked: Mapping[str, int | None]
) -> None:
    """Refuse counts that the source cannot give.

    Args:
        source: what is read.
        length: batches in a pass, as the source says.
        asked: the counts that say when an epoch or the run ends, by their arguments' names.
    """
    for name, count in asked.items():
        if count is not None and count < 1:
            raise PlanError(f"{name}={count} trains nothing.", f"use {name} >= 1.")
    if length is not None and length < 1:
        raise DataError(
            f"{source.name} says it has {length} batches, so there is nothing to train on.",
            "give it at least one batch.",
        )
    if source.endless and not any(asked.values()):
        raise DataError(
            f"{source.name} never ends, so neither would its first epoch.",
            " or ".join(f"give {name}=" for name in asked) + ", the iterations to make.",
        )


def _too_few(
    source: BatchSource, length: int, told_as: str, iterations_per_epoch: int
) -> DataError:
    return DataError(
        f"{told_as}={iterations_per_epoch} exceeds the {length} batches of a pass over "
        f"{source.name}.",
        f"use {told_as} <= {length}, or leave it out for {length} an epoch.",
    )


def _descends(x: object, package: str, name: str) -> bool:
    """Tell whether x has a class of this name from this package among its ancestors."""
    return any(
        parent.__name__ == name and f"{parent.__module__}.".startswith(f"{package}.")
        for parent in type(x).__mro__
    )


def _is_array(x: object) -> bool:
    """Tell whether x is an array or turns itself into one."""
    return hasattr(x, "__array__") or (hasattr(x, "shape") and hasattr(x, "dtype"))


def _length_if_any(sized: Any) -> int | None:
    """Return the length of an object, or `None` when it has or knows none."""
    try:
        return len(sized)
    except (TypeError, NotImplementedError):
        return None


def _fetched_ahead(
    fetch: Callable[[int], object], numbers: Iterator[int], workers: int, most_waiting: int
) -> Iterator[object]:
    """Give what `fetch` returns for each number, in order, fetched ahead by threads."""
    waiting: deque[Future[object]] = deque()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="epochwise-batches")
    try:
        for number in numbers:
            waiting.append(pool.submit(fetch, number))
            if len(waiting) >= max(1, most_waiting):
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _host_array(leaf: Any, place: str, *, text: bool) -> Array:
    """Return a leaf as a NumPy array of at most 32-bit numbers, or of text."""
    sparse = sparse_rows(leaf, place)
    if sparse is not None:
        leaf = sparse[:]
    if hasattr(leaf, "detach"):  # PyTorch
        leaf = leaf.detach().cpu()
    leaf = unmasked(leaf, f"an array of {place}")
    try:
        array = np.asarray(leaf.numpy() if hasattr(leaf, "numpy") else leaf)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise DataError(
            f"{place} holds a {type(leaf).__qualname__} of type "
            f"{getattr(leaf, 'dtype', 'unknown')}, which NumPy cannot hold ({error}).",
            "convert it to float32 or int32 in the loader.",
        ) from error
    if text and is_text(array):
        return encoded(array)
    if array.dtype.kind in "OSUTMm" or array.dtype.type is np.void:
        raise DataError(
            f"{place} holds a {type(leaf).__qualname__} with elements of type "
            f"{array.dtype}, which are not numbers.",
            "give dense arrays of numbers; map text to whole numbers in the loader.",
        )
    return _narrowed(array, place)


def _narrowed(array: Array, place: str) -> Array:
    """Return the array in native byte order and at most 32 bits a number."""
    narrow = _WIDEST.get(array.dtype.kind)
    if narrow is None or array.dtype.itemsize <= np.dtype(narrow).itemsize:
        return array.astype(array.dtype.newbyteorder("="), copy=False)
    if array.size and issubclass(narrow, np.integer):
        low, high = int(array.min()), int(array.max())
        bounds = np.iinfo(narrow)
        if low < bounds.min or high > bounds.max:
            raise DataError(
                f"{place} holds whole numbers from {low} to {high} as "
                f"{array.dtype}, beyond {narrow.__name__}, which is what is trained with.",
                "map them to a smaller range, or convert them to float32 in the loader.",
            )
    try:
        with np.errstate(over="raise"):
            return array.astype(narrow)
    except FloatingPointError:
        raise DataError(
            f"{place} holds {array.dtype} numbers beyond {narrow.__name__}'s "
            f"largest, {np.finfo(np.float32).max:.4g}.",
            "scale them in the loader.",
        ) from None


def _check_rows(samples: Samples, place: str) -> None:
    """Refuse a batch without rows, or whose arrays differ in them."""
    named = {"x": samples.x, "y": samples.y, "sample_weight": samples.weight}
    shapes = {name: [leaf.shape for leaf in leaves(tree)] for name, tree in named.items()}
    told = ", ".join(
        f"{name} {' and '.join(str(shape) for shape in found)}"
        for name, found in shapes.items()
        if found
    )
    flat = [shape for found in shapes.values() for shape in found]
    if not shapes["x"] or any(not shape for shape in flat):
        raise DataError(
            f"{place} has an array without an axis of samples: {told or 'no x'}.",
            "give batches, not single samples: .batch(32) for a tf.data.Dataset, batch_size=32 "
            "for a DataLoader.",
        )
    rows = {shape[0] for shape in flat}
    if len(rows) > 1:
        raise DataError(
            f"{place} has rows that disagree: {told}.",
            "give x, y and sample_weight the same first axis, one row a sample.",
        )
    if rows == {0}:
        raise DataError(
            f"{place} is empty: {told}.",
            "leave empty batches out.",
        )


def _check_weights(samples: Samples, place: str) -> None:
    """Refuse weights of samples that are not finite: one makes every weight of the model so."""
    for leaf in leaves(samples.weight):
        finite = np.isfinite(leaf)
        if not finite.all():
            first = np.argwhere(~finite)[0]
            told = ", ".join(map(str, first))
            raise DataError(
                f"sample_weight[{told}] of {place} is {leaf[tuple(first)]}; one such value "
                "turns every weight into NaN.",
                "give finite weights, 0 for samples that are not to count.",
            )


def _layout(batch: Samples) -> _Layout:
    """Return what decides whether two batches may stand in one window."""
    trees = (batch.x, batch.y, batch.weight)
    return tuple(
        (
            structure(tree),
            tuple((leaf.shape, leaf.dtype.str, leaf.dtype.name) for leaf in leaves(tree)),
        )
        for tree in trees
    )


def _copy(batch: Samples, room: Samples, first_row: int) -> None:
    """Copy a batch into the rows from `first_row` on."""
    stop = first_row + batch.count
    for tree, into in ((batch.x, room.x), (batch.y, room.y), (batch.weight, room.weight)):
        for leaf, target in zip(leaves(tree), leaves(into), strict=True):
            _write(target, first_row, stop, leaf)


def _write(target: npt.NDArray[Any], start: int, stop: int, leaf: Array) -> None:
    target[start:stop] = leaf
