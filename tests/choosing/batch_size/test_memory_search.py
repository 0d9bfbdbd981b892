"""The largest batch that fits, section H of CASES, with memory that is made up."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochwise.choosing.batch_size.memory import (
    Tried,
    largest_batch,
)
from epochwise.engines.memory import is_out_of_memory
from epochwise.errors import ModelError


class FakeMemory:
    """A model that needs one unit of memory a sample, and has room for `room` of them.

    Args:
        room: samples that fit.
        updates: weight updates that the model had made before the search.
        error: what is raised when memory runs out.
        lengths: units that each sample needs; all 1 by default.
    """

    def __init__(
        self,
        room: int,
        *,
        updates: int = 0,
        error: Callable[[], Exception] = MemoryError,
        lengths: list[int] | None = None,
    ) -> None:
        self.room = room
        self.updates = updates
        self.error = error
        self.lengths = lengths
        self.log: list[tuple[int, int, int]] = []

    def __call__(self, batch_size: int) -> Tried:
        batch = np.ones(batch_size)  # formed anew for each trial
        needed = len(batch)
        if self.lengths is not None:
            needed = sum(sorted(self.lengths, reverse=True)[:batch_size])
        if needed > self.room:
            raise self.error()
        before = self.updates
        for _ in range(2):
            self.updates += 1
        self.log.append((batch_size, before, self.updates))
        self.updates = before
        return Tried(batch_size=batch_size, fits=True, iterations=2, memory_bytes=needed)


@pytest.mark.parametrize("updates", [0, 50])
def test_h01_every_trial_trains(updates: int) -> None:
    """H01: above 8 nothing fits: 8, at update 0 and at update 50, each trial with 2 updates."""
    memory = FakeMemory(8, updates=updates)

    found = largest_batch(memory, samples=1000, start=1)

    assert found.batch_size == 8
    assert [size for size, _, _ in memory.log] == [1, 2, 4, 8]
    assert all(after - before == 2 for _, before, after in memory.log)


def test_h01_a_trial_that_trained_nothing_is_no_trial() -> None:
    """H01: a trial that reports success without two updates is an error of ours, not a fit."""

    def idle(batch_size: int) -> Tried:
        return Tried(batch_size=batch_size, fits=True, iterations=0)

    with pytest.raises(ValueError, match="made 0 iterations"):
        largest_batch(idle, samples=1000)


def test_h02_the_last_size_is_one_that_ran() -> None:
    """H02: three trials from 2, all fit: 8, not the 16 that was never run."""
    found = largest_batch(FakeMemory(10**9), samples=10**6, start=2, trials=3)

    assert (found.batch_size, found.limit) == (8, "trials")


def test_h02_a_ceiling_is_kept() -> None:
    """H02: capped at 8,192 and out of memory above 4,096: 4,096."""
    found = largest_batch(FakeMemory(4096), samples=10**6, ceiling=8192)

    assert (found.batch_size, found.limit) == (4096, "memory")


@given(
    room=st.integers(1, 300),
    samples=st.integers(1, 300),
    start=st.integers(1, 300),
    ceiling=st.none() | st.integers(1, 300),
    trials=st.integers(12, 24),
    refine=st.booleans(),
)
def test_h02_what_is_returned_ran(
    room: int, samples: int, start: int, ceiling: int | None, trials: int, refine: bool
) -> None:
    """H02, H05: the size is the largest of the trials that fit, and within bounds."""
    memory = FakeMemory(room)

    found = largest_batch(
        memory, samples=samples, start=start, ceiling=ceiling, trials=trials, refine=refine
    )

    ran = [one.batch_size for one in found.tried if one.fits]
    assert found.batch_size == max(ran)
    assert ran == [size for size, _, _ in memory.log]
    assert found.batch_size <= min(room, samples, ceiling or samples)
    assert len(found.tried) <= trials
    if refine and found.limit != "trials":
        assert found.batch_size == min(room, samples, ceiling or samples)
    if found.limit == "trials":
        assert len(found.tried) == trials


def test_h02_trials_that_ran_out_are_told() -> None:
    """H02: where sizes between are left untried, memory is not said to be the limit."""
    found = largest_batch(FakeMemory(66), samples=88, start=1, trials=12, refine=True)
    whole = largest_batch(FakeMemory(66), samples=88, start=1, trials=13, refine=True)

    assert (found.batch_size, found.limit) == (65, "trials")
    assert (whole.batch_size, whole.limit) == (66, "memory")


def test_h03_not_even_one_fits() -> None:
    """H03: where nothing fits the error says what was tried; no default is returned."""
    with pytest.raises(ModelError, match="Not even 1 sample fits") as raised:
        largest_batch(FakeMemory(0), samples=1000, start=16)

    assert "16, 8, 4, 2, 1" in str(raised.value)


def test_h03_the_analysis_is_in_the_error() -> None:
    """H03: what the compiler measured is told, in units that people read."""

    def too_large(batch_size: int) -> Tried:
        return Tried(batch_size=batch_size, fits=False, memory_bytes=3_000_000_000 * batch_size)

    with pytest.raises(ModelError, match=r"2 \(6 GB\), 1 \(3 GB\)"):
        largest_batch(too_large, samples=1000, start=2)


def test_h03_a_search_cut_short_says_how_to_go_on() -> None:
    """H03: with trials left unused at 1, the remedy names the next smaller size."""
    with pytest.raises(ModelError, match=r"sizes=\[4\]"):
        largest_batch(FakeMemory(0), samples=1000, start=16, trials=2)


def test_h05_no_batch_is_larger_than_the_set() -> None:
    """H05: of 50 samples the largest batch is the whole set, and the search says so."""
    found = largest_batch(FakeMemory(10**9), samples=50)

    assert (found.batch_size, found.limit) == (50, "whole set")
    assert [one.batch_size for one in found.tried] == [16, 32, 50]


@pytest.mark.parametrize(("refine", "expected"), [(False, 8), (True, 12)])
def test_h07_a_trial_after_a_failure_starts_anew(refine: bool, expected: int) -> None:
    """H07: above 12 nothing fits, from 64: 8 by halving, 12 by bisection, never 1."""
    found = largest_batch(FakeMemory(12), samples=1000, start=64, refine=refine)

    assert found.batch_size == expected


@pytest.mark.parametrize(("refine", "expected"), [(False, 4), (True, 5)])
def test_h08_a_first_trial_that_fails_is_an_answer(refine: bool, expected: int) -> None:
    """H08: from 64 with room for 5: 4 by powers of two, 5 by bisection."""
    found = largest_batch(FakeMemory(5), samples=1000, start=64, refine=refine)

    assert found.batch_size == expected


def test_h15_the_longest_samples_decide() -> None:
    """H15: with three samples of 100 among many of 1, what fits holds the longest."""
    memory = FakeMemory(250, lengths=[1] * 97 + [100] * 3)

    assert largest_batch(memory, samples=100, start=1).batch_size == 2
    assert largest_batch(FakeMemory(250), samples=100, start=1).batch_size == 100


class XlaRuntimeError(RuntimeError):
    """As jaxlib names it."""

    __module__ = "jaxlib._jax"


class JaxRuntimeError(RuntimeError):
    """As newer versions of JAX name it."""

    __module__ = "jax.errors"


class ResourceExhaustedError(Exception):
    """As TensorFlow names it."""

    __module__ = "tensorflow.python.framework.errors_impl"


class OutOfMemoryError(RuntimeError):
    """As PyTorch names it."""

    __module__ = "torch"


class ForeignError(OutOfMemoryError):
    """A class of somebody's made from PyTorch's."""


OUT_OF_MEMORY = [
    MemoryError(),
    MemoryError("Unable to allocate 728. TiB for an array"),
    XlaRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 40 bytes."),
    JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 4 bytes."),
    ResourceExhaustedError("OOM when allocating tensor with shape[10000000,10000000]"),
    OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    ForeignError("CUDA out of memory."),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to …"),
    RuntimeError("MPS backend out of memory (MPS allocated: 1.0 GB)"),
]

ANYTHING_ELSE = [
    ValueError("out of memory"),
    ValueError("RESOURCE_EXHAUSTED: Out of memory"),
    RuntimeError("RESOURCE_EXHAUSTED: Out of memory"),
    RuntimeError("CUDA error: device-side assert triggered"),
    XlaRuntimeError("INVALID_ARGUMENT: shapes do not match; out of memory is not the matter"),
    JaxRuntimeError("INTERNAL: RESOURCE_EXHAUSTED is not how it begins"),
    TypeError("unsupported operand"),
    KeyError("DefaultCPUAllocator: can't allocate memory"),
    KeyboardInterrupt(),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=repr)
def test_h16_each_frameworks_error_is_recognised(error: Exception) -> None:
    """H16: JAX, TensorFlow, PyTorch and Python each have their own word for it."""
    assert is_out_of_memory(error)
    memory = FakeMemory(8, error=lambda: error)
    assert largest_batch(memory, samples=1000).batch_size == 8


@pytest.mark.parametrize("error", ANYTHING_ELSE, ids=repr)
def test_h16_no_other_error_is_taken_for_one(error: BaseException) -> None:
    """H16: an error of any other kind is raised at once, by the first trial that has it."""
    assert not is_out_of_memory(error)
    tries = []

    def broken(batch_size: int) -> Tried:
        tries.append(batch_size)
        raise error

    with pytest.raises(type(error)):
        largest_batch(broken, samples=1000)
    assert tries == [16]


def test_h16_jax_itself() -> None:
    """H16: what JAX raises for an array beyond any memory is recognised."""
    import jax.numpy as jnp

    with pytest.raises(Exception, match="RESOURCE_EXHAUSTED") as raised:
        jnp.zeros((10**7, 10**6)).block_until_ready()

    assert is_out_of_memory(raised.value)


def test_h16_numpy_itself() -> None:
    """H16: what NumPy raises for an array beyond any memory is recognised."""
    with pytest.raises(MemoryError) as raised:
        np.ones((10**7, 10**7))

    assert is_out_of_memory(raised.value)
