"""What a fit was asked for is told before it trains, as far as it can be known by then."""

from __future__ import annotations

import itertools

import pytest

from epochwise.callbacks.fit_report import FitPlan
from epochwise.counting.plan import Plan


def notes(planned: FitPlan) -> list[str]:
    return [caution.note for caution in planned.cautions]


def test_steps_of_one_whole_pass_are_fine() -> None:
    """60,000 at 64 in 5 epochs: 938 an epoch, 4,690 in all, and nothing to be told."""
    plan = Plan(samples=60_000, batch_size=64, epochs=5)
    for steps in (None, 938):
        planned = FitPlan(plan=plan, samples=60_000, epochs=5, steps=steps)

        assert notes(planned) == []
        assert (planned.iterations, planned.updates) == (4690, 4690)


@pytest.mark.parametrize("steps", [62, 100])
def test_a01_a03_steps_of_another_length_are_told(steps: int) -> None:
    """A01, A03: N=2010, B=32: a pass has 63 batches; 62 and 100 are told with both numbers."""
    plan = Plan(samples=2010, batch_size=32, epochs=6)
    [caution] = FitPlan(plan=plan, samples=2010, epochs=6, steps=steps).cautions

    assert caution.note == "other epochs than one pass"
    assert f"epochs of {steps} iterations" in caution.sentence
    assert "at 32 has 63" in caution.sentence


def test_a12_a_last_batch_of_one_sample_is_told() -> None:
    """A12: N=1001, B=4: one sample left; B=7 is clean."""
    single = Plan(samples=1001, batch_size=4, epochs=1)
    clean = Plan(samples=1001, batch_size=7, epochs=1)

    [caution] = FitPlan(plan=single, samples=1001).cautions
    assert caution.note == "a last batch of one sample"
    assert "BatchNormalization" in caution.sentence
    assert "epochwise.fit(..., remainder" in caution.sentence
    assert notes(FitPlan(plan=clean, samples=1001)) == []


@pytest.mark.parametrize("k", range(2, 6))
def test_b02_b04_b05_updates_of_accumulated_gradients(k: int) -> None:
    """B02, B04, B05: the updates are those of a counter that fires every k-th batch."""
    for batches, epochs, before in itertools.product(range(1, 13), range(1, 4), range(k)):
        counter, updates = before, 0
        for _ in range(batches * epochs):
            counter += 1
            updates += counter % k == 0
        planned = FitPlan(
            epochs=epochs, steps=batches, accumulated=k, accumulated_before=before
        )
        clean = batches % k == 0 and counter % k == 0

        assert planned.updates == updates
        assert planned.trains_nothing == (updates == 0)
        assert bool(planned.cautions) == (not clean)


def test_b04_what_is_left_over_is_told_with_a_remedy() -> None:
    """B04: M=10, k=4, E=3: 7 updates and 2 batches lost; ours would be 9."""
    plan = Plan(samples=20, batch_size=2, epochs=3)
    [caution] = FitPlan(plan=plan, samples=20, epochs=3, steps=10, accumulated=4).cautions

    assert "30 batches make 7 updates" in caution.sentence
    assert "the last 2 change nothing" in caution.sentence
    assert "epochwise.fit(..., batch_size=8, microbatch_size=2) for 3 updates" in (
        caution.sentence
    )


def test_b12_a_schedule_that_runs_ahead_is_told() -> None:
    """B12: with k=4 the schedule is read four times as far on as the updates are."""
    planned = FitPlan(steps=8, accumulated=4, schedule=True)

    assert notes(planned) == ["a schedule counted in batches"]
    assert "4 times as fast" in planned.cautions[0].sentence


def test_unknown_lengths_are_no_numbers() -> None:
    """Nothing is made up where the length of an epoch is not known."""
    planned = FitPlan(epochs=3, accumulated=4)

    assert (planned.plan, planned.iterations, planned.updates) == (None, None, None)
    assert notes(planned) == ["accumulated gradients"]


def test_a_plan_of_other_epochs_and_a_fit_without_any_are_told() -> None:
    """`initial_epoch` at the end, and a plan that has other epochs than fit runs."""
    plan = Plan(samples=20, batch_size=2, epochs=3)

    assert notes(FitPlan(epochs=0, steps=3)) == ["no epoch"]
    assert notes(FitPlan(plan=plan, samples=20, epochs=2)) == ["other epochs than planned"]
