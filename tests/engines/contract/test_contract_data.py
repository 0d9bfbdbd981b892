"""What an engine takes: weights, trees, images, precision, batches of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from subjects import RNG, X, Y, network, prepared, reader, weights_of

import epochwise
from epochwise.data.samples import Samples

L = keras.layers
ONES = np.ones((10, 1), np.float32)
ONE_TO_TEN = np.arange(1, 11, dtype=np.float32).reshape(-1, 1)


def test_sample_weights_count_as_in_model_fit(way: dict[str, Any]) -> None:
    """Losses, weighted metrics and weights are those of Keras with the same weights."""
    weight = RNG.uniform(0.1, 3.0, len(X)).astype(np.float32)
    theirs, ours = network(way), network(way)
    options = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0}

    expected = theirs.fit(X, Y, sample_weight=weight, **options)
    run = epochwise.fit(ours, X, Y, sample_weight=weight, **options)

    assert run.history["loss"] == pytest.approx(expected.history["loss"], rel=2e-5)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_class_weights_weigh_the_samples_of_a_class(way: dict[str, Any]) -> None:
    """A class of weight 0 teaches nothing: its samples may be anything."""
    changed = X.copy()
    changed[Y == 2] = 9.0
    models = [network(way, optimizer="sgd") for _ in range(2)]

    for model, x in zip(models, (X, changed), strict=True):
        epochwise.fit(
            model, x, Y, class_weight={0: 1.0, 1: 2.0, 2: 0.0}, batch_size=8, shuffle=False,
            verbose=0,
        )  # fmt: skip

    assert weights_of(models[0]) == weights_of(models[1])


@pytest.mark.parametrize("named", [True, False], ids=["dict", "tuple"])
def test_several_inputs_and_outputs(way: dict[str, Any], named: bool) -> None:
    """Two inputs and two outputs, by name or by place, train as `model.fit` trains them."""

    def model() -> keras.Model:
        keras.utils.set_random_seed(3)
        inputs = {name: keras.Input((6,), name=name) for name in ("left", "right")}
        joined = L.Concatenate()(list(inputs.values()))
        outputs = {
            "kind": L.Dense(3, activation="softmax", name="kind")(joined),
            "size": L.Dense(1, name="size")(joined),
        }
        losses = {"kind": "sparse_categorical_crossentropy", "size": "mse"}
        trees = (inputs, outputs) if named else (list(inputs.values()), list(outputs.values()))
        made = keras.Model(*trees)
        made.compile("sgd", losses if named else list(losses.values()), **way)
        return made

    size = X[:, :1].copy()
    x: Any = {"left": X, "right": X[::-1].copy()}
    y: Any = {"kind": Y, "size": size}
    if not named:
        x, y = tuple(x.values()), tuple(y.values())
    theirs, ours = model(), model()
    # Of unequal batches Keras's graphs on TensorFlow take the mean of means here (C01).
    options = {"batch_size": 25, "shuffle": False, "verbose": 0}

    expected = theirs.fit(x, y, **options)
    run = epochwise.fit(ours, x, y, **options)

    assert sorted(run.history) == sorted(expected.history)
    for name, values in expected.history.items():
        assert run.history[name] == pytest.approx(values, rel=2e-5)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_images_of_bytes_are_scaled_inside_the_batch(way: dict[str, Any]) -> None:
    """uint8 with a divisor trains as the same numbers divided beforehand do."""
    images = RNG.integers(0, 256, (75, 6)).astype(np.uint8)
    scaled = (images / np.float32(255)).astype(np.float32)
    told = []
    for samples in (Samples(x=images, y=Y, divisor=255.0), Samples(x=scaled, y=Y)):
        engine, loaded = prepared(network(way), samples)
        _, pending = engine.run(engine.take(fresh_metrics=True), loaded, 0, 9)
        told.append(pending.wait())

    np.testing.assert_allclose(told[0].losses, told[1].losses, rtol=1e-5)


def test_memory_mapped_data_give_the_bits_of_resident_data(
    way: dict[str, Any], tmp_path: Path
) -> None:
    """Samples gathered on the host train to the same weights as samples on the device."""
    path = tmp_path / "x.npy"
    np.save(path, X)
    resident, gathered = network(way), network(way)

    epochwise.fit(resident, X, Y, batch_size=8, epochs=2, verbose=0)
    epochwise.fit(gathered, np.load(path, mmap_mode="r"), Y, batch_size=8, epochs=2, verbose=0)

    assert weights_of(resident) == weights_of(gathered)


def test_batches_of_somebody_else_are_the_batches(way: dict[str, Any]) -> None:
    """A generator's batches of 3, 3, 3 and 1 are trained on as they come, twice."""

    def batches() -> Iterator[tuple[Any, Any]]:
        for first in range(0, 10, 3):
            yield ONES[first : first + 3], ONE_TO_TEN[first : first + 3]

    run = epochwise.fit(reader(way), batches, epochs=2, verbose=0)

    assert run.losses.tolist() == 2 * [2.0, 5.0, 8.0, 10.0]
    assert run.history["loss"] == pytest.approx([5.5, 5.5])


def test_mixed_precision_is_what_the_model_says(way: dict[str, Any]) -> None:
    """A float16 policy computes in float16 and keeps weights and losses in float32."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = network(way)
    finally:
        keras.config.set_dtype_policy(policy)

    run = epochwise.fit(model, X, Y, batch_size=8, epochs=10, verbose=0)

    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert {str(weight.dtype) for weight in model.get_weights()} == {"float32"}
    assert np.isfinite(run.losses).all()
    assert run.losses[-10:].mean() < run.losses[:10].mean()
    assert sum(run.updates.values()) + sum(run.skipped.values()) == 100


def test_a_layer_that_is_frozen_stays_as_it_is(way: dict[str, Any]) -> None:
    """What is not trainable is not trained; what is, is."""
    model = network(way)
    model.layers[0].trainable = False
    model.compile("sgd", "sparse_categorical_crossentropy", **way)
    before = [value.copy() for value in model.get_weights()]

    epochwise.fit(model, X, Y, batch_size=8, verbose=0)

    same = [(was == now).all() for was, now in zip(before, model.get_weights(), strict=True)]
    assert same == [True, True, False, False]


def test_microbatches_of_an_embedding_add_up(way: dict[str, Any]) -> None:
    """Gradients that touch a few rows of a table alone are summed over the parts."""
    words = RNG.integers(0, 20, (24, 4)).astype(np.int32)
    labels = RNG.integers(0, 3, 24).astype(np.int32)

    def model() -> keras.Model:
        keras.utils.set_random_seed(3)
        layers = [L.Embedding(20, 5), L.Flatten(), L.Dense(3, activation="softmax")]
        made = keras.Sequential([keras.Input((4,), dtype="int32"), *layers])
        made.compile("sgd", "sparse_categorical_crossentropy", **way)
        return made

    whole, parts = model(), model()
    options = {"batch_size": 8, "shuffle": False, "verbose": 0}

    epochwise.fit(whole, words, labels, **options)
    epochwise.fit(parts, words, labels, microbatch_size=3, **options)

    for one, other in zip(whole.get_weights(), parts.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
