"""`fit`: train a compiled Keras model on arrays or batches, as `model.fit` does."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any, Literal

import numpy as np

from epochwise.api.job import Job, going_on, job_of
from epochwise.api.keeping import KeptRun, header_of, keep_model, keeping
from epochwise.api.material import FitData, material_of_given
from epochwise.api.running import carry_out, checked, pass_on
from epochwise.api.settings import (
    DEFAULT_BATCH_SIZE,
    Settings,
    Stop,
    checkpoint_interval,
    evaluation_settings,
    length_settings,
    stopping_settings,
)
from epochwise.counting.counts import Remainder
from epochwise.counting.durations import Duration
from epochwise.counting.numbers import whole_number
from epochwise.data.batches import is_batches
from epochwise.data.given import (
    ClassWeight,
    check_classes_of_batches,
    refuse_beside_batches,
    refuse_initial_epoch,
)
from epochwise.engines.select import check_compiled, on_device
from epochwise.errors import PlanError
from epochwise.events import Listener, TrainingState
from epochwise.exits import telling_exits
from epochwise.framework import framework_limits, select_backend
from epochwise.loop.course import Keep
from epochwise.record import Header, Run, RunFolder, Tally, locked, require_free, run_path
from epochwise.terminal.progress import Progress, progress, resume_call


@telling_exits()
def fit(
    model: Any,
    x: Any,
    y: Any = None,
    batch_size: int | None = None,
    epochs: int | Fraction | Literal["auto"] | None = None,
    verbose: Literal["auto", 0, 1, 2] = "auto",
    callbacks: Any = (),
    validation_split: float | None = None,
    validation_data: Any = None,
    shuffle: bool = True,
    class_weight: ClassWeight | None = None,
    sample_weight: Any = None,
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    validation_batch_size: int | None = None,
    validation_freq: int | Sequence[int] | None = None,
    *,
    max_epochs: int | None = None,
    iterations: int | None = None,
    seed: int = 0,
    remainder: Remainder | None = None,
    microbatch_size: int | None = None,
    segments: Literal["scan", "single"] | None = None,
    listeners: Iterable[Listener] = (),
    stop: Stop = None,
    best_metric: str | None = None,
    keep: Keep | None = None,
    evaluate_every: Duration | str | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    checkpoint_every: Duration | str | None = None,
) -> Run:
    """Train a compiled Keras model, as `model.fit` does, with exact counts.

    With `shuffle=False` the weights are bit for bit those of `model.fit` on the JAX
    backend. The arguments that Keras has too come first, in its order. With
    `shuffle=True` each epoch is a permutation that follows from the seed and from the
    epochs that the model's optimizer has already counted, so that a second call goes on
    where the first one ended.

    Args:
        model: a compiled Keras model; holds the trained weights, optimizer and metrics
            afterwards, also after an exception or Ctrl-C.
        x: features, first axis N: an array or a tuple or mapping of them; or batches
            that somebody else forms (`PyDataset`, `tf.data.Dataset`, `DataLoader`, a
            generator function), which then bring their own targets.
        y: targets, the same kinds of arrays.
        batch_size: samples per weight update, `None` for 32 [samples / iteration]; not to
            be given for batches that somebody else forms, whatever the number.
        epochs: passes over the data, `None` for 1 or as many as `iterations` make [epochs].
            `"auto"` trains at a constant rate until the validation part no longer
            improves, then lets the rate go down, and keeps the best weights
            (`epochwise.rules.pacing`).
        verbose: 0 for silence, 1 for a live line, 2 for a line an epoch.
        callbacks: Keras callbacks, several, one or `None`.
        validation_split: the share of the samples held out for validation, in [0, 1),
            `None` for 0: stratified by class and seeded; with `shuffle=False` the last
            ones, as Keras. Not for batches that somebody else forms.
        validation_data: `(x, y)` or `(x, y, sample_weight)`, `(x,)` or x for a model
            without targets, or batches that somebody else forms; evaluated after each
            epoch.
        shuffle: whether each epoch is a new permutation.
        class_weight: a weight for each class: a mapping by its number, where classes left
            out weigh 1, as Keras; a sequence with one for each class from 0 on; or
            `"balanced"` for N / (K·n_c), with N samples that train, K classes among them
            and n_c of class c.
        sample_weight: a weight for each sample, shape `(N,)`.
        initial_epoch: refused unless 0: a second call goes on by itself.
        steps_per_epoch: iterations that make an epoch of somebody else's batches, cut
            from pass after pass; with arrays an epoch is every sample once.
        validation_steps: batches of the validation data to evaluate; `None` for all.
        validation_batch_size: samples in each of them; `None` for `batch_size`.
        validation_freq: epochs from one evaluation to the next, `None` for 1 [epochs]; or a
            list of the
            epochs to evaluate after, counted from 1.
        max_epochs: the bound of `"auto"` [epochs]; `None` for 100, or for `iterations`
            alone where they are given. A `TimeLimit` among `stop` is another bound.
        iterations: weight updates in all [iterations].
        seed: of the order and the split, 0 to 2**64 - 1.
        remainder: whether the N mod B left-over samples are trained on: `"keep"`, which
            `None` is too, or `"drop"`. Not for batches that somebody else forms.
        microbatch_size: samples that go through the network at once, `None` for all.
        segments: how segments are executed; `None` follows from model and device.
        listeners: plug-ins with a method `on_event`.
        stop: rules that may end the run before its plan does, one or several
            (`epochwise.rules` has `Patience`, `Target`, `TimeLimit` and others); a
            loss that is not finite always ends it, unless this is an empty list.
        best_metric: the metric of the validation part by which the best weights are
            told; `None` for that of the first rule, or `val_loss`.
        keep: `"best"` to hold the best weights at the end, whatever ended the run;
            `"last"` for the last ones; `None` for the best where a rule looks at the
            validation part.
        evaluate_every: how often the validation part is evaluated, `"2ep"` or `"500it"`;
            `None` for after every epoch.
        run_dir: a folder to keep the run in, empty or not there yet: its record, its
            checkpoints, its weights; `epochwise.resume` goes on from there.
        checkpoint_every: how often it is saved, `"1ep"`, `"500it"` or `"30s"`, and at its
            end; `None` for every ten seconds.

    Returns:
        The run: `history` as Keras's, `plan`, `position`, and `losses`, the loss of each
        iteration's own batch.

    Raises:
        PlanError: the counts cannot be.
        DataError: the arrays are not what training needs.
        ModelError: the model cannot be trained as asked.

    Example:
        >>> import epochwise, keras, numpy as np
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> run = fit(model, np.ones((10, 4)), np.ones(10), batch_size=4, verbose=0)
        >>> run.position.iterations_done
        3
    """
    start = time.perf_counter()
    refuse_initial_epoch(initial_epoch, epochs)
    given = FitData(
        x=x,
        y=y,
        sample_weight=sample_weight,
        class_weight=class_weight,
        validation_data=validation_data,
        validation_batch_size=validation_batch_size,
        steps_per_epoch=steps_per_epoch,
    )
    foreign = is_batches(x)
    if foreign:
        refuse_beside_batches(
            {
                "y": y is not None,
                "sample_weight": sample_weight is not None,
                "validation_split": validation_split is not None,
                "batch_size": batch_size is not None,
                "remainder": remainder is not None,
            }
        )
        if iterations is not None and not (epochs is None or isinstance(epochs, str)):
            raise PlanError(
                f"epochs={epochs!r} and iterations={iterations!r} both say how long to train "
                "on x, whose batches are counted as they come.",
                "give one of them.",
            )
    elif batch_size is None:
        batch_size = DEFAULT_BATCH_SIZE
    settings = Settings(
        batch_size=batch_size,
        **length_settings(epochs, iterations, max_epochs),
        validation_split=0.0 if validation_split is None else validation_split,
        shuffle=shuffle,
        seed=seed,
        remainder="keep" if remainder is None else remainder,
        microbatch_size=microbatch_size,
        segments=segments,
        **evaluation_settings(evaluate_every, validation_freq),
        validation_batches=None
        if validation_steps is None
        else whole_number("validation_steps", validation_steps),
        checkpoint_every=checkpoint_interval(checkpoint_every, run_dir),
        **stopping_settings(
            stop, best_metric=best_metric, keep=keep, auto_epochs=epochs == "auto"
        ),
    )
    settings.require_validation(
        has_validation=bool(settings.validation_split) or validation_data is not None
    )
    kept_in = None if run_dir is None else run_path(run_dir)
    if kept_in is not None:
        require_free(kept_in)
    listeners = checked(listeners)
    select_backend()
    from epochwise.callbacks.keras_callbacks import listed  # imports the framework

    callbacks = listed(callbacks)
    settings = replace(settings, **framework_limits())
    job = going_on(job_of_given(model, given, settings))
    with ExitStack() as stack:
        kept = None
        if kept_in is not None:
            header = header_of_arrays(job, given)
            folder = RunFolder.create(kept_in)
            stack.enter_context(locked(folder))
            keep_model(folder, model)
            kept = stack.enter_context(keeping(folder, header, job))
        shown = stack.enter_context(closing(progress(verbose)))
        run = trained(
            job,
            start=start,
            shown=shown,
            verbose=verbose,
            callbacks=callbacks,
            listeners=listeners,
            kept=kept,
        )
    pass_on(run.stop)
    return run


def job_of_given(model: Any, given: FitData, settings: Settings) -> Job:
    """Return the training of a compiled model on the data that its caller gives."""
    began = time.perf_counter()
    check_compiled(model)
    material = material_of_given(given, settings, partial(on_device, model))
    job = job_of(model, material, settings, time.perf_counter() - began)
    if given.class_weight is not None and is_batches(given.x):
        from epochwise.engines.targets import TargetCheck  # imports the framework

        classes = TargetCheck(model).classes(material.example)
        if classes is not None:
            check_classes_of_batches(given.class_weight, classes)
    return job


def trained(
    job: Job,
    *,
    start: float,
    shown: Progress,
    verbose: object = "auto",
    callbacks: Sequence[Any] = (),
    listeners: Iterable[Listener] = (),
    kept: KeptRun | None = None,
    tally: Tally | None = None,
    state: TrainingState | None = None,
) -> Run:
    """Train what `fit` prepared, with its callbacks, and return the run.

    Args:
        job: what to train.
        start: when the caller began, by `time.perf_counter` [s].
        shown: shows what happens.
        verbose: what the caller asked `shown` for, as callbacks are told it.
        callbacks: Keras callbacks.
        listeners: plug-ins with a method `on_event`.
        kept: where the run is kept; `None` for nowhere.
        tally: of a run that goes on: what happened before.
        state: of a run that goes on.
    """
    from epochwise.callbacks.keras_callbacks import KerasCallbacks

    tally = Tally() if tally is None else tally
    for sentence in job.settings.limits:
        shown.note(sentence)
    together = getattr(job.model, "steps_per_execution", 1)
    if together != 1:
        shown.note(
            f"steps_per_execution={together} of compile is not used: how many iterations a "
            "call makes follows from the model, and changes no weight."
        )
    adapter = KerasCallbacks(
        job.model,
        callbacks,
        epochs=None if job.settings.iterations is not None else job.course.epochs,
        iterations_per_epoch=job.course.feed.iterations_per_epoch,
        verbose=verbose,
    )
    carry_out(
        job,
        tally,
        (shown, adapter, *listeners),
        kept=kept,
        state=state,
        asked_to_stop=adapter.stop_reason,
        looks_at_iterations=adapter.looks_at_iterations,
        looks_at_evaluation=adapter.looks_at_evaluation,
        note=shown.note,
    )
    before = 0.0 if state is None else state.memories["seconds"]
    seconds = replace(
        tally.seconds,
        total=before + time.perf_counter() - start,
        data=job.data_seconds,
    )
    run = tally.run(seconds=seconds) if kept is None else kept.close(job, tally, seconds)
    run = replace(
        run,
        history=adapter.completed(run.history),
        params=adapter.params,
        model=job.model,
    )
    shown.finish(run, resume_call)
    return run


def header_of_arrays(job: Job, given: FitData) -> Header:
    """Return what is known of a run on a caller's own data before its first iteration."""
    samples = job.material.samples
    x = None if samples is None else samples.x
    return header_of(
        job,
        data_name=type(given.x).__name__ if samples is None else "arrays",
        data={"input_shape": list(x.shape[1:]) if isinstance(x, np.ndarray) else None},
        model_name=job.model.name,
        source=None,
        arguments=None,
    )
