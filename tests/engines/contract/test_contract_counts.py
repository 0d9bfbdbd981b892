"""Which samples an engine sees, in which order, and how often it updates the weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from subjects import Witness, X, Y, network, reader

import epochwise
from epochwise.data.order import Order

COUNT = 18
ONES = np.ones((COUNT, 1), np.float32)
POWERS = (2.0 ** np.arange(COUNT)).astype(np.float32).reshape(-1, 1)


def samples_in(loss: float, batch_size: int) -> set[int]:
    """The samples of a batch whose targets are powers of two, from the mean of them."""
    total = round(loss * batch_size)
    return {sample for sample in range(COUNT) if total >> sample & 1}


@pytest.mark.parametrize("shuffle", [True, False])
def test_each_iteration_sees_the_samples_of_the_order(
    way: dict[str, Any], shuffle: bool
) -> None:
    """Two epochs of 18 samples at 4: batches as `Order` has them, the short one last."""
    run = epochwise.fit(
        reader(way), ONES, POWERS, batch_size=4, epochs=2, seed=7, shuffle=shuffle, verbose=0
    )

    order = Order(samples=COUNT, seed=7, shuffle=shuffle)
    sizes = [4, 4, 4, 4, 2]
    expected = []
    for epoch in range(2):
        indices = order.indices(epoch, 0, COUNT).tolist()
        expected += [set(indices[4 * i : 4 * i + 4]) for i in range(5)]
    seen = [samples_in(loss, size) for loss, size in zip(run.losses, sizes * 2, strict=True)]
    assert seen == expected
    assert all(len(batch) == size for batch, size in zip(seen, sizes * 2, strict=True))


def test_the_order_of_single_samples_is_that_of_the_order(way: dict[str, Any]) -> None:
    """One sample an iteration: the losses spell the permutation of each epoch."""
    ids = np.arange(COUNT, dtype=np.float32).reshape(-1, 1)

    run = epochwise.fit(reader(way), ONES, ids, batch_size=1, epochs=3, seed=7, verbose=0)

    order = Order(samples=COUNT, seed=7)
    expected = np.concatenate([order.indices(epoch, 0, COUNT) for epoch in range(3)])
    assert run.losses.tolist() == expected.tolist()


def test_the_plan_is_what_runs(way: dict[str, Any]) -> None:
    """Planned iterations, samples and updates are those executed (promise 1; B14)."""
    seen = Witness()
    model = network(way)

    run = epochwise.fit(model, X, Y, batch_size=8, epochs=3, verbose=0, listeners=[seen])

    assert run.plan is not None
    assert run.position == run.plan.position(run.plan.iterations)
    assert seen.samples == [run.plan.batch_size_of(i) for i in range(run.plan.iterations)]
    assert len(run.losses) == run.plan.iterations == 30
    assert list(run.updates.values()) == [30]
    assert int(model.optimizer.iterations) == 30


def test_iterations_may_end_inside_an_epoch(way: dict[str, Any]) -> None:
    """12 iterations of 10 an epoch: one whole epoch and two iterations of the next."""
    run = epochwise.fit(network(way), X, Y, batch_size=8, iterations=12, verbose=0)

    assert run.position.iterations_done == 12
    assert run.position.epochs_done == 1
    assert run.position.iterations_in_epoch_done == 2
