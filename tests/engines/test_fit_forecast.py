"""What a fit will do is told before it does it, by the rules of the real Keras."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

from epochwise.engines.on_keras_fit.forecast import FitCall, forecast, iterations_by_epoch


def notes(call: FitCall) -> list[str]:
    return [caution.note for caution in forecast(call).cautions]


def sentence(call: FitCall, note: str) -> str:
    return next(c.sentence for c in forecast(call).cautions if c.note == note)


def test_a01_a03_a15_epochs_are_those_of_keras() -> None:
    """A01, A03, A15: every M, steps_per_epoch and steps_per_execution, as Keras counts them."""
    from keras.src.trainers.epoch_iterator import EpochIterator

    as_asked = True
    for batches, asked, at_once in itertools.product(range(1, 9), range(10), range(1, 5)):
        call = FitCall(
            batches=batches,
            steps_per_epoch=asked or None,
            epochs=5,
            steps_per_execution=at_once,
        )
        real = EpochIterator(
            x=np.zeros((batches, 1)),
            batch_size=1,
            steps_per_epoch=asked or None,
            steps_per_execution=at_once,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "Your input ran out of data"
            run = [sum(len(buffer) for _, _, buffer in real) for _ in range(5)]

        assert list(iterations_by_epoch(call)) == run, call
        as_asked = as_asked and run == [min(asked or batches, batches)] * 5
    assert not as_asked  # what one would think at first is wrong somewhere


def test_a01_steps_that_do_not_divide_are_told_with_their_epochs() -> None:
    """A01: N=2010, B=32 and 62 steps an epoch: 62, 1, 62, 1, 62, 1, told before step 1."""
    call = FitCall(samples=2010, batch_size=32, batches=63, steps_per_epoch=62, epochs=6)

    told = sentence(call, "steps_per_epoch does not divide")

    assert "62, 1, 62, 1, 62, 1" in told
    assert "63" in told
    assert "steps_per_epoch=21" in told
    assert forecast(call).plan is None
    assert "…" in sentence(
        FitCall(batches=63, steps_per_epoch=62, epochs=7), "steps_per_epoch does not divide"
    )


def test_a03_more_steps_than_batches_names_both_numbers() -> None:
    """A03: M=63, 100 asked."""
    told = sentence(
        FitCall(batches=63, steps_per_epoch=100, epochs=2), "steps_per_epoch exceeds the data"
    )

    assert "steps_per_epoch=100" in told
    assert "63 batches" in told


def test_a05_data_that_can_be_read_once_is_told() -> None:
    """A05: a generator and two epochs; one epoch, or steps from a long one, are fine."""
    assert notes(FitCall(restartable=False, epochs=2)) == ["data that can be read once"]
    assert notes(FitCall(restartable=False, epochs=1)) == []
    assert notes(FitCall(restartable=False, epochs=2, steps_per_epoch=5)) == []


def test_a12_a_last_batch_of_one_sample_is_told() -> None:
    """A12: N=1001, B=4: one sample left; B=7 is clean."""
    told = sentence(
        FitCall(samples=1001, batch_size=4, batches=251), "a last batch of one sample"
    )

    assert "BatchNormalization" in told
    assert "epochwise.fit(..., remainder" in told
    assert notes(FitCall(samples=1001, batch_size=7, batches=143)) == []


def test_steps_that_divide_or_are_all_there_is_are_fine() -> None:
    """60,000 at 64 without a setting, or with M or a divisor of it, has no caution."""
    mnist = {"samples": 60_000, "batch_size": 64, "batches": 938, "epochs": 5}
    planned = forecast(FitCall(**mnist))

    assert planned.plan is not None
    assert planned.plan.iterations == planned.updates == 4690
    assert planned.samples == 300_000
    for asked in (None, 938, 469):
        assert notes(FitCall(**mnist, steps_per_epoch=asked)) == []
    assert notes(FitCall(batches=None, steps_per_epoch=62, epochs=3)) == []
    assert notes(FitCall()) == []


def test_less_than_one_pass_is_told() -> None:
    """One epoch of 62 steps leaves out one of 63 batches."""
    told = sentence(FitCall(batches=63, steps_per_epoch=62), "not one whole pass")

    assert "leaves out 1 of the 63 batches" in told


def test_steps_that_are_run_together_are_told_where_they_do_not_divide() -> None:
    """A15: six steps an epoch, four at once: 8, 2, 8, 2 on ten batches, 8 on endless data."""
    note = "steps_per_execution does not divide"
    call = FitCall(batches=10, steps_per_epoch=6, epochs=4, steps_per_execution=4)
    endless = FitCall(steps_per_epoch=6, epochs=2, steps_per_execution=4)

    assert "8, 2, 8, 2" in sentence(call, note)
    assert "hold 8, 8 iterations" in sentence(endless, note)
    assert notes(FitCall(batches=10, epochs=2, steps_per_execution=4)) == []


@pytest.mark.parametrize("k", range(2, 6))
def test_b02_b04_b05_updates_of_gathered_gradients(k: int) -> None:
    """B02, B04, B05: the updates are those of a counter that fires every k-th batch."""
    for batches, epochs, before in itertools.product(range(1, 13), range(1, 4), range(k)):
        call = FitCall(batches=batches, epochs=epochs, gathered=k, gathered_before=before)
        counter, updates = before, 0
        for _ in range(batches * epochs):
            counter += 1
            updates += counter % k == 0
        planned = forecast(call)
        clean = batches % k == 0 and counter % k == 0

        assert planned.updates == updates
        assert planned.trains_nothing == (updates == 0)
        assert bool(planned.cautions) == (not clean)


def test_b04_what_is_left_over_is_told_with_a_remedy() -> None:
    """B04: M=10, k=4, E=3: 7 updates and 2 batches lost; ours would be 9."""
    call = FitCall(samples=20, batch_size=2, batches=10, epochs=3, gathered=4)

    told = sentence(call, "gathered gradients")

    assert "30 batches make 7 updates" in told
    assert "the last 2 change nothing" in told
    assert "epochwise.fit(..., batch_size=8, microbatch_size=2) for 3 updates" in told


def test_b02_gradients_that_never_add_up_to_an_update_are_told() -> None:
    """B02: three batches and k=4: no update at all."""
    planned = forecast(FitCall(batches=3, gathered=4))

    assert planned.trains_nothing
    assert "the weights would never change" in planned.cautions[0].sentence


def test_b12_a_schedule_that_runs_ahead_is_told() -> None:
    """B12: with k=4 the schedule is read four times as far on as the updates are."""
    call = FitCall(batches=8, gathered=4, schedule=True)

    assert notes(call) == ["a schedule counted in batches"]
    assert "4 times as fast" in forecast(call).cautions[0].sentence


def test_unknown_lengths_are_no_numbers() -> None:
    """Nothing is made up where the data does not tell its length."""
    planned = forecast(FitCall(epochs=3, gathered=4))

    assert (planned.plan, planned.updates, planned.samples) == (None, None, None)
    assert notes(FitCall(epochs=3, gathered=4)) == ["gathered gradients"]
    with pytest.raises(ValueError, match="not known"):
        list(iterations_by_epoch(FitCall()))


def test_no_epochs_and_wrong_sizes_are_told() -> None:
    """An initial_epoch past the end, and sizes told that the data has not."""
    assert notes(FitCall(batches=3, epochs=0)) == ["no epoch"]
    assert notes(FitCall(samples=100, batch_size=5, batches=10)) == ["other data than was told"]
