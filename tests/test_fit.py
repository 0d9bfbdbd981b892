"""`epochwise.fit` against `model.fit`, and against itself."""

from __future__ import annotations

import jax
import keras
import numpy as np
import pytest

import epochwise
from epochwise.errors import DataError, ModelError, PlanError

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
    }[kind]
    model = keras.Sequential([keras.Input((6,)), *inner, L.Dense(3, activation="softmax")])
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def weights_of(model: keras.Model) -> list[bytes]:
    return [np.asarray(value).tobytes() for value in model.get_weights()]


@pytest.mark.parametrize("kind", ["plain", "batchnorm-dropout-l2", "convolution-pooling"])
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
