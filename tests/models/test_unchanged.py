"""A model that was lent comes back as it was, bit for bit, with Keras's own state."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
import pytest
from keras.src.backend.common import global_state

import epochwise
from epochwise.models import unchanged

L = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 60).astype(np.int32)


def network() -> keras.Model:
    """A compiled network with everything that training moves beside the weights."""
    keras.utils.set_random_seed(7)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            L.Dense(8, activation="relu"),
            L.BatchNormalization(),
            L.Dropout(0.5),
            L.Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    keras.random.normal((1,))  # so that the generator that Keras draws from exists
    return model


def state_of(model: keras.Model) -> dict[str, Any]:
    """Everything about a model and the world that a training could move."""
    return {
        "weights": {v.path: np.asarray(v.value).tobytes() for v in model.variables},
        "optimizer": {v.path: np.asarray(v.value).tobytes() for v in model.optimizer.variables},
        "optimizer built": model.optimizer.built,
        "metrics": [np.asarray(v.value).tobytes() for v in model.metrics_variables],
        "metric names": model.metrics_names,
        "seed": global_state.get_global_attribute("global_random_seed"),
        "drawn": np.asarray(
            global_state.get_global_attribute("global_seed_generator").state.value
        ).tobytes(),
        "names": dict(global_state.get_global_attribute("object_name_uids")),
        "policy": keras.config.dtype_policy().name,
        "python": random.getstate(),
        "numpy": np.random.get_state()[1].tobytes(),  # noqa: NPY002
    }


@pytest.mark.parametrize("trained", [False, True])
def test_h10_a_lent_model_comes_back_as_it_was(trained: bool) -> None:
    """H10: after a whole training inside, nothing is left of it, built or not before."""
    model = network()
    if trained:
        epochwise.fit(model, X, Y, verbose=0)
    before = state_of(model)

    with unchanged(model):
        epochwise.fit(model, X, Y, epochs=2, verbose=0)
        model.optimizer.learning_rate = 0.5
        keras.random.normal((5,))
        random.random()
        np.random.rand()  # noqa: NPY002

    assert state_of(model) == before


def end_in_the_middle(model: keras.Model) -> None:
    """Move a weight, draw a number, and fail."""
    with unchanged(model):
        model.variables[0].assign(model.variables[0] + 1.0)
        keras.random.normal((5,))
        raise RuntimeError("in the middle")


def test_h10_after_an_exception_too() -> None:
    """H10: what ends in the middle leaves nothing either."""
    model = network()
    before = state_of(model)

    with pytest.raises(RuntimeError, match="in the middle"):
        end_in_the_middle(model)

    assert state_of(model) == before


def test_a_training_that_is_not_lent_shows() -> None:
    """The comparison can fail: each part of the state is moved by a training."""
    model = network()
    before = state_of(model)
    epochwise.fit(model, X, Y, verbose=0)
    L.Dense(2)
    keras.random.normal((1,))
    random.random()
    np.random.rand()  # noqa: NPY002

    after = state_of(model)

    same = {name for name in before if before[name] == after[name]}
    assert same <= {"policy", "metric names", "seed"}


def test_a_training_after_it_is_the_training_without_it() -> None:
    """H11: dropout and order go on as if the model had never been lent."""
    lent, other = network(), network()
    with unchanged(lent):
        epochwise.fit(lent, X, Y, batch_size=4, verbose=0)

    for model in (lent, other):
        epochwise.fit(model, X, Y, batch_size=8, epochs=2, verbose=0)

    for ours, theirs in zip(lent.variables, other.variables, strict=True):
        assert np.asarray(ours.value).tobytes() == np.asarray(theirs.value).tobytes()
