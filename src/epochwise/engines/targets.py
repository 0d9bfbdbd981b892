"""Whether targets are what the compiled losses take, checked before they are trained on.

A loss that is given a class which no output stands for, or a target of another shape, may
compute a number all the same: on JAX the loss of such a class is 0, and a column of targets
is repeated over all outputs. Which target belongs to which output and loss is told by Keras's
own code. Losses of the user's are left alone: what they take, only their author knows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from keras.src.losses.loss import Loss, squeeze_or_expand_to_same_rank
from keras.src.losses.losses import LossFunctionWrapper
from keras.src.trainers.compile_utils import CompileLoss

from epochwise.data.samples import Array, Samples, leaves, map_leaves, structure
from epochwise.data.sources.arrays import first_without
from epochwise.engines.memory import is_out_of_memory
from epochwise.engines.values import build, has_own_step, telling_of
from epochwise.errors import DataError, Problem

_CLASSES = frozenset(
    {
        keras.losses.sparse_categorical_crossentropy,
        keras.losses.categorical_generalized_cross_entropy,
    }
)
"""Losses whose targets are the numbers of classes."""

_BOUNDS: dict[Callable[..., Any], tuple[int, int]] = {
    keras.losses.binary_crossentropy: (0, 1),
    keras.losses.binary_focal_crossentropy: (0, 1),
    keras.losses.categorical_hinge: (0, 1),
    keras.losses.dice: (0, 1),
    keras.losses.tversky: (0, 1),
    keras.losses.hinge: (-1, 1),
    keras.losses.squared_hinge: (-1, 1),
}
"""Between which values the targets of a loss lie."""

_OTHER_SHAPES = frozenset({keras.losses.ctc, keras.losses.circle})
"""Losses whose targets have another shape than the outputs."""


class TargetCheck:
    """Refuses targets that the losses of a model do not take.

    A sample that weighs 0 may have any target, and so may a place in a sequence where the
    model masks places.

    Args:
        model: compiled.
    """

    def __init__(self, model: keras.Model) -> None:
        """Look whether the losses are Keras's to call."""
        self._model = model
        self._outputs: dict[object, Any] = {}
        own_loss = type(model).compute_loss is not keras.Model.compute_loss
        own_step = has_own_step(model, "train_step") or has_own_step(model, "test_step")
        self._looks = not (own_loss or own_step)

    def __call__(self, samples: Samples, of: str = "", example: Samples | None = None) -> None:
        """Check the targets of samples: one pass over them, nothing copied.

        Args:
            samples: what is to be trained or evaluated on.
            of: where they come from, for messages: `" of batch 3 of epoch 1"`.
            example: a batch of such samples; `None` where they are one.

        Raises:
            DataError: names the first target that does not fit.
        """
        if not self._looks or samples.y is None:
            return
        batch = samples if example is None else example
        build(self._model, batch)
        compiled = self._model._compile_loss
        if compiled is None:
            return
        try:
            outputs = self._outputs_of(batch)
        except Exception as error:
            if is_out_of_memory(error):
                return  # the engine tries smaller batches
            raise
        pairing = _Pairing(compiled)
        pairing(samples.y, outputs, samples.weight)
        for loss, target, output, weight in pairing.pairs:
            problem = self._problem(loss, target, output, weight, _named(samples.y, target), of)
            if problem is not None:
                raise DataError([problem])

    def classes(self, batch: Samples) -> int | None:
        """Return how many classes the one target of a batch has; `None` where nobody knows.

        They are the columns of one-hot rows, or what the loss's output stands for.
        """
        [target] = keras.tree.flatten(batch.y) or [None]
        if not self._looks or target is None:
            return None
        if target.ndim > 1 and target.shape[-1] != 1:
            return int(target.shape[-1])
        pairing = _Pairing(self._model._compile_loss)
        pairing(batch.y, self._outputs_of(batch), batch.weight)
        for loss, _, output, _ in pairing.pairs:
            function = getattr(loss, "fn", None)
            if function in _CLASSES:
                return output.shape[loss._fn_kwargs.get("axis", -1)]
            if function in _BOUNDS:
                return 2
        return None

    def _outputs_of(self, batch: Samples) -> Any:
        """Return the model's outputs for a batch, as shapes."""
        x = batch.x
        key = (structure(x), *((leaf.shape[1:], leaf.dtype.str) for leaf in leaves(x)))
        if key not in self._outputs:
            specified = map_leaves(
                lambda leaf: keras.KerasTensor(
                    leaf.shape,
                    "string"
                    if leaf.dtype == object
                    else keras.backend.standardize_dtype(leaf.dtype),
                ),
                x,
            )
            with telling_of(self._model, batch):
                self._outputs[key] = keras.src.backend.compute_output_spec(
                    self._model, specified, training=False
                )
        return self._outputs[key]

    def _problem(
        self, loss: Any, target: Any, output: Any, weight: Any, name: str, of: str
    ) -> Problem | None:
        """Return what is wrong with one target, `None` if nothing is known to be."""
        wraps = type(loss).call is LossFunctionWrapper.call
        if not wraps or type(loss).__call__ is not Loss.__call__:
            return None
        function, settings = loss.fn, loss._fn_kwargs
        told = getattr(function, "__name__", "the loss")
        if function in _CLASSES:
            if self._masks and target.ndim > 1:
                return None
            return _class_problem(target, output, weight, settings, told, name, of)
        keras_own = str(getattr(function, "__module__", "")).startswith("keras.")
        if not keras_own or function in _OTHER_SHAPES:
            return None
        if not _same_shape(target, output):
            return Problem(
                f"{name}{of} has the shape {_shape(target)} and the model's output "
                f"{_shape(output)}; {told} would repeat one over the other.",
                f"give targets of the shape {_shape(output)}, or the last layer as many units "
                "as there are targets.",
            )
        if function not in _BOUNDS or (self._masks and target.ndim > 1):
            return None
        low, high = _BOUNDS[function]
        index = _first_unfit(lambda rows: (rows >= low) & (rows <= high), target, weight)
        if index is None:
            return None
        return Problem(
            f"{_element(target, index, name, of)}, and {told} takes targets from {low} to "
            f"{high}.",
            "give 0 for one class and 1 for the other; for more classes, the last layer a unit "
            'for each and loss="sparse_categorical_crossentropy".',
        )

    @property
    def _masks(self) -> bool:
        """Whether a layer of the model masks places."""
        return any(
            getattr(layer, "mask_zero", False) or isinstance(layer, keras.layers.Masking)
            for layer in self._model._flatten_layers()
        )


class _Pairing(CompileLoss):
    """Keras's pairing of targets, outputs and losses, with no loss computed.

    Args:
        compiled: the model's.
    """

    def __init__(self, compiled: Any) -> None:
        super().__init__(
            compiled._user_loss,
            compiled._user_loss_weights,
            output_names=compiled.output_names,
        )
        self.pairs: list[tuple[Any, Any, Any, Any]] = []

    @property
    def metrics(self) -> list[None]:
        """Nothing that counts, for each loss."""
        return [None] * len(self._losses)

    def build(self, y_true: Any, y_pred: Any) -> None:
        """Find the losses as Keras does, and note in place of each what it is called with."""
        super().build(y_true, y_pred)
        for place, flat in enumerate(list(self._losses)):
            self._losses[place] = flat._replace(loss=partial(self._note, flat.loss))

    @property
    def _losses(self) -> list[Any]:
        found: Any = vars(self)["_flat_losses"]
        return found or []

    def _note(self, loss: Any, y_true: Any, y_pred: Any, weight: Any = None) -> float:
        self.pairs.append((loss, y_true, y_pred, weight))
        return 0.0


def _class_problem(
    target: Array, output: Any, weight: Any, settings: Any, told: str, name: str, of: str
) -> Problem | None:
    """Return which number is no class of an output's."""
    count, ignored = output.shape[settings.get("axis", -1)], settings.get("ignore_class")
    if count is None:
        return None

    def fits(rows: Array) -> npt.NDArray[np.bool_]:
        fit: npt.NDArray[np.bool_] = (rows >= 0) & (rows < count)
        if rows.dtype.kind == "f":
            fit &= np.floor(rows) == rows
        return fit if ignored is None else fit | (rows == ignored)

    index = _first_unfit(fits, target, weight)
    if index is None:
        return None
    classes = f"the classes 0 to {count - 1}" if count > 1 else "the class 0"
    value = target[index]
    left_out = (
        "; what is not to count is left out by "
        f"loss=keras.losses.SparseCategoricalCrossentropy(ignore_class={value})"
        if value == int(value)
        else ""
    )
    return Problem(
        f"{_element(target, index, name, of)}, and the model has {count} "
        f"output{'s' if count > 1 else ''}, for {classes} ({told}).",
        "number the classes from 0, classes, y = np.unique(y, return_inverse=True), and give "
        f"the last layer a unit for each{left_out}.",
    )


def _same_shape(target: Any, output: Any) -> bool:
    """Tell whether a loss compares target and output element by element, as Keras does it."""
    shapes = squeeze_or_expand_to_same_rank(
        *(keras.KerasTensor((None, *tensor.shape[1:])) for tensor in (target, output))
    )
    here, there = (tuple(tensor.shape) for tensor in shapes)
    return len(here) == len(there) and all(
        None in pair or pair[0] == pair[1] for pair in zip(here, there, strict=True)
    )


def _first_unfit(
    fits: Callable[[Array], npt.NDArray[np.bool_]], target: Array, weight: Any
) -> tuple[int, ...] | None:
    """Return the place of the first target that does not fit and counts."""
    if weight is None or weight.ndim > target.ndim:
        return first_without(lambda rows, _: fits(rows), target)
    weight = weight.reshape(*weight.shape, *(1,) * (target.ndim - weight.ndim))
    return first_without(
        lambda rows, start: fits(rows) | (weight[start : start + rows.shape[0]] == 0), target
    )


def _named(targets: Any, target: Any) -> str:
    """Return what a target is called among several: `y['age']`."""
    for path, leaf in keras.tree.flatten_with_path(targets):
        if leaf is target:
            return "y" + "".join(f"[{key!r}]" for key in path)
    return "y"


def _element(target: Array, index: tuple[int, ...], name: str, of: str) -> str:
    return f"{name}[{', '.join(map(str, index))}]{of} is {target[index]}"


def _shape(tensor: Any) -> str:
    """Return a shape as people write it: `(N, 3)`."""
    rest = ", ".join(map(str, tensor.shape[1:]))
    return f"(N, {rest})" if rest else "(N,)"
