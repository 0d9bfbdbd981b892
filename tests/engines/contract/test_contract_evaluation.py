"""What an evaluation draws and what callbacks change in it; logs that no metric holds."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from subjects import weights_of

import epochwise
from epochwise.api import resume
from epochwise.errors import ModelError
from epochwise.rules import Target

BACKEND = keras.config.backend()
L = keras.layers
RNG = np.random.default_rng(1)
X = RNG.normal(size=(92, 8)).astype(np.float32)
Y = (X[:, :4] * 2).astype(np.float32)
OPTIONS: dict[str, Any] = {"batch_size": 32, "shuffle": False, "verbose": 0}
CLOSE = {"rel": 1e-5}


class Always(L.Layer):
    """A layer that is told to train in an evaluation too."""

    def __init__(self, inner: L.Layer) -> None:
        super().__init__()
        self.inner = inner

    def call(self, x: Any) -> Any:
        return self.inner(x, training=True)


class Counts(L.Layer):
    """Adds up how often it was called, and adds that to what goes through it."""

    def build(self, shape: Any) -> None:
        self.calls = self.add_weight(name="calls", trainable=False, initializer="zeros")

    def call(self, x: Any) -> Any:
        self.calls.assign_add(1.0)
        return x + self.calls


DRAWING: dict[str, Callable[[], L.Layer]] = {
    "dropout": lambda: Always(L.Dropout(0.5, seed=1)),
    "noise": lambda: Always(L.GaussianNoise(0.5, seed=1)),
    "no seed of its own": lambda: Always(L.Dropout(0.3)),
    "a counter": Counts,
}


def network(way: dict[str, Any], layer: L.Layer, **options: Any) -> keras.Model:
    """A model with such a layer, with weights and randomness from one seed.

    PyTorch's layers without a seed draw from its own generator: train one after the other.
    """
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((8,)), layer, L.Dense(4)])
    model.compile("sgd", "mse", metrics=["mae"], **way, **options)
    return model


LIKE_KERAS = [kind for kind in DRAWING if BACKEND != "torch" or kind != "no seed of its own"]
"""Keras's loader on PyTorch draws from the generator that layers without a seed draw from."""


@pytest.mark.parametrize("kind", LIKE_KERAS)
def test_l06_each_batch_of_an_evaluation_draws_its_own_numbers(
    way: dict[str, Any], kind: str
) -> None:
    """L06: the validation metrics are Keras's, with what was drawn for each batch."""
    expected = (
        network(way, DRAWING[kind]()).fit(X, Y, validation_data=(X, Y), **OPTIONS).history
    )
    run = epochwise.fit(
        network(way, DRAWING[kind]()), X, Y, validation_data=(X, Y), **OPTIONS
    ).history

    for name in ("loss", "val_loss", "val_mae"):
        assert run[name] == pytest.approx(expected[name], **CLOSE), name


@pytest.mark.parametrize("kind", DRAWING)
@pytest.mark.parametrize("looks", [True, False])
def test_l06_what_an_evaluation_drew_is_put_back(
    way: dict[str, Any], kind: str, looks: bool
) -> None:
    """L06: with evaluations every iteration the weights are those without any."""
    ours = network(way, DRAWING[kind]())
    seen = keras.callbacks.LambdaCallback(on_test_batch_end=lambda batch, logs: None)

    epochwise.fit(
        ours,
        X,
        Y,
        epochs=2,
        validation_data=(X, Y),
        evaluate_every="1it",
        callbacks=[seen] if looks else [],
        **OPTIONS,
    )
    alone = network(way, DRAWING[kind]())
    epochwise.fit(alone, X, Y, epochs=2, **OPTIONS)

    assert weights_of(ours) == weights_of(alone)


class Assigns(keras.callbacks.Callback):
    """Sets the bias after each batch that is evaluated to its place, counted from 1."""

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        bias = self.model.layers[-1].bias
        bias.assign(np.full(4, batch + 1, np.float32))


def test_l22_what_a_callback_assigns_in_an_evaluation_counts(way: dict[str, Any]) -> None:
    """L22: it is there at the next batch and after the evaluation, as with Keras."""
    ours, theirs = (network(way, L.Dense(8)) for _ in range(2))
    options = {**OPTIONS, "validation_data": (X, Y), "epochs": 2}

    expected = theirs.fit(X, Y, callbacks=[Assigns()], **options).history
    run = epochwise.fit(ours, X, Y, callbacks=[Assigns()], **options)

    assert run.history["val_loss"] == pytest.approx(expected["val_loss"], **CLOSE)
    assert ours.layers[-1].bias.numpy().tolist() == [3.0] * 4
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert mine == pytest.approx(other, rel=1e-4, abs=1e-6)


def test_l22_what_it_assigns_after_one_batch_stays(way: dict[str, Any]) -> None:
    """L22: an assignment after the first of three batches is there after the last."""

    class Once(keras.callbacks.Callback):
        def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 0:
                self.model.layers[-1].bias.assign(np.full(4, 7.0, np.float32))

    model = network(way, Counts())

    epochwise.fit(model, X, Y, validation_data=(X, Y), callbacks=[Once()], **OPTIONS)

    assert model.layers[-1].bias.numpy().tolist() == [7.0] * 4
    assert float(keras.ops.convert_to_numpy(model.layers[0].calls.value)) == 3.0


class Functional(keras.Model):
    """A network in a class of the user's."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = L.Dense(4)
        self.own_auc = keras.metrics.AUC(name="its_name")

    def call(self, x: Any) -> Any:
        return self.dense(x)

    def logs_of(self, loss: Any) -> dict[str, Any]:
        """What its steps return, beside the loss: half of the loss and a constant."""
        return {"loss": loss, "half": loss / 2, "one": keras.ops.ones(())}


if BACKEND == "jax":

    class Untracked(Functional):
        """Updates no tracker in either step."""

        def loss_of(self, trainable: Any, others: Any, data: Any) -> Any:
            x, y = data
            predicted, others = self.stateless_call(trainable, others, x)
            return keras.ops.mean((predicted - y) ** 2), others

        def train_step(self, state: Any, data: Any) -> Any:
            import jax

            trainable, others, optimizer, metrics = state
            gradient = jax.value_and_grad(self.loss_of, has_aux=True)
            (loss, others), gradients = gradient(trainable, others, data)
            trainable, optimizer = self.optimizer.stateless_apply(
                optimizer, gradients, trainable
            )
            return self.logs_of(loss), (trainable, others, optimizer, metrics)

        def test_step(self, state: Any, data: Any) -> Any:
            trainable, others, metrics = state
            loss, others = self.loss_of(trainable, others, data)
            return self.logs_of(loss), (trainable, others, metrics)

    class Aliased(Untracked):
        """Logs an AUC of its own under another name."""

        def train_step(self, state: Any, data: Any) -> Any:
            logs, (trainable, others, optimizer, metrics) = super().train_step(state, data)
            x, y = data
            predicted, _ = self.stateless_call(trainable, others, x)
            places = [id(variable) for variable in self.metrics_variables]
            first = places.index(id(self.own_auc.variables[0]))
            end = first + len(self.own_auc.variables)
            mine = self.own_auc.stateless_update_state(
                metrics[first:end], y > 0, keras.ops.sigmoid(predicted)
            )
            metrics = [*metrics[:first], *mine, *metrics[end:]]
            logs["auc"] = self.own_auc.stateless_result(mine)
            return logs, (trainable, others, optimizer, metrics)

else:

    class Untracked(Functional):  # type: ignore[no-redef]
        """Updates no tracker in either step."""

        def train_step(self, data: Any) -> Any:
            x, y = data
            variables = self.trainable_variables

            def forward() -> Any:
                return keras.ops.mean((self(x) - y) ** 2)

            if BACKEND == "tensorflow":
                import tensorflow as tf

                with tf.GradientTape() as tape:
                    loss = forward()
                self.optimizer.apply(tape.gradient(loss, variables), variables)
            else:
                import torch

                loss = forward()
                gradients = torch.autograd.grad(loss, [each.value for each in variables])
                with torch.no_grad():
                    self.optimizer.apply(gradients, variables)
            return self.logs_of(loss)

        def test_step(self, data: Any) -> Any:
            x, y = data
            return self.logs_of(keras.ops.mean((self(x) - y) ** 2))

    class Aliased(Untracked):  # type: ignore[no-redef]
        """Logs an AUC of its own under another name."""

        def train_step(self, data: Any) -> Any:
            logs = super().train_step(data)
            x, y = data
            self.own_auc.update_state(y > 0, keras.ops.sigmoid(self(x)))
            logs["auc"] = self.own_auc.result()
            return logs


def own(way: dict[str, Any], kind: type[Functional]) -> keras.Model:
    """Such a model, built and compiled."""
    keras.utils.set_random_seed(3)
    model = kind()
    model(X[:1])
    model.compile("sgd", "mse", **way)
    return model


def plain(way: dict[str, Any]) -> keras.Model:
    """The same network with Keras's steps."""
    return own(way, Functional)


def test_l07_a_loss_that_no_metric_follows_is_averaged(way: dict[str, Any]) -> None:
    """L07: history and callbacks see what the step returned, averaged over samples."""
    model = own(way, Untracked)
    shown: list[dict[str, float]] = []
    seen = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: shown.append(dict(logs))
    )
    options = {**OPTIONS, "validation_data": (X, Y), "epochs": 2}

    run = epochwise.fit(model, X, Y, callbacks=[seen], **options)
    expected = epochwise.fit(plain(way), X, Y, **options)

    assert run.losses == pytest.approx(expected.losses, **CLOSE)
    samples = np.array([32, 32, 28])
    means = [np.average(run.losses[e * 3 : e * 3 + 3], weights=samples) for e in range(2)]
    assert run.history["loss"] == pytest.approx(means, rel=1e-6)
    assert run.history["half"] == pytest.approx(np.array(means) / 2, rel=1e-6)
    assert run.history["one"] == run.history["val_one"] == [1.0, 1.0]
    assert run.history["val_loss"] == pytest.approx(expected.history["val_loss"], **CLOSE)
    assert run.history["val_half"] == pytest.approx(
        np.array(expected.history["val_loss"]) / 2, **CLOSE
    )
    assert [each["loss"] for each in shown[:3]] == pytest.approx(
        [np.average(run.losses[:n], weights=samples[:n]) for n in (1, 2, 3)], rel=1e-6
    )


def test_l07_what_looks_at_such_a_loss_sees_it(way: dict[str, Any]) -> None:
    """L07: a rule that waits for a loss of 0.1 does not end the run at once."""
    for metric in ("loss", "val_loss"):
        options = {**OPTIONS, "validation_data": (X, Y), "epochs": 2}
        run = epochwise.fit(own(way, Untracked), X, Y, stop=Target(metric, 0.1), **options)
        assert run.position.epochs_done == 2


def test_l07_a_metric_logged_under_another_name_stays_its_own(way: dict[str, Any]) -> None:
    """L07: what a metric says is not averaged: the epoch's AUC is the last it returned."""
    model = own(way, Aliased)

    run = epochwise.fit(model, X, Y, **OPTIONS)

    said = float(keras.ops.convert_to_numpy(model.own_auc.result()))
    assert run.history["auc"] == pytest.approx([said], rel=1e-6)
    assert run.history["half"] == pytest.approx(np.array(run.history["loss"]) / 2, **CLOSE)


def test_l07_a_resumed_epoch_has_the_mean_of_the_whole(
    way: dict[str, Any], tmp_path: Path
) -> None:
    """L07: cut off in an epoch and gone on: history as if it had never been cut."""

    def press(batch: int, logs: object) -> None:
        if batch == 1:
            signal.raise_signal(signal.SIGINT)

    expected = epochwise.fit(own(way, Untracked), X, Y, **OPTIONS)
    presses = [keras.callbacks.LambdaCallback(on_train_batch_end=press)]
    with pytest.raises(KeyboardInterrupt):
        epochwise.fit(
            own(way, Untracked), X, Y, run_dir=tmp_path / "run", callbacks=presses, **OPTIONS
        )
    run = resume(tmp_path / "run", own(way, Untracked), X, Y, verbose=0)

    assert run.history == expected.history


class Adds(Functional):
    """Adds to the logs what follows from a metric, and what is of one batch alone."""

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        logs = super().compute_metrics(x, y, y_pred, sample_weight)
        self.own_auc.update_state(y > 0, keras.ops.sigmoid(y_pred))
        twice = 2 * logs["loss"]
        return {**logs, "auc": self.own_auc.result(), "twice": twice, "of": y_pred[0, 0]}


def test_l08_what_compute_metrics_adds_is_in_the_history(way: dict[str, Any]) -> None:
    """L08: with Keras's values, in training and validation, also of each batch."""
    ours, theirs = own(way, Adds), own(way, Adds)
    told: list[dict[str, list[float]]] = [{}, {}]

    def listening(kept: dict[str, list[float]]) -> keras.callbacks.Callback:
        def keep(batch: int, logs: Any) -> None:
            for name, value in logs.items():
                kept.setdefault(name, []).append(float(value))

        return keras.callbacks.LambdaCallback(on_train_batch_end=keep)

    options = {**OPTIONS, "validation_data": (X, Y), "epochs": 2}
    expected = theirs.fit(X, Y, callbacks=[listening(told[0])], **options).history
    run = epochwise.fit(ours, X, Y, callbacks=[listening(told[1])], **options)

    assert set(run.history) == set(expected)
    assert {"auc", "twice", "of", "val_auc", "val_twice", "val_of"} <= set(expected)
    for name, values in expected.items():
        assert run.history[name] == pytest.approx(values, rel=1e-4), name
    for name in ("auc", "twice", "of"):
        assert told[1][name] == pytest.approx(told[0][name], rel=1e-4), name


def test_l08_with_microbatches_what_follows_from_a_metric_is_the_same(
    way: dict[str, Any],
) -> None:
    """L08: parts of a batch add up in the metrics before they are told."""
    whole, parts = own(way, Adds), own(way, Adds)

    expected = epochwise.fit(whole, X, Y, **OPTIONS).history
    run = epochwise.fit(parts, X, Y, microbatch_size=10, **OPTIONS)

    for name in ("loss", "twice"):
        assert run.history[name] == pytest.approx(expected[name], rel=1e-4)


class Hungry(L.Layer):
    """Has room for a few samples only, once it was built: in training or in an evaluation."""

    room: int | None = None
    in_training = False

    def call(self, x: Any, training: bool = False) -> Any:
        if BACKEND == "torch" and x.device.type == "meta":
            return x  # it is only being built
        short = self.room is not None and bool(training) == self.in_training
        if short and x.shape[0] is not None and x.shape[0] > self.room:
            raise MemoryError("no room")
        return x


def hungry(way: dict[str, Any], room: int | None, **options: Any) -> keras.Model:
    """A classifier with dropout whose evaluations have room for some samples."""
    keras.utils.set_random_seed(3)
    layers = [Hungry(), L.Dense(8, "relu"), L.Dropout(0.3, seed=1), L.Dense(1, "sigmoid")]
    model = keras.Sequential([keras.Input((8,)), *layers])
    options = {"loss": "binary_crossentropy", "metrics": ["accuracy", "auc"], **options}
    model.compile("adam", **options, **way)
    model.train_on_batch(X[:2], Y[:2, :1] > 0)
    model.layers[0].room = room
    return model


@pytest.mark.parametrize("looks", [True, False])
def test_l13_an_evaluation_without_memory_goes_on_in_parts(
    way: dict[str, Any], looks: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """L13: it is said, its metrics are the same means, and the training keeps its bits."""
    y = (Y[:, :1] > 0).astype(np.float32)
    options = {**OPTIONS, "validation_data": (X, y), "epochs": 2, "verbose": 2}
    seen = keras.callbacks.LambdaCallback(on_test_batch_end=lambda batch, logs: None)
    options["callbacks"] = [seen] if looks else []
    ours, roomy = hungry(way, 10), hungry(way, None)

    expected = epochwise.fit(roomy, X, y, **options)
    run = epochwise.fit(ours, X, y, **options)

    assert weights_of(ours) == weights_of(roomy)
    assert run.losses.tobytes() == expected.losses.tobytes()
    for name, values in expected.history.items():
        assert run.history[name] == pytest.approx(values, rel=1e-5), name
    said = " ".join(capsys.readouterr().out.split())
    assert "Memory ran out in an evaluation with 32 samples at a time" in said
    assert "it goes on with 8" in said


def test_l13_parts_that_would_have_another_loss_are_refused(way: dict[str, Any]) -> None:
    """L13: where a batch's loss is a sum, the error names a smaller validation batch."""
    y = (Y[:, :1] > 0).astype(np.float32)
    model = hungry(way, 10, loss=keras.losses.BinaryCrossentropy(reduction="sum"))

    with pytest.raises(
        ModelError, match=r"Memory ran out in an evaluation(.|\n)*smaller valid"
    ):
        epochwise.fit(model, X, y, validation_data=(X, y), **OPTIONS)


def test_l13_not_even_one_sample_fits(way: dict[str, Any]) -> None:
    """L13: the weights are those of the epoch that was trained."""
    y = (Y[:, :1] > 0).astype(np.float32)
    ours, roomy = hungry(way, 0), hungry(way, None)

    with pytest.raises(ModelError, match="Not even 1 sample"):
        epochwise.fit(ours, X, y, validation_data=(X, y), **OPTIONS)
    epochwise.fit(roomy, X, y, **OPTIONS)

    assert weights_of(ours) == weights_of(roomy)
