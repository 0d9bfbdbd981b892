"""Data and counts as a caller of `fit` gives them, turned into samples and feeds.

Owns what `fit` accepts beside the arrays themselves: weights of samples, weights of
classes, validation data, and Keras's own arguments for counts. Values come out in the
types that Keras trains with on JAX, floats as float32 and whole numbers in at most 32
bits; a memory map stays as it is.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from epochwise.data.batches import BatchFeed, is_batches
from epochwise.data.feed import ArrayFeed
from epochwise.data.order import Indices, Order
from epochwise.data.samples import Array, Arrays, Samples, leaves, map_leaves
from epochwise.data.sources import from_arrays
from epochwise.errors import DataError, PlanError
from epochwise.numbers import whole_number
from epochwise.plan import Plan

ClassWeight: TypeAlias = Mapping[int, float]
"""The weight of each class by its number; a class that is not named weighs 1."""


def given_samples(
    x: Any, y: Any = None, sample_weight: Any = None, class_weight: ClassWeight | None = None
) -> Samples:
    """Check arrays and bring them to the types that Keras trains with.

    Args:
        x: features, first axis N: an array or a tuple, list or mapping of arrays.
        y: targets, the same kinds.
        sample_weight: a weight for each sample, or a tree of them as `y`'s.
        class_weight: the weight of each class of a single target.

    Raises:
        DataError: an array is not fit to train on, or both kinds of weights are given.

    Example:
        >>> samples = given_samples(np.zeros((2, 3)), np.array([0, 1]), class_weight={1: 5.0})
        >>> samples.x.dtype, samples.y.dtype, samples.weight.tolist()
        (dtype('float32'), dtype('int32'), [1.0, 5.0])
    """
    refuse_two_weights(sample_weight, class_weight)
    samples = from_arrays(x, y, weight=sample_weight).train.map(_as_trained)
    if class_weight is not None:
        return weighed_by_class(samples, class_weight)
    each = samples.weight
    if isinstance(each, np.ndarray) and isinstance(samples.y, (tuple, Mapping)):
        return replace(samples, weight=map_leaves(lambda _: each, samples.y))
    return samples


def given_validation(
    validation_data: Any, batches: int | None = None, most_batches: int | None = None
) -> Samples | BatchFeed:
    """Return validation data: arrays as samples, batches formed elsewhere as a feed.

    Args:
        validation_data: `(x, y)` or `(x, y, sample_weight)`; `(x,)` or x without targets;
            or what `is_batches` accepts.
        batches: how many of somebody else's batches are evaluated; `None` for a pass.
        most_batches: what cuts that short.

    Raises:
        DataError: it is none of them, its arrays are not fit, or it has too few batches.
    """
    if is_batches(validation_data):
        return BatchFeed(
            validation_data,
            shuffle=False,
            iterations_per_epoch=batches,
            told_as="validation_steps",
            most_iterations_per_epoch=most_batches,
        )
    parts = (validation_data,)
    if isinstance(validation_data, (tuple, list)):
        parts = tuple(validation_data)
    if not 1 <= len(parts) <= 3:
        raise DataError(
            f"validation_data has {len(parts)} parts.",
            "give validation_data=(x, y) or (x, y, sample_weight) as arrays, or batches; (x,) "
            "for a model without targets.",
        )
    return given_samples(*parts)


def in_order(
    samples: Samples,
    batch_size: int,
    *,
    batches: int | None = None,
    part: Indices | None = None,
    gather: bool = False,
) -> ArrayFeed:
    """Return samples as batches in their own order, for evaluation.

    Args:
        samples: the data set.
        batch_size: samples in a batch; the last may hold fewer.
        batches: how many of them will be evaluated, to be checked; `None` for all.
        part: the rows that are evaluated; `None` for all.
        gather: whether windows bring their own samples; see `ArrayFeed`.

    Raises:
        PlanError: there are not as many batches.
    """
    count = samples.count if part is None else part.size
    plan = Plan(samples=count, batch_size=batch_size, epochs=1)
    there = plan.iterations_per_epoch
    if batches is not None and batches > there:
        raise PlanError(
            f"validation_steps={batches}, but {count:,} validation samples at "
            f"{batch_size:,} make {there:,} batches.",
            f"use validation_steps from 1 to {there}, or leave it out for all of them.",
        )
    order = Order(samples=count, seed=0, shuffle=False)
    return ArrayFeed(train=samples, order=order, plan=plan, part=part, gather=gather)


def check_epoch_asked(plan: Plan, steps_per_epoch: int | None) -> None:
    """Refuse an epoch of arrays that is not every sample once.

    Raises:
        PlanError: another number of iterations an epoch was asked for.
    """
    there = plan.iterations_per_epoch
    if steps_per_epoch is not None and steps_per_epoch != there:
        raise PlanError(
            f"steps_per_epoch={steps_per_epoch}, but {plan.samples:,} samples at "
            f"{plan.batch_size:,} make {there:,} iterations an epoch, every sample once.",
            f"leave out steps_per_epoch; to end after fewer or more weight updates give "
            f"iterations=, for example iterations={steps_per_epoch}.",
        )


def refuse_initial_epoch(initial_epoch: object, epochs: object) -> None:
    """Refuse to skip epochs that nobody has trained.

    Raises:
        PlanError: `initial_epoch` is not 0.
    """
    skipped = whole_number("initial_epoch", initial_epoch, least=0)
    if not skipped:
        return
    remedy = "leave out initial_epoch."
    try:
        left = operator.index(epochs) - skipped  # type: ignore[arg-type]
    except TypeError:
        pass
    else:
        remedy = (
            f"leave out initial_epoch and give epochs={left}, the epochs to train now."
            if left > 0
            else f"leave out this call: of epochs={epochs} none is left to train; or leave out "
            "initial_epoch and give epochs=1 to train one more."
        )
    raise PlanError(
        f"initial_epoch={skipped} would only number the epochs anew: order, schedules and "
        "counts go on by themselves from what the optimizer has counted.",
        remedy,
    )


def weighed_by_class(samples: Samples, class_weight: ClassWeight) -> Samples:
    """Return the samples, each with the weight of its class.

    As Keras does it: the class is the target itself, rounded, or the place of the largest
    where the last axis has several.

    Raises:
        DataError: there is not exactly one target, or there are weights already.
    """
    refuse_two_weights(samples.weight, class_weight)
    if samples.y is None or isinstance(samples.y, (tuple, Mapping)):
        raise DataError(
            f"class_weight needs one target of classes; there are {len(leaves(samples.y))}.",
            "give sample_weight=, with an array for each target.",
        )
    weight = _of_classes(_class_numbers(samples.y), class_weight)
    return replace(samples, weight=weight)


def weighing_by_class(class_weight: ClassWeight | None) -> Callable[[Samples], Samples] | None:
    """Return `weighed_by_class` with these weights, `None` without any."""
    if class_weight is None:
        return None
    return lambda samples: weighed_by_class(samples, class_weight)


def refuse_two_weights(sample_weight: Any, class_weight: ClassWeight | None) -> None:
    """Refuse weights of samples beside weights of classes.

    Raises:
        DataError: both are there.
    """
    if sample_weight is not None and class_weight is not None:
        raise DataError(
            "Both sample_weight and class_weight are given.",
            "multiply them into one sample_weight.",
        )


def refuse_beside_batches(given: Mapping[str, bool], *, of: str = "x") -> None:
    """Refuse what batches formed by somebody else bring themselves, or cannot have.

    Args:
        given: for each argument that only arrays can have, whether it was given.
        of: the argument that the batches came in.

    Raises:
        PlanError: any was; all are named.
    """
    named = ", ".join(name for name, is_given in given.items() if is_given)
    if named:
        raise PlanError(
            f"{of} brings batches of its own, so {named} cannot be given.",
            f"leave out {named}, and form the batches in {of} accordingly.",
        )


def _class_numbers(y: Arrays) -> npt.NDArray[np.int32]:
    """Return the class of each sample, shape `(N,)`."""
    targets = np.asarray(y)
    if targets.ndim > 1:
        several = targets.shape[-1] != 1
        targets = targets.argmax(axis=-1) if several else targets[..., 0]
    return np.round(targets).astype(np.int32)


def _of_classes(numbers: npt.NDArray[np.int32], class_weight: ClassWeight) -> Array:
    """Return the weight of each number, 1 for those without one."""
    unique, places = np.unique(numbers, return_inverse=True)
    weights = [float(class_weight.get(int(number), 1.0)) for number in unique]
    return np.asarray(weights, np.float32)[places].reshape(numbers.shape)


def _as_trained(leaf: Array) -> Array:
    """Return floats as float32 and integers in at most 32 bits, as Keras on JAX does."""
    if isinstance(leaf, np.memmap):
        return leaf
    if leaf.dtype.kind == "f" and leaf.dtype != np.float32:
        return leaf.astype(np.float32)
    if leaf.dtype in (np.int64, np.uint64):
        if leaf.max() > 2**31 - 1 or leaf.min() < -(2**31):
            raise DataError(
                f"An integer array holds {leaf.min()} to {leaf.max()}, beyond 32 bits.",
                "number the values anew, from 0.",
            )
        return leaf.astype(np.int32)
    return leaf
