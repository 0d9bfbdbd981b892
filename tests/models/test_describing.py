"""A model is described for the record, whatever its parts tell of themselves."""

from __future__ import annotations

from typing import Any

import keras

from epochwise.models import describe


def test_a_schedule_without_a_config_is_told_by_its_class() -> None:
    """Keras refuses the settings of an optimizer whose schedule does not tell its own."""

    class Constant(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step: Any) -> float:
            return 0.01

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(Constant()), "mse")

    assert describe(model)["optimizer"] == {"type": "SGD", "learning_rate": "Constant"}
