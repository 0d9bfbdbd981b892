"""What a microbatch weighs, so that the parts of a batch add up to the batch's own loss."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from epochwise.data.samples import leaves
from epochwise.engines.values import Batch, has_own_step
from epochwise.errors import ModelError

Weigh = Callable[[Batch], Any]
"""What a microbatch's loss and gradient are multiplied by, a float32 scalar."""


def check_microbatches(model: keras.Model, microbatch_size: int | None) -> None:
    """Refuse microbatches for a model that updates its weights itself.

    Raises:
        ModelError: microbatches were asked for, and the model has its own `train_step`.
    """
    if microbatch_size is not None and has_own_step(model, "train_step"):
        raise ModelError(
            f"microbatch_size={microbatch_size} cannot be used with "
            f"{type(model).__name__}.train_step, which updates the weights itself.",
            "leave out microbatch_size, or remove the train_step of your own.",
        )


def microbatch_weight(model: keras.Model) -> Weigh:
    """Return what a microbatch weighs.

    Keras divides a loss by the number of samples (`sum_over_batch_size`) or by the sum
    of their weights (`mean_with_sample_weight`); a part weighs what it was divided by.

    Raises:
        ModelError: the loss is a plain sum, outputs carry masks, or outputs are divided
            by different things: no one weight is right then.
    """
    flat = getattr(model._compile_loss, "_flat_losses", None) or ()
    reductions = {getattr(loss, "reduction", "sum_over_batch_size") for _, loss, _, _ in flat}
    masked = [
        output.name
        for output in keras.tree.flatten(getattr(model, "outputs", None) or [])
        if getattr(output, "_keras_mask", None) is not None
    ]
    if masked:
        raise ModelError(
            f"microbatch_size cannot be used: output {masked[0]!r} carries a mask, so the "
            "samples of a batch do not weigh the same.",
            "leave out microbatch_size, or hand the mask over as sample_weight.",
        )
    by_count = {"sum_over_batch_size", "mean"}
    if reductions <= by_count:
        return _count
    if reductions == {"mean_with_sample_weight"}:
        return _sum_of_weights
    named = ", ".join(sorted(str(reduction) for reduction in reductions))
    raise ModelError(
        f"microbatch_size cannot be used with the loss reduction {named}: its parts do not "
        "add up to the batch's loss.",
        'leave out microbatch_size, or use reduction="sum_over_batch_size".',
    )


def check_evaluation_parts(model: keras.Model) -> None:
    """Refuse to evaluate batches in parts where these do not have the batch's loss.

    Raises:
        ModelError: they do not.
    """
    try:
        weigh = None if has_own_step(model, "test_step") else microbatch_weight(model)
    except ModelError as error:
        said = str(error).splitlines()[0].partition(": ")[2]
    else:
        if weigh is not _sum_of_weights:
            return
        said = "its loss is divided by the sum of the sample weights of a batch."
    raise ModelError(
        f"Memory ran out in an evaluation, and the batches of {model.name} cannot be "
        f"evaluated in parts: {said}",
        "give a smaller validation_batch_size, or a smaller batch_size.",
    )


def _count(batch: Batch) -> Any:
    """The number of samples."""
    return ops.convert_to_tensor(leaves(batch.x)[0].shape[0], "float32")


def _sum_of_weights(batch: Batch) -> Any:
    """The sum of the sample weights; the number of samples where they have none."""
    weights = leaves(batch.weight)
    if not weights:
        return _count(batch)
    return ops.sum(ops.cast(weights[0], "float32"))
