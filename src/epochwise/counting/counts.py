"""The arithmetic of epochs, batches and iterations, on plain integers.

Every function is pure, exact for integers of any size and takes the same time
whatever their size. Arguments are taken as checked: `Plan` is where numbers from
outside come in. Symbols as in the glossary: N samples, batch size B, M iterations an
epoch.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from epochwise.errors import PlanError

Remainder: TypeAlias = Literal["keep", "drop"]
"""What becomes of the N mod B samples that do not fill a batch."""


def iterations_per_epoch(samples: int, batch_size: int, remainder: Remainder) -> int:
    """Count the weight updates in one pass over the data.

    With N samples and batch size B, the last batch holds the N mod B samples left
    over. Keeping it gives M = ceil(N / B) iterations; dropping it gives floor(N / B),
    and those samples sit out this epoch only, because the next is shuffled anew.

    Args:
        samples: N, the training set's size [samples]; at least 1.
        batch_size: B [samples / iteration]; at least 1.
        remainder: whether the N mod B left-over samples are trained on.

    Returns:
        M [iterations / epoch]; at least 1.

    Raises:
        PlanError: dropping the remainder would leave no iteration at all.

    Example:
        MNIST at batch size 128 ends on a short batch of 96 samples.

        >>> iterations_per_epoch(60_000, 128, "keep")
        469
        >>> iterations_per_epoch(60_000, 128, "drop")
        468
    """
    if remainder == "keep":
        return -(-samples // batch_size)
    if batch_size > samples:
        raise PlanError(
            f"batch_size={batch_size} exceeds the training set ({samples:,} samples), so "
            'with remainder="drop" an epoch would hold no iteration.',
            f'use batch_size={samples} or less, or remainder="keep" to train on one short '
            "batch an epoch.",
        )
    return samples // batch_size


def dropped_per_epoch(samples: int, batch_size: int, remainder: Remainder) -> int:
    """Count the samples that an epoch leaves out.

    Args:
        samples: N [samples].
        batch_size: B [samples / iteration].
        remainder: whether the left-over samples are trained on.

    Returns:
        0 when they are kept, else N mod B, in 0..B-1 [samples / epoch].

    Example:
        >>> dropped_per_epoch(60_000, 128, "drop")
        96
    """
    return samples % batch_size if remainder == "drop" else 0


def samples_per_epoch(samples: int, batch_size: int, remainder: Remainder) -> int:
    """Count the samples that one epoch trains on: N less the dropped ones.

    Args:
        samples: N [samples].
        batch_size: B [samples / iteration].
        remainder: whether the left-over samples are trained on.

    Returns:
        Samples trained on in one epoch, in 0..N [samples / epoch].

    Example:
        >>> samples_per_epoch(60_000, 128, "drop")
        59904
    """
    return samples - dropped_per_epoch(samples, batch_size, remainder)


def last_batch_size(samples: int, batch_size: int, remainder: Remainder) -> int:
    """Count the samples in the last batch of an epoch.

    Args:
        samples: N [samples]; at least 1.
        batch_size: B [samples / iteration].
        remainder: `"keep"` may end on a short batch, `"drop"` never does.

    Returns:
        N mod B when that is kept and not 0, else B [samples]; in 1..B.

    Example:
        >>> last_batch_size(60_000, 64, "keep"), last_batch_size(60_000, 64, "drop")
        (32, 64)
    """
    left_over = samples % batch_size
    return left_over if left_over and remainder == "keep" else batch_size


def even_batch_size(samples: int, near: int) -> int:
    """Find a batch size that leaves no short last batch.

    For passes in which it changes no result, as in evaluation: batches of one size need
    one compiled program instead of two.

    Args:
        samples: N [samples]; at least 1.
        near: the batch size wanted [samples]; at least 1.

    Returns:
        The largest divisor of N from `near` to twice that; N where it is below `near`;
        `near` where there is no such divisor.

    Example:
        >>> even_batch_size(10_000, 64), even_batch_size(10_007, 64), even_batch_size(40, 64)
        (125, 64, 40)
    """
    if samples < near:
        return samples
    return next((size for size in range(2 * near, near, -1) if not samples % size), near)


def epoch_of(iteration_index: int, iterations_per_epoch: int) -> tuple[int, int]:
    """Tell which epoch an iteration belongs to, and its place in there.

    Args:
        iteration_index: zero-based, over the whole training.
        iterations_per_epoch: M [iterations / epoch].

    Returns:
        `(epoch_index, index_in_epoch)`, both zero-based, the second in 0..M-1.

    Example:
        The 939th iteration of MNIST at batch size 64 opens the second epoch.

        >>> epoch_of(938, 938)
        (1, 0)
    """
    return divmod(iteration_index, iterations_per_epoch)


def batch_size_of(
    iteration_index: int, samples: int, batch_size: int, remainder: Remainder
) -> int:
    """Count the samples that one iteration trains on.

    Args:
        iteration_index: zero-based, over the whole training.
        samples: N [samples].
        batch_size: B [samples / iteration].
        remainder: whether an epoch may end on a short batch.

    Returns:
        The last batch's size when the iteration closes its epoch, else B [samples].

    Raises:
        PlanError: dropping the remainder would leave no iteration at all.

    Example:
        >>> [batch_size_of(i, samples=10, batch_size=4, remainder="keep") for i in range(4)]
        [4, 4, 2, 4]
    """
    per_epoch = iterations_per_epoch(samples, batch_size, remainder)
    _, index_in_epoch = epoch_of(iteration_index, per_epoch)
    if index_in_epoch == per_epoch - 1:
        return last_batch_size(samples, batch_size, remainder)
    return batch_size


def samples_done_after(
    iterations_done: int, samples: int, batch_size: int, remainder: Remainder
) -> int:
    """Count the samples trained on, repeats counted, once some iterations are done.

    Whole epochs hold what an epoch trains on; every iteration into the next is a full
    batch, because only the one that closes an epoch can be short.

    Args:
        iterations_done: finished iterations [iterations].
        samples: N [samples].
        batch_size: B [samples / iteration].
        remainder: whether an epoch may end on a short batch.

    Returns:
        Samples trained on [samples].

    Raises:
        PlanError: dropping the remainder would leave no iteration at all.

    Example:
        >>> [samples_done_after(i, 10, batch_size=4, remainder="keep") for i in range(5)]
        [0, 4, 8, 10, 14]
    """
    per_epoch = iterations_per_epoch(samples, batch_size, remainder)
    epochs_done, iterations_in_epoch_done = epoch_of(iterations_done, per_epoch)
    trained = samples_per_epoch(samples, batch_size, remainder)
    return epochs_done * trained + iterations_in_epoch_done * batch_size


def microbatches(batch_samples: int, microbatch_size: int | None) -> int:
    """Count the parts in which a batch goes through the network.

    However many they are, they make one weight update.

    Args:
        batch_samples: samples in the batch [samples]; at least 1.
        microbatch_size: samples that fit at once; `None` for the batch as a whole.

    Returns:
        ceil(batch_samples / microbatch_size) [microbatches]; at least 1.

    Example:
        >>> microbatches(10, 4), microbatches(10, None)
        (3, 1)
    """
    return 1 if microbatch_size is None else -(-batch_samples // microbatch_size)
