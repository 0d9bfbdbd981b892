"""What training changes in a Keras model, in one order that every engine shares.

Owns the groups of variables, the optimizers, and what the metrics hold when they are
reset. Knows no backend: the arrays are whatever the backend computes with.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import keras
import numpy as np

from epochwise.data.samples import Arrays, Samples, leaves, map_leaves
from epochwise.errors import EpochwiseError, ModelError
from epochwise.exits import raised_by_theirs


class Values(NamedTuple):
    """All that training changes, in the order of the model's own lists."""

    trainable: list[Any]
    non_trainable: list[Any]
    optimizer: list[Any]
    metrics: list[Any]


class Batch(NamedTuple):
    """Features, targets and weights of some samples; trees of arrays or `None`."""

    x: Any
    y: Any
    weight: Any


def named(values: Values) -> Iterator[tuple[str, Any]]:
    """Yield each array of the values with its name, `trainable/0` first.

    Example:
        >>> [name for name, _ in named(Values([1.0], [], [2.0, 3.0], []))]
        ['trainable/0', 'optimizer/0', 'optimizer/1']
    """
    for group, arrays in zip(Values._fields, values, strict=True):
        for place, array in enumerate(arrays):
            yield f"{group}/{place}", array


def replaced(values: Values, arrays: Mapping[str, Any]) -> Values:
    """Return the values with those replaced that `arrays` names, as `named` does.

    Example:
        >>> replaced(Values([1.0], [], [2.0, 3.0], []), {"optimizer/1": 4.0})
        Values(trainable=[1.0], non_trainable=[], optimizer=[2.0, 4.0], metrics=[])
    """
    return Values(
        *(
            [arrays.get(f"{group}/{place}", now) for place, now in enumerate(of_group)]
            for group, of_group in zip(Values._fields, values, strict=True)
        )
    )


def variables(model: keras.Model) -> Values:
    """Return the model's variables by group, those of its one optimizer among them."""
    return Values(
        model.trainable_variables,
        model.non_trainable_variables,
        [] if model.optimizer is None else model.optimizer.variables,
        model.metrics_variables,
    )


def all_variables(model: keras.Model) -> Values:
    """Return the model's variables by group, with those of all optimizers that it holds.

    A `train_step` of the user's may have several, each an attribute of the model.
    `model.optimizer` comes first.
    """
    return variables(model)._replace(
        optimizer=[
            variable for _, optimizer in _optimizers(model) for variable in optimizer.variables
        ]
    )


def count_updates(model: keras.Model) -> dict[str, int]:
    """Return the updates that each optimizer of the model has counted, by its name.

    Where two have the same name they go by the attributes that hold them.
    """
    named = [part for each in _optimizers(model) for part in _parts(*each)]
    names = [optimizer.name for _, optimizer in named]
    counts = {}
    for attribute, optimizer in named:
        name = attribute if names.count(optimizer.name) > 1 else optimizer.name
        counts[name] = int(keras.ops.convert_to_numpy(optimizer.iterations))
    return counts


def _parts(attribute: str, optimizer: Any) -> list[tuple[str, Any]]:
    """Return the optimizers that one hands its variables on to; itself if it does not."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    parts = getattr(inner, "optimizers", None)
    if parts is None:
        return [(attribute, optimizer)]
    return [(f"{attribute}.optimizers[{place}]", part) for place, part in enumerate(parts)]


def has_own_step(model: keras.Model, name: str) -> bool:
    """Tell whether the user's class overrides `train_step` or `test_step`."""
    return getattr(type(model), name) is not getattr(keras.Model, name)


def logs_beside_metrics(model: keras.Model, step: str) -> bool:
    """Tell whether what a step logs may be other than what the metrics say.

    So it is with a step of the user's, and with a `compute_metrics` that adds to them.
    """
    overrides = type(model).compute_metrics is not keras.Model.compute_metrics
    return overrides or has_own_step(model, step)


def metric_names(model: keras.Model) -> list[str] | None:
    """Return the names that the history will have, without the validation part's.

    `None` where they are not known before training: with a step or a `compute_metrics` of
    the user's, or where the metrics are not built yet.

    Args:
        model: compiled and built.
    """
    if any(logs_beside_metrics(model, step) for step in ("train_step", "test_step")):
        return None
    compiled = model._compile_metrics
    if compiled is not None and not compiled.built:
        return None
    return list(as_numbers(model.get_metrics_result()))


def as_keras_data(batch: Batch) -> Any:
    """Return a batch as Keras hands it to `train_step`: `x`, `(x, y)` or with weights."""
    return keras.utils.pack_x_y_sample_weight(batch.x, batch.y, batch.weight)


def placed_beside(
    samples: Samples, resident: Samples | None, placed: Any, place: Callable[[Samples], Batch]
) -> Batch:
    """Return samples on the device, where what they share with resident ones lies already.

    Args:
        samples: what to place.
        resident: what was placed before; `None` if nothing was.
        placed: that, on the device.
        place: copies samples to the device.
    """
    if resident is None or samples.x is not resident.x or samples.y is not resident.y:
        return place(samples)
    if samples.weight is None or samples.weight is resident.weight:
        return Batch(placed.x, placed.y, None if samples.weight is None else placed.weight)
    weight = place(replace(samples, x=samples.weight, y=None, weight=None)).x
    return Batch(placed.x, placed.y, weight)


def build(model: keras.Model, example: Samples) -> None:
    """Create the model's, the metrics' and the optimizer's variables where they are missing.

    Args:
        model: compiled.
        example: a batch, raw.

    Raises:
        ModelError: the network, its loss or its metrics cannot take them.
    """
    model._assert_compile_called("fit")
    x = example.x
    x = map_leaves(lambda leaf: _as_tensor(leaf) if leaf.dtype == object else leaf, x)
    if example.divisor is not None:  # shapes and types are all that is looked at
        x = map_leaves(lambda leaf: np.broadcast_to(np.float32(0), leaf.shape), x)
    with telling_of(model, example):
        model._symbolic_build(data_batch=(x, example.y, example.weight))


@contextmanager
def telling_of(model: keras.Model, example: Samples) -> Iterator[None]:
    """Say on what a model was tried first, where that raises.

    What the user's own code raises comes through as it was raised, with a note. What Keras
    says of the model or the samples is told in its words.

    Args:
        model: compiled.
        example: the batch.

    Raises:
        ModelError: Keras cannot train the model on it.
    """
    before = sys.exc_info()[1]
    try:
        yield
    except EpochwiseError:
        raise
    except Exception as error:
        on = f"{model.name} on {_shapes(example)}"
        theirs = raised_by_theirs(error, before)
        if theirs is not None:
            theirs.add_note(f"This was while Epochwise tried {on}.")
            raise theirs  # noqa: B904  # it is behind the error already
        said = " ".join(str(error).split())
        by_name = any(isinstance(told, dict) for told in _told_to_compile(model))
        names = ", ".join(map(repr, getattr(model, "output_names", None) or ()))
        raise ModelError(
            f"Keras cannot train {on}: {type(error).__name__}: {said}",
            "compile the model with losses and metrics by the names of its outputs"
            f"{names and f' ({names})'}, or in a list, in their order."
            if by_name
            else "look whether the network's outputs fit the targets, and the loss and the "
            "metrics both of them.",
        ) from error


def _told_to_compile(model: keras.Model) -> list[Any]:
    """Return the losses and the metrics as the model was compiled with them."""
    metrics = model._compile_metrics
    own = () if metrics is None else (metrics._user_metrics, metrics._user_weighted_metrics)
    return [model.loss, *own]


def _as_tensor(text: Any) -> Any:
    """Return text as a tensor, whose type Keras knows."""
    return keras.ops.convert_to_tensor(text)


def _shapes(example: Samples) -> str:
    """Return the shapes of a sample's features and targets for a sentence."""

    def told(arrays: Arrays | None) -> str:
        return ", ".join(str(leaf.shape[1:]) for leaf in leaves(arrays)) or "none"

    return f"features of shape {told(example.x)} with targets of shape {told(example.y)}"


def weight_bytes(model: keras.Model) -> int:
    """Return the size of the model's trainable weights [bytes]; 0 before it is built."""
    return sum(
        math.prod(variable.shape) * np.dtype(variable.dtype).itemsize
        for variable in model.trainable_variables
    )


def reset_values(model: keras.Model) -> list[np.ndarray[Any, Any]]:
    """Return what the metrics' variables hold when reset; the model stays as it is."""
    held = model.metrics_variables
    now = [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in held]
    model.reset_metrics()
    fresh = [np.array(keras.ops.convert_to_numpy(variable.value)) for variable in held]
    for variable, value in zip(held, now, strict=True):
        variable.assign(value)
    return fresh


def as_numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return metrics as numbers, the loss first; one with several values as that many.

    Args:
        metrics: arrays of any backend by name.

    Example:
        >>> as_numbers({"f1_score": np.array([0.5, 1.0]), "loss": np.float32(2.0)})
        {'loss': 2.0, 'f1_score_0': 0.5, 'f1_score_1': 1.0}
    """
    numbers = {}
    for name in loss_first(metrics):
        value = np.asarray(keras.ops.convert_to_numpy(metrics[name]))
        parts = {name: value}
        if value.ndim:
            parts = {f"{name}_{place}": part for place, part in enumerate(value.ravel())}
        numbers.update({told: float(part) for told, part in parts.items()})
    return numbers


def loss_first(names: Iterable[str]) -> list[str]:
    """Return the names with `loss` before the others, which keep their order.

    Example:
        >>> loss_first(["accuracy", "loss", "auc"])
        ['loss', 'accuracy', 'auc']
    """
    return sorted(names, key=lambda name: name != "loss")


def _optimizers(model: keras.Model) -> Iterator[tuple[str, Any]]:
    """Yield the model's optimizers with their attributes: `optimizer`, then its own."""
    seen: set[int] = set()
    attributes = {"optimizer": model.optimizer, **vars(model)}
    for attribute, value in attributes.items():
        if isinstance(value, keras.optimizers.Optimizer) and id(value) not in seen:
            seen.add(id(value))
            yield attribute, value
