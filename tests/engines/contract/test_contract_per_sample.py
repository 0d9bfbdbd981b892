"""What each validation sample says: its loss and its metrics, as means over samples."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from subjects import INNER, X, Y, linear, network

import epochwise
from epochwise.counting.position import START
from epochwise.data.given import in_order
from epochwise.data.samples import Samples
from epochwise.engines.select import engine_for
from epochwise.loop.evaluation import evaluate, per_sample


def looked_at(model: keras.Model, samples: Samples, batches: int | None = None) -> Any:
    """Return what the evaluation of a model says, and what each of its samples says."""
    engine = engine_for(model, example=samples, resident=samples, validation=samples)
    feed = in_order(samples, 8)
    *_, told = evaluate(engine, feed, batches=batches, epoch_index=0, position=START)
    return told.named, per_sample(engine, feed, batches=batches)


@pytest.mark.parametrize("kind", sorted(INNER))
@pytest.mark.parametrize("batches", [None, 3])
def test_the_means_over_samples_are_the_evaluation(
    way: dict[str, Any], kind: str, batches: int | None
) -> None:
    """75 samples at 8, or the first 24: loss without its regularisation, and accuracy."""
    model = network(way, kind)
    told, found = looked_at(model, Samples(x=X, y=Y), batches)

    penalty = float(sum(keras.ops.convert_to_numpy(loss) for loss in model.losses))
    assert sorted(found) == ["val_accuracy", "val_loss"]
    assert {len(values) for values in found.values()} == {75 if batches is None else 24}
    assert np.mean(found["val_accuracy"]) == pytest.approx(told["val_accuracy"], abs=1e-6)
    assert np.mean(found["val_loss"]) + penalty == pytest.approx(told["val_loss"], rel=1e-5)


def test_what_is_no_mean_over_samples_is_left_out(way: dict[str, Any]) -> None:
    """An area under a curve is of all samples together."""
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=[keras.metrics.AUC()], **way)

    _, found = looked_at(model, Samples(x=X, y=(Y > 0).astype(np.float32)[:, None]))

    assert list(found) == ["val_loss"]


class Subclassed(keras.Model):
    """Layers in a class, whose outputs are not known before it is called."""

    def __init__(self, *, twice: bool) -> None:
        """Remember whether there are two outputs."""
        super().__init__()
        self.twice = twice
        self.dense = keras.layers.Dense(3, activation="softmax")

    def call(self, inputs: Any) -> Any:
        """Return one output or two."""
        predicted = self.dense(inputs)
        return (predicted, predicted) if self.twice else predicted


@pytest.mark.parametrize("twice", [False, True])
def test_a_subclassed_model_is_measured_where_it_has_one_output(
    way: dict[str, Any], twice: bool
) -> None:
    """Of two outputs the loss is a sum, which nobody takes apart."""
    keras.utils.set_random_seed(1)
    model, loss = Subclassed(twice=twice), "sparse_categorical_crossentropy"
    model.compile("adam", [loss, loss] if twice else loss, **way)

    told, found = looked_at(model, Samples(x=X, y=(Y, Y) if twice else Y))

    assert list(found) == ([] if twice else ["val_loss"])
    if not twice:
        assert np.mean(found["val_loss"]) == pytest.approx(told["val_loss"], rel=1e-5)


def test_weighted_samples_are_not_taken_for_equal_ones(way: dict[str, Any]) -> None:
    """With sample weights the mean over samples is another one."""
    _, found = looked_at(
        network(way), Samples(x=X, y=Y, weight=np.linspace(0, 1, 75, dtype=np.float32))
    )

    assert found == {}


def test_patience_by_the_noise_of_the_loss(way: dict[str, Any]) -> None:
    """A steady rise of the loss, the same for all samples, has no noise: every epoch counts.

    A validation loss that does not move never exceeds its noise.
    """
    ones = np.ones((16, 1), np.float32)
    rule = epochwise.Patience(metric="val_loss", epochs=2, min_delta="noise")
    falling = epochwise.fit(
        linear(way), ones, ones, validation_data=(ones, ones), epochs=6, stop=rule, verbose=0
    )
    resting = epochwise.fit(
        linear(way, rate=0.0),
        *(ones, ones),
        validation_data=(ones, ones),
        epochs=6,
        stop=rule,
        verbose=0,
    )

    assert falling.position.epochs_done == 6
    assert resting.position.epochs_done == 3
    assert resting.stop is not None
    assert "beyond its noise" in resting.stop.sentence
