"""Where Keras's EarlyStopping does what it says, patience in epochs agrees with it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras
from hypothesis import given, settings
from hypothesis import strategies as st

from epochwise.rules import Patience, replay

VALUES = st.lists(st.integers(0, 8).map(lambda eighths: eighths / 8), min_size=1, max_size=20)


def keras_epochs(values: list[float], **settings: Any) -> int:
    """Return how many epochs a run with these validation losses makes under Keras."""
    callback = keras.callbacks.EarlyStopping(monitor="val_loss", mode="min", **settings)
    callback.set_model(SimpleNamespace(stop_training=False, metrics=[]))
    callback.on_train_begin()
    for epoch, value in enumerate(values):
        callback.on_epoch_end(epoch, {"val_loss": value})
        if callback.model.stop_training:
            return epoch + 1
    return len(values)


@given(VALUES, st.integers(1, 5), st.sampled_from([0.0, 0.125, 0.25, 0.3]))
@settings(max_examples=200, deadline=None)
def test_patience_in_epochs_is_that_of_keras(
    values: list[float], patience: int, min_delta: float
) -> None:
    """E02: the same number of epochs, on finite values evaluated after each epoch."""
    rule = Patience(metric="val_loss", epochs=patience, min_delta=min_delta)
    expected = keras_epochs(values, patience=patience, min_delta=min_delta)
    assert replay(rule, {"val_loss": values})[0] == expected


def test_a_baseline_is_where_keras_does_otherwise_than_its_documentation() -> None:
    """E06: Keras goes on while each epoch improves, however far from the baseline."""
    values = [1.0, 0.9, 0.8, 0.7, 0.6]
    assert keras_epochs(values, patience=3, baseline=0.5) == 5
    rule = Patience(metric="val_loss", epochs=3, baseline=0.5)
    assert replay(rule, {"val_loss": values})[0] == 3
