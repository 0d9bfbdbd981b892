"""A `train_step` of the user's: its own losses, several optimizers, what cannot be compiled."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from subjects import Witness, X, Y, looks_at_iterations, network, weights_of

import epochwise
from epochwise.errors import ModelError

BACKEND = keras.config.backend()
ON_JAX = pytest.mark.skipif(BACKEND != "jax", reason="only JAX asks for a pure train_step")
OFF_JAX = pytest.mark.skipif(
    BACKEND == "jax", reason="on JAX a train_step has the variables of one optimizer alone"
)
ONES = np.ones((10, 1), np.float32)
ONE_TO_TEN = np.arange(1, 11, dtype=np.float32).reshape(-1, 1)
OPTIONS = {"batch_size": 4, "shuffle": False, "verbose": 0}


class Plain(keras.Model):
    """One weight, 0 at first, with Keras's own step called by its own."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")

    def call(self, x: Any) -> Any:
        return self.dense(x)

    def train_step(self, *arguments: Any) -> Any:
        return super().train_step(*arguments)


if BACKEND == "jax":

    class Tracking(Plain):
        """Logs the mean of a tracker of its own under another name."""

        def __init__(self) -> None:
            super().__init__()
            self.total = keras.metrics.Mean(name="total")

        @property
        def metrics(self) -> list[Any]:
            return [self.total]

        def train_step(self, state: Any, data: Any) -> Any:
            import jax

            trainable, non_trainable, optimizer, metrics = state
            x, y = data

            def loss_of(trainable: Any) -> Any:
                predicted, _ = self.stateless_call(trainable, non_trainable, x)
                return keras.ops.mean(keras.ops.absolute(predicted - y))

            loss, gradients = jax.value_and_grad(loss_of)(trainable)
            trainable, optimizer = self.optimizer.stateless_apply(
                optimizer, gradients, trainable
            )
            metrics = self.total.stateless_update_state(metrics, loss, len(x))
            logs = {"loss": self.total.stateless_result(metrics)}
            return logs, (trainable, non_trainable, optimizer, metrics)

    class Silent(Plain):
        """Logs no loss."""

        def train_step(self, state: Any, data: Any) -> Any:
            _, state = super().train_step(state, data)
            return {"reward": 1.0}, state

    class Reads(Plain):
        """Reads a number in Python, which nothing traced can."""

        largest = 0.0

        def train_step(self, state: Any, data: Any) -> Any:
            logs, state = super().train_step(state, data)
            self.largest = max(self.largest, float(logs["loss"]))
            return logs, state

    class Assigns(Plain):
        """Assigns a variable of its own, instead of returning its new value."""

        def __init__(self) -> None:
            super().__init__()
            self.seen = self.add_weight(name="seen", trainable=False, initializer="zeros")

        def train_step(self, state: Any, data: Any) -> Any:
            self.seen.assign_add(len(data[0]))
            return super().train_step(state, data)

else:

    class Tracking(Plain):  # type: ignore[no-redef]
        """Logs the mean of a tracker of its own under another name."""

        def __init__(self) -> None:
            super().__init__()
            self.total = keras.metrics.Mean(name="total")

        @property
        def metrics(self) -> list[Any]:
            return [self.total]

        def train_step(self, data: Any) -> Any:
            x, y = data

            def forward() -> Any:
                return keras.ops.mean(keras.ops.absolute(self(x) - y))

            learn(self.optimizer, self.trainable_variables, forward)
            loss = forward()
            self.total.update_state(loss, x.shape[0])
            return {"loss": self.total.result()}

    class Silent(Plain):  # type: ignore[no-redef]
        """Logs no loss."""

        def train_step(self, data: Any) -> Any:
            super().train_step(data)
            return {"reward": 1.0}

    class Twins(keras.Model):
        """Two networks, each with an optimizer; the second learns every time twice."""

        def __init__(self) -> None:
            super().__init__()
            self.one, self.other = keras.layers.Dense(1), keras.layers.Dense(1)

        def compile(self, **options: Any) -> None:
            super().compile(optimizer=None, **options)
            self.first = keras.optimizers.SGD(0.1, name="sgd")
            self.second = keras.optimizers.Adam(0.1, name="adam")

        def build(self, shape: Any) -> None:
            self.one.build(shape)
            self.other.build(shape)
            super().build(shape)
            self.first.build(self.one.trainable_variables)
            self.second.build(self.other.trainable_variables)

        def call(self, x: Any) -> Any:
            return self.one(x) + self.other(x)

        def train_step(self, data: Any) -> Any:
            x, y = data
            logs = {}
            parts = [("one", self.one, self.first)] + 2 * [("other", self.other, self.second)]
            for name, layer, optimizer in parts:

                def forward(layer: Any = layer) -> Any:
                    return keras.ops.mean(keras.ops.square(layer(x) - y))

                logs[f"{name}_loss"] = learn(optimizer, layer.trainable_variables, forward)
            return logs


def learn(optimizer: Any, variables: Any, forward: Any) -> Any:
    """Update the variables once by the gradient of what `forward` returns."""
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            loss = forward()
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss
    import torch

    loss = forward()
    gradients = torch.autograd.grad(loss, [variable.value for variable in variables])
    with torch.no_grad():
        optimizer.apply(gradients, variables)
    return loss.detach()


def compiled(kind: type[keras.Model], way: dict[str, Any], **options: Any) -> keras.Model:
    """A model of this kind, with weights from one seed."""
    keras.utils.set_random_seed(3)
    model = kind()
    model.compile(**options, **way)
    return model


def test_own_losses_of_a_step_that_calls_keras_s(way: dict[str, Any]) -> None:
    """Keras's tracker is read for each batch alone, and the history is its mean."""
    model, plain = (compiled(Plain, way, optimizer="sgd", loss="mse") for _ in range(2))
    theirs = plain.fit(ONES, ONE_TO_TEN, batch_size=4, shuffle=False, verbose=0)

    run = epochwise.fit(model, ONES, ONE_TO_TEN, **OPTIONS)

    weights, weight = [], 0.0
    for first in (0, 4, 8):
        batch = ONE_TO_TEN[first : first + 4, 0].astype(np.float64)
        weights.append(np.mean((weight - batch) ** 2))
        weight -= 0.01 * np.mean(2 * (weight - batch))
    np.testing.assert_allclose(run.losses, weights, rtol=1e-5)
    np.testing.assert_allclose(run.history["loss"], theirs.history["loss"], rtol=1e-6)
    assert model.get_weights()[0] == pytest.approx(plain.get_weights()[0])


def test_c04_a_tracker_of_ones_own_is_read_for_each_batch_alone(way: dict[str, Any]) -> None:
    """C01, C04: a loss logged from a mean named otherwise is the batch's, and its epoch's."""
    model = compiled(Tracking, way, optimizer=keras.optimizers.SGD(0.0))
    shown: list[float] = []
    seen = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: shown.append(logs["loss"])
    )

    run = epochwise.fit(model, ONES, ONE_TO_TEN, callbacks=[seen], **OPTIONS)

    assert run.losses.tolist() == [2.5, 6.5, 9.5]
    assert shown == pytest.approx([2.5, 4.5, 5.5])
    assert run.history["loss"] == pytest.approx([5.5])


def test_a_step_without_a_loss_is_refused(way: dict[str, Any]) -> None:
    """The error names what it logged, and what to return."""
    model = compiled(Silent, way, optimizer="sgd", loss="mse")

    with pytest.raises(ModelError, match=r"Silent.*\['reward'\](.|\n)*return \{\"loss\""):
        epochwise.fit(model, ONES, ONE_TO_TEN, **OPTIONS)


def test_microbatches_of_a_step_of_ones_own_are_refused(way: dict[str, Any]) -> None:
    """Such a step updates the weights itself; nothing of it can be added up."""
    model = compiled(Plain, way, optimizer="sgd", loss="mse")

    with pytest.raises(ModelError, match=r"microbatch_size=2 cannot be used with Plain"):
        epochwise.fit(model, ONES, ONE_TO_TEN, microbatch_size=2, **OPTIONS)


@OFF_JAX
def test_b15_updates_are_counted_for_each_optimizer(way: dict[str, Any]) -> None:
    """B15: 10 iterations, the second optimizer twice in each: 10 and 20, told apart."""
    model = compiled(Twins, way)

    run = epochwise.fit(model, ONES, ONE_TO_TEN, batch_size=1, shuffle=False, verbose=0)

    assert run.position.iterations_done == 10
    assert dict(run.updates) == {"sgd": 10, "adam": 20}
    assert len(run.losses) == 10


@OFF_JAX
def test_the_values_of_every_optimizer_survive_a_cut(way: dict[str, Any]) -> None:
    """One iteration a segment gives the bits of long segments with two optimizers too."""
    whole, cut = (compiled(Twins, way) for _ in range(2))

    for model, callbacks in ((whole, []), (cut, [looks_at_iterations()])):
        epochwise.fit(model, ONES, ONE_TO_TEN, callbacks=callbacks, **OPTIONS)

    assert weights_of(whole) == weights_of(cut)


@ON_JAX
def test_a_step_that_reads_numbers_trains_operation_by_operation() -> None:
    """What cannot be traced still trains, to the same weights, and the reason is told."""
    reads, plain = (compiled(kind, {}, optimizer="sgd", loss="mse") for kind in (Reads, Plain))
    seen = Witness()

    run = epochwise.fit(reads, ONES, ONE_TO_TEN, listeners=[seen], **OPTIONS)
    expected = epochwise.fit(plain, ONES, ONE_TO_TEN, **OPTIONS)

    assert seen.begun is not None
    assert seen.begun.engine.engine == "keras"
    assert "Reads.train_step is no pure function" in seen.begun.engine.reason
    np.testing.assert_allclose(run.losses, expected.losses, rtol=1e-5)
    assert reads.get_weights()[0] == pytest.approx(plain.get_weights()[0])
    assert reads.largest == pytest.approx(max(run.losses))


@ON_JAX
def test_a_variable_that_a_step_assigns_keeps_what_it_was_assigned() -> None:
    """A step that assigns instead of returning is noticed before it can leak a tracer."""
    model = compiled(Assigns, {}, optimizer="sgd", loss="mse")
    seen = Witness()

    epochwise.fit(model, ONES, ONE_TO_TEN, listeners=[seen], **OPTIONS)

    assert seen.begun is not None
    assert "it assigns to variables" in seen.begun.engine.reason
    assert float(model.seen.value) == 10.0


def test_why_it_is_slower_is_in_the_first_line_of_a_run(
    way: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever is not trained by the compiled engine is told so, and why."""
    seen = Witness()

    epochwise.fit(network(way), X, Y, batch_size=8, verbose=2, listeners=[seen])

    assert seen.begun is not None
    engine = seen.begun.engine
    shown = " ".join(capsys.readouterr().out.split())
    assert (engine.reason in shown) == (engine.engine == "keras")
    assert f"{engine.backend} on {engine.device}" in shown
