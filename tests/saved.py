"""States that tell where they come from, for tests of what is saved."""

from __future__ import annotations

import numpy as np

from epochwise.counting.position import Position
from epochwise.events import TrainingState


def state_at(iterations: int, *, scale: int = 1, **memories: object) -> TrainingState:
    """Return a state whose every array tells the iteration.

    Args:
        iterations: how many are done [iterations].
        scale: how many times larger the largest array is.
        memories: what the state remembers.
    """
    rng = np.random.default_rng(iterations)
    return TrainingState(
        position=Position(iterations_done=iterations, iterations_in_epoch_done=iterations),
        arrays={
            "trainable/0": rng.standard_normal((scale, 3, 5)).astype(np.float32),
            "optimizer/0": np.array(iterations, np.int64),
            "metrics/0": rng.integers(0, 2, 3).astype(bool),
            "seed/0": rng.integers(0, 2**32, 2, np.uint32),
        },
        memories={"iteration": iterations, **memories},
    )


def assert_same(one: TrainingState, other: TrainingState) -> None:
    """Check that two states are equal: every bit, every dtype, every memory."""
    assert one.position == other.position
    assert one.memories == other.memories
    assert list(one.arrays) == list(other.arrays)
    for name, array in one.arrays.items():
        assert array.dtype == other.arrays[name].dtype
        assert array.shape == other.arrays[name].shape
        assert array.tobytes() == other.arrays[name].tobytes()
