"""`tune`: which batch size and learning rate to train a model with."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from epochwise.api.advising import GivenTarget, Question, advise, goal_of
from epochwise.api.fitting import job_of_given
from epochwise.api.job import going_on
from epochwise.api.material import FitData
from epochwise.api.settings import Settings
from epochwise.api.training import Clock, Source, keep_advice, prepare
from epochwise.choosing.batch_size.advice import Advice
from epochwise.counting.numbers import whole_number
from epochwise.data.batches import is_batches
from epochwise.data.given import ClassWeight, given_samples
from epochwise.engines.select import check_compiled, check_inputs
from epochwise.errors import DataError
from epochwise.exits import telling_exits
from epochwise.framework import select_backend
from epochwise.models import unchanged
from epochwise.record import RunFolder
from epochwise.rules.metrics import VALIDATION
from epochwise.terminal.progress import Progress

HELD_OUT = 0.1
"""The share held out to compare by, where no validation part is given."""

EVALUATED_AT_ONCE = 250
"""Samples in a batch of evaluation [samples]."""


@telling_exits()
def tune(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    target: GivenTarget = None,
    seconds: float | None = None,
    sizes: Sequence[int] | None = None,
    batch_size: int = 32,
    epochs: int = 5,
    validation_split: float | None = None,
    validation_data: Any = None,
    sample_weight: Any = None,
    class_weight: ClassWeight | None = None,
    shuffle: bool = True,
    seed: int = 0,
) -> Advice:
    """Choose the batch size of least training time, and its learning rate, by measurement.

    The search begins at the pair that the model would be trained with: `batch_size` and
    the optimizer's own learning rate. Pairs around the best so far are trained for real,
    from the model's weights, and compared by the seconds of training that they take to
    the target; only pairs that were run are returned. The model, its optimizer and
    metrics, and the random states of Keras, NumPy and Python are afterwards what they
    were, also after an exception. A model that is not built yet is built, as `fit` does.

    Args:
        model: a compiled Keras model.
        x: features, as `fit` takes them; arrays only.
        y: targets.
        target: what to reach, such as `"val_accuracy=0.975"` or `{"val_loss": 0.1}`,
            with a metric as the history names it; `None` for what the model's own pair
            reaches in its part of the search.
        seconds: the time that choosing may take [s]. `None` for the smaller of a minute
            and a fifth of the training as predicted, though not less than seven seconds;
            fifteen for a training of less than ten.
        sizes: batch sizes that may be chosen; `None` for the powers of two from 16 to
            4,096 within the set, the whole set and `batch_size`.
        batch_size: the user's own [samples / iteration].
        epochs: length of the training, where no target tells it [epochs].
        validation_split: the share held out to compare by; `None` for a tenth where the
            target asks for it and there is no `validation_data`.
        validation_data: `(x, y)` or `(x, y, sample_weight)` as arrays.
        sample_weight: as `fit`.
        class_weight: as `fit`.
        shuffle: as `fit`.
        seed: as `fit`; the same as in the training that follows, so that it is the very
            one that was tried.

    Returns:
        The advice, with everything that was measured.

    Raises:
        PlanError: the target is reached already or cannot be, or the sizes cannot be.
        DataError: the arrays are not what training needs.
        ModelError: the model cannot be trained, or not even one sample fits in memory.

    Example:
        >>> import epochwise, keras
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x = np.random.default_rng(0).normal(size=(64, 4))
        >>> advice = tune(model, x, x.sum(axis=1), seconds=2, sizes=[8, 16])
        >>> advice.batch_size in (8, 16)
        True
    """
    question = Question(
        goal=goal_of(target),
        seconds=seconds,
        sizes=sizes,
        began=time.perf_counter(),
    )
    if validation_split is None:
        held_out = question.watches_validation and validation_data is None
        validation_split = HELD_OUT if held_out else 0.0
    select_backend()
    check_compiled(model)
    if is_batches(x):
        raise DataError(
            "x brings batches of its own, so their size is not to be chosen here.",
            "give x and y as arrays.",
        )
    given = FitData(
        x=x,
        y=y,
        sample_weight=sample_weight,
        class_weight=class_weight,
        validation_data=validation_data,
        validation_batch_size=EVALUATED_AT_ONCE,
    )
    settings = Settings(
        batch_size=batch_size,
        epochs=Fraction(whole_number("epochs", epochs)),
        validation_split=validation_split,
        shuffle=shuffle,
        seed=seed,
    )
    if not model.built:
        example = given_samples(x).rows(np.arange(1))
        check_inputs(model, example)
        model(example.x)
    with unchanged(model):
        return advise(going_on(job_of_given(model, given, settings)), question)


@telling_exits()
def tune_source(
    source: Source,
    settings: Settings,
    question: Question,
    *,
    validation_split: float | None,
    save: Path | None,
    progress: Progress,
    arguments: Sequence[str] | None = None,
) -> Advice:
    """Do what `tune` does for a network on a data source.

    Args:
        source: the data and the model.
        settings: how it would be trained; where the search begins.
        question: what to find.
        validation_split: the share held out; `None` as in `train`, and a tenth where
            pairs are compared on it.
        save: a new folder for the advice, with the header of a run; `None` for none.
        progress: shows what was decided for the user.
        arguments: the command line, for the record.
    """
    if question.watches_validation:
        settings = replace(settings, best_metric=f"{VALIDATION}loss")
    prepared = prepare(source, settings, validation_split, progress, Clock())
    with unchanged(prepared.job.model):
        advice = advise(prepared.job, question)
    if save is not None:
        folder = RunFolder.create(save)
        prepared.header(arguments).write(folder)
        keep_advice(folder, advice)
    return advice
