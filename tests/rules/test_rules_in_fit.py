"""The rules as `fit` uses them: what they came upon is in the run and its record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import epochwise
from epochwise.errors import PlanError
from epochwise.record import read_run
from epochwise.rules import Patience, Target
from epochwise.terminal.progress import summary

X = np.linspace(-1, 1, 96, dtype="float32").reshape(24, 4)
Y = (X.sum(axis=1) > 0).astype("int32")


def gain(y_true: Any, y_pred: Any) -> Any:
    """Return a metric that is never a number."""
    return 0 * y_pred / 0


def trained(stop: Any, **more: Any) -> epochwise.Run:
    """Return a run of at most ten epochs, evaluated on what it is trained on."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(1, activation="sigmoid", name="out")]
    )
    optimizer = keras.optimizers.SGD(0.5)
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy", gain])
    return epochwise.fit(
        model,
        X,
        Y,
        batch_size=8,
        epochs=10,
        validation_data=(X, Y),
        stop=stop,
        verbose=0,
        **more,
    )


def test_a_metric_that_is_nan_stops_by_patience_and_is_told(tmp_path: Path) -> None:
    """E03: it is no improvement; run, summary and record say how often it was seen."""
    rule = Patience(metric="val_gain", epochs=2, better="higher")
    run = trained(rule, run_dir=tmp_path / "run")
    note = "val_gain was not finite in 3 evaluations; that is never an improvement."
    assert run.position.epochs_done == 3
    assert run.stop is not None
    assert run.stop.sentence == "val_gain has had no finite value for 2 epochs (now nan)."
    assert (run.notes, run.best, run.restored) == ((note,), None, False)
    assert note in summary(run)
    assert read_run(tmp_path / "run").run.notes == (note,)
    assert run.to_json()["notes"] == [note]


def test_the_noise_of_an_accuracy_is_known_from_the_samples() -> None:
    """On 24 samples a gain of one sample is luck; the validation loss goes on falling."""
    noisy = trained(Patience(metric="val_accuracy", epochs=2, min_delta="noise"))
    plain = trained(Patience(metric="val_loss", epochs=2))
    assert noisy.stop is not None
    assert "no new high beyond its noise for 2 epochs" in noisy.stop.sentence
    assert plain.position.epochs_done == 10
    assert noisy.notes == plain.notes == ()


def test_a_metric_that_is_not_there_ends_the_run_with_the_names_there_are() -> None:
    """E07: 'val_los' is an error before the first iteration."""
    with pytest.raises(PlanError, match="There is no metric 'val_los'; there are loss"):
        trained(Target("val_los", 0.1, better="lower"))
