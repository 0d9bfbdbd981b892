"""One training, prepared: what it trains on, what it is to do, and the engine."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from epochwise.api.material import Material
from epochwise.api.settings import Settings
from epochwise.data.batches import BatchFeed
from epochwise.data.feed import ArrayFeed
from epochwise.data.samples import Samples
from epochwise.engines.base import Engine
from epochwise.engines.select import engine_for
from epochwise.loop import Course
from epochwise.rules import check_metric
from epochwise.rules.metrics import VALIDATION

_OF_VALIDATION = " of validation_data"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """One training, ready to begin.

    Args:
        model: compiled, built.
        engine: runs its iterations.
        course: what to do.
        settings: how, `epochs_before` among them.
        material: what on.
        data_seconds: reading, checking and parting the data [s].
    """

    model: Any
    engine: Engine[Any, Any]
    course: Course
    settings: Settings
    material: Material
    data_seconds: float


def job_of(
    model: Any,
    material: Material,
    settings: Settings,
    data_seconds: float,
    *,
    engine: Engine[Any, Any] | None = None,
) -> Job:
    """Return the training of a compiled model.

    Args:
        model: compiled.
        material: what to train and evaluate on.
        settings: how to train.
        data_seconds: see `Job`.
        engine: one that was made for this model and data; `None` to make it.

    Raises:
        ModelError: the model cannot be trained as asked.
    """
    if engine is None:
        check_targets(
            model,
            material.example,
            material.samples,
            material.held_out,
            material.feed,
            material.validation,
        )
        engine = _engine(model, material, settings, settings.microbatch_size)
    course = course_of(settings, material)
    _check_metrics(model, engine, course)
    return Job(
        model=model,
        engine=engine,
        course=course,
        settings=settings,
        material=material,
        data_seconds=data_seconds,
    )


def check_targets(
    model: Any, example: Samples, samples: Samples | None, held_out: Samples | None, *feeds: Any
) -> None:
    """Refuse targets that the model's losses do not take.

    Args:
        model: compiled.
        example: a batch to train on.
        samples: all of them; `None` for batches that somebody else forms.
        held_out: what is evaluated beside them; `None` without.
        *feeds: where batches come from: those that somebody else forms are checked as they
            come, the validation part's last.

    Raises:
        DataError: names the first target that does not fit.
    """
    from epochwise.engines.targets import TargetCheck  # imports the framework

    check = TargetCheck(model)
    for part, of in ((samples, ""), (held_out, _OF_VALIDATION)):
        if part is not None:
            check(part, of, example)
    for feed, of in zip(feeds, ("", _OF_VALIDATION), strict=False):
        if isinstance(feed, BatchFeed):
            feed.check_by(partial(_check_batch, check, of))


def _check_batch(
    check: Callable[[Samples, str], None], of: str, batch: Samples, place: str
) -> None:
    check(batch, place + of)


def _check_metrics(model: Any, engine: Engine[Any, Any], course: Course) -> None:
    """Refuse a metric that is looked at and that the history will not have.

    Raises:
        PlanError: there is one.
    """
    wanted = [("metric", metric) for metric in course.stop.metrics]
    if course.best is not None and ("metric", course.best.metric) not in wanted:
        wanted.append(("best_metric", course.best.metric))
    if not wanted:
        return
    from epochwise.engines.values import metric_names  # imports the framework

    names = metric_names(model)
    if names is not None and course.validation is not None:
        names += [f"{VALIDATION}{name}" for name in names]
    elif names is None:
        names = _names_tried(engine, course)
    if names is not None:
        for argument, metric in wanted:
            check_metric(metric, names, argument)


def _names_tried(engine: Engine[Any, Any], course: Course) -> list[str] | None:
    """Return the names that the user's own steps log, by one iteration that is undone.

    `None` where the batches are not ours: they may be had only once.
    """
    feeds = [course.feed, *([] if course.validation is None else [course.validation])]
    if not all(feed.is_pure for feed in feeds):
        return None
    values = engine.take()
    try:
        _, pending = engine.run(
            engine.take(fresh_metrics=True), engine.load(course.feed.window(0, 0)), 0, 1
        )
        names = list(pending.wait().metrics)
        if course.validation is not None:
            loaded = engine.load(course.validation.window(0, 0), evaluating=True)
            _, pending = engine.evaluate(engine.take(fresh_metrics=True), loaded, 0, 1)
            names += [f"{VALIDATION}{name}" for name in pending.wait().metrics]
    finally:
        engine.give_back(values)
    return names


def with_microbatches(job: Job, microbatch_size: int | None) -> Engine[Any, Any]:
    """Return an engine for the same training in microbatches of another size."""
    if microbatch_size == job.settings.microbatch_size:
        return job.engine
    return _engine(job.model, job.material, job.settings, microbatch_size)


def _engine(
    model: Any, material: Material, settings: Settings, microbatch_size: int | None
) -> Engine[Any, Any]:
    return engine_for(
        model,
        example=material.example,
        resident=material.resident,
        validation=material.resident_validation,
        microbatch_size=microbatch_size,
        segments=settings.segments,
    )


def going_on(job: Job) -> Job:
    """Return the job with the order of the epochs that follow those the model has seen.

    How many it has seen is told by its optimizer's count of updates.
    """
    plan, feed = job.course.plan, job.course.feed
    if plan is None or not isinstance(feed, ArrayFeed):
        return job
    updates = max(job.engine.updates().values(), default=0)
    epochs_before = -(-updates // plan.iterations_per_epoch)
    return replace(
        job,
        settings=replace(job.settings, epochs_before=epochs_before),
        course=replace(job.course, feed=replace(feed, epochs_before=epochs_before)),
    )


def course_of(settings: Settings, material: Material) -> Course:
    """Return what the settings ask for."""
    every, plan = settings.checkpoint_every, material.plan
    saved = None if every is None else every.iterations
    return Course(
        feed=material.feed,
        plan=plan,
        epochs=_least(
            None if settings.epochs is None else math.ceil(settings.epochs),
            settings.most_epochs,
        ),
        iterations=settings.iterations if plan is None else plan.iterations,
        validation=material.validation,
        evaluate_every_epochs=settings.evaluate_every.epochs,
        evaluate_every_iterations=settings.evaluate_every.iterations,
        evaluate_at_epochs=settings.evaluate_at_epochs,
        validation_batches=_least(
            settings.validation_batches, settings.most_iterations_per_epoch
        ),
        cuts=() if saved is None else (saved,),
        stop=settings.rules,
        best=settings.best,
        pacing=settings.pacing(plan),
        keep=settings.keep,
    )


def _least(*bounds: int | None) -> int | None:
    """Return the smallest of the bounds that there are; `None` without any."""
    return min((bound for bound in bounds if bound is not None), default=None)
