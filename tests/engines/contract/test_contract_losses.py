"""What an engine tells: each batch's own loss, means over samples, rates."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from subjects import Witness, X, Y, linear, looks_at_iterations, network, reader

import epochwise

ONES = np.ones((10, 1), np.float32)
ONE_TO_TEN = np.arange(1, 11, dtype=np.float32).reshape(-1, 1)


def test_c01_the_epochs_loss_is_the_mean_over_samples(way: dict[str, Any]) -> None:
    """C01: 3 samples in batches of 2 and 1 with losses 10 and 9: 29/3, not 9.5."""
    y = np.array([[10.0], [10.0], [9.0]])
    held_out = (np.ones((3, 1)), y)

    model = reader(way)
    run = epochwise.fit(
        model, np.ones((3, 1)), y, batch_size=2, shuffle=False, verbose=0,
        validation_data=held_out,
    )  # fmt: skip

    assert run.losses.tolist() == [10.0, 9.0]
    assert run.history["loss"] == pytest.approx([29 / 3])
    assert run.history["val_loss"] == pytest.approx([29 / 3])
    assert model.evaluate(*held_out, batch_size=2, verbose=0) == pytest.approx(29 / 3)


def test_c03_c04_a_batchs_loss_is_its_own_and_the_running_mean_ends_in_the_history(
    way: dict[str, Any],
) -> None:
    """C03, C04: losses 4, 2, 0 are kept as they are; the running mean goes 4, 3, 2."""
    shown: list[float] = []
    seen = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: shown.append(logs["loss"])
    )

    run = epochwise.fit(
        reader(way), np.ones((3, 1)), np.array([[4.0], [2.0], [0.0]]), batch_size=1,
        shuffle=False, verbose=0, callbacks=[seen],
    )  # fmt: skip

    assert run.losses.tolist() == [4.0, 2.0, 0.0]
    assert shown == [4.0, 3.0, 2.0]
    assert run.history["loss"] == [2.0]


def test_own_losses_are_those_of_each_batch_before_its_update(way: dict[str, Any]) -> None:
    """Brute force: the batches one by one through `model.fit`, its loss taken each time."""
    theirs, ours = network(way), network(way)
    expected = []
    for first in range(0, 75, 8):
        batch = X[first : first + 8], Y[first : first + 8]
        expected += theirs.fit(*batch, batch_size=8, shuffle=False, verbose=0).history["loss"]

    run = epochwise.fit(ours, X, Y, batch_size=8, shuffle=False, verbose=0)

    np.testing.assert_allclose(run.losses, expected, rtol=2e-5)


@pytest.mark.parametrize("kind", ["plain", "batchnorm-dropout-l2", "convolution-pooling"])
def test_weights_and_history_are_those_of_model_fit(way: dict[str, Any], kind: str) -> None:
    """The short last batch has its own statistics, and dropout draws what Keras's seed says."""
    theirs, ours = network(way, kind), network(way, kind)
    options = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0}
    options["validation_data"] = (X[:50], Y[:50])

    expected = theirs.fit(X, Y, **options)
    run = epochwise.fit(ours, X, Y, **options)

    assert sorted(run.history) == sorted(expected.history)
    for name, values in expected.history.items():
        np.testing.assert_allclose(run.history[name], values, rtol=2e-5)
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_another_seed_draws_another_dropout(way: dict[str, Any]) -> None:
    """The comparison with `model.fit` can fail: with another seed the losses differ."""
    first, second = (network(way, "batchnorm-dropout-l2") for _ in range(2))
    second.layers[2].seed_generator.state.assign([6, 0])

    one, other = (
        epochwise.fit(model, X, Y, batch_size=8, shuffle=False, verbose=0)
        for model in (first, second)
    )

    assert np.abs(one.losses - other.losses).max() > 1e-3


def test_b01_the_tail_weighs_what_it_holds(way: dict[str, Any]) -> None:
    """B01: gradients 1..10, batches of 8 in parts of 4: 4.5, then the tail's own 9.5."""
    model = linear(way)
    weights = []
    seen = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: weights.append(
            float(model.get_weights()[0][0, 0])
        )
    )

    epochwise.fit(
        model, ONES, ONE_TO_TEN, batch_size=8, microbatch_size=4, shuffle=False, verbose=0,
        callbacks=[seen],
    )  # fmt: skip

    assert np.diff([0.0, *weights]).tolist() == [4.5, 9.5]


def test_b07_unequal_microbatches_are_weighted_by_their_samples(way: dict[str, Any]) -> None:
    """B07: parts of 4, 4 and 2 give the mean over 10 samples, 5.5, not the mean of means."""
    model = linear(way)

    run = epochwise.fit(
        model, ONES, ONE_TO_TEN, batch_size=10, microbatch_size=4, shuffle=False, verbose=0
    )

    assert model.get_weights()[0][0, 0] == pytest.approx(5.5)
    assert run.position.iterations_done == 1


def test_b07_weighted_microbatches_are_divided_by_the_weight_of_the_batch(
    way: dict[str, Any],
) -> None:
    """B07: with mean_with_sample_weight the parts weigh the sums of their weights."""
    weight = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 30], np.float32)
    models = [linear(way, "mean_with_sample_weight") for _ in range(2)]
    options = {"batch_size": 10, "shuffle": False, "verbose": 0, "sample_weight": weight}

    epochwise.fit(models[0], ONES, ONE_TO_TEN, **options)
    epochwise.fit(models[1], ONES, ONE_TO_TEN, microbatch_size=4, **options)

    expected = float((weight * ONE_TO_TEN[:, 0]).sum() / weight.sum())
    for model in models:
        assert model.get_weights()[0][0, 0] == pytest.approx(expected)


def test_b04_b05_no_microbatch_is_lost_and_updates_are_as_planned(way: dict[str, Any]) -> None:
    """B04, B05: 10 microbatches, 4 an iteration, 3 epochs: 9 updates, 30 microbatches."""
    model = network(way)

    run = epochwise.fit(
        model, X[:10], Y[:10], batch_size=4, microbatch_size=1, epochs=3, verbose=0
    )

    assert run.position.iterations_done == 9
    assert run.position.samples_done == 30
    assert list(run.updates.values()) == [9]


def test_b08_the_loss_does_not_grow_with_the_number_of_microbatches(
    way: dict[str, Any],
) -> None:
    """B08: one part of 8 and four of 2 log the same losses and reach the same weights."""
    whole, parts = network(way, optimizer="sgd"), network(way, optimizer="sgd")
    options = {"batch_size": 8, "shuffle": False, "verbose": 0}

    first = epochwise.fit(whole, X, Y, **options)
    second = epochwise.fit(parts, X, Y, microbatch_size=2, **options)

    np.testing.assert_allclose(first.losses, second.losses, atol=1e-6)
    for one, other in zip(whole.get_weights(), parts.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert first.history["accuracy"] == pytest.approx(second.history["accuracy"])


def test_b12_i01_the_schedule_moves_once_an_iteration(way: dict[str, Any]) -> None:
    """B12, I01: 0.1 for five updates, then 0.01, whatever the number of microbatches."""
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([4], [0.1, 0.01])
    seen = Witness()

    epochwise.fit(
        network(way, optimizer=keras.optimizers.SGD(schedule)), X[:40], Y[:40], batch_size=4,
        microbatch_size=2, verbose=0, listeners=[seen], callbacks=[looks_at_iterations()],
    )  # fmt: skip

    assert seen.rates == pytest.approx([0.1] * 5 + [0.01] * 5)


def test_the_rate_told_is_that_of_the_last_update_of_a_segment(way: dict[str, Any]) -> None:
    """A segment that ends on the last update of the higher rate tells the higher one."""
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay([4], [0.1, 0.01])
    seen = Witness()

    epochwise.fit(
        network(way, optimizer=keras.optimizers.SGD(schedule)), X[:40], Y[:40], batch_size=8,
        verbose=0, listeners=[seen],
    )  # fmt: skip

    assert seen.lengths == [5]
    assert seen.rates == pytest.approx([0.1])
