"""Whose the values are: cuts, callbacks, failures and evaluations leave no trace."""

from __future__ import annotations

import gc
import signal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from subjects import (
    Witness,
    X,
    Y,
    bits,
    linear,
    looks_at_iterations,
    network,
    prepared,
    weights_of,
)

import epochwise
from epochwise.api import resume
from epochwise.data.samples import Samples

SAMPLES = Samples(x=X, y=Y)
ONES = np.ones((10, 1), np.float32)
ONE_TO_TEN = np.arange(1, 11, dtype=np.float32).reshape(-1, 1)


@pytest.mark.parametrize("kind", ["batchnorm-dropout-l2", "convolution-pooling"])
def test_where_a_run_is_cut_changes_no_bit(way: dict[str, Any], kind: str) -> None:
    """Segments of one iteration give the weights that long segments give (promise 3)."""
    whole, cut = network(way, kind), network(way, kind)
    long, short = Witness(), Witness()
    options = {"batch_size": 8, "epochs": 2, "verbose": 0}

    first = epochwise.fit(whole, X, Y, listeners=[long], **options)
    second = epochwise.fit(
        cut, X, Y, listeners=[short], callbacks=[looks_at_iterations()], **options
    )

    assert set(short.lengths) == {1}
    assert max(long.lengths) > 1
    assert weights_of(whole) == weights_of(cut)
    assert first.losses.tobytes() == second.losses.tobytes()
    assert first.history == second.history


def test_f28_what_a_batch_callback_changes_holds_at_the_next_iteration(
    way: dict[str, Any],
) -> None:
    """F28: weights set after the first batch are where the second one starts."""
    model = linear(way)
    seen: list[float] = []

    def after(batch: int, logs: object) -> None:
        if batch == 0:
            model.layers[0].kernel.assign([[0.5]])
        seen.append(float(model.get_weights()[0][0, 0]))

    callback = keras.callbacks.LambdaCallback(on_train_batch_end=after)
    epochwise.fit(
        model, ONES, ONE_TO_TEN, batch_size=5, shuffle=False, verbose=0, callbacks=[callback]
    )

    assert seen == [0.5, 8.5]


def test_an_exception_leaves_the_weights_of_the_last_boundary(way: dict[str, Any]) -> None:
    """After a callback's error the model can be evaluated and trained on."""

    class Fail(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: object = None) -> None:
            raise RuntimeError("theirs")

    model, expected = network(way), network(way)
    with pytest.raises(RuntimeError, match="theirs"):
        epochwise.fit(model, X, Y, batch_size=8, epochs=3, verbose=0, callbacks=[Fail()])
    epochwise.fit(expected, X, Y, batch_size=8, verbose=0)

    assert weights_of(model) == weights_of(expected)
    epochwise.fit(model, X, Y, batch_size=8, verbose=0)


def test_values_stay_as_they_are_whatever_is_trained_later(way: dict[str, Any]) -> None:
    """Values taken, values run and arrays of the host are no views of the model."""
    engine, loaded = prepared(network(way, "batchnorm-dropout-l2"), SAMPLES)
    taken = engine.take(fresh_metrics=True)
    first, pending = engine.run(taken, loaded, 0, 2)
    pending.wait()
    on_host = engine.to_host(first)
    was = bits(engine, taken), bits(engine, first)

    engine.run(first, loaded, 2, 9)[1].wait()
    engine.run(taken, loaded, 0, 9)[1].wait()

    assert (bits(engine, taken), bits(engine, first)) == was
    assert {name: array.tobytes() for name, array in on_host.items()} == was[1]
    assert was[0] != was[1]


def test_a_segment_follows_from_the_values_it_is_given(way: dict[str, Any]) -> None:
    """The same values give the same bits again, whatever the model has been through since."""
    engine, loaded = prepared(network(way, "batchnorm-dropout-l2"), SAMPLES)
    taken = engine.take(fresh_metrics=True)

    first, pending = engine.run(taken, loaded, 0, 5)
    told = pending.wait()
    engine.run(first, loaded, 5, 9)[1].wait()
    again, pending = engine.run(taken, loaded, 0, 5)

    assert pending.wait() == told
    assert bits(engine, again) == bits(engine, first)


def test_values_go_to_the_host_and_come_back_bit_for_bit(way: dict[str, Any]) -> None:
    """Another model that is given them back goes on as the first one does."""
    one, loaded = prepared(network(way, "batchnorm-dropout-l2"), SAMPLES)
    other, loaded_too = prepared(network(way, "batchnorm-dropout-l2"), SAMPLES)
    middle, pending = one.run(one.take(fresh_metrics=True), loaded, 0, 4)
    pending.wait()

    other.give_back(other.from_host(other.take(), one.to_host(middle)))
    first, _ = one.run(middle, loaded, 4, 9)
    second, _ = other.run(other.take(), loaded_too, 4, 9)

    assert bits(one, first) == bits(other, second)


def test_some_values_alone_can_come_from_the_host(way: dict[str, Any]) -> None:
    """Best weights come back; optimizer and metrics stay what they are."""
    engine, loaded = prepared(network(way), SAMPLES)
    start = engine.take(fresh_metrics=True)
    weights = {
        name: array
        for name, array in engine.to_host(start).items()
        if name.startswith("trainable/")
    }
    after, pending = engine.run(start, loaded, 0, 9)
    pending.wait()

    engine.give_back(engine.from_host(after, weights))

    now, was, end = bits(engine), bits(engine, start), bits(engine, after)
    assert {name for name in now if now[name] != end[name]} == set(weights)
    assert all(now[name] == was[name] for name in weights)


def test_evaluation_changes_nothing(way: dict[str, Any]) -> None:
    """Weights, optimizer, metrics so far and random counters are as before (promise 6)."""
    engine, loaded = prepared(network(way, "batchnorm-dropout-l2"), SAMPLES)
    values, pending = engine.run(engine.take(fresh_metrics=True), loaded, 0, 4)
    pending.wait()
    engine.give_back(values)
    before = bits(engine)

    evaluated = engine.take(fresh_metrics=True)
    evaluated, _ = engine.evaluate(evaluated, loaded, 0, 3)
    evaluated, pending = engine.evaluate(evaluated, loaded, 3, 9)
    told = pending.wait()

    assert bits(engine) == before
    expected = engine_free_evaluation(way, engine.to_host(values))
    assert told.metrics == pytest.approx(expected, rel=1e-5)


def engine_free_evaluation(way: dict[str, Any], arrays: dict[str, Any]) -> dict[str, float]:
    """What Keras says of the first 9 batches of 8 with these weights."""
    model = network(way, "batchnorm-dropout-l2")
    for group in ("trainable", "non_trainable"):
        for place, variable in enumerate(getattr(model, f"{group}_variables")):
            variable.assign(arrays[f"{group}/{place}"])
    metrics: dict[str, float] = model.evaluate(
        X[:72], Y[:72], batch_size=8, verbose=0, return_dict=True
    )
    return metrics


def test_evaluation_counts_from_where_its_values_are(way: dict[str, Any]) -> None:
    """The comparison can fail: metrics of 3 batches are not those of 9."""
    engine, loaded = prepared(network(way), SAMPLES)
    fresh = engine.take(fresh_metrics=True)

    some = engine.evaluate(fresh, loaded, 0, 3)[1].wait()
    whole = engine.evaluate(fresh, loaded, 0, 9)[1].wait()
    again = engine.evaluate(fresh, loaded, 0, 3)[1].wait()

    assert some == again
    assert some != whole


class Breaks(keras.layers.Layer):
    """Raises when it is called for the third time while training."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def call(self, x: Any, training: bool = False) -> Any:
        self.calls += training
        if self.calls == 3:
            raise KeyboardInterrupt
        return x


def test_a_segment_that_fails_leaves_the_values_it_began_with() -> None:
    """Two iterations were trained when the third fails: all of them are undone."""
    way = {} if keras.config.backend() == "torch" else {"run_eagerly": True}
    model = keras.Sequential([keras.Input((6,)), Breaks(), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], **way)
    engine, loaded = prepared(model, SAMPLES)
    before = bits(engine)

    with pytest.raises(KeyboardInterrupt):
        engine.run(engine.take(fresh_metrics=True), loaded, 0, 9)

    after = bits(engine)
    assert {name for name in after if after[name] != before[name]} <= {
        name for name in after if name.startswith("metrics/")
    }
    model.layers[0].calls = 3
    engine.run(engine.take(), loaded, 0, 9)[1].wait()
    assert bits(engine) != after


def test_ctrl_c_ends_a_run_at_the_next_boundary(way: dict[str, Any]) -> None:
    """The iteration under way is finished, and the model holds what it made."""

    def press(batch: int, logs: object) -> None:
        if batch == 2:
            signal.raise_signal(signal.SIGINT)

    model, expected = network(way), network(way)
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=press)

    with pytest.raises(KeyboardInterrupt):
        epochwise.fit(model, X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[callback])
    epochwise.fit(expected, X, Y, batch_size=8, iterations=3, verbose=0)

    assert int(model.optimizer.iterations) == 3
    assert weights_of(model) == weights_of(expected)


def test_stop_training_is_honoured_at_the_next_boundary(way: dict[str, Any]) -> None:
    """A callback that sets it after the fourth batch leaves exactly four iterations."""
    model = network(way)

    def stop(batch: int, logs: object) -> None:
        model.stop_training = batch == 3

    callback = keras.callbacks.LambdaCallback(on_train_batch_end=stop)
    run = epochwise.fit(model, X, Y, batch_size=8, epochs=9, verbose=0, callbacks=[callback])

    assert run.position.iterations_done == 4
    assert run.stop is not None
    assert run.stop.rule == "callback"


def test_a_callback_that_changes_the_rate_changes_the_next_update(way: dict[str, Any]) -> None:
    """The rate set after the first epoch is the one told, and used, in the second."""
    model = network(way, optimizer=keras.optimizers.SGD(0.5))
    seen = Witness()
    schedule = keras.callbacks.LearningRateScheduler(
        lambda epoch, rate: 0.5 if epoch < 1 else 0.0
    )

    def weights(epoch: int, logs: object) -> None:
        kept.append(weights_of(model))

    kept: list[list[bytes]] = []
    keeper = keras.callbacks.LambdaCallback(on_epoch_end=weights)
    epochwise.fit(
        model, X, Y, batch_size=8, epochs=2, verbose=0, callbacks=[schedule, keeper],
        listeners=[seen],
    )  # fmt: skip

    assert set(seen.rates) == {0.5, 0.0}
    assert kept[0] == kept[1]


def test_f10_a_resumed_run_is_the_uninterrupted_one(
    way: dict[str, Any], tmp_path: Path
) -> None:
    """F01, F10: cut off inside an epoch and gone on from disk: the same bits, dropout too."""

    def dropping() -> keras.Model:
        keras.utils.set_random_seed(3)
        layers = [keras.layers.Dense(8), keras.layers.Dropout(0.5), keras.layers.Dense(3)]
        model = keras.Sequential([keras.Input((6,)), *layers])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        optimizer = keras.optimizers.Adam(name="adam")
        model.compile(optimizer, loss, metrics=["accuracy"], **way)
        return model

    def press(batch: int, logs: object) -> None:
        if batch == 6:
            signal.raise_signal(signal.SIGINT)

    whole = dropping()
    expected = epochwise.fit(whole, X, Y, batch_size=8, epochs=2, verbose=0)
    options = {"batch_size": 8, "epochs": 2, "verbose": 0, "run_dir": tmp_path / "run"}
    presses = [keras.callbacks.LambdaCallback(on_train_batch_end=press)]
    with pytest.raises(KeyboardInterrupt):
        epochwise.fit(dropping(), X, Y, callbacks=presses, **options)
    resumed = dropping()
    run = resume(tmp_path / "run", resumed, X, Y, verbose=0)

    assert run.position == expected.position
    assert run.losses.tobytes() == expected.losses.tobytes()
    assert run.history == expected.history
    assert weights_of(resumed) == weights_of(whole)


def test_a_longer_run_holds_no_more_tensors(way: dict[str, Any]) -> None:
    """What an epoch leaves in memory does not grow with the epochs."""
    model = network(way)

    def tensors() -> int:
        gc.collect()
        kinds = ("ArrayImpl", "EagerTensor", "Tensor", "Parameter")
        return sum(type(thing).__name__ in kinds for thing in gc.get_objects())

    counts: list[int] = []
    counter = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: counts.append(tensors())
    )
    epochwise.fit(model, X, Y, batch_size=8, epochs=6, verbose=0, callbacks=[counter])

    assert counts[5] <= counts[2]
