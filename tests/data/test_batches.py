"""Foreign batches come out of the feed as they went in, counted, checked and grouped."""

from __future__ import annotations

import itertools
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epochwise.data import batches as batches_module
from epochwise.data.batches import (
    GATHERING_SECONDS,
    MOST_ITERATIONS,
    BatchFeed,
    batch_source,
    is_batches,
    samples_of,
)
from epochwise.data.feed import GATHERED_BYTES, Feed, Window
from epochwise.data.order import Order
from epochwise.data.samples import Samples
from epochwise.errors import DataError, PlanError


class FakeClock:
    """A clock that goes on by a given time whenever it is read."""

    def __init__(self, seconds_per_reading: float) -> None:
        self.seconds_per_reading = seconds_per_reading
        self.readings = 0

    def __call__(self) -> float:
        self.readings += 1
        return self.readings * self.seconds_per_reading


class Numbered:
    """Hands out batches whose rows are numbered on, and counts passes and batches."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = sizes
        self.passes = 0
        self.read = 0

    def __call__(self) -> Iterator[tuple[Any, Any]]:
        self.passes += 1
        first = 0
        for size in self.sizes:
            self.read += 1
            ids = np.arange(first, first + size)
            yield ids.reshape(-1, 1).astype("float64"), ids
            first += size


class FakePyDataset:
    """Stands in for `keras.utils.PyDataset`; makes itself known by its class's name."""

    def __init__(self, length: int | None, workers: int = 1) -> None:
        self.num_batches = length
        self.workers = workers
        self.max_queue_size = 3
        self.calls: list[Any] = []

    def __getitem__(self, number: int) -> Any:
        """Two rows with the batch's number in them."""
        self.calls.append(number)
        return np.full((2, 1), number), np.full(2, number)

    def __iter__(self) -> Iterator[Any]:
        """Fail: Keras's own has this method, and nothing here may use it."""
        raise AssertionError("a PyDataset is asked for its batches by number")

    def on_epoch_begin(self) -> None:
        self.calls.append("begin")

    def on_epoch_end(self) -> None:
        self.calls.append("end")


FakePyDataset.__name__ = "PyDataset"
FakePyDataset.__module__ = "keras.src.trainers.data_adapters.py_dataset_adapter"


def batches_of(window: Window) -> list[Samples]:
    """The batches of a window, as an engine reads them."""
    assert window.samples is not None
    return [window.samples.rows(rows.astype(np.int64)) for rows in window.rows][
        : window.iterations
    ]


def windows_of(feed: Feed, epoch_index: int, at_most: int = 10_000) -> list[Window]:
    """The windows of an epoch, one after another."""
    windows = []
    iteration_index = 0
    for _ in range(at_most):
        windows.append(feed.window(epoch_index, iteration_index))
        assert windows[-1].first_iteration_index == iteration_index
        assert windows[-1].epoch_index == epoch_index
        iteration_index = windows[-1].end_iteration_index
        if windows[-1].closes_epoch:
            return windows
    raise AssertionError("the epoch does not close")


def ids_of(feed: Feed, epoch_index: int) -> list[list[int]]:
    """The targets of each iteration of an epoch."""
    return [
        batch.y.tolist()
        for window in windows_of(feed, epoch_index)
        for batch in batches_of(window)
    ]


def numbered_ids(*sizes: int) -> list[list[int]]:
    """What `Numbered(*sizes)` gives."""
    rows = itertools.count()
    return [[next(rows) for _ in range(size)] for size in sizes]


# What is read, and in which form.


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=30),
    most=st.integers(1, 7),
    gathered_bytes=st.integers(1, 200),
    seconds_per_reading=st.sampled_from([0.0, 0.03, 0.1, 1.0]),
)
def test_windows_are_the_batches_in_order(
    sizes: list[int], most: int, gathered_bytes: int, seconds_per_reading: float
) -> None:
    """However windows are cut, one after another they are the batches, in order."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches_module, "MOST_ITERATIONS", most)
        patch.setattr(batches_module, "GATHERED_BYTES", gathered_bytes)
        feed = BatchFeed(Numbered(*sizes), clock=FakeClock(seconds_per_reading))
        for epoch_index in range(2):
            windows = windows_of(feed, epoch_index)
            found = [batch for window in windows for batch in batches_of(window)]
            assert [batch.y.tolist() for batch in found] == numbered_ids(*sizes)
            assert [batch.x[:, 0].tolist() for batch in found] == numbered_ids(*sizes)
            assert all(window.iterations <= most for window in windows)
            assert [window.closes_epoch for window in windows[:-1]] == [False] * (
                len(windows) - 1
            )
        assert feed.samples == sum(sizes)
        assert feed.iterations_per_epoch == len(sizes)


def test_a_batch_copied_to_the_wrong_rows_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The comparison above fails when a single row is written elsewhere."""
    copy = batches_module._copy
    monkeypatch.setattr(
        batches_module, "_copy", lambda batch, room, row: copy(batch, room, max(0, row - 1))
    )
    assert ids_of(BatchFeed(Numbered(2, 2)), 0) != numbered_ids(2, 2)


def test_a_buffer_used_again_is_copied_before_the_next_batch_is_read() -> None:
    """A generator may write all its batches into one array."""
    buffer = np.zeros((2, 1))

    def reusing() -> Iterator[Any]:
        for number in range(5):
            buffer[:] = number
            yield buffer

    found = [batch.x.tolist() for batch in batches_of(BatchFeed(reusing).window(0, 0))]
    assert found == [[[n], [n]] for n in range(5)]
    assert [batch.tolist() for batch in list(reusing())] != found  # keeping them would fail


def test_each_batch_shape_has_one_window_shape() -> None:
    """Windows of one batch shape have one shape, whatever ended them; the rest is zeros."""
    feed = BatchFeed(Numbered(*[4] * 20, 2), clock=FakeClock(GATHERING_SECONDS / 3))
    first, second = windows_of(feed, 0), windows_of(feed, 1)
    assert len(first) > 3
    assert {window.rows.shape for window in first[:-1]} == {(MOST_ITERATIONS, 4)}
    assert {window.rows.shape for window in second[:-1]} == {(MOST_ITERATIONS, 4)}
    assert first[-1].rows.shape == second[-1].rows.shape == (1, 2)
    assert first[0].samples is not None
    assert first[0].samples.count == MOST_ITERATIONS * 4
    assert not first[0].samples.x[first[0].iterations * 4 :].any()


def test_a_window_is_bounded_by_its_bytes() -> None:
    """A window takes no more room than a gathered window of arrays, unless one batch does."""

    def large() -> Iterator[Any]:
        for _ in range(5):
            yield np.zeros((4, GATHERED_BYTES // 32), np.float32)

    windows = windows_of(BatchFeed(large), 0)
    assert [window.iterations for window in windows] == [2, 2, 1]
    assert all(
        window.samples is not None and window.samples.nbytes <= GATHERED_BYTES
        for window in windows
    )


def test_a_slow_source_stays_live() -> None:
    """A source slower than the gathering time is handed on batch by batch."""
    slow = BatchFeed(Numbered(2, 2, 2), clock=FakeClock(GATHERING_SECONDS))
    quick = BatchFeed(Numbered(2, 2, 2), clock=FakeClock(0))
    assert [window.iterations for window in windows_of(slow, 0)] == [1, 1, 1]
    assert [window.iterations for window in windows_of(quick, 0)] == [3]


def test_windows_are_never_written_again() -> None:
    """A window keeps its samples when the next ones are gathered."""
    feed = BatchFeed(Numbered(*[2] * 6), clock=FakeClock(GATHERING_SECONDS / 2))
    windows = windows_of(feed, 0)
    kept = [batch.y.tolist() for window in windows for batch in batches_of(window)]
    assert kept == numbered_ids(*[2] * 6)


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        (np.zeros((2, 3)), "x"),
        ([np.zeros((2, 3))], "x"),
        ((np.zeros((2, 3)), np.zeros(2)), "xy"),
        ([np.zeros((2, 3)), np.zeros(2), np.ones(2)], "xyw"),
        ((np.zeros((2, 3)), None, np.ones(2)), "xw"),
        ({"a": np.zeros((2, 3)), "b": np.zeros(2)}, "x"),
        ((({"a": np.zeros((2, 3))}, [np.zeros(2), np.zeros((2, 1))])), "xy"),
    ],
)
def test_a_batch_is_unpacked_as_keras_does(batch: object, expected: str) -> None:
    """A tuple or list is (x, y, sample_weight), cut short; anything else is x."""
    samples = samples_of(batch, "batch 1 of epoch 1")
    trees = zip("xyw", (samples.x, samples.y, samples.weight), strict=True)
    assert "".join(name for name, tree in trees if tree is not None) == expected
    assert samples.count == 2


@pytest.mark.parametrize(
    ("given_type", "kept_type"),
    [
        ("float64", "float32"),
        ("int64", "int32"),
        ("uint64", "uint32"),
        ("longlong", "int32"),
        ("longdouble", "float32"),
        (">f4", "float32"),
        (">i8", "int32"),
        ("uint8", "uint8"),
        ("bool", "bool"),
        ("float16", "float16"),
    ],
)
def test_numbers_get_the_types_that_jax_gives_them(given_type: str, kept_type: str) -> None:
    """64-bit numbers become 32-bit ones, in native byte order; narrower ones stay."""
    samples = samples_of(np.ones((2, 1), given_type), "batch 1 of epoch 1")
    assert samples.x.dtype == np.dtype(kept_type)
    assert samples.x.dtype.isnative
    assert samples.x.tolist() == [[1], [1]]


def test_infinity_and_nan_stay_what_they_are() -> None:
    """Narrowing refuses numbers that become infinite, not numbers that are."""
    samples = samples_of(np.array([np.inf, np.nan]), "batch 1 of epoch 1")
    assert np.isinf(samples.x[0])
    assert np.isnan(samples.x[1])


@pytest.mark.parametrize(
    ("batch", "text"),
    [
        ((), "batch 3 of epoch 2 has 0 parts"),
        ((1, 2, 3, 4), "batch 3 of epoch 2 has 4 parts"),
        ((None, np.zeros(2)), "has no x"),
        (((), np.zeros(2)), "without an axis of samples: y (2,)"),
        ((np.zeros((2, 3)), np.zeros(4)), "rows that disagree: x (2, 3), y (4,)"),
        (
            (np.zeros((2, 3)), np.zeros(2), np.zeros(1)),
            "rows that disagree: x (2, 3), y (2,), sample_weight (1,)",
        ),
        (np.zeros((0, 3)), "batch 3 of epoch 2 is empty: x (0, 3)"),
        ((np.zeros(3), np.float32(1)), "without an axis of samples: x (3,), y ()"),
        ((np.zeros(2), np.array(["cat", "dog"])), "not numbers"),
        (np.array([1, None]), "not numbers"),
        (np.array(["2020-01-01"], "datetime64[D]"), "not numbers"),
        (np.zeros(2, "V4"), "not numbers"),
        ({"a": {"b": np.array([None])}}, "not numbers"),
        (np.array([0, 2**31]), "whole numbers from 0 to 2147483648 as int64, beyond int32"),
        (np.array([2**32], np.uint64), "beyond uint32"),
        (np.array([1e300]), "float64 numbers beyond float32's largest, 3.403e+38"),
    ],
)
def test_unfit_batches_are_refused(batch: object, text: str) -> None:
    """A batch that cannot be trained on is an error with its place, values and remedy."""
    with pytest.raises(DataError, match=re.escape(text)) as refused:
        samples_of(batch, "batch 3 of epoch 2")
    assert "batch 3 of epoch 2" in str(refused.value)


def test_errors_name_epoch_and_batch() -> None:
    """The batch that is wrong is named by its epoch and number, as people count."""
    passes = itertools.count()

    def batches() -> Iterator[Any]:
        later = next(passes) > 0
        yield np.zeros((2, 3)), np.zeros(2)
        yield np.zeros((2, 3)), np.zeros(3 if later else 2)

    feed = BatchFeed(batches)
    windows_of(feed, 0)
    assert feed.window(1, 0).iterations == 1
    with pytest.raises(DataError, match=r"batch 2 of epoch 2 has rows that disagree"):
        feed.window(1, 1)


def test_the_batch_can_be_prepared() -> None:
    """Weights can be added to each batch after it was checked."""

    def weigh(batch: Samples) -> Samples:
        return Samples(x=batch.x, y=batch.y, weight=np.asarray(batch.y) + 1)

    feed = BatchFeed(Numbered(2, 2), prepare=weigh)
    weights = [batch.weight.tolist() for batch in batches_of(feed.window(0, 0))]
    assert weights == [[1, 2], [3, 4]]


# Counting.


def test_a04_an_unknown_length_is_found_in_the_first_pass() -> None:
    """A04: 10 batches of unknown length are 10 + 10, without a warning, and known after."""
    feed = BatchFeed(Numbered(*[3] * 10))
    assert feed.iterations_per_epoch is None
    assert feed.samples is None
    assert ids_of(feed, 0) == numbered_ids(*[3] * 10)
    assert feed.iterations_per_epoch == 10
    assert feed.samples == 30
    assert ids_of(feed, 1) == numbered_ids(*[3] * 10)


def test_a17_the_length_is_unknown_until_the_first_pass_ended() -> None:
    """A17: in the middle of the first pass the iterations of an epoch are not told."""
    feed = BatchFeed(Numbered(*[3] * 10), clock=FakeClock(GATHERING_SECONDS))
    for iteration_index in range(9):
        assert not feed.window(0, iteration_index).closes_epoch
        assert (feed.iterations_per_epoch, feed.samples) == (None, None)
    assert feed.window(0, 9).closes_epoch
    assert (feed.iterations_per_epoch, feed.samples) == (10, 30)


@pytest.mark.parametrize("later", [0, 7, 13])
def test_another_length_in_a_later_pass_is_an_error(later: int) -> None:
    """A pass shorter or longer than the first ends in an error that names both lengths."""
    lengths = iter([10, later])

    def batches() -> Iterator[Any]:
        return Numbered(*[2] * next(lengths))()

    feed = BatchFeed(batches)
    assert len(ids_of(feed, 0)) == 10
    with pytest.raises(DataError, match=r"epoch 2 .*(0|7|10)") as refused:
        ids_of(feed, 1)
    assert "10" in str(refused.value)


def test_a05_a_one_shot_iterator_ends_at_the_start_of_epoch_2() -> None:
    """A05: a consumed generator is an error at the start of epoch 2, with the remedy."""
    feed = BatchFeed(Numbered(2, 2, 2)())
    assert len(ids_of(feed, 0)) == 3
    for _ in range(2):
        with pytest.raises(
            DataError, match=r"batch 1 of epoch 2: the iterator is not restartable"
        ) as refused:
            feed.window(1, 0)
        assert "fit(model, batches) instead of fit(model, batches())" in str(refused.value)


def test_a05_an_iterator_that_was_consumed_before_is_refused_at_once() -> None:
    """A05: an iterator without a batch is an error in the first epoch."""
    spent = iter([np.zeros((2, 1))])
    next(spent)
    with pytest.raises(DataError, match="epoch 1 has no batch: list_iterator ended"):
        BatchFeed(spent).window(0, 0)


def test_a05_a_function_that_returns_the_same_iterator_twice_is_found_out() -> None:
    """A05: a function that gives one spent iterator again ends in an error, not silence."""
    same = Numbered(2, 2)()
    feed = BatchFeed(lambda: same)
    assert len(ids_of(feed, 0)) == 2
    with pytest.raises(DataError, match=r"epoch 2 has no batch.*2 were due"):
        feed.window(1, 0)


def test_an_epoch_without_a_batch_is_an_error() -> None:
    """A source without batches is an error before anything is trained."""
    with pytest.raises(DataError, match="epoch 1 has no batch: generator function"):
        BatchFeed(lambda: iter(())).window(0, 0)
    with pytest.raises(DataError, match="says it has 0 batches"):
        BatchFeed(FakePyDataset(0))


def test_a03_more_iterations_than_batches_are_refused_before_the_first() -> None:
    """A03: 63 batches and 100 iterations an epoch asked: an error that names both."""
    dataset = FakePyDataset(63)
    with pytest.raises(DataError, match=r"iterations_per_epoch=100 exceeds the 63 batches"):
        BatchFeed(dataset, iterations_per_epoch=100)
    assert dataset.calls == []


def test_a03_an_unknown_length_below_the_iterations_asked_is_an_error() -> None:
    """A03: when the first pass turns out shorter than the epoch asked for, it is told."""
    feed = BatchFeed(Numbered(*[2] * 63), iterations_per_epoch=100)
    assert feed.window(0, 0).iterations == 63
    with pytest.raises(DataError, match=r"iterations_per_epoch=100 exceeds the 63 batches"):
        feed.window(0, 63)


@pytest.mark.parametrize("known", [True, False])
def test_a01_fewer_iterations_than_batches_are_a_continuing_stream(known: bool) -> None:
    """A01: 63 batches, 62 an epoch, 6 epochs: 62 each, and the stream leaves none out."""
    source = FakePyDataset(63) if known else Numbered(*[2] * 63)
    feed = BatchFeed(source, iterations_per_epoch=62, shuffle=False)
    epochs = [ids_of(feed, epoch_index) for epoch_index in range(6)]
    assert [len(epoch) for epoch in epochs] == [62] * 6
    one = [[n, n] for n in range(63)] if known else numbered_ids(*[2] * 63)
    assert list(itertools.chain(*epochs)) == (one * 6)[: 62 * 6]
    assert feed.iterations_per_epoch == 62
    assert feed.samples is None


def test_a15_the_stream_goes_on_in_the_next_pass() -> None:
    """A15: 10 batches at 6 an epoch are batches 0-5, then 6-9 and 0-1 of the next pass."""
    numbers = Numbered(*[1] * 10)
    feed = BatchFeed(numbers, iterations_per_epoch=6)
    assert ids_of(feed, 0) == [[0], [1], [2], [3], [4], [5]]
    assert numbers.read == 6
    assert ids_of(feed, 1) == [[6], [7], [8], [9], [0], [1]]


def test_a_stream_is_a_function_of_the_place() -> None:
    """Any place of a stream can be asked for again, the length known or not."""
    for epoch_index in (0, 1, 3, 2, 0):
        fresh = BatchFeed(Numbered(*[1] * 10), iterations_per_epoch=7)
        used = BatchFeed(Numbered(*[1] * 10), iterations_per_epoch=7)
        ids_of(used, 2)
        expected = [[n % 10] for n in range(7 * epoch_index, 7 * epoch_index + 7)]
        assert ids_of(fresh, epoch_index) == ids_of(used, epoch_index) == expected


def test_a_one_shot_stream_says_where_it_ran_out() -> None:
    """A one-shot iterator that ends inside a later epoch names the place it had to fill."""
    feed = BatchFeed(Numbered(*[1] * 10)(), iterations_per_epoch=6)
    assert len(ids_of(feed, 0)) == 6
    assert feed.window(1, 0).iterations == 4
    with pytest.raises(DataError, match="batch 5 of epoch 2: the iterator is not restartable"):
        feed.window(1, 4)


def test_a_pass_of_the_told_length_is_an_epoch() -> None:
    """Asking for exactly the known length changes nothing."""
    feed = BatchFeed(FakePyDataset(5), iterations_per_epoch=5, shuffle=False)
    assert ids_of(feed, 0) == ids_of(feed, 1) == [[n, n] for n in range(5)]
    assert feed.samples == 10


def test_gathering_ends_with_the_run() -> None:
    """With the run's iterations told, at most one batch beyond them is read."""
    numbers = Numbered(*[1] * 100)
    feed = BatchFeed(numbers, iterations=7)
    assert feed.window(0, 0).iterations == 7
    assert numbers.read == 8


@pytest.mark.parametrize("asked", [{"iterations": 0}, {"iterations_per_epoch": 0}])
def test_a_run_of_no_iteration_is_refused(asked: dict[str, int]) -> None:
    """Zero iterations are refused with the name of the argument."""
    with pytest.raises(PlanError, match="=0 trains nothing"):
        BatchFeed(Numbered(1), **asked)


def test_a_source_that_never_ends_needs_iterations() -> None:
    """An endless source is refused unless something says when to stop."""
    with pytest.raises(DataError, match="PyDataset PyDataset never ends") as refused:
        BatchFeed(FakePyDataset(None))
    assert "iterations=" in str(refused.value)
    told = BatchFeed(FakePyDataset(None), iterations_per_epoch=4)
    assert ids_of(told, 0) == [[n, n] for n in range(4)]
    assert ids_of(told, 1) == [[n, n] for n in range(4, 8)]
    bounded = BatchFeed(FakePyDataset(None), iterations=4)
    assert bounded.window(0, 0).iterations == 4
    assert bounded.iterations_per_epoch is None


# Places, and what goes wrong on the way.


@settings(max_examples=40, deadline=None)
@given(data=st.data(), sizes=st.lists(st.integers(1, 3), min_size=1, max_size=12))
def test_a_resumed_place_sees_the_same_batches(data: st.DataObject, sizes: list[int]) -> None:
    """Any iteration of any epoch, asked for in any order, is the one that always comes."""
    feed = BatchFeed(Numbered(*sizes), clock=FakeClock(GATHERING_SECONDS / 3))
    places = st.tuples(st.integers(0, 3), st.integers(0, len(sizes) - 1))
    for epoch_index, iteration_index in data.draw(st.lists(places, max_size=6)):
        window = feed.window(epoch_index, iteration_index)
        assert window.epoch_index == epoch_index
        found = batches_of(window)[iteration_index - window.first_iteration_index]
        assert found.y.tolist() == numbered_ids(*sizes)[iteration_index]


def test_a_window_that_is_held_is_not_read_again() -> None:
    """Asking for a place inside the window given last reads nothing."""
    numbers = Numbered(*[2] * 6)
    feed = BatchFeed(numbers)
    window = feed.window(0, 0)
    assert feed.window(0, 3) is window
    assert (numbers.passes, numbers.read) == (1, 6)


def test_a_one_shot_iterator_can_be_read_on_but_not_back() -> None:
    """A fresh one-shot iterator resumes inside epoch 1 by reading on; not before it."""
    feed = BatchFeed(Numbered(*[1] * 6)(), clock=FakeClock(GATHERING_SECONDS))
    assert batches_of(feed.window(0, 4))[0].y.tolist() == [4]
    with pytest.raises(DataError, match="not restartable"):
        feed.window(0, 0)
    with pytest.raises(DataError, match="batch 1 of epoch 3: the iterator is not restartable"):
        BatchFeed(Numbered(1)()).window(2, 0)


def test_an_iteration_past_the_end_is_an_error() -> None:
    """An epoch that lacks the iteration asked for says how many it has."""
    with pytest.raises(DataError, match="has 3 iterations; there is no iteration 4"):
        BatchFeed(Numbered(1, 1, 1)).window(0, 3)


@pytest.mark.parametrize("seconds_per_reading", [0.0, 1.0])
def test_the_loaders_own_exception_comes_unchanged_and_in_its_place(
    seconds_per_reading: float,
) -> None:
    """What a loader raises is raised as it is, after the batches before it, for any cut."""
    mine = OSError("disk on fire")

    def failing() -> Iterator[Any]:
        yield from Numbered(1, 1, 1)()
        raise mine

    feed = BatchFeed(failing, clock=FakeClock(seconds_per_reading))
    for _ in range(2):  # and the feed can be used again
        iteration_index = 0
        while iteration_index < 3:
            window = feed.window(0, iteration_index)
            assert not window.closes_epoch
            iteration_index = window.end_iteration_index
        with pytest.raises(OSError, match="disk on fire") as raised:
            feed.window(0, 3)
        assert raised.value is mine


def test_a_failure_behind_the_last_batch_is_not_swallowed() -> None:
    """A loader that gives more batches than it says is told in the epoch it happens in."""
    dataset = FakePyDataset(3)
    feed = BatchFeed(dataset, shuffle=False)
    dataset.num_batches = 5
    with pytest.raises(
        DataError,
        match=r"epoch 1 of PyDataset .* goes on after 3 batches, but it said it has 3",
    ):
        feed.window(0, 0)


def test_an_interrupt_leaves_the_feed_usable() -> None:
    """Ctrl-C while a batch is made comes through at once; the place can be had again."""
    strikes = iter([True, False])

    def interrupted() -> Iterator[Any]:
        yield np.zeros((1, 1))
        if next(strikes):
            raise KeyboardInterrupt
        yield np.ones((1, 1))

    feed = BatchFeed(interrupted)
    with pytest.raises(KeyboardInterrupt):
        feed.window(0, 0)
    assert feed.window(0, 0).iterations == 2


def test_a_pass_given_up_is_closed() -> None:
    """A generator that is left in the middle of a pass runs its own clean-up."""
    closed = []

    def opened() -> Iterator[Any]:
        try:
            yield from Numbered(1, 1, 1, 1)()
        finally:
            closed.append(True)

    feed = BatchFeed(opened, clock=FakeClock(GATHERING_SECONDS))
    feed.window(0, 1)
    assert closed == []
    feed.window(0, 0)
    assert closed == [True]


# The kinds of sources.


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (Numbered(1), True),
        (Numbered(1)(), True),
        (iter([]), True),
        (FakePyDataset(1), True),
        (batch_source(Numbered(1)), True),
        (np.zeros(3), False),
        ([np.zeros(3)], False),
        ((np.zeros(3),), False),
        ({"a": np.zeros(3)}, False),
        ({1, 2}, False),
        ("digits", False),
        (b"digits", False),
        (None, False),
        (3, False),
        (range(3), False),
        (Numbered, False),
        (memoryview(b"ab"), False),
    ],
)
def test_batches_are_told_from_arrays(x: object, expected: bool) -> None:
    """Whatever gives batches is batches; arrays, containers of them and names are not."""
    assert is_batches(x) is expected


def test_what_is_not_batches_is_refused() -> None:
    """An array is no source of batches, and the error says what is."""
    with pytest.raises(DataError, match="x is of type ndarray") as refused:
        BatchFeed(np.zeros(3))
    assert "DataLoader" in str(refused.value)


def test_a_function_must_return_an_iterator() -> None:
    """A function that returns something else is an error that names it."""

    def broken() -> None:
        return

    with pytest.raises(DataError, match="generator function broken returned a value of type"):
        BatchFeed(broken).window(0, 0)


def test_an_iterable_is_read_anew_for_each_epoch() -> None:
    """An object that can be iterated over again is as good as a function."""

    class Again:
        def __iter__(self) -> Iterator[Any]:
            return Numbered(2, 1)()

    feed = BatchFeed(Again())
    assert ids_of(feed, 0) == ids_of(feed, 1) == [[0, 1], [2]]
    assert batch_source(Again()).name == "iterable Again"


@pytest.mark.parametrize("workers", [1, 4])
def test_a_py_dataset_is_read_in_the_keyed_order(workers: int) -> None:
    """The order of a PyDataset's batches is a function of (seed, epoch), for any workers."""
    feed = BatchFeed(FakePyDataset(50, workers), seed=3)
    for epoch_index in (0, 1, 4):
        expected = Order(samples=50, seed=3).indices(epoch_index, 0, 50).tolist()
        assert ids_of(feed, epoch_index) == [[n, n] for n in expected]
        assert expected != list(range(50))


def test_a_py_dataset_is_told_where_its_epochs_begin_and_end() -> None:
    """on_epoch_begin and on_epoch_end frame the batches of each pass."""
    dataset = FakePyDataset(2)
    feed = BatchFeed(dataset, shuffle=False)
    windows_of(feed, 0)
    windows_of(feed, 1)
    assert dataset.calls == ["begin", 0, 1, "end"] * 2


def test_threads_end_with_their_pass() -> None:
    """The threads that fetch ahead are gone once a pass is over or given up."""

    def fetching() -> list[threading.Thread]:
        return [t for t in threading.enumerate() if t.name.startswith("epochwise-batches")]

    feed = BatchFeed(FakePyDataset(20, workers=3), clock=FakeClock(GATHERING_SECONDS))
    feed.window(0, 0)
    assert fetching()
    feed.window(1, 0)
    windows_of(feed, 1)
    assert not fetching()


def test_an_exception_in_a_thread_comes_unchanged() -> None:
    """What __getitem__ raises in a worker thread is raised as it is."""

    class Broken(FakePyDataset):
        def __getitem__(self, number: int) -> Any:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        BatchFeed(Broken(4, workers=2)).window(0, 0)


def test_no_framework_is_imported() -> None:
    """Reading foreign batches imports neither Keras, JAX, TensorFlow nor PyTorch."""
    code = (
        "import sys, numpy as np\n"
        "from epochwise.data.batches import BatchFeed\n"
        "BatchFeed(lambda: iter([np.zeros((2, 1))])).window(0, 0)\n"
        "print({'keras', 'jax', 'tensorflow', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
