"""One training, prepared: what it trains on, what it is to do, and the engine."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from epochwise.api.material import Material
from epochwise.api.settings import Settings
from epochwise.data.feed import ArrayFeed
from epochwise.engines.base import Engine
from epochwise.engines.select import engine_for
from epochwise.loop import Course
from epochwise.stopping import check_metric
from epochwise.stopping.metrics import VALIDATION


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
        engine = _engine(model, material, settings, settings.microbatch_size)
    course = course_of(settings, material)
    _check_metrics(model, course)
    return Job(
        model=model,
        engine=engine,
        course=course,
        settings=settings,
        material=material,
        data_seconds=data_seconds,
    )


def _check_metrics(model: Any, course: Course) -> None:
    """Refuse a metric that is looked at and that the history will not have.

    Raises:
        PlanError: there is one.
    """
    best = () if course.best is None else (course.best.metric,)
    wanted = (*course.stop.metrics, *best)
    if not wanted:
        return
    from epochwise.engines.values import metric_names  # imports the framework

    names = metric_names(model)
    if names is None:
        return
    if course.validation is not None:
        names += [f"{VALIDATION}{name}" for name in names]
    for metric in wanted:
        check_metric(metric, names)


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
        epochs=None if settings.epochs is None else math.ceil(settings.epochs),
        iterations=settings.iterations if plan is None else plan.iterations,
        validation=material.validation,
        evaluate_every_epochs=settings.evaluate_every.epochs,
        evaluate_every_iterations=settings.evaluate_every.iterations,
        validation_batches=settings.validation_batches,
        cuts=() if saved is None else (saved,),
        stop=settings.rules,
        best=settings.best,
        pacing=settings.pacing(plan),
        keep=settings.keep,
    )
