"""Whose the values are: cuts, callbacks, failures and evaluations leave no trace."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from subjects import Witness, X, Y, linear, looks_at_iterations, network, weights_of

import epochwise

ONES = np.ones((10, 1), np.float32)
ONE_TO_TEN = np.arange(1, 11, dtype=np.float32).reshape(-1, 1)


@pytest.mark.parametrize("kind", ["batchnorm-dropout-l2", "convolution-pooling"])
def test_where_a_run_is_cut_changes_no_bit(way: dict[str, Any], kind: str) -> None:
    """Segments of one iteration give the weights that long segments give (promise 3)."""
    whole, cut = network(way, kind), network(way, kind)
    long, short = Witness(), Witness()
    options = {"batch_size": 8, "epochs": 2, "verbose": 0}

    first = epochwise.fit(whole, X, Y, listeners=[long], **options)
    second = epochwise.fit(
        cut, X, Y, listeners=[short], callbacks=[looks_at_iterations()], **options
    )

    assert set(short.lengths) == {1}
    assert max(long.lengths) > 1
    assert weights_of(whole) == weights_of(cut)
    assert first.losses.tobytes() == second.losses.tobytes()
    assert first.history == second.history


def test_f28_what_a_batch_callback_changes_holds_at_the_next_iteration(
    way: dict[str, Any],
) -> None:
    """F28: weights set after the first batch are where the second one starts."""
    model = linear(way)
    seen: list[float] = []

    def after(batch: int, logs: object) -> None:
        if batch == 0:
            model.layers[0].kernel.assign([[0.5]])
        seen.append(float(model.get_weights()[0][0, 0]))

    callback = keras.callbacks.LambdaCallback(on_train_batch_end=after)
    epochwise.fit(
        model, ONES, ONE_TO_TEN, batch_size=5, shuffle=False, verbose=0, callbacks=[callback]
    )

    assert seen == [0.5, 8.5]


def test_an_exception_leaves_the_weights_of_the_last_boundary(way: dict[str, Any]) -> None:
    """After a callback's error the model can be evaluated and trained on."""

    class Fail(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            raise RuntimeError("theirs")

    model, expected = network(way), network(way)
    with pytest.raises(RuntimeError, match="theirs"):
        epochwise.fit(model, X, Y, epochs=3, verbose=0, callbacks=[Fail()])
    epochwise.fit(expected, X, Y, epochs=1, verbose=0)

    assert weights_of(model) == weights_of(expected)
    epochwise.fit(model, X, Y, verbose=0)
