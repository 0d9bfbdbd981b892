"""Arguments that Keras takes, given as people give them: L20, L24, L28.

What runs in a process of its own begins where a newcomer does; see `newcomer`.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import epochwise
from epochwise.counting.durations import Duration
from epochwise.errors import DataError, PlanError
from newcomer import run_as_newcomer

X = np.random.default_rng(0).random((40, 3), np.float32)
Y = (X.sum(axis=1) > 1.5).astype(np.int32)


def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def without_targets() -> keras.Model:
    """An autoencoder whose loss is added by its own layers."""

    class AutoEncoder(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = keras.layers.Dense(3)

        def call(self, x: Any) -> Any:
            y = self.inner(x)
            self.add_loss(keras.ops.mean(keras.ops.square(x - y)))
            return y

    keras.utils.set_random_seed(1)
    model = AutoEncoder()
    model.compile("sgd")
    return model


L20 = """
import epochwise
import keras
import numpy as np


class AutoEncoder(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = keras.layers.Dense(3)
        self.mean = keras.metrics.Mean(name="reconstruction")

    @property
    def metrics(self):
        return [self.mean]

    def call(self, x):
        return self.inner(x)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        loss = keras.ops.mean(keras.ops.square(x - y_pred))
        self.mean.update_state(loss)
        return loss


def network():
    keras.utils.set_random_seed(1)
    model = AutoEncoder()
    model.compile("sgd")
    return model


x = np.random.default_rng(0).random((40, 3)).astype("float32")
for validation_data in ((x,), x, [x]):
    theirs, ours = network(), network()
    given = {"validation_data": validation_data, "shuffle": False, "verbose": 0}
    expected, run = theirs.fit(x, **given), epochwise.fit(ours, x, **given)
    assert list(run.history.items()) == list(expected.history.items())
    assert (theirs.inner.kernel.numpy() == ours.inner.kernel.numpy()).all()

given = {"validation_split": 0.2, "epochs": "auto", "max_epochs": 3, "verbose": 0}
try:
    epochwise.fit(network(), x, **given)
except epochwise.EpochwiseError as error:
    [problem] = error.problems
print(problem)
rule = problem.remedy.partition("stop=")[2].partition(", or")[0]
run = epochwise.fit(network(), x, best_metric="val_reconstruction", stop=eval(rule), **given)
assert run.position.epochs_done >= 1
"""


def test_l20_a_newcomer_trains_a_model_without_targets() -> None:
    """L20: validation data without targets in every form, and a remedy that works as typed."""
    done = run_as_newcomer(L20)

    assert "There is no metric 'val_loss'; there are reconstruction and" in done.stdout


@pytest.mark.parametrize("form", ["(x,)", "[x]", "x", "{'a': x}"])
def test_l20_validation_data_of_one_part_is_x(form: str) -> None:
    """L20: alone, in a tuple, a list or a mapping, as Keras unpacks it."""
    inputs: Any = {"a": X} if "'a'" in form else X
    held_out = eval(form, {"x": X})
    theirs, ours = without_targets(), without_targets()
    if "'a'" in form:
        theirs, ours = (keras.Sequential([Only(), inner]) for inner in (theirs, ours))
        for model in (theirs, ours):
            model.compile("sgd")

    expected = theirs.fit(inputs, validation_data=held_out, shuffle=False, verbose=0)
    run = epochwise.fit(ours, inputs, validation_data=held_out, shuffle=False, verbose=0)

    assert dict(run.history) == expected.history


class Only(keras.layers.Layer):  # type: ignore[misc]
    """Hands on the one input that a mapping holds."""

    def call(self, x: Any) -> Any:
        return x["a"]


def test_l20_validation_data_of_four_parts_is_refused() -> None:
    """L20: more than x, y and weights is refused, with what to give."""
    with pytest.raises(DataError, match="validation_data has 4 parts"):
        epochwise.fit(network(), X, Y, validation_data=(X, Y, None, None), verbose=0)


def test_l20_the_names_of_an_own_step_are_checked_before_training() -> None:
    """L20: a step of the user's is tried once and undone; a wrong name stops at once."""

    class Own(keras.Sequential):  # type: ignore[misc]
        def train_step(self, state: Any, data: Any) -> Any:
            logs, state = super().train_step(state, data)
            return {"loss": logs["loss"]}, state

        def test_step(self, state: Any, data: Any) -> Any:
            logs, state = super().test_step(state, data)
            return {"held_out_loss": logs["loss"]}, state

    keras.utils.set_random_seed(1)
    layers = [keras.Input((3,)), keras.layers.Dropout(0.3, seed=1), keras.layers.Dense(2)]
    theirs, ours = Own(layers), Own(keras.models.clone_model(Own(layers)).layers)
    ours.set_weights(theirs.get_weights())
    for model in (theirs, ours):
        model.compile("adam", "mse")
    given: Any = {"validation_data": (X, X[:, :2]), "shuffle": False, "verbose": 0}
    before = [value.tobytes() for value in ours.get_weights()]

    with pytest.raises(PlanError, match=r"no metric 'val_loss'; .* val_held_out_loss") as found:
        epochwise.fit(ours, X, X[:, :2], best_metric="val_loss", **given)
    assert found.value.problems[0].remedy == "use best_metric='val_held_out_loss'."
    assert [value.tobytes() for value in ours.get_weights()] == before

    run = epochwise.fit(ours, X, X[:, :2], best_metric="val_held_out_loss", **given)
    expected = theirs.fit(X, X[:, :2], **given)
    assert list(run.history.items()) == list(expected.history.items())
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert mine.tobytes() == other.tobytes()


L24 = """
import epochwise
import keras
import numpy as np

x, y = np.ones((80, 4), "float32"), np.ones((80, 1), "float32")


def network():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def batches():
    for start in range(0, 80, 8):
        yield x[start : start + 8], y[start : start + 8]


keras.config.set_max_epochs(2)
keras.config.set_max_steps_per_epoch(3)
theirs, ours = network(), network()
expected = theirs.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
epochwise.fit(ours, x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
assert (theirs.get_weights()[0] == ours.get_weights()[0]).all()
held_out = {"validation_data": (x, y)}
run = epochwise.fit(network(), x, y, batch_size=8, epochs=4, verbose=2, **held_out)
assert (run.plan.iterations_per_epoch, run.plan.iterations) == (3, 6)
assert (run.position.epochs_done, run.position.iterations_done) == (2, 6)
assert [one.samples for one in run.evaluations] == [24, 24]
run = epochwise.fit(network(), x, y, batch_size=8, iterations=50, verbose=0)
assert run.position.iterations_done == 6
run = epochwise.fit(network(), x, y, batch_size=8, steps_per_epoch=10, verbose=0)
assert run.position.iterations_done == 3
run = epochwise.fit(network(), batches, epochs=4, verbose=0, validation_data=batches)
assert (run.position.epochs_done, run.position.iterations_done) == (2, 6)
assert [one.samples for one in run.evaluations] == [24, 24]
run = epochwise.fit(network(), batches(), epochs=4, verbose=0)
assert (run.position.epochs_done, run.position.iterations_done) == (2, 6)
endless = lambda: iter(lambda: (x[:8], y[:8]), None)
run = epochwise.fit(network(), endless, epochs=4, verbose=0, validation_data=endless)
assert (run.position.epochs_done, run.position.iterations_done) == (2, 6)
"""


def test_l24_the_limits_of_keras_are_kept_and_said() -> None:
    """L24: set_max_epochs and set_max_steps_per_epoch, with arrays and batches of all kinds."""
    done = run_as_newcomer(L24)

    told = done.stdout + done.stderr
    assert "keras.config.set_max_epochs(2)" in told
    assert "keras.config.set_max_steps_per_epoch(3)" in told


def test_l24_the_limits_of_the_environment_are_kept_by_the_command(tmp_path: Any) -> None:
    """L24: KERAS_MAX_EPOCHS and KERAS_MAX_STEPS_PER_EPOCH count for `epochwise train`."""
    limits = {"KERAS_MAX_EPOCHS": "1", "KERAS_MAX_STEPS_PER_EPOCH": "2"}

    done = run_as_newcomer(["train", "digits", "--epochs", "3", "--json"], environment=limits)

    assert '"iterations": 2' in done.stdout


def test_l28_numbers_of_numpy_are_whole_numbers_everywhere() -> None:
    """L28: each whole-number argument takes NumPy's and a framework's, and keeps Python's."""
    one, two, eight = np.int64(1), np.array(2), keras.ops.convert_to_tensor(8)
    batches = [(X[:8], Y[:8]), (X[8:16], Y[8:16])]

    run = epochwise.fit(
        network(), X, Y, eight, two, 0, validation_data=(X, Y), validation_freq=one,
        validation_steps=np.uint8(3), validation_batch_size=np.int16(4), seed=np.uint64(3),
        microbatch_size=np.int8(4), initial_epoch=np.int32(0), steps_per_epoch=np.int64(5),
        stop=epochwise.Patience(
            metric="val_loss", epochs=np.int64(9), warmup_epochs=np.int64(0),
            min_delta=np.float32(0.5), baseline=np.float32(9.0),
        ),
    )  # fmt: skip
    again = epochwise.fit(
        network(), lambda: iter(batches), steps_per_epoch=np.int64(1), iterations=np.int64(2),
        verbose=0,
    )  # fmt: skip

    assert (run.position.iterations_done, len(run.evaluations)) == (10, 2)
    assert [evaluation.samples for evaluation in run.evaluations] == [12, 12]
    assert type(run.plan.batch_size) is int
    assert again.position.iterations_done == 2
    assert str(Duration(epochs=np.int64(2))) == "2ep"  # type: ignore[arg-type]
    assert epochwise.TimeLimit(minutes=np.int64(2)).limit_seconds == 120
    assert epochwise.Target("val_accuracy", np.float32(0.5)).value == 0.5
    assert type(epochwise.SuccessiveRises(rises=np.int64(2)).rises) is int  # type: ignore[arg-type]
    plan = epochwise.Plan(samples=np.int64(9), batch_size=np.uint8(4), epochs=np.int16(2))
    assert (plan.iterations, type(plan.samples)) == (6, int)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        (name, value)
        for name in (
            "batch_size", "epochs", "iterations", "max_epochs", "microbatch_size",
            "initial_epoch", "steps_per_epoch", "validation_steps", "validation_batch_size",
            "validation_freq", "seed",
        )
        for value in (True, 2.5, "3", -1)
    ],
)  # fmt: skip
def test_l28_what_is_no_whole_number_is_refused_by_its_own_name(
    argument: str, value: Any
) -> None:
    """L28: every whole-number argument refuses the rest in the same words."""
    given: dict[str, Any] = {"validation_data": (X, Y), argument: value}
    if argument == "max_epochs":
        given["epochs"] = "auto"

    with pytest.raises(PlanError, match=rf"{argument}={value!r}|{argument}='3' is no number"):
        epochwise.fit(network(), X, Y, verbose=0, **given)


@pytest.mark.parametrize("epochs", [[1, 5], (1, 5), np.array([5, 1]), {1, 5, 9}])
def test_l28_validation_freq_lists_the_epochs_to_evaluate_after(epochs: Any) -> None:
    """L28: after these epochs, counted from 1, and no others, as Keras does with a list."""
    theirs, ours = network(), network()
    given: Any = {"epochs": 6, "validation_data": (X, Y), "shuffle": False, "verbose": 0}

    expected = theirs.fit(X, Y, validation_freq=[1, 5], **given)
    run = epochwise.fit(ours, X, Y, validation_freq=epochs, **given)

    assert list(run.history.items()) == list(expected.history.items())
    assert [one.position.epochs_done for one in run.evaluations] == [1, 5]


@pytest.mark.parametrize("freq", [[], [0], [1, 2.5], [True]])
def test_l28_a_list_of_no_epochs_is_refused(freq: list[Any]) -> None:
    """L28: an empty list, or one of what is no epoch."""
    with pytest.raises(PlanError, match="validation_freq"):
        epochwise.fit(network(), X, Y, validation_data=(X, Y), validation_freq=freq, verbose=0)


@pytest.mark.parametrize(("epochs", "initial", "left"), [(5, 3, 2), (1, 1, 1), (3, 4, 1)])
def test_l28_the_remedy_for_initial_epoch_works_as_typed(
    epochs: int, initial: int, left: int
) -> None:
    """L28: it names the epochs that are left, worked out."""
    with pytest.raises(PlanError, match=f"initial_epoch={initial} ") as refused:
        epochwise.fit(network(), X, Y, epochs=epochs, initial_epoch=initial, verbose=0)

    assert f"give epochs={left}" in refused.value.problems[0].remedy


def test_l28_steps_per_execution_is_said_not_to_be_used(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """L28: it changes no weight, and the run says that it is not used."""
    theirs, ours = network(), network()
    for model in (theirs, ours):
        model.compile("sgd", "sparse_categorical_crossentropy", steps_per_execution=2)

    theirs.fit(X, Y, batch_size=10, shuffle=False, verbose=0)
    epochwise.fit(ours, X, Y, batch_size=10, shuffle=False, verbose=2)

    assert "steps_per_execution=2 of compile is not used" in "".join(capsys.readouterr())
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert mine.tobytes() == other.tobytes()
