"""What a training trains and evaluates on: arrays or batches, wired into feeds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from epochwise.api.settings import Settings
from epochwise.counting.numbers import hold_whole_numbers
from epochwise.counting.plan import Plan
from epochwise.data.batches import BatchFeed, is_batches
from epochwise.data.feed import ArrayFeed, Feed
from epochwise.data.given import (
    ClassWeight,
    check_epoch_asked,
    given_samples,
    given_validation,
    in_order,
    refuse_beside_batches,
    refuse_two_weights,
    weighed_by_class,
    weighing_by_class,
)
from epochwise.data.order import Order
from epochwise.data.samples import Array, Samples, leaves
from epochwise.data.split import Split, split
from epochwise.record import data_described, data_sha256


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FitData:
    """The data of `fit`, as its caller hands it over; see there.

    Args:
        x: features, or batches that somebody else forms.
        y: targets.
        sample_weight: a weight for each sample.
        class_weight: a weight for each class.
        validation_data: what to evaluate.
        validation_batch_size: samples in each batch of it.
        steps_per_epoch: iterations that make an epoch of somebody else's batches.
    """

    x: Any
    y: Any = None
    sample_weight: Any = None
    class_weight: ClassWeight | None = None
    validation_data: Any = None
    validation_batch_size: int | None = None
    steps_per_epoch: int | None = None

    def __post_init__(self) -> None:
        """Check the counts once."""
        hold_whole_numbers(self, "validation_batch_size", "steps_per_epoch")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Material:
    """What is trained and evaluated on.

    Args:
        plan: the counts; `None` for batches that somebody else forms.
        feed: the training samples of each iteration.
        validation: the validation samples, or `None`.
        example: some training samples, for building the model.
        samples: the data set, before it was parted; `None` for such batches.
        held_out: validation samples that came apart from it; `None` without.
        parted: how the data set was parted; `None` where it was not.
        resident: the data that the training windows count in, where they lie on the
            device; else `None`.
        resident_validation: the same for the validation windows.
    """

    plan: Plan | None
    feed: Feed
    validation: Feed | None
    example: Samples
    samples: Samples | None = None
    held_out: Samples | None = None
    parted: Split | None = None
    resident: Samples | None = None
    resident_validation: Samples | None = None

    def described(self) -> dict[str, Any]:
        """Return what the record tells of the data: digests and counts."""
        return {
            **({"sha256": None} if self.samples is None else data_described(self.samples)),
            "validation_sha256": None if self.held_out is None else data_sha256(self.held_out),
            "samples": self.feed.samples,
            "validation_samples": 0 if self.validation is None else self.validation.samples,
        }


Fitting = Callable[[Samples, Sequence[Samples]], Collection[Samples]]
"""`(example, parts) -> those parts that lie on the device`."""


def material_of_given(given: FitData, settings: Settings, fitting: Fitting) -> Material:
    """Check what `fit` was given and make feeds of it.

    Args:
        given: the data.
        settings: how to train.
        fitting: decides which parts of the data lie on the device as a whole.

    Raises:
        PlanError: the counts cannot be.
        DataError: the data are not what training needs.
    """
    if is_batches(given.x):
        return _of_batches(given, settings, fitting)
    refuse_two_weights(given.sample_weight, given.class_weight)
    plain = given_samples(given.x, given.y, given.sample_weight)
    held_out = _held_out(given, settings)
    parted = None
    if settings.validation_split and held_out is None:
        targets = leaves(plain.y)
        labels = targets[0][:] if len(targets) == 1 and settings.shuffle else None
        parted = parted_samples(plain, labels, settings)
    samples = plain
    if given.class_weight is not None:
        trained = None if parted is None else parted.train
        samples = weighed_by_class(plain, given.class_weight, trained=trained)
    return material_of_samples(
        samples,
        settings,
        fitting,
        held_out=held_out,
        parted=parted,
        evaluated=plain,
        validation_batch_size=given.validation_batch_size,
        steps_per_epoch=given.steps_per_epoch,
    )


def material_of_samples(
    samples: Samples,
    settings: Settings,
    fitting: Fitting,
    *,
    held_out: Samples | BatchFeed | None = None,
    parted: Split | None = None,
    evaluated: Samples | None = None,
    validation_batch_size: int | None = None,
    steps_per_epoch: int | None = None,
) -> Material:
    """Make feeds of samples, in an order of ours.

    Args:
        samples: the data set.
        settings: how to train.
        fitting: decides which parts of the data lie on the device as a whole.
        held_out: what is evaluated, where it came apart from the data set.
        parted: how the data set is parted; `None` to train on all of it.
        evaluated: the data set as its validation part is evaluated, without the weights of
            classes; `None` where it is the same.
        validation_batch_size: samples in each batch evaluated; `None` for the batch size.
        steps_per_epoch: what the caller takes for the iterations of an epoch.

    Raises:
        PlanError: the counts cannot be.
    """
    rows = None if parted is None else parted.train
    count = samples.count if rows is None else rows.size
    plan = settings.plan(count)
    if settings.most_iterations_per_epoch is None:
        check_epoch_asked(plan, steps_per_epoch)
    first = np.arange(plan.batch_size_of(0))
    example = samples.rows(first if rows is None else rows[first])
    apart = held_out if isinstance(held_out, Samples) else None
    on_device = fitting(example, [samples, *([] if apart is None else [apart])])
    evaluated = (evaluated or samples) if parted is not None else apart
    here = samples if parted is not None else apart  # its features and targets, at least
    validation: Feed | None = held_out if isinstance(held_out, BatchFeed) else None
    if evaluated is not None:
        validation = in_order(
            evaluated,
            plan.batch_size if validation_batch_size is None else validation_batch_size,
            batches=settings.validation_batches,
            part=None if parted is None else parted.held_out,
            gather=here not in on_device,
        )
    return Material(
        plan=plan,
        feed=ArrayFeed(
            train=samples,
            part=rows,
            order=Order(samples=count, seed=settings.seed, shuffle=settings.shuffle),
            plan=plan,
            gather=samples not in on_device,
            epochs_before=settings.epochs_before,
        ),
        validation=validation,
        example=example,
        samples=samples,
        held_out=apart,
        parted=parted,
        resident=samples if samples in on_device else None,
        resident_validation=evaluated if here in on_device else None,
    )


def parted_samples(samples: Samples, labels: Array | None, settings: Settings) -> Split:
    """Part samples: by class, or the last ones where nothing is shuffled, as Keras does.

    Args:
        samples: the data set.
        labels: the class of each, shape `(N,)`; `None` where there are none.
        settings: how to train.
    """
    return split(
        samples.count,
        settings.validation_split,
        labels=labels,
        order="stratified" if settings.shuffle else "time",
        seed=settings.seed,
    )


def _of_batches(given: FitData, settings: Settings, fitting: Fitting) -> Material:
    """Batches that somebody else forms."""
    feed = BatchFeed(
        given.x,
        seed=settings.seed,
        shuffle=settings.shuffle,
        iterations_per_epoch=given.steps_per_epoch,
        told_as="steps_per_epoch",
        most_iterations_per_epoch=settings.most_iterations_per_epoch,
        iterations=settings.iterations,
        prepare=weighing_by_class(given.class_weight),
    )
    held_out = _held_out(given, settings)
    window = feed.window(0, 0)
    assert window.samples is not None
    example = window.samples.rows(window.rows[0])
    if held_out is None or isinstance(held_out, BatchFeed):
        return Material(plan=None, feed=feed, validation=held_out, example=example)
    on_device = fitting(example, [held_out])
    validation = in_order(
        held_out,
        window.batch_size
        if given.validation_batch_size is None
        else given.validation_batch_size,
        batches=settings.validation_batches,
        gather=held_out not in on_device,
    )
    return Material(
        plan=None,
        feed=feed,
        validation=validation,
        example=example,
        held_out=held_out,
        resident_validation=held_out if held_out in on_device else None,
    )


def _held_out(given: FitData, settings: Settings) -> Samples | BatchFeed | None:
    """The validation data that were handed over."""
    if given.validation_data is None:
        return None
    held_out = given_validation(
        given.validation_data, settings.validation_batches, settings.most_iterations_per_epoch
    )
    if isinstance(held_out, BatchFeed):
        refuse_beside_batches(
            {"validation_batch_size": given.validation_batch_size is not None},
            of="validation_data",
        )
    return held_out
