"""Batches of the real Keras, TensorFlow and PyTorch classes are read as they come.

Each program runs in a process of its own, so that no test brings a framework into
another's; it prints one JSON value, which the test compares.
"""

from __future__ import annotations

from typing import Any

from programs import run_program

SHARED = """
import json
import numpy as np
from epochwise.data.batches import BatchFeed, batch_source, is_batches
from epochwise.errors import DataError

def epoch(feed, index):
    ids, place = [], 0
    while True:
        window = feed.window(index, place)
        for rows in window.rows[: window.iterations]:
            ids.append(window.samples.y[rows].tolist())
        place = window.end_iteration_index
        if window.closes_epoch:
            return ids

def refused(call):
    try:
        call()
    except DataError as error:
        return str(error)
    return "nothing was refused"
"""

LOADERS = """
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

class Indexed(Dataset):
    def __init__(self, samples):
        self.samples = samples
    def __len__(self):
        return self.samples
    def __getitem__(self, i):
        return torch.full((3,), float(i)), i

class Stream(IterableDataset):
    def __init__(self, samples, shared=True):
        self.samples, self.shared = samples, shared
    def __len__(self):
        return self.samples
    def __iter__(self):
        worker = get_worker_info() if self.shared else None
        start, by = (0, 1) if worker is None else (worker.id, worker.num_workers)
        for i in range(start, self.samples, by):
            yield torch.full((3,), float(i)), i

class Unsized(Stream):
    __len__ = None
"""


def run(needs: str, *parts: str) -> Any:
    """Run a program in a fresh process; see `run_program`."""
    return run_program(SHARED, *parts, needs=needs)


def test_keras_py_dataset() -> None:
    """A real PyDataset, shuffled by our order or not, with threads or not."""
    found = run(
        "keras",
        """
        import keras
        from epochwise.data.order import Order

        class Numbers(keras.utils.PyDataset):
            def __len__(self):
                return 7
            def __getitem__(self, i):
                return np.full((2, 3), i), np.full(2, i)

        class Endless(keras.utils.PyDataset):
            num_batches = None
            def __getitem__(self, i):
                return np.full((2, 3), i), np.full(2, i)

        plain = BatchFeed(Numbers(), shuffle=False)
        shuffled = [
            BatchFeed(Numbers(workers=workers), seed=5, shuffle=True) for workers in (1, 3)
        ]
        order = Order(samples=7, seed=5)
        print(json.dumps({
            "is_batches": is_batches(Numbers()),
            "length": batch_source(Numbers()).length,
            "plain": epoch(plain, 0),
            "shuffled": [epoch(feed, 2) for feed in shuffled],
            "order": order.indices(2, 0, 7).tolist(),
            "endless": refused(lambda: BatchFeed(Endless())),
            "stream": epoch(BatchFeed(Endless(), iterations_per_epoch=3), 1),
        }))
        """,
    )
    assert found["is_batches"] is True
    assert found["length"] == 7
    assert found["plain"] == [[n, n] for n in range(7)]
    assert found["shuffled"] == [[[n, n] for n in found["order"]]] * 2
    assert "never ends" in found["endless"]
    assert found["stream"] == [[3, 3], [4, 4], [5, 5]]


def test_tensorflow_dataset() -> None:
    """A tf.data.Dataset of known, unknown and endless cardinality, and an unbatched one."""
    found = run(
        "tensorflow",
        """
        import tensorflow as tf
        base = tf.data.Dataset.from_tensor_slices(
            ({"a": np.zeros((10, 2)), "b": np.zeros((10, 3), "uint8")}, np.arange(10))
        )
        known = base.batch(4)
        unknown = known.filter(lambda x, y: True)
        feed = BatchFeed(unknown)
        before = feed.iterations_per_epoch
        window = BatchFeed(known).window(0, 0)
        print(json.dumps({
            "is_batches": [is_batches(known), is_batches(tf.zeros(3))],
            "length": [batch_source(d).length for d in (known, unknown, known.repeat())],
            "endless": [batch_source(d).endless for d in (known, unknown, known.repeat())],
            "known": epoch(BatchFeed(known), 0),
            "unknown": [epoch(feed, 0), epoch(feed, 1)],
            "found": [before, feed.iterations_per_epoch, feed.samples],
            "types": [str(leaf.dtype) for leaf in window.samples.x.values()],
            "refused": refused(lambda: BatchFeed(known.repeat())),
            "stream": epoch(BatchFeed(known.repeat(), iterations_per_epoch=4), 1),
            "single": refused(lambda: BatchFeed(base).window(0, 0)),
            "text": refused(lambda: BatchFeed(
                tf.data.Dataset.from_tensor_slices(["a", "b"]).batch(2)).window(0, 0)),
            "ragged": refused(lambda: BatchFeed(
                tf.data.Dataset.from_tensors(tf.ragged.constant([[1], [1, 2]]))).window(0, 0)),
            "sparse": refused(lambda: BatchFeed(tf.data.Dataset.from_tensors(
                tf.sparse.from_dense([[1, 0], [0, 1]]))).window(0, 0)),
        }))
        """,
    )
    ids = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert found["is_batches"] == [True, False]
    assert found["length"] == [3, None, None]
    assert found["endless"] == [False, False, True]
    assert found["known"] == ids
    assert found["unknown"] == [ids, ids]
    assert found["found"] == [None, 3, 10]
    assert found["types"] == ["float32", "uint8"]
    assert "tf.data.Dataset never ends" in found["refused"]
    assert found["stream"] == [ids[1], ids[2], ids[0], ids[1]]
    assert "without an axis of samples" in found["single"]
    assert "not numbers" in found["ragged"]
    assert found["text"] == found["sparse"] == "nothing was refused"  # L23, L29


def test_a10_the_number_of_workers_changes_no_count() -> None:
    """A10: N=10, B=2 and 0, 1 or 4 workers: 5 batches, each sample once."""
    found = run(
        "torch",
        LOADERS,
        """
        print(json.dumps({
            str(workers): epoch(
                BatchFeed(DataLoader(Indexed(10), batch_size=2, num_workers=workers)), 0
            )
            for workers in (0, 1, 4)
        }))
        """,
    )
    each_once = [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert found == {"0": each_once, "1": each_once, "4": each_once}


def test_a10_workers_that_share_a_stream_are_counted_and_others_refused() -> None:
    """A10: streams shared among workers give each sample once; a repeated one is an error."""
    found = run(
        "torch",
        LOADERS,
        """
        def feed(dataset, workers):
            return BatchFeed(DataLoader(dataset, batch_size=2, num_workers=workers))
        shared = {w: feed(Stream(10), w) for w in (0, 1, 4)}
        print(json.dumps({
            "shared": [sorted(sum(epoch(f, 0), [])) for f in shared.values()],
            "again": [sorted(sum(epoch(f, 1), [])) for f in shared.values()],
            "counted": [f.iterations_per_epoch for f in shared.values()],
            "single": epoch(feed(Stream(10, shared=False), 0), 0),
            "repeated": refused(lambda: epoch(feed(Stream(10, shared=False), 4), 0)),
        }))
        """,
    )
    assert found["shared"] == found["again"] == [list(range(10))] * 3
    assert found["counted"] == [5, 5, 6]  # four workers hold 3, 3, 2 and 2 samples
    assert found["single"] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    assert "but the data set says it has 10" in found["repeated"]
    assert "num_workers=0" in found["repeated"]


def test_a09_the_length_of_a_stream_is_counted() -> None:
    """A09: N=100, B=4 is 25 iterations; N=10, B=4 is 3, or 2 with the last dropped."""
    found = run(
        "torch",
        LOADERS,
        """
        def count(dataset, **options):
            feed = BatchFeed(DataLoader(dataset, **options))
            lengths = [len(epoch(feed, index)) for index in (0, 1)]
            return [*lengths, feed.iterations_per_epoch]
        class Batches(Stream):
            def __iter__(self):
                for i in range(0, self.samples, 4):
                    yield torch.zeros(4, 3), torch.arange(i, i + 4)
        print(json.dumps([
            count(Stream(100), batch_size=4),
            count(Unsized(100), batch_size=4),
            count(Batches(100), batch_size=None),
            count(Stream(10), batch_size=4),
            count(Stream(10), batch_size=4, drop_last=True),
            count(Indexed(10), batch_size=4),
            count(Indexed(10), batch_size=4, drop_last=True),
        ]))
        """,
    )
    assert found == [[n] * 3 for n in (25, 25, 25, 3, 2, 3, 2)]


def test_torch_tensors_become_host_arrays() -> None:
    """Tensors come to the host, 64-bit narrowed; what NumPy cannot hold is refused."""
    found = run(
        "torch",
        LOADERS,
        """
        class Other(Dataset):
            def __init__(self, value):
                self.value = value
            def __len__(self):
                return 4
            def __getitem__(self, i):
                return self.value
        def first(value):
            return BatchFeed(DataLoader(Other(value), batch_size=2)).window(0, 0).samples
        mapped = first(({"a": torch.zeros(3, dtype=torch.float64)}, 1))
        tracked = lambda: iter([(torch.ones(2, 1, requires_grad=True), torch.ones(2))])
        print(json.dumps({
            "types": [str(mapped.x["a"].dtype), str(mapped.y.dtype)],
            "tracked": BatchFeed(tracked).window(0, 0).samples.x[:2].tolist(),
            "half": refused(lambda: first((torch.zeros(3, dtype=torch.bfloat16), 1))),
            "none": refused(lambda: BatchFeed(
                DataLoader(Indexed(3), batch_size=4, drop_last=True))),
            "length": batch_source(DataLoader(Indexed(10), batch_size=4)).length,
            "dataset": [is_batches(Indexed(3)), is_batches(torch.zeros(3))],
        }))
        """,
    )
    assert found["types"] == ["float32", "int32"]
    assert found["tracked"] == [[1.0], [1.0]]
    assert "torch.bfloat16, which NumPy cannot hold" in found["half"]
    assert "says it has 0 batches" in found["none"]
    assert found["length"] == 3
    assert found["dataset"] == [False, False]
