"""The hooks of Keras callbacks are called as `model.fit` calls them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import epochwise
from epochwise.events import BatchEvaluated

RNG = np.random.default_rng(4)
X = RNG.normal(size=(30, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 30).astype(np.int32)

EPOCH_HOOKS = ("on_train_begin", "on_train_end", "on_epoch_begin", "on_epoch_end")
TEST_HOOKS = ("on_test_begin", "on_test_end", "on_test_batch_begin", "on_test_batch_end")
TRAIN_HOOKS = ("on_train_batch_begin", "on_train_batch_end")


def network() -> keras.Model:
    keras.utils.set_random_seed(7)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def watching(*hooks: str) -> tuple[keras.callbacks.Callback, list[tuple[Any, ...]]]:
    """A callback with these hooks, and the list of the calls that they got."""
    calls: list[tuple[Any, ...]] = []

    def noting(name: str) -> Any:
        def hook(_self: object, *arguments: Any, logs: Any = None) -> None:
            calls.append((name, *arguments, logs))

        return hook

    kind = type("Watching", (keras.callbacks.Callback,), {name: noting(name) for name in hooks})
    return kind(), calls


@pytest.mark.parametrize(
    "hooks",
    [TEST_HOOKS, (*EPOCH_HOOKS, *TEST_HOOKS), (*EPOCH_HOOKS, *TEST_HOOKS, *TRAIN_HOOKS)],
)
def test_every_hook_gets_the_calls_that_model_fit_makes(hooks: tuple[str, ...]) -> None:
    """Order, numbers and logs of all hooks are Keras's, batches of evaluations among them."""
    (theirs, expected), (ours, found) = watching(*hooks), watching(*hooks)
    options = {
        "batch_size": 8,
        "epochs": 2,
        "shuffle": False,
        "verbose": 0,
        "validation_data": (X[:21], Y[:21]),
    }

    network().fit(X, Y, callbacks=[theirs], **options)
    epochwise.fit(network(), X, Y, callbacks=[ours], **options)

    assert [call[:-1] for call in found] == [call[:-1] for call in expected]
    for (*_, logs), (*_, expected_logs) in zip(found, expected, strict=True):
        assert (logs or {}) == pytest.approx(expected_logs or {}, rel=1e-6)


def test_a_callback_that_looks_at_evaluated_batches_changes_no_bit() -> None:
    """Evaluating batch by batch gives the history and weights of evaluating at once."""
    callback, calls = watching(*TEST_HOOKS)
    whole, cut = network(), network()
    options = {"epochs": 2, "verbose": 0, "validation_split": 0.3, "batch_size": 4}

    first = epochwise.fit(whole, X, Y, **options)
    second = epochwise.fit(cut, X, Y, callbacks=[callback], **options)

    assert first.history == second.history
    for one, other in zip(whole.get_weights(), cut.get_weights(), strict=True):
        assert one.tobytes() == other.tobytes()
    assert len(calls) == 2 * (1 + 2 * 3 + 1)


def test_no_batch_of_an_evaluation_is_told_where_nobody_looks() -> None:
    """Without such a callback an evaluation is not cut."""
    told: list[object] = []

    class Listener:
        def on_event(self, event: object) -> None:
            told.append(type(event))

    callback, _ = watching(*EPOCH_HOOKS)
    epochwise.fit(
        network(), X, Y, verbose=0, validation_split=0.3, batch_size=4, callbacks=[callback],
        listeners=[Listener()],
    )  # fmt: skip

    assert BatchEvaluated not in told
