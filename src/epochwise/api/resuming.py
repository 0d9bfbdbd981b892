"""`resume`: go on with a run at the very next iteration, as if nothing had happened."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from epochwise.api.fitting import header_of_arrays, job_of_given
from epochwise.api.fitting import trained as trained_on_arrays
from epochwise.api.job import Job
from epochwise.api.keeping import facts, keeping, kept_model
from epochwise.api.material import FitData
from epochwise.api.running import CUT_OFF, checked, pass_on
from epochwise.api.settings import Settings, Stop, stopping_settings
from epochwise.api.training import Clock, Prepared, Source, prepare, trained
from epochwise.checkpoint import (
    Checkpoint,
    Checkpoints,
    changes_of_data,
    compare,
    not_compared,
)
from epochwise.counting.numbers import whole_number
from epochwise.counting.plan import Plan
from epochwise.data.given import ClassWeight
from epochwise.engines.select import check_compiled
from epochwise.errors import DataError, PlanError
from epochwise.events import Listener, TrainingState
from epochwise.exits import telling_exits
from epochwise.framework import select_backend
from epochwise.framework.threads import THREADS_VARIABLES, use_threads
from epochwise.models import rate_after, schedule_of, stretch_schedule
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
from epochwise.rules import NonFinite, StopRule
from epochwise.terminal.progress import Progress, progress

Schedule = Literal["keep", "rescale"]
"""What becomes of a learning-rate schedule when a run is made longer."""

Rules = Literal["keep", "anew", "drop"]
"""What becomes of the stopping rules when a run is made longer."""

MOST_THREADS = 4096
"""More than any machine is taken to have had."""

GOES_ON = CUT_OFF | {"non_finite"}
"""Rules of the runs that `resume` goes on with; one that ended otherwise is finished."""


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
    extend_to_iterations: int | None = None,
    rules: Rules | None = None,
    schedule: Schedule | None = None,
    in_order: bool = False,
    accept_changed_model: bool = False,
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
        stop: the rules again, where they are not Epochwise's own; or, of a run that is
            made longer, other ones, which begin anew; an empty list for none.
        extend_to_epochs: go on to so many epochs in all, also with a finished run.
        extend_to_iterations: the same in weight updates.
        rules: what becomes of the stopping rules then: they go on with what they remember
            (`"keep"`), begin `"anew"`, time limits too, or all but `NonFinite` are left
            out (`"drop"`). To be said where one of them ended the run.
        schedule: what becomes of a learning-rate schedule then: `"keep"` it as it is, or
            `"rescale"` it to the new length.
        in_order: go on even where only the order of the samples is sure to be the same,
            on another device or with other versions.
        accept_changed_model: train the saved numbers on though a setting of the network,
            its optimizer, loss or metrics is another; which, stands in the record.

    Returns:
        The run, from its first iteration on.

    Raises:
        RunError: it cannot go on from what there is; names each difference.
        DataError: a run of `fit` was given no data.
        PlanError: the extension is none.
    """
    given = FitData(
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
            extend_to_iterations=extend_to_iterations,
            rules=rules,
            schedule=schedule,
            in_order=in_order,
            accept_changed_model=accept_changed_model,
        )
    pass_on(run.stop)
    return run


@telling_exits()
def go_on(
    path: Path,
    model: Any,
    given: FitData,
    *,
    shown: Progress,
    callbacks: Any = (),
    listeners: Iterable[Listener] = (),
    stop: Stop = None,
    extend_to_epochs: int | None = None,
    extend_to_iterations: int | None = None,
    rules: Rules | None = None,
    schedule: Schedule | None = None,
    in_order: bool = False,
    accept_changed_model: bool = False,
) -> Run:
    """Do what `resume` does, and leave it to the caller what a signal means."""
    start, clock = time.perf_counter(), Clock()
    folder = RunFolder(path)
    stored = read_run(folder.path)
    settings = Settings.from_json(stored.header.settings)
    lengths_asked = (extend_to_epochs, extend_to_iterations)
    extends = lengths_asked != (None, None)
    if not extends and is_finished(stored.run):
        return stored.run
    if extends:
        settings = _extended(stored, settings, *lengths_asked)
    begins_anew = _rules_begin_anew(stored.run, settings.stop, stop, rules, extends=extends)
    if rules == "drop":
        stop = [rule for rule in settings.stop if isinstance(rule, NonFinite)]
    if stop is not None:
        asked = stopping_settings(stop, best_metric=settings.best_metric, keep=settings.keep)
        settings = replace(settings, **asked)
    prepared: Prepared | None = None
    with locked(folder):
        found = Checkpoints(folder).load_newest()
        threads = _threads_before(stored.header, None if found is None else found[0])
        if threads is not None:
            use_threads(threads)
        if stored.header.source is not None:
            source = Source.from_json(stored.header.source)
            prepared = prepare(source, settings, settings.validation_split, shown, clock)
            job, header = prepared.job, prepared.header(stored.header.arguments)
        else:
            job = _job_of(folder, model, given, settings)
            from epochwise.callbacks.keras_callbacks import listed  # imports the framework

            callbacks = listed(callbacks)
            header = header_of_arrays(job, given)
        header = replace(header, began=stored.header.began)
        state, fits, lengths = None, None, NOTHING_DONE
        if found is not None:
            checkpoint, state = found
            lengths = checkpoint.record_lengths
            header, fits = _fitting(
                checkpoint,
                job,
                stored.header,
                header,
                shown,
                in_order=in_order,
                changed=accept_changed_model,
            )
            state = _restored(job, state, checkpoint.fits, fits)
        stretch_schedule(job.model, settings.schedule_stretch)
        if state is not None and begins_anew:
            since = {"rules": None, "rules_since": state.memories["seconds"]}
            state = replace(state, memories={**state.memories, **since})
        if extends:
            stretch = _stretch(job, stored.run.plan, schedule, shown)
            settings = replace(settings, schedule_stretch=settings.schedule_stretch * stretch)
            header = replace(header, settings=settings.to_json())
            if state is not None:
                state = replace(state, memories={**state.memories, "reason": None})
        resumed = None if found is None else found[0]
        with keeping(folder, header, job, lengths=lengths, resumed=resumed, fits=fits) as kept:
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


def _extended(
    stored: StoredRun, settings: Settings, epochs: int | None, iterations: int | None
) -> Settings:
    """Return the settings of a longer run.

    A run that a rule ended before its plan did may be trained on inside it; of one that was
    cut off the same command may be given again.

    Raises:
        PlanError: it would not be longer, or it found its number of epochs itself.
    """
    told, value, unit = ("extend_to_epochs", epochs, "epochs")
    if epochs is None:
        told, value, unit = ("extend_to_iterations", iterations, "iterations")
    elif iterations is not None:
        raise PlanError(
            f"extend_to_epochs={epochs!r} with extend_to_iterations={iterations!r} says twice "
            "how long the run is to be.",
            "give one of them.",
        )
    if settings.auto_epochs:
        raise PlanError(
            f"{told}={value!r}, and the run found its own number of epochs.",
            "train its weights on in a new run, with epochs=20; or begin again with "
            'epochs="auto" and max_epochs=200.',
        )
    value = whole_number(told, value, least=0)
    length = Fraction(value) if epochs is not None else None
    longer = replace(settings, epochs=length, iterations=iterations)
    run, plan = stored.run, stored.run.plan
    ended_early = is_finished(run) and run.stop is not None and run.stop.rule != "plan"
    if plan is not None:
        per_epoch = plan.iterations_per_epoch
        asked = value * (per_epoch if epochs is not None else 1)
        least = run.position.iterations_done + 1 if ended_early else plan.iterations
        least += run.stop is not None and run.stop.rule == "plan"
        in_unit = -(-least // per_epoch) if epochs is not None else least
    else:
        before = settings.epochs if epochs is not None else settings.iterations
        done = run.position.epochs_done if epochs is not None else run.position.iterations_done
        asked, in_unit = value, done + 1
        if not ended_early and before is not None:
            in_unit = int(before) + is_finished(run)
        least = in_unit
    if asked < least:
        what = "done" if ended_early else "planned"
        raise PlanError(
            f"{told}={value!r}, and {in_unit - 1} {unit} are {what} already.",
            f"use {told}={in_unit} or more.",
        )
    return longer


def _rules_begin_anew(
    run: Run,
    of: Sequence[StopRule[Any]],
    stop: Stop,
    rules: Rules | None,
    *,
    extends: bool,
) -> bool:
    """Tell whether the stopping rules forget what they saw.

    Raises:
        PlanError: a rule ended the run that is to be made longer, and nobody said.
    """
    if rules is not None:
        return rules != "keep"
    if not extends:
        return False
    if stop is not None:
        return True
    if run.stop is not None and run.stop.rule in {rule.name for rule in of} - GOES_ON:
        raise PlanError(
            f"A stopping rule ended the run: {run.stop.sentence}",
            'say rules="anew" to let the rules begin anew, rules="keep" to let them go on with '
            'what they remember, or rules="drop" to train without them.',
        )
    return False


def _job_of(folder: RunFolder, model: Any, given: FitData, settings: Settings) -> Job:
    """Return the training of a run of `fit` on the data that its caller gives again."""
    if given.x is None:
        raise DataError(
            f"{folder.path} is a run of fit on arrays, which its record does not hold.",
            "give them again: epochwise.resume(run_dir, model, x, y).",
        )
    select_backend()
    model = kept_model(folder) if model is None else model
    check_compiled(model)
    return job_of_given(model, given, settings)


def _fitting(
    checkpoint: Checkpoint,
    job: Job,
    before: Header,
    header: Header,
    shown: Progress,
    *,
    in_order: bool,
    changed: bool,
) -> tuple[Header, Mapping[str, Any]]:
    """Return the header, with what is not as it was, and what checkpoints fit from here on.

    Raises:
        RunError: the checkpoint does not fit, and nobody asked for what differs.
    """
    recorded, now = checkpoint.fits, facts(job, header)
    fit = compare(recorded, now, changes_of_data(before, header))
    variable = THREADS_VARIABLES.get(now["backend"])
    remedies = {}
    if variable is not None:
        remedies["threads"] = (
            f"start the process with {variable}={recorded.get('threads')} in its environment"
        )
    fit.require(in_order=in_order, changed=changed, remedies=remedies)
    told = [str(each) for each in fit.differences if each.row.verdict != "exact"]
    for sentence in told:
        shown.note(f"Not as before: {sentence}")
    if unknown := not_compared(recorded, now):
        shown.note(unknown)
    if (rate := _rate(recorded)) is not None:
        now["optimizer_settings"].setdefault("learning_rate", rate)
    return replace(header, differences=(*header.differences, *told)), now


def _threads_before(header: Header, checkpoint: Checkpoint | None) -> int | None:
    """Return over how many threads operations were parted; `None` where nobody says."""
    fits = {} if checkpoint is None else checkpoint.fits
    machine = header.machine
    told = fits.get("threads") or machine.get("threads") or machine.get("cores")
    return told if type(told) is int and 1 <= told <= MOST_THREADS else None


def _rate(fits: Mapping[str, Any]) -> Any:
    """Return the constant learning rate among what a checkpoint fits; `None` without."""
    settings = fits.get("optimizer_settings")
    return settings.get("learning_rate") if isinstance(settings, dict) else None


def _restored(
    job: Job, state: TrainingState, recorded: Mapping[str, Any], now: Mapping[str, Any]
) -> TrainingState:
    """Give the model the values of a checkpoint; return the state.

    A constant learning rate is one of them, unless it is among the accepted changes.
    """
    rates = [_rate(fits) for fits in (recorded, now)]
    job.engine.give_back(job.engine.from_host(job.engine.take(), state.arrays))
    if rates[0] == rates[1] or not all(isinstance(rate, float) for rate in rates):
        return state
    job.engine.set_learning_rate(rates[1])
    if state.memories.get("rate") is None:
        return state
    return replace(state, memories={**state.memories, "rate": rates[1]})


def _stretch(
    job: Job, before: Plan | None, schedule: Schedule | None, shown: Progress
) -> Fraction:
    """Say what becomes of the learning-rate schedule, and do it; return its stretch.

    Raises:
        PlanError: there is a schedule and nobody said what becomes of it.
    """
    found, after = schedule_of(job.model), job.course.plan
    if (
        found is None
        or before is None
        or after is None
        or before.iterations == after.iterations
    ):
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
        f"The schedule {name} is {'stretched to the new length' if stretch != 1 else 'kept'}: "
        f"the learning rate is {first:.4g} at iteration {before.iterations:,} and {last:.4g} "
        f"at the end."
    )
    return stretch
