"""L40: metrics that several operations compute have Keras's bits in the history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest

import epochwise

RNG = np.random.default_rng(4)
X = RNG.normal(size=(60, 8)).astype(np.float32)
Y = (X[:, :4] > 0).astype(np.float32)

METRICS: dict[str, Callable[[], Any]] = {
    "r2_score": keras.metrics.R2Score,
    "auc": lambda: keras.metrics.AUC(multi_label=True),
    "f1_score": lambda: keras.metrics.F1Score(average="macro", threshold=0.5),
}


@pytest.mark.parametrize("name", METRICS)
def test_l40_a_metric_of_several_operations_has_keras_bits(name: str) -> None:
    """Of each epoch and each validation, where Keras computes it outside of its program."""
    histories = []
    for train in (keras.Model.fit, epochwise.fit):
        keras.utils.clear_session()
        keras.utils.set_random_seed(5)
        layers = [keras.layers.Dense(8, "relu"), keras.layers.Dense(4, "sigmoid")]
        model = keras.Sequential([keras.Input((8,)), *layers])
        model.compile("adam", "binary_crossentropy", metrics=[METRICS[name]()])
        options = {"batch_size": 16, "epochs": 3, "shuffle": False, "verbose": 0}
        run = train(model, X[:40], Y[:40], validation_data=(X[40:], Y[40:]), **options)
        histories.append({key: list(map(float, told)) for key, told in run.history.items()})

    assert name in histories[0]
    assert histories[1] == histories[0]
