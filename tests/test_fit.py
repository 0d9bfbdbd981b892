"""`epochwise.fit` against `model.fit`, and against itself."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import jax
import keras
import numpy as np
import pytest

import epochwise
from epochwise.errors import DataError, ModelError, PlanError
from epochwise.record import read_run

L = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(203, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 203).astype(np.int32)


def network(kind: str = "plain", optimizer: object = "adam") -> keras.Model:
    keras.utils.set_random_seed(3)
    inner = {
        "plain": [L.Dense(8, activation="relu")],
        "batchnorm-dropout-l2": [
            L.Dense(8, activation="relu", kernel_regularizer="l2"),
            L.BatchNormalization(),
            L.Dropout(0.4),
        ],
        "convolution-pooling": [
            L.Reshape((6, 1)),
            L.Conv1D(4, 2, activation="relu"),
            L.MaxPooling1D(2),
            L.Flatten(),
        ],
        "pooling-batchnorm": [
            L.Reshape((6, 1)),
            L.Conv1D(4, 2, activation="relu"),
            L.MaxPooling1D(2),
            L.BatchNormalization(),
            L.Conv1D(4, 2),
            L.BatchNormalization(),
            L.Flatten(),
        ],
        "gelu": [
            L.Reshape((6, 1)),
            L.Conv1D(4, 2),
            L.MaxPooling1D(2),
            L.Activation("gelu"),
            L.Dropout(0.2),
            L.Flatten(),
        ],
    }[kind]
    model = keras.Sequential([keras.Input((6,)), *inner, L.Dense(3, activation="softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def weights_of(model: keras.Model) -> list[bytes]:
    return [np.asarray(value).tobytes() for value in model.get_weights()]


@pytest.mark.parametrize(
    "kind",
    ["plain", "batchnorm-dropout-l2", "convolution-pooling", "pooling-batchnorm", "gelu"],
)
def test_the_weights_and_history_are_those_of_model_fit_bit_for_bit(kind: str) -> None:
    """With shuffle=False, a short last batch and validation, no bit differs from Keras."""
    theirs, ours = network(kind), network(kind)
    held_out = (X[:50], Y[:50])

    expected = theirs.fit(
        X, Y, batch_size=32, epochs=3, shuffle=False, verbose=0, validation_data=held_out
    )
    run = epochwise.fit(
        ours, X, Y, batch_size=32, epochs=3, shuffle=False, verbose=0, validation_data=held_out
    )

    assert weights_of(ours) == weights_of(theirs)
    assert run.history == expected.history
    assert ours.evaluate(X, Y, verbose=0) == theirs.evaluate(X, Y, verbose=0)


def test_one_changed_sample_changes_the_weights() -> None:
    """The comparison of weights can fail: a single other value shows."""
    ours, other = network(), network()
    changed = X.copy()
    changed[7, 2] += 0.5

    epochwise.fit(ours, X, Y, verbose=0)
    epochwise.fit(other, changed, Y, verbose=0)

    assert weights_of(ours) != weights_of(other)


def test_memory_mapped_data_give_the_bits_of_resident_data(tmp_path: object) -> None:
    """Samples gathered on the host train to the same weights as samples on the device."""
    path = f"{tmp_path}/x.npy"
    np.save(path, X)
    resident, gathered = network(), network()

    epochwise.fit(resident, X, Y, batch_size=16, epochs=2, verbose=0)
    epochwise.fit(gathered, np.load(path, mmap_mode="r"), Y, batch_size=16, epochs=2, verbose=0)

    assert weights_of(resident) == weights_of(gathered)


def test_a01_an_epoch_has_all_its_iterations_every_time() -> None:
    """A01: 2010 samples at 32 make 63 iterations in each of 6 epochs, never a short one."""
    x, y = np.zeros((2010, 6), np.float32), np.zeros(2010, int)

    run = epochwise.fit(network(), x, y, batch_size=32, epochs=6, verbose=0)

    assert run.position.iterations_done == 63 * 6


def test_a11_no_iteration_is_an_error_and_the_weights_are_untouched() -> None:
    """A11, K05: a set below the batch with the remainder dropped, an empty set: refused."""
    model = network()
    before = weights_of(model)

    with pytest.raises(PlanError, match="batch_size=1024"):
        epochwise.fit(model, X[:100], Y[:100], batch_size=1024, remainder="drop", verbose=0)
    with pytest.raises(DataError, match="is empty"):
        epochwise.fit(model, X[:0], Y[:0], verbose=1)

    assert weights_of(model) == before


def test_an_optimizer_that_gathers_gradients_is_refused_with_the_remedy() -> None:
    """B04: Keras's own accumulation loses updates; the error names microbatch_size."""
    model = network(optimizer=keras.optimizers.Adam(gradient_accumulation_steps=4))

    with pytest.raises(
        ModelError, match=r"gradient_accumulation_steps=4(.|\n)*microbatch_size"
    ):
        epochwise.fit(model, X, Y, verbose=0)


def test_d01_every_class_is_in_both_parts_of_the_split() -> None:
    """D01: sorted labels split by class, so none is missing from training or validation."""
    x, y = np.zeros((100, 6), np.float32), np.repeat(np.arange(3), [40, 40, 20])

    run = epochwise.fit(network(), x, y, validation_split=0.2, verbose=0)

    assert run.plan is not None
    assert run.plan.samples == 80
    assert "val_accuracy" in run.history


def test_d04_a_second_fit_goes_on_with_the_next_epochs_order() -> None:
    """D04: 2 epochs and then 2 more give the weights of 4; another seed does not."""
    once, twice, other = network(), network(), network()

    epochwise.fit(once, X, Y, epochs=4, verbose=0)
    epochwise.fit(twice, X, Y, epochs=2, verbose=0)
    epochwise.fit(twice, X, Y, epochs=2, verbose=0)
    epochwise.fit(other, X, Y, epochs=4, seed=1, verbose=0)

    assert weights_of(once) == weights_of(twice)
    assert weights_of(once) != weights_of(other)


def test_a_generator_function_trains_and_tells_its_length() -> None:
    """A04: 10 batches of unknown length, twice: 10 iterations in each of 2 epochs."""

    def batches() -> object:
        for first in range(0, 200, 20):
            yield X[first : first + 20], Y[first : first + 20]

    run = epochwise.fit(network(), batches, epochs=2, verbose=0)

    assert run.position.iterations_done == 20
    assert run.iterations_per_epoch == 10


def test_a05_a_generator_that_cannot_start_again_is_an_error_at_epoch_2() -> None:
    """A05: after a whole first epoch the error says so, and its weights are kept."""
    batches = ((X[i : i + 20], Y[i : i + 20]) for i in range(0, 200, 20))
    model = network()

    with pytest.raises(DataError, match="restart"):
        epochwise.fit(model, batches, epochs=2, verbose=0)

    assert int(model.optimizer.iterations) == 10


def test_stop_training_is_honoured_at_the_next_boundary() -> None:
    """A callback that sets stop_training in an epoch's end leaves exactly that many epochs."""

    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            self.model.stop_training = epoch == 1

    run = epochwise.fit(network(), X, Y, epochs=9, verbose=0, callbacks=[Stop()])

    assert run.position.epochs_done == 2
    assert run.stop is not None
    assert run.stop.rule == "callback"


def test_four_programs_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for full batches, one for the short last batch, and the same two for evaluation.

    Each once in a process: who trains the same again compiles none.
    """
    compiled: list[str] = []
    compile_ = jax.stages.Lowered.compile

    def counting(self: jax.stages.Lowered) -> object:
        compiled.append(str(self.in_tree))
        return compile_(self)

    monkeypatch.setattr(jax.stages.Lowered, "compile", counting)
    options = {"batch_size": 27, "verbose": 0, "validation_data": (X[:50], Y[:50])}
    epochwise.fit(network(), X, Y, epochs=3, **options)
    assert len(compiled) == 4

    epochwise.fit(network(), X, Y, epochs=2, **options)
    assert len(compiled) == 4


def test_what_is_changed_on_a_layer_counts_in_the_next_fit() -> None:
    """A dropout that was switched off between two calls drops nothing in the second."""
    weights = []
    for rate in (0.4, 0.0):
        model = network("batchnorm-dropout-l2")
        epochwise.fit(model, X, Y, verbose=0)
        model.layers[2].rate = rate
        epochwise.fit(model, X, Y, verbose=0)
        weights.append(weights_of(model))

    assert weights[0] != weights[1]


def test_arrays_of_unequal_length_are_refused_with_both_lengths() -> None:
    """The error names what does not fit."""
    with pytest.raises(DataError, match=r"203(.|\n)*100"):
        epochwise.fit(network(), X, Y[:100], verbose=0)


def test_a_model_that_is_not_compiled_is_refused() -> None:
    """The remedy is the call to compile."""
    with pytest.raises(ModelError, match="compile"):
        epochwise.fit(keras.Sequential([L.Dense(1)]), X, Y, verbose=0)


def test_weights_of_classes_hold_for_batches_of_a_generator_too() -> None:
    """class_weight gives the same weights whether arrays or their batches are handed over."""

    def batches() -> object:
        for first in range(0, 203, 32):
            yield X[first : first + 32], Y[first : first + 32]

    arrays, foreign, plain = network(), network(), network()
    weights = {0: 4.0, 2: 0.25}
    options = {"batch_size": 32, "shuffle": False, "verbose": 0}

    epochwise.fit(arrays, X, Y, class_weight=weights, **options)
    epochwise.fit(foreign, batches, class_weight=weights, verbose=0)
    epochwise.fit(plain, X, Y, **options)

    assert weights_of(arrays) == weights_of(foreign)
    assert weights_of(arrays) != weights_of(plain)


def test_an_epoch_that_is_cut_off_by_the_plan_is_told_with_its_evaluation() -> None:
    """As in Keras, the last epoch has its validation metrics, whole or not; callbacks too."""
    logs: list[set[str]] = []
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda _, told: logs.append(set(told)))
    options = {"batch_size": 32, "verbose": 0, "validation_data": (X[:50], Y[:50])}

    run = epochwise.fit(network(), X, Y, iterations=9, callbacks=look, **options)

    assert {name: len(values) for name, values in run.history.items()} == dict.fromkeys(
        ["loss", "accuracy", "val_loss", "val_accuracy"], 2
    )
    assert logs == [set(run.history)] * 2


def test_the_loss_of_regularized_weights_has_keras_bits_in_each_evaluation() -> None:
    """What L2 adds is the same for each batch; no evaluation of many rounds it apart."""
    for seed in range(3):
        histories = []
        for way in ("ours", "theirs"):
            keras.utils.set_random_seed(seed)
            inner = [L.Dense(8, activation="relu", kernel_regularizer="l2"), L.Dense(3)]
            model = keras.Sequential([keras.Input((6,)), *inner, L.Softmax()])
            model.compile("adam", "sparse_categorical_crossentropy")
            fit = partial(epochwise.fit, model) if way == "ours" else model.fit
            run = fit(
                X, Y, epochs=8, shuffle=False, verbose=0, validation_data=(X[:50], Y[:50])
            )
            histories.append(run.history)

        assert histories[0] == histories[1]


def test_weights_of_classes_are_for_training_alone() -> None:
    """The part that is held out is evaluated as Keras does it: without them."""
    ours, theirs = network(), network()
    options = {"class_weight": {0: 50.0, 1: 0.1}, "validation_split": 0.3, "shuffle": False}

    run = epochwise.fit(ours, X, Y, epochs=2, verbose=0, **options)
    expected = theirs.fit(X, Y, epochs=2, verbose=0, **options)

    assert run.history == expected.history
    assert weights_of(ours) == weights_of(theirs)


def test_a_metric_of_several_values_is_told_as_one_number_each() -> None:
    """Their names are numbered; the values are those of Keras."""
    ours, theirs = network(), network()
    one_hot = np.eye(3, dtype=np.float32)[Y]
    for model in (ours, theirs):
        model.compile("adam", "categorical_crossentropy", metrics=[keras.metrics.F1Score()])

    run = epochwise.fit(ours, X, one_hot, shuffle=False, validation_split=0.2, verbose=0)
    expected = theirs.fit(X, one_hot, shuffle=False, validation_split=0.2, verbose=0).history

    for name in ("f1_score", "val_f1_score"):
        told = [run.history[f"{name}_{place}"][0] for place in range(3)]
        assert told == expected[name][0].tolist()


def test_callbacks_batch_size_and_logs_as_model_fit_takes_them() -> None:
    """None, one, or several callbacks; no batch size is 32; what they log is in the history."""
    model = network()
    rate = keras.callbacks.LearningRateScheduler(lambda epoch: 0.01 / (epoch + 1))

    run = epochwise.fit(model, X, Y, epochs=2, callbacks=rate, batch_size=None, verbose=0)
    none = epochwise.fit(network(), X, Y, callbacks=None, verbose=0)

    assert run.history == model.history.history
    assert run.history["learning_rate"] == pytest.approx([0.01, 0.005])
    assert run.plan is not None
    assert run.plan.batch_size == 32
    assert none.position.epochs_done == 1


def test_f17_a_callback_that_would_begin_again_is_refused(tmp_path: Path) -> None:
    """F17: BackupAndRestore would train all epochs again; the remedy is a run's folder."""
    model = network()
    backup = keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))

    with pytest.raises(ModelError, match="run_dir="):
        epochwise.fit(model, X, Y, callbacks=[backup], verbose=0, run_dir=tmp_path / "run")

    assert not (tmp_path / "run").exists()


def test_a_network_made_for_one_batch_size_is_built_with_it() -> None:
    """A stateful LSTM of fixed batches has the bits of Keras; nothing built it before."""
    x = RNG.normal(size=(60, 6, 1)).astype(np.float32)
    weights = []
    for way in ("ours", "theirs"):
        keras.utils.set_random_seed(3)
        inner = [L.LSTM(4, stateful=True), L.Dense(1)]
        model = keras.Sequential([keras.Input(batch_shape=(15, 6, 1)), *inner])
        model.compile("sgd", "mse")
        fit = partial(epochwise.fit, model) if way == "ours" else model.fit
        fit(x, x[:, 0], batch_size=15, epochs=2, shuffle=False, verbose=0)
        weights.append(weights_of(model))

    assert weights[0] == weights[1]


def test_targets_that_do_not_fit_the_network_are_refused_with_both_shapes() -> None:
    """A missing Flatten: the error tells the shapes, not only what the framework says."""
    model = keras.Sequential([keras.Input((6, 1)), L.Dense(3, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

    with pytest.raises(ModelError, match=r"\(6, 1\) with targets of shape \(\)"):
        epochwise.fit(model, X[:, :, None], Y, verbose=0)


def test_a_run_stands_in_for_the_history_of_keras() -> None:
    """Arguments by position in Keras's order; `history`, `epoch`, `params`, `model` as its."""
    theirs, ours = network(), network()
    arguments = (X, Y, 50, 2, 0, None, 0.2, None, False, {0: 2.0, 1: 1.0, 2: 1.0})

    expected = theirs.fit(*arguments)
    run = epochwise.fit(ours, *arguments)

    assert weights_of(ours) == weights_of(theirs)
    assert list(run.history.items()) == list(expected.history.items())
    assert run.epoch == expected.epoch
    assert run.params == expected.params
    assert run.model is ours


def test_a_run_read_back_has_no_model(tmp_path: Path) -> None:
    """The record tells the history in Keras's order and the epochs, and holds no model."""
    epochwise.fit(network(), X, Y, epochs=2, verbose=0, run_dir=tmp_path / "run")

    run = read_run(tmp_path / "run").run

    assert list(run.history) == ["accuracy", "loss"]
    assert run.epoch == [0, 1]
    assert run.model is None
