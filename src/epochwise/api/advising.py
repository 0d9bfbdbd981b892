"""Advice for one training: wires the search to the training's model, data and engine."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from epochwise.api.job import Job, with_microbatches
from epochwise.api.material import Material
from epochwise.choosing.batch_size.advice import Advice, Goal
from epochwise.choosing.batch_size.answer import advice_of
from epochwise.choosing.batch_size.learning_rate import family_of
from epochwise.choosing.batch_size.probes import EngineTrial, Watched
from epochwise.choosing.batch_size.study import SearchSettings, Study
from epochwise.choosing.batch_size.trial import Pair
from epochwise.counting.counts import even_batch_size
from epochwise.counting.numbers import whole_number
from epochwise.counting.plan import Plan
from epochwise.data.feed import ArrayFeed, Feed
from epochwise.data.samples import Samples, leaves
from epochwise.engines.select import probe_for
from epochwise.errors import DataError, ModelError, PlanError
from epochwise.models import constant_rate
from epochwise.rules import Target, parse_target
from epochwise.rules.metrics import VALIDATION, better_of

SMALLEST, LARGEST = 16, 4096
"""Ends of the sizes that are tried unless told [samples]."""

LOOKED_AT = 2000
"""About how many validation samples are evaluated at each look [samples]."""

GivenTarget = str | Target | Mapping[str, float] | None
"""What is to be reached, as users write it: `"val_accuracy=0.975"`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a search for a batch size is to find, and what it may cost.

    Args:
        goal: what is to be reached; `None` for what the training's own pair reaches.
        seconds: the time that choosing may take; `None` for a part of the training [s].
        sizes: batch sizes that may be chosen; `None` for powers of two.
        tunes_rate: whether the learning rate is chosen too.
        began: when the time began to run, by `time.perf_counter` [s]; `None` for when
            the search begins.
    """

    goal: Goal | None = None
    seconds: float | None = None
    sizes: Sequence[int] | None = None
    tunes_rate: bool = True
    began: float | None = None

    def __post_init__(self) -> None:
        """Refuse a budget in which nothing can be run."""
        if self.seconds is not None and not 0 < self.seconds < math.inf:
            raise PlanError(
                f"seconds={self.seconds!r} is no time to choose in.",
                "use seconds=30, or leave it out.",
            )

    @property
    def watches_validation(self) -> bool:
        """Whether pairs are compared on samples that are held out."""
        return self.goal is None or self.goal.metric.startswith(VALIDATION)


def advise(job: Job, question: Question) -> Advice:
    """Search for the best pair; the model is left at what was run last: lend it `unchanged`.

    Args:
        job: the training, on arrays; its batch size and rate are where the search begins.
        question: what to find.

    Raises:
        PlanError: the goal is reached already, or the sizes cannot be.
        DataError: there is nothing to learn.
        ModelError: nothing can be trained, or not even one sample fits in memory.
    """
    began = time.perf_counter() if question.began is None else question.began
    model, material = job.model, job.material
    feed, samples = material.feed, material.samples
    assert isinstance(feed, ArrayFeed)
    assert samples is not None
    assert job.settings.batch_size is not None
    _check_learnable(model, samples)
    own = job.settings.batch_size
    sizes = _sizes(question.sizes, own, feed.plan.samples)
    watched = _watched(question.goal, material)
    watches = watched.metric.startswith(VALIDATION)
    validation = _in_even_batches(material.validation) if watches else None

    study = Study(
        trial=EngineTrial(
            engines=partial(with_microbatches, job),
            probe=lambda engine: probe_for(model, engine, samples.divisor),
            feed=feed,
            validation=validation,
            validation_batches=0 if validation is None else _batches_to_look_at(validation),
            watched=watched,
            clock=time.perf_counter,
        ),
        asked=SearchSettings(
            own=Pair(
                batch_size=min(sizes, key=lambda size: abs(size - own)),
                learning_rate=constant_rate(model) if question.tunes_rate else None,
            ),
            sizes=sizes,
            goal=question.goal,
            seconds=question.seconds,
            epochs=float(feed.plan.epochs),
            family=family_of(type(_inner_optimizer(model)).__name__),
            began=began,
        ),
    )
    study.run()
    return advice_of(study)


def goal_of(target: GivenTarget) -> Goal | None:
    """Return what is to be reached.

    Raises:
        PlanError: it is no target, or one that no training reaches.
    """
    if target is None:
        return None
    if isinstance(target, str):
        target = parse_target(target, "target")
    elif isinstance(target, Mapping):
        if len(target) != 1:
            raise PlanError(
                f"target={dict(target)} names {len(target)} metrics, not one.",
                'use target={"val_accuracy": 0.975}.',
            )
        target = Target(*next(iter(target.items())))
    higher = better_of(target.metric, target.better) == "higher"
    if "acc" in target.metric and higher and target.value > 1:
        raise PlanError(
            f"An accuracy of {target.value:g} is never reached: 1 is the most.",
            f"use target={{{target.metric!r}: {min(target.value / 100, 1.0):g}}}.",
        )
    return Goal(
        metric=target.metric,
        value=float(target.value),
        higher_is_better=higher,
        given=True,
    )


def _inner_optimizer(model: Any) -> Any:
    """The optimizer itself, out of the one that scales its loss."""
    return getattr(model.optimizer, "inner_optimizer", model.optimizer)


def _check_learnable(model: Any, samples: Samples) -> None:
    """Refuse a model or targets with which no batch size is better than another.

    Raises:
        ModelError: the model has no weights to train.
        DataError: all targets are the same.
    """
    if not model.trainable_variables:
        raise ModelError(
            f"The model {model.name!r} has no trainable weights, so no batch size trains it.",
            "set trainable = True on a layer that has weights, and compile the model again.",
        )
    targets = leaves(samples.y)
    if targets and all((target == target[:1]).all() for target in targets):
        raise DataError(
            f"All {samples.count:,} targets are the same ({targets[0].ravel()[0]}): there is "
            "nothing to learn, and no batch size learns it faster.",
            "give targets of two classes or more, or numbers that differ.",
        )


def _sizes(sizes: Sequence[int] | None, own: int, samples: int) -> tuple[int, ...]:
    """Return the sizes that may be run, ascending.

    Raises:
        PlanError: one is no number of samples, or larger than the set.
    """
    if sizes is None:
        powers = [2**power for power in range(samples.bit_length())]
        inside = [size for size in powers if SMALLEST <= size <= LARGEST]
        whole = [samples] if samples <= LARGEST else []
        return tuple(sorted({*(inside or powers), *whole, min(own, samples)}))
    remedy = f"use sizes=[16, 64, 256] with numbers from 1 to {samples}."
    told = {whole_number("sizes", size, most=samples, remedy=remedy) for size in sizes}
    if not told:
        raise PlanError("sizes=[] leaves no batch size to choose from.", remedy)
    return tuple(sorted(told))


def _watched(goal: Goal | None, material: Material) -> Watched:
    """Return the metric that pairs are compared by.

    Raises:
        PlanError: it is one of a validation part that there is not.
    """
    if goal is None:
        metric = "loss" if material.validation is None else f"{VALIDATION}loss"
        return Watched(metric=metric, higher_is_better=False)
    if goal.metric.startswith(VALIDATION) and material.validation is None:
        raise PlanError(
            f"The target {goal} needs a validation part, and there is none.",
            "give validation_split=0.1 or validation_data=(x, y).",
            command="use --validation-split 0.1, or another share to hold out.",
        )
    return Watched(metric=goal.metric, higher_is_better=goal.higher_is_better)


def _in_even_batches(feed: Feed | None) -> Feed:
    """Return the validation part in batches of about the same size, without a short last one.

    That one would be left out of each look, see `_batches_to_look_at`.
    """
    assert feed is not None
    if not isinstance(feed, ArrayFeed):
        return feed
    plan = feed.plan
    at_once = even_batch_size(plan.samples, plan.batch_size)
    return replace(feed, plan=Plan(samples=plan.samples, batch_size=at_once, epochs=1))


def _batches_to_look_at(feed: Feed) -> int:
    """Return how many batches of the validation part are evaluated at each look.

    A last batch of another size is left out: it would be one more program to compile.
    """
    batch_size = feed.window(0, 0).batch_size
    batches = feed.samples // batch_size if feed.samples else 1
    return max(1, min(batches, LOOKED_AT // batch_size))
