"""What `fit` trains and evaluates on: arrays or batches, wired into feeds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from epochwise.counts import Remainder
from epochwise.data.batches import BatchFeed, is_batches
from epochwise.data.feed import ArrayFeed, Feed
from epochwise.data.given import (
    ClassWeight,
    check_epoch_asked,
    given_samples,
    given_validation,
    in_order,
    refuse_beside_batches,
    weighing_by_class,
)
from epochwise.data.order import Indices, Order
from epochwise.data.samples import Samples, leaves
from epochwise.data.split import Split, split
from epochwise.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The arguments of `fit` that say what to train and evaluate on; see there."""

    x: Any
    y: Any
    sample_weight: Any
    class_weight: ClassWeight | None
    batch_size: int
    epochs: int | Fraction
    iterations: int | None
    steps_per_epoch: int | None
    shuffle: bool
    seed: int
    remainder: Remainder
    microbatch_size: int | None
    validation_split: float
    validation_data: Any
    validation_steps: int | None
    validation_batch_size: int | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Material:
    """What is trained and evaluated on.

    Args:
        plan: the counts; `None` for batches that somebody else forms.
        feed: the training samples of each iteration.
        validation: the validation samples, or `None`.
        example: some training samples, for building the model.
        resident: the data that the training windows count in, where they lie on the
            device; else `None`.
        resident_validation: the same for the validation windows.
    """

    plan: Plan | None
    feed: Feed
    validation: Feed | None
    example: Samples
    resident: Samples | None = None
    resident_validation: Samples | None = None


HeldOut = Samples | BatchFeed | None
"""Validation data: arrays, batches that somebody else forms, or none."""

Fitting = Callable[[Samples, Sequence[Samples]], Collection[Samples]]
"""`(example, parts) -> those parts that lie on the device`."""


def material(given: Given, fitting: Fitting) -> Material:
    """Check what was given and make feeds of it.

    Args:
        given: the arguments of `fit`.
        fitting: decides which parts of the data lie on the device as a whole.

    Raises:
        PlanError: the counts cannot be.
        DataError: the data are not what training needs.
    """
    make = _of_batches if is_batches(given.x) else _of_arrays
    return make(given, fitting)


def _of_batches(given: Given, fitting: Fitting) -> Material:
    """Batches that somebody else forms."""
    refuse_beside_batches(
        {
            "y": given.y is not None,
            "sample_weight": given.sample_weight is not None,
            "validation_split": bool(given.validation_split),
            "batch_size": given.batch_size != 32,
            "remainder": given.remainder != "keep",
        }
    )
    feed = BatchFeed(
        given.x,
        seed=given.seed,
        shuffle=given.shuffle,
        iterations_per_epoch=given.steps_per_epoch,
        told_as="steps_per_epoch",
        iterations=given.iterations,
        prepare=weighing_by_class(given.class_weight),
    )
    held_out = _held_out(given)
    window = feed.window(0, 0)
    assert window.samples is not None
    example = window.samples.rows(window.rows[0])
    parts = [held_out] if isinstance(held_out, Samples) else []
    on_device = fitting(example, parts)
    return Material(
        plan=None,
        feed=feed,
        validation=_validation(given, held_out, None, on_device),
        example=example,
        resident_validation=_if_there(held_out, on_device),
    )


def _of_arrays(given: Given, fitting: Fitting) -> Material:
    """Arrays, in an order of ours."""
    samples = given_samples(given.x, given.y, given.sample_weight, given.class_weight)
    held_out = _held_out(given)
    train_rows = held_out_rows = None
    if given.validation_split and held_out is None:
        parted = _split(given, samples)
        held_out = samples
        train_rows, held_out_rows = parted.train, parted.held_out
    plan = Plan(
        samples=samples.count if train_rows is None else train_rows.size,
        batch_size=given.batch_size,
        epochs=given.epochs if given.iterations is None else None,
        iterations=given.iterations,
        remainder=given.remainder,
        microbatch_size=given.microbatch_size,
    )
    check_epoch_asked(plan, given.steps_per_epoch)
    first = np.arange(plan.batch_size_of(0))
    example = samples.rows(first if train_rows is None else train_rows[first])
    parts = [samples]
    if isinstance(held_out, Samples) and held_out is not samples:
        parts.append(held_out)
    on_device = fitting(example, parts)
    return Material(
        plan=plan,
        feed=ArrayFeed(
            train=samples,
            part=train_rows,
            order=Order(samples=plan.samples, seed=given.seed, shuffle=given.shuffle),
            plan=plan,
            gather=samples not in on_device,
        ),
        validation=_validation(given, held_out, held_out_rows, on_device),
        example=example,
        resident=_if_there(samples, on_device),
        resident_validation=_if_there(held_out, on_device),
    )


def _held_out(given: Given) -> HeldOut:
    """The validation data that were handed over."""
    if given.validation_data is None:
        return None
    held_out = given_validation(given.validation_data, given.validation_steps)
    if isinstance(held_out, BatchFeed):
        refuse_beside_batches(
            {"validation_batch_size": given.validation_batch_size is not None},
            of="validation_data",
        )
    return held_out


def _split(given: Given, samples: Samples) -> Split:
    """Part the samples: by class, or the last ones where nothing is shuffled, as Keras."""
    targets = leaves(samples.y)
    return split(
        samples.count,
        given.validation_split,
        labels=targets[0] if len(targets) == 1 and given.shuffle else None,
        order="stratified" if given.shuffle else "time",
        seed=given.seed,
    )


def _validation(
    given: Given, held_out: HeldOut, rows: Indices | None, on_device: Collection[Samples]
) -> Feed | None:
    """The feed that is evaluated."""
    if not isinstance(held_out, Samples):
        return held_out
    return in_order(
        held_out,
        given.validation_batch_size or given.batch_size,
        batches=given.validation_steps,
        part=rows,
        gather=held_out not in on_device,
    )


def _if_there(part: HeldOut, on_device: Collection[Samples]) -> Samples | None:
    """The part if the device holds it."""
    return part if isinstance(part, Samples) and part in on_device else None
