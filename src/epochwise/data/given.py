"""Data and counts as a caller of `fit` gives them, turned into samples and feeds.

Owns what `fit` accepts beside the arrays themselves: weights of samples, weights of
classes, validation data, and Keras's own arguments for counts. Values come out in the
types that Keras trains with on JAX, floats as float32 and whole numbers in at most 32
bits; a memory map stays as it is.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from epochwise.counting.numbers import whole_number
from epochwise.counting.plan import Plan
from epochwise.data.batches import BatchFeed, is_batches
from epochwise.data.feed import ArrayFeed
from epochwise.data.order import Indices, Order
from epochwise.data.samples import Array, Arrays, Samples, is_nested, leaves, map_leaves
from epochwise.data.sources import from_arrays
from epochwise.data.sparse import SparseRows
from epochwise.errors import DataError, PlanError

ClassWeight: TypeAlias = Mapping[int, float] | Sequence[float] | Array | Literal["balanced"]
"""The weight of each class by its number; a class that is not named weighs 1."""

BALANCED = "balanced"
"""Weighs each class by N / (K·n), with n of its samples among N and K classes."""


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
    parts = x.values() if isinstance(x, Mapping) else x if isinstance(x, (list, tuple)) else [x]
    if len(parts) and all(part is None for part in parts):
        raise DataError(
            "x is None, and at least one input of a model is not optional.",
            "give its features: epochwise.fit(model, x, y).",
        )
    samples = from_arrays(x, y, weight=sample_weight, text=True).train.map(_as_trained)
    if class_weight is not None:
        return weighed_by_class(samples, class_weight)
    each = samples.weight
    if isinstance(each, np.ndarray) and is_nested(samples.y):
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


def weighed_by_class(
    samples: Samples, class_weight: ClassWeight, *, trained: Indices | None = None
) -> Samples:
    """Return the samples, each with the weight of its class.

    As Keras does it: the class is the target itself, rounded, or the place of the largest
    where the last axis has several. Beside Keras's mapping, weights may be a sequence with
    one for each class from 0 on, or "balanced": N / (K·n_c) for class c, with N samples that
    train, K classes among them and n_c samples of class c. Negative weights are taken as
    they are, as Keras does.

    Args:
        samples: the data set.
        class_weight: the weights.
        trained: the rows that train, for "balanced"; `None` for all.

    Raises:
        DataError: there is not exactly one target, there are weights already, or the
            weights do not belong to the classes.

    References:
        scikit-learn 1.7, `sklearn.utils.class_weight.compute_class_weight`, which takes the
        formula from King and Zeng, Logistic Regression in Rare Events Data, 2001.

    Example:
        >>> samples = given_samples(np.zeros((6, 1)), np.array([0, 0, 0, 0, 1, 1]))
        >>> weighed_by_class(samples, "balanced").weight.tolist()
        [0.75, 0.75, 0.75, 0.75, 1.5, 1.5]
    """
    refuse_two_weights(samples.weight, class_weight)
    y = _single_target(samples)
    numbers = _class_numbers(y)
    named = _named_weights(class_weight, numbers if trained is None else numbers[trained])
    present = set(np.unique(numbers).tolist())
    _check_classes(class_weight, named, present, _columns(y) or max(present) + 1)
    return replace(samples, weight=_of_classes(numbers, named))


def weighing_by_class(class_weight: ClassWeight | None) -> Callable[[Samples], Samples] | None:
    """Return what weighs a batch by these weights, `None` without any.

    Raises:
        DataError: the weights follow from all samples, or are none.
    """
    if class_weight is None:
        return None
    named = _named_weights(class_weight, None)
    for key in named:
        if not _is_number(key):
            raise _no_class(key, "whole numbers")

    def weighed(batch: Samples) -> Samples:
        refuse_two_weights(batch.weight, class_weight)
        numbers = _class_numbers(_single_target(batch))
        return replace(batch, weight=_of_classes(numbers, named))

    return weighed


def check_classes_of_batches(class_weight: ClassWeight, classes: int) -> None:
    """Refuse weights of classes that batches formed elsewhere cannot have.

    Args:
        class_weight: as `fit` takes it.
        classes: how many there are.

    Raises:
        DataError: names the first such class.
    """
    _check_classes(class_weight, _named_weights(class_weight, None), set(), classes)


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


def _single_target(samples: Samples) -> Array:
    """Return the one target that classes are numbered in.

    Raises:
        DataError: there is none, or several.
    """
    if samples.y is None or is_nested(samples.y):
        raise DataError(
            f"class_weight needs one target of classes; there are {len(leaves(samples.y))}.",
            "give sample_weight=, with an array for each target.",
        )
    target: Array = samples.y[:]  # dense, where it is sparse
    return target


def _columns(y: Array) -> int | None:
    """Return how many classes a one-hot target has a place for; `None` if it is not one."""
    return int(y.shape[-1]) if y.ndim > 1 and y.shape[-1] != 1 else None


def _named_weights(
    class_weight: ClassWeight, trained: npt.NDArray[np.int32] | None
) -> dict[int, float]:
    """Return weights by class, as numbers.

    Args:
        class_weight: as `fit` takes it.
        trained: the class of each sample that trains; `None` where that is not known.

    Raises:
        DataError: they are no weights by class.
    """
    if isinstance(class_weight, str):
        if class_weight != BALANCED or trained is None:
            raise DataError(
                f'class_weight="{class_weight}" '
                + ("needs all labels." if class_weight == BALANCED else "is no weight."),
                "give a weight for each class, class_weight={0: 1.0, 1: 5.0}"
                + (', or "balanced".' if trained is not None else "."),
            )
        classes, counts = np.unique(trained, return_counts=True)
        weights = trained.size / (classes.size * counts)
        return dict(zip(classes.tolist(), weights.tolist(), strict=True))
    if isinstance(class_weight, Mapping):
        given = dict(class_weight.items())
    elif isinstance(class_weight, Sequence) or getattr(class_weight, "ndim", None) == 1:
        given = dict(enumerate(class_weight))
    else:
        raise DataError(
            f"class_weight is a {type(class_weight).__name__} that names no classes.",
            "give a weight for each class: class_weight={0: 1.0, 1: 5.0} or [1.0, 5.0].",
        )
    return {key: _finite_weight(key, weight) for key, weight in given.items()}


def _finite_weight(key: object, weight: Any) -> float:
    """Return the weight of a class as a number that float32 holds."""
    number = isinstance(weight, (int, float, np.integer, np.floating))
    if number and abs(weight) <= np.finfo(np.float32).max:
        return float(weight)
    raise DataError(
        f"class_weight[{key!r}] is {weight!r}, which is not a finite number.",
        f"give one, class_weight={{{key!r}: 1.0}}; 0 for a class that is not to count.",
    )


def _check_classes(
    class_weight: ClassWeight,
    named: Mapping[int, float],
    present: Set[int],
    count: int,
) -> None:
    """Refuse weights of classes that are not there.

    Args:
        class_weight: as `fit` takes it.
        named: the same by class.
        present: the classes that samples have.
        count: how many classes there are, numbered from 0.

    Raises:
        DataError: names the first one, and the classes.
    """
    unknown = [
        key
        for key in named
        if not (_is_number(key) and (key in present or 0 <= int(key) < count))
    ]
    few = len(named) < count and not isinstance(class_weight, (str, Mapping))
    if not unknown and not few:
        return
    told = f"0 to {count - 1}" if count > 0 else ", ".join(map(str, sorted(present)))
    if few or not isinstance(class_weight, Mapping):
        raise DataError(
            f"class_weight has {len(named)} weights, and the classes are {told}.",
            f"give {count} weights, one for each class from 0 on.",
        )
    raise _no_class(unknown[0], told)


def _is_number(key: Any) -> bool:
    """Tell whether a key is a class's number: a whole number, of any type."""
    return isinstance(key, (int, float, np.number)) and float(key).is_integer()


def _no_class(key: object, classes: str) -> DataError:
    """Return the error for a weight of a class that is not there."""
    return DataError(
        f"class_weight has a weight for {key!r}, and the classes are {classes}.",
        "turn text into numbers: class_weight={int(key): class_weight[key] for key in "
        "class_weight}."
        if isinstance(key, str) and key.isdecimal()
        else "name classes by their numbers, such as class_weight={0: 1.0, 1: 5.0}.",
    )


def _class_numbers(y: Arrays) -> npt.NDArray[np.int32]:
    """Return the class of each sample, shape `(N,)`."""
    targets = np.asarray(y)
    if targets.ndim > 1:
        several = targets.shape[-1] != 1
        targets = targets.argmax(axis=-1) if several else targets[..., 0]
    return np.round(targets).astype(np.int32)


def _of_classes(numbers: npt.NDArray[np.int32], class_weight: Mapping[int, float]) -> Array:
    """Return the weight of each number, 1 for those without one."""
    unique, places = np.unique(numbers, return_inverse=True)
    weights = [float(class_weight.get(int(number), 1.0)) for number in unique]
    return np.asarray(weights, np.float32)[places].reshape(numbers.shape)


def _as_trained(leaf: Any) -> Any:
    """Return floats as float32 and integers in at most 32 bits, as Keras on JAX does.

    All of them in this machine's own byte order.
    """
    if isinstance(leaf, np.memmap):
        return leaf
    if isinstance(leaf, SparseRows):
        return leaf.mapped(_as_trained)
    if leaf.dtype.kind == "f" and leaf.dtype != np.float32:
        return leaf.astype(np.float32)
    if leaf.dtype.kind in "iu" and leaf.dtype.itemsize > np.dtype(np.int32).itemsize:
        return leaf.astype(np.int32)
    return leaf.astype(leaf.dtype.newbyteorder("="), copy=False)
