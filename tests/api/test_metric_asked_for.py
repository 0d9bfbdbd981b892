"""A metric that a rule looks at is looked for before anything is trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import epochwise
from epochwise.errors import PlanError
from epochwise.events import Event

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int32)


def network() -> keras.Model:
    """A classifier that keeps its accuracy."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Witness:
    """Keeps what happened."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def on_event(self, event: Event) -> None:
        """Keep it."""
        self.events.append(event)


@pytest.mark.parametrize(
    ("stop", "validation", "told"),
    [
        (epochwise.Patience(metric="val_los", epochs=1, better="lower"), 0.2, "'val_loss'"),
        (epochwise.Target("val_acc", 0.9), 0.2, "val_accuracy"),
        (epochwise.Patience(metric="val_loss", epochs=1), 0.0, "validation"),
    ],
    ids=["misspelt", "shortened", "no validation part"],
)
def test_a_metric_that_will_not_be_there_is_refused_before_training(
    tmp_path: Path, stop: Any, validation: float, told: str
) -> None:
    """E07: the names that there are, and no iteration."""
    model, witness = network(), Witness()
    before = model.get_weights()

    with pytest.raises(PlanError, match=told):
        epochwise.fit(
            model,
            *(X, Y),
            stop=stop,
            validation_split=validation,
            run_dir=tmp_path / "run",
            listeners=[witness],
            verbose=0,
        )

    assert witness.events == []
    assert not (tmp_path / "run").exists()
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_the_names_of_a_step_of_ones_own_are_found_by_trying_it() -> None:
    """Its logs are known once it was run, on one batch and undone."""

    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.dense = keras.layers.Dense(2, "softmax")

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

        def test_step(self, state: Any, data: Any) -> Any:  # type: ignore[override]
            logs, state = super().test_step(state, data)
            return logs | {"odd_error": logs["loss"]}, state

    model = Own()
    model.compile("sgd", "sparse_categorical_crossentropy")

    run = epochwise.fit(
        model,
        X,
        Y,
        validation_split=0.2,
        stop=epochwise.Target("val_odd_error", 9.0),
        verbose=0,
    )

    assert run.stop is not None
    assert run.stop.rule == "target"
