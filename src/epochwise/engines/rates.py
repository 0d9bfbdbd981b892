"""The learning rate of a Keras model, read and set between iterations, on any backend."""

from __future__ import annotations

from typing import Any

from epochwise.errors import ModelError


def learning_rate_of(model: Any) -> float:
    """Return the rate that the model's optimizer holds.

    Args:
        model: compiled.

    Raises:
        ModelError: it follows a schedule, so that nobody else can set it; or there are
            several optimizers with rates of their own.
    """
    optimizer = _inner(model)
    if not has_one_rate(model):
        raise ModelError(
            f"{type(optimizer).__name__} has several optimizers, each with a rate of its own.",
            "compile the model with one optimizer, or give the number of epochs.",
        )
    schedule = optimizer._learning_rate
    if not hasattr(schedule, "assign"):
        raise ModelError(
            f"The learning rate follows {type(schedule).__name__}, so it cannot be set from "
            "outside.",
            'compile the model with a number, such as learning_rate=0.001, for epochs="auto".',
            command="use --learning-rate 0.001 with --epochs auto, or a number of epochs.",
        )
    return float(optimizer.learning_rate)


def has_one_rate(model: Any) -> bool:
    """Tell whether one learning rate holds for all weights: not so with several optimizers."""
    return model.optimizer is not None and not hasattr(_inner(model), "optimizers")


def set_learning_rate(model: Any, rate: float) -> None:
    """Let the model's optimizer hold this rate."""
    _inner(model).learning_rate = rate


def _inner(model: Any) -> Any:
    """Return the optimizer that updates the weights, inside one that scales the loss."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)
