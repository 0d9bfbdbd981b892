"""`resume`: go on with a run at the very next iteration, as if nothing had happened."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from epochwise.api.fitting import header_of_arrays, job_of_given
from epochwise.api.fitting import trained as trained_on_arrays
from epochwise.api.job import Job
from epochwise.api.keeping import facts, keeping, kept_model
from epochwise.api.material import Given
from epochwise.api.running import checked, pass_on
from epochwise.api.settings import Settings, Stop, stopping_settings
from epochwise.api.training import Clock, Prepared, Source, prepare, trained
from epochwise.checkpoint import Checkpoint, Checkpoints, changes_of_data, compare
from epochwise.data.given import ClassWeight
from epochwise.engines.select import check_compiled
from epochwise.errors import DataError, PlanError
from epochwise.events import Listener
from epochwise.exits import telling_exits
from epochwise.framework import select_backend
from epochwise.models import rate_after, schedule_of, stretch_schedule
from epochwise.numbers import whole_number
from epochwise.plan import Plan
from epochwise.progress import Progress, progress
from epochwise.record import (
    NOTHING_DONE,
    Header,
    Run,
    RunFolder,
    StoredRun,
    locked,
    read_run,
    read_tally,
    run_path,
)

Schedule = Literal["keep", "rescale"]
"""What becomes of a learning-rate schedule when a run is made longer."""

GOES_ON = frozenset({"interrupt", "terminated", "non_finite"})
"""Rules that cut a run off; one that ended for another reason is finished."""


def resume(
    run_dir: str | os.PathLike[str],
    model: Any = None,
    x: Any = None,
    y: Any = None,
    *,
    sample_weight: Any = None,
    class_weight: ClassWeight | None = None,
    validation_data: Any = None,
    validation_batch_size: int | None = None,
    steps_per_epoch: int | None = None,
    callbacks: Any = (),
    listeners: Iterable[Listener] = (),
    verbose: Literal["auto", 0, 1, 2] = "auto",
    stop: Stop = None,
    extend_to_epochs: int | None = None,
    schedule: Schedule | None = None,
    in_order: bool = False,
) -> Run:
    """Go on with a run from its newest checkpoint.

    The weights at the end are bit for bit those of the run that was never cut off, on
    the same machine with the same versions; `docs/surviving.md` tells what else fits.
    A run that is finished is returned as it is, and nothing is trained.

    Args:
        run_dir: the folder that `fit` or `epochwise train` kept the run in.
        model: the model of a run of `fit`, compiled as it was then; its weights are
            replaced. `None` to build it from the record.
        x: the features of a run of `fit`, as they were then; others are refused. Not
            needed for a run of `epochwise train`, which reads its data anew.
        y: its targets.
        sample_weight: as it was.
        class_weight: as it was.
        validation_data: as it was.
        validation_batch_size: as it was.
        steps_per_epoch: as it was.
        callbacks: Keras callbacks; they begin anew.
        listeners: plug-ins with a method `on_event`.
        verbose: 0 for silence, 1 for a live line, 2 for a line an epoch.
        stop: the rules again, where they are not Epochwise's own.
        extend_to_epochs: go on to so many epochs in all, also with a finished run.
        schedule: what becomes of a learning-rate schedule then: `"keep"` it as it is, or
            `"rescale"` it to the new length.
        in_order: go on even where only the order of the samples is sure to be the same,
            on another device or with other versions.

    Returns:
        The run, from its first iteration on.

    Raises:
        RunError: it cannot go on from what there is; names each difference.
        DataError: a run of `fit` was given no data.
        PlanError: the extension is none.
    """
    given = Given(
        x=x,
        y=y,
        sample_weight=sample_weight,
        class_weight=class_weight,
        validation_data=validation_data,
        validation_batch_size=validation_batch_size,
        steps_per_epoch=steps_per_epoch,
    )
    with closing(progress(verbose)) as shown:
        run = go_on(
            run_path(run_dir),
            model,
            given,
            shown=shown,
            callbacks=callbacks,
            listeners=checked(listeners),
            stop=stop,
            extend_to_epochs=extend_to_epochs,
            schedule=schedule,
            in_order=in_order,
        )
    pass_on(run.stop)
    return run


@telling_exits()
def go_on(
    path: Path,
    model: Any,
    given: Given,
    *,
    shown: Progress,
    callbacks: Any = (),
    listeners: Iterable[Listener] = (),
    stop: Stop = None,
    extend_to_epochs: int | None = None,
    schedule: Schedule | None = None,
    in_order: bool = False,
) -> Run:
    """Do what `resume` does, and leave it to the caller what a signal means."""
    start, clock = time.perf_counter(), Clock()
    folder = RunFolder(path)
    stored = read_run(folder.path)
    settings = Settings.from_json(stored.header.settings)
    if stop is not None:
        settings = replace(settings, **stopping_settings(stop, best_metric=None, keep=None))
    if extend_to_epochs is not None:
        settings = _extended(stored, settings, extend_to_epochs)
    elif is_finished(stored.run):
        return stored.run
    prepared: Prepared | None = None
    with locked(folder):
        found = Checkpoints(folder).load_newest()
        if stored.header.source is not None:
            source = Source.from_json(stored.header.source)
            prepared = prepare(source, settings, settings.validation_split, shown, clock)
            job, header = prepared.job, prepared.header(stored.header.arguments)
        else:
            job = _job_of(folder, model, given, settings)
            from epochwise.engines.on_keras_callbacks import listed  # imports the framework

            callbacks = listed(callbacks)
            header = header_of_arrays(job, given)
        header = replace(header, began=stored.header.began)
        state, lengths = None, NOTHING_DONE
        if found is not None:
            checkpoint, state = found
            lengths = checkpoint.record_lengths
            header = _fitting(checkpoint, job, stored.header, header, in_order=in_order)
            job.engine.give_back(job.engine.from_host(job.engine.take(), state.arrays))
        if extend_to_epochs is not None:
            stretch = _stretch(job, stored.run.plan, schedule, shown)
            settings = replace(settings, schedule_stretch=settings.schedule_stretch * stretch)
            header = replace(header, settings=settings.to_json())
            if state is not None:
                state = replace(state, memories=dict(state.memories) | {"reason": None})
        resumed = None if found is None else found[0]
        with keeping(folder, header, job, lengths=lengths, resumed=resumed) as kept:
            tally = read_tally(folder.path)
            if prepared is not None:
                run = trained(prepared, kept, tally, shown, clock, state)
                shown.finish(run)
                return run
            return trained_on_arrays(
                job,
                start=start,
                shown=shown,
                callbacks=callbacks,
                listeners=listeners,
                kept=kept,
                tally=tally,
                state=state,
            )


def is_finished(run: Run) -> bool:
    """Tell whether a run ended by itself, not cut off."""
    return run.stop is not None and run.stop.rule not in GOES_ON


def _extended(stored: StoredRun, settings: Settings, epochs: int) -> Settings:
    """Return the settings with more epochs than are planned.

    Raises:
        PlanError: there are no more.
    """
    if settings.auto_epochs:
        raise PlanError(
            f"extend_to_epochs={epochs!r}, and the run found its own number of epochs.",
            'start a run with more: epochs=20, or the bound max_epochs=200 with epochs="auto".',
        )
    plan = stored.run.plan
    planned = plan.epochs if plan is not None else settings.epochs
    epochs = whole_number("extend_to_epochs", epochs)
    if planned is not None and epochs <= planned:
        raise PlanError(
            f"extend_to_epochs={epochs!r}, and {planned} epochs are planned already.",
            f"use extend_to_epochs={int(planned or 0) + 1} or more.",
        )
    return replace(settings, epochs=Fraction(epochs), iterations=None)


def _job_of(folder: RunFolder, model: Any, given: Given, settings: Settings) -> Job:
    """Return the training of a run of `fit` on the data that its caller gives again."""
    if given.x is None:
        raise DataError(
            f"{folder.path} is a run of fit on arrays, which its record does not hold.",
            "give them again: epochwise.resume(run_dir, model, x, y).",
        )
    select_backend()
    model = kept_model(folder) if model is None else model
    check_compiled(model)
    stretch_schedule(model, settings.schedule_stretch)
    return job_of_given(model, given, settings)


def _fitting(
    checkpoint: Checkpoint, job: Job, before: Header, header: Header, *, in_order: bool
) -> Header:
    """Return the header, with what is not as it was; refuse what does not fit.

    Raises:
        RunError: the checkpoint does not fit, or in order only and that is not enough.
    """
    words = changes_of_data(before, header)
    fit = compare(checkpoint.fits, facts(job, header), words)
    fit.require(in_order=in_order, flag="in_order=True")
    told = [str(difference) for difference in fit.differences if fit.verdict == "order"]
    return replace(header, differences=(*header.differences, *told))


def _stretch(
    job: Job, before: Plan | None, schedule: Schedule | None, shown: Progress
) -> Fraction:
    """Say what becomes of the learning-rate schedule, and do it; return its stretch.

    Raises:
        PlanError: there is a schedule and nobody said what becomes of it.
    """
    found, after = schedule_of(job.model), job.course.plan
    if found is None or before is None or after is None:
        return Fraction(1)
    name = type(found).__name__
    if schedule is None:
        raise PlanError(
            f"The learning rate follows {name}, made for {before.iterations:,} iterations, and "
            f"{after.iterations:,} are asked for.",
            'say schedule="keep" to follow it further as it is, or schedule="rescale" to '
            "stretch it to the new length.",
        )
    stretch = Fraction(1)
    if schedule == "rescale":
        stretch = Fraction(after.iterations, before.iterations)
        stretch_schedule(job.model, stretch)
    followed = schedule_of(job.model)
    first, last = (
        rate_after(followed, updates) for updates in (before.iterations, after.iterations - 1)
    )
    shown.note(
        f"The schedule {name} is {'stretched to the new length' if stretch > 1 else 'kept'}: "
        f"the learning rate is {first:.4g} at iteration {before.iterations:,} and {last:.4g} "
        f"at the end."
    )
    return stretch
