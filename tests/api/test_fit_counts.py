"""Keras's own arguments for counts, given to `epochwise.fit`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import epochwise
from epochwise.errors import DataError, PlanError
from epochwise.events import Evaluated
from epochwise.record import read_run

L = keras.layers
RNG = np.random.default_rng(1)
X = RNG.normal(size=(60, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 60).astype(np.int32)
HELD_OUT = X[:23], Y[:23]


def network() -> keras.Model:
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((4,)), L.Dense(8, "relu"), L.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def batches_of(x: np.ndarray, y: np.ndarray, size: int) -> Callable[[], Iterator[Any]]:
    def batches() -> Iterator[Any]:
        for first in range(0, len(x), size):
            yield x[first : first + size], y[first : first + size]

    return batches


class Evaluations:
    """A listener that keeps every evaluation."""

    def __init__(self) -> None:
        self.seen: list[Evaluated] = []

    def on_event(self, event: object) -> None:
        if isinstance(event, Evaluated):
            self.seen.append(event)


@pytest.mark.parametrize("validation_data", [HELD_OUT, batches_of(*HELD_OUT, 5)])
def test_a07_as_many_validation_batches_are_evaluated_as_asked(validation_data: Any) -> None:
    """A07: 3 of 5 batches of 5 are 15 samples, and the metrics are those of these 15."""
    seen, model = Evaluations(), network()

    run = epochwise.fit(
        model, X, Y, epochs=2, verbose=0, validation_data=validation_data, batch_size=5,
        validation_steps=3, listeners=[seen],
    )  # fmt: skip

    loss, accuracy = model.evaluate(X[:15], Y[:15], batch_size=5, verbose=0)
    assert [event.samples for event in seen.seen] == [15, 15]
    assert run.history["val_loss"][-1] == pytest.approx(loss, rel=1e-6)
    assert run.history["val_accuracy"][-1] == pytest.approx(accuracy)


@pytest.mark.parametrize("validation_data", [HELD_OUT, batches_of(*HELD_OUT, 5)])
def test_more_validation_batches_than_there_are_is_an_error(validation_data: Any) -> None:
    """A07: 6 of 5 batches cannot be: the error names both numbers."""
    with pytest.raises((PlanError, DataError), match=r"validation_steps=6\D.* 5 batches"):
        epochwise.fit(
            network(), X, Y, verbose=0, validation_data=validation_data, batch_size=5,
            validation_steps=6,
        )  # fmt: skip


def test_validation_batches_formed_elsewhere_give_the_metrics_of_their_arrays() -> None:
    """A generator's validation batches and their arrays have one history."""
    arrays, foreign = network(), network()

    ours = epochwise.fit(
        arrays, X, Y, batch_size=8, epochs=3, verbose=0, validation_data=HELD_OUT
    )
    theirs = epochwise.fit(
        foreign, X, Y, batch_size=8, epochs=3, verbose=0,
        validation_data=batches_of(*HELD_OUT, 8),
    )  # fmt: skip

    assert ours.history == theirs.history
    assert len(theirs.history["val_loss"]) == 3


def test_an_endless_validation_generator_is_read_as_far_as_asked() -> None:
    """With validation_steps a generator that never ends gives the same batches each time."""
    read: list[int] = []

    def endless() -> Iterator[Any]:
        for number in range(1_000_000):
            read.append(number)
            yield X[:4], Y[:4]

    seen = Evaluations()
    epochwise.fit(
        network(), X, Y, epochs=3, verbose=0, validation_data=endless, validation_steps=2,
        listeners=[seen],
    )  # fmt: skip

    assert [event.samples for event in seen.seen] == [8, 8, 8]
    assert len(read) <= 3 * 3


def test_c09_the_batch_size_of_evaluation_is_the_one_asked_and_changes_no_metric() -> None:
    """C09: validation in batches of 23, 7 and 1 gives the same metrics to a millionth."""
    histories = [
        epochwise.fit(
            network(), X, Y, verbose=0, validation_data=HELD_OUT, validation_batch_size=size
        ).history
        for size in (23, 7, 1)
    ]

    for history in histories[1:]:
        assert history["val_loss"] == pytest.approx(histories[0]["val_loss"], rel=1e-6)
        assert history["val_accuracy"] == pytest.approx(histories[0]["val_accuracy"])


def test_c09_the_validation_batches_have_the_size_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """C09: what the engine is handed to evaluate are batches of 7, the last of 2."""
    from epochwise.engines.on_jax.engine import JaxEngine

    shapes: list[int] = []
    load = JaxEngine.load

    def noting(self: JaxEngine, window: Any, *, evaluating: bool = False) -> Any:
        if evaluating:
            shapes.append(window.batch_size)
        return load(self, window, evaluating=evaluating)

    monkeypatch.setattr(JaxEngine, "load", noting)
    epochwise.fit(network(), X, Y, verbose=0, validation_data=HELD_OUT, validation_batch_size=7)

    assert shapes == [7, 2]


def test_validation_freq_is_the_epochs_between_two_evaluations() -> None:
    """Every second of five epochs is evaluated: after the second and the fourth."""
    seen = Evaluations()

    epochwise.fit(
        network(), X, Y, epochs=5, verbose=0, validation_data=HELD_OUT, validation_freq=2,
        listeners=[seen],
    )  # fmt: skip

    assert [event.position.epochs_done for event in seen.seen] == [2, 4]


@pytest.mark.parametrize("freq", [0, -1, 1.5, True, [1, 0]])
def test_a_validation_freq_that_is_no_count_is_refused(freq: Any) -> None:
    """The error names the value."""
    with pytest.raises(PlanError, match="validation_freq="):
        epochwise.fit(
            network(), X, Y, verbose=0, validation_data=HELD_OUT, validation_freq=freq
        )


@pytest.mark.parametrize("asked", [6, 100])
def test_a01_a03_an_epoch_of_arrays_is_every_sample_once(asked: int) -> None:
    """A01, A03: another number of iterations an epoch than 8 is refused, naming both."""
    model = network()

    with pytest.raises(PlanError, match=rf"steps_per_epoch={asked}\b.* 8 iterations"):
        epochwise.fit(model, X, Y, batch_size=8, steps_per_epoch=asked, epochs=2, verbose=0)

    run = epochwise.fit(model, X, Y, batch_size=8, steps_per_epoch=8, epochs=2, verbose=0)
    assert run.position.iterations_done == 16


def test_a01_a15_fewer_batches_an_epoch_are_a_continuing_stream() -> None:
    """A01, A15: 10 batches at 6 an epoch for 5 epochs are 30 iterations, none short."""
    epochs: list[int] = []
    counted = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: epochs.append(int(model.optimizer.iterations))
    )
    model = network()

    run = epochwise.fit(
        model, batches_of(X, Y, 6), steps_per_epoch=6, epochs=5, verbose=0, callbacks=[counted]
    )

    assert epochs == [6, 12, 18, 24, 30]
    assert run.position.iterations_done == 30


def test_a03_more_batches_an_epoch_than_a_pass_has_are_refused_by_name() -> None:
    """A03: 100 of 10 batches: an error that calls the argument as the caller did."""
    with pytest.raises(DataError, match=r"steps_per_epoch=100 exceeds the 10 batches"):
        epochwise.fit(network(), batches_of(X, Y, 6), steps_per_epoch=100, verbose=0)


def test_initial_epoch_is_refused_with_what_to_give_instead() -> None:
    """A second call goes on by itself, so numbering epochs anew is an error."""
    with pytest.raises(PlanError, match="initial_epoch=3") as refused:
        epochwise.fit(network(), X, Y, epochs=5, initial_epoch=3, verbose=0)

    assert "give epochs=2," in str(refused.value)


def test_what_batches_bring_themselves_is_refused_together() -> None:
    """batch_size, remainder and validation_split beside batches are named in one error."""
    with pytest.raises(PlanError, match="validation_split, batch_size, remainder"):
        epochwise.fit(
            network(), batches_of(X, Y, 6), batch_size=4, remainder="drop",
            validation_split=0.1, verbose=0,
        )  # fmt: skip
    with pytest.raises(PlanError, match=r"validation_data brings .* validation_batch_size"):
        epochwise.fit(
            network(), X, Y, verbose=0, validation_data=batches_of(X, Y, 6),
            validation_batch_size=5,
        )  # fmt: skip


def test_the_time_of_compiling_ahead_is_told_and_kept(tmp_path: Path) -> None:
    """What was compiled before the first iteration counts, in the run and in its record."""
    run = epochwise.fit(network(), X, Y, verbose=0, run_dir=tmp_path / "run")

    assert run.seconds.compiling > 0
    assert read_run(tmp_path / "run").run.seconds == run.seconds
