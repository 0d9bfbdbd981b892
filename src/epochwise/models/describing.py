"""What a record tells about a model: its layers, its size, how it is compiled."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from epochwise.data.samples import Array


def describe(model: Any) -> dict[str, Any]:
    """Return what a model is made of, in strings, numbers, lists and mappings.

    Args:
        model: a compiled Keras model.

    Returns:
        `layers` (name, type, parameters), `parameters`, `trainable_parameters`,
        `optimizer` (its configuration) and `loss` (its name, or a mapping or list).
    """
    return {
        "layers": [
            {
                "name": layer.name,
                "type": type(layer).__name__,
                "parameters": int(layer.count_params()) if layer.built else None,
            }
            for layer in getattr(model, "layers", [])
        ],
        "parameters": int(model.count_params()) if model.built else None,
        "trainable_parameters": sum(
            int(np.prod(variable.shape)) for variable in model.trainable_variables
        ),
        "optimizer": _described_optimizer(getattr(model, "optimizer", None)),
        "loss": _described(getattr(model, "loss", None)),
    }


def named_weights(model: Any) -> list[tuple[str, Array]]:
    """Return the path and the value of each weight, in the order of `model.weights`.

    Args:
        model: a built Keras model.
    """
    import keras

    return [
        (variable.path, np.asarray(keras.ops.convert_to_numpy(variable.value)))
        for variable in model.weights
    ]


def variables(model: Any) -> list[tuple[str, tuple[int, ...], str]]:
    """Return name, shape and dtype of all that training changes, in the engines' order.

    A weight's name is its own (`kernel`), without those of layer and model, which Keras
    numbers by what else its process has made; other variables have that of their group.

    Args:
        model: a built and compiled Keras model.
    """
    weights = (*model.trainable_variables, *model.non_trainable_variables)
    named = [(variable.name, variable) for variable in weights]
    named += [("optimizer", variable) for variable in model.optimizer.variables]
    named += [("metric", variable) for variable in model.metrics_variables]
    return [
        (name, tuple(int(size) for size in variable.shape), str(variable.dtype))
        for name, variable in named
    ]


def optimizer_config(optimizer: Any) -> dict[str, Any]:
    """Return an optimizer's settings by name, as Keras gives them.

    An optimizer, or a schedule in it, that does not tell its settings is told by the name
    of its class alone.

    Args:
        optimizer: a Keras optimizer.
    """
    with warnings.catch_warnings():
        # Keras 3.15 reads its own variables in a way that NumPy 2.4 warns of.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return dict(optimizer.get_config())
        except NotImplementedError:
            rate = getattr(optimizer, "_learning_rate", None)
            return {"learning_rate": type(rate).__name__}


def _described_optimizer(optimizer: Any) -> dict[str, Any] | None:
    if optimizer is None:
        return None
    return {"type": type(optimizer).__name__, **_settings(optimizer_config(optimizer))}


def _described(value: Any) -> Any:
    """Return a value made of what JSON has; functions and objects by their names."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, dict):
        if {"class_name", "config"} <= set(value):
            return {"type": value["class_name"], **_settings(value["config"])}
        return {str(key): _described(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_described(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _described(value.tolist())
    return getattr(value, "name", None) or getattr(value, "__name__", type(value).__name__)


def _settings(config: Any) -> dict[str, Any]:
    if isinstance(config, dict):
        return {str(key): _described(item) for key, item in config.items()}
    return {"config": _described(config)}
