"""Windows of batches: what each holds, and what is copied for it."""

from __future__ import annotations

import numpy as np
import pytest

from epochwise.counting.plan import Plan
from epochwise.data import feed as feeds
from epochwise.data.feed import ArrayFeed
from epochwise.data.order import Order
from epochwise.data.samples import Samples


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("room", [1, 40, 1 << 20])
def test_windows_that_bring_their_samples_hold_those_of_the_order(
    shuffle: bool, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two epochs, with windows of one, a few and all batches, and a short last batch."""
    monkeypatch.setattr(feeds, "GATHERED_BYTES", room)
    samples = Samples(x=np.arange(46, dtype=np.int16).reshape(23, 2), y=np.arange(23))
    feed = ArrayFeed(
        train=samples,
        order=Order(samples=23, seed=3, shuffle=shuffle),
        plan=Plan(samples=23, batch_size=4, epochs=2),
        gather=True,
    )

    for epoch_index in range(2):
        seen: list[int] = []
        while len(seen) < 23:
            window = feed.window(epoch_index, len(seen) // 4)
            assert window.samples is not None
            for row in window.rows[: window.iterations]:
                assert (window.samples.x[row] == samples.x[window.samples.y[row]]).all()
                seen += window.samples.y[row].tolist()
        assert seen == feed.order.indices(epoch_index, 0, 23).tolist()


def test_samples_that_lie_in_a_row_are_not_copied() -> None:
    """An evaluation in the samples' own order reads them where they are; others copy them."""
    samples = Samples(x=np.zeros((23, 2), np.uint8))
    feed, shuffled = (
        ArrayFeed(
            train=samples,
            order=Order(samples=23, seed=0, shuffle=shuffle),
            plan=Plan(samples=23, batch_size=4, epochs=1),
            gather=True,
        )
        for shuffle in (False, True)
    )

    for iteration_index in (0, 5):
        there = feed.window(0, iteration_index).samples
        copied = shuffled.window(0, iteration_index).samples
        assert there is not None
        assert copied is not None
        assert np.shares_memory(there.x, samples.x)
        assert not np.shares_memory(copied.x, samples.x)
