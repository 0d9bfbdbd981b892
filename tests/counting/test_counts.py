"""The arithmetic agrees with counting on one's fingers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochwise.counting import counts
from epochwise.counting.counts import Remainder
from epochwise.errors import PlanError

SAMPLES = st.integers(1, 60)
BATCH_SIZES = st.integers(1, 25)
REMAINDERS = st.sampled_from(["keep", "drop"])


def batches_of_an_epoch(samples: int, batch_size: int, remainder: Remainder) -> list[int]:
    """Deal the samples out one by one, and count what each batch got."""
    batches = [0]
    for _ in range(samples):
        if batches[-1] == batch_size:
            batches.append(0)
        batches[-1] += 1
    if remainder == "drop" and batches[-1] < batch_size:
        batches.pop()
    return batches


@given(SAMPLES, BATCH_SIZES, REMAINDERS)
def test_an_epoch_has_the_batches_that_dealing_out_gives(
    samples: int, batch_size: int, remainder: Remainder
) -> None:
    """Iterations, last batch, trained and dropped samples are those of samples dealt out."""
    batches = batches_of_an_epoch(samples, batch_size, remainder)
    if not batches:
        with pytest.raises(PlanError, match="an epoch would hold no iteration"):
            counts.iterations_per_epoch(samples, batch_size, remainder)
        return
    assert counts.iterations_per_epoch(samples, batch_size, remainder) == len(batches)
    assert counts.last_batch_size(samples, batch_size, remainder) == batches[-1]
    assert counts.samples_per_epoch(samples, batch_size, remainder) == sum(batches)
    assert counts.dropped_per_epoch(samples, batch_size, remainder) == samples - sum(batches)


@given(SAMPLES, BATCH_SIZES, REMAINDERS, st.integers(1, 4))
def test_every_iteration_is_the_one_that_dealing_out_gives(
    samples: int, batch_size: int, remainder: Remainder, epochs: int
) -> None:
    """Batch size, epoch and running sample count hold at each iteration of some epochs."""
    batches = batches_of_an_epoch(samples, batch_size, remainder)
    samples_done = iteration_index = 0
    for epoch_index in range(epochs):
        for index_in_epoch, batch in enumerate(batches):
            shape = (samples, batch_size, remainder)
            assert counts.batch_size_of(iteration_index, *shape) == batch
            assert counts.samples_done_after(iteration_index, *shape) == samples_done
            assert counts.epoch_of(iteration_index, len(batches)) == (
                epoch_index,
                index_in_epoch,
            )
            samples_done += batch
            iteration_index += 1


@given(st.integers(1, 200), st.integers(1, 50))
def test_microbatches_are_the_parts_of_a_batch(batch_samples: int, size: int) -> None:
    """A batch cut every `size` samples has as many parts as counted; uncut it has one."""
    parts = [
        range(batch_samples)[start : start + size] for start in range(0, batch_samples, size)
    ]
    assert counts.microbatches(batch_samples, size) == len(parts)
    assert counts.microbatches(batch_samples, None) == 1


@pytest.mark.parametrize(
    ("samples", "batch_size", "keep", "drop"),
    [(10, 4, 3, 2), (100, 4, 25, 25), (2010, 32, 63, 62), (60_000, 64, 938, 937)],
)
def test_a09_length_is_in_batches(samples: int, batch_size: int, keep: int, drop: int) -> None:
    """A09: an epoch's length is counted in batches, never in samples."""
    assert counts.iterations_per_epoch(samples, batch_size, "keep") == keep
    assert counts.iterations_per_epoch(samples, batch_size, "drop") == drop


def test_a11_dropping_everything_names_both_numbers_and_a_remedy() -> None:
    """A11: a batch larger than the set with the remainder dropped is an error, not 0."""
    with pytest.raises(PlanError) as caught:
        counts.iterations_per_epoch(100, 1024, "drop")
    assert str(caught.value) == (
        "batch_size=1024 exceeds the training set (100 samples), so with "
        'remainder="drop" an epoch would hold no iteration.\n'
        '  Remedy: use batch_size=100 or less, or remainder="keep" to train on one short '
        "batch an epoch."
    )


@given(st.integers(1, 400), st.integers(1, 60))
def test_an_even_batch_size_leaves_no_short_batch_where_that_can_be(
    samples: int, near: int
) -> None:
    """It is the largest divisor within a factor of two; else the size that was wanted."""
    found = counts.even_batch_size(samples, near)
    divisors = [size for size in range(near, 2 * near + 1) if samples % size == 0]

    if samples < near:
        assert found == samples
    else:
        assert found == (max(divisors) if divisors else near)
