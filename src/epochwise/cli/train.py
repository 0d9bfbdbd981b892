"""`epochwise train`: train a network, show it, and leave a record.

Whatever can be checked without a framework is checked first, so that a slip costs less
than a second; what is wrong is told together.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from epochwise.api.settings import (
    Settings,
    checkpoint_interval,
    evaluation_settings,
    length_settings,
    stopping_settings,
)
from epochwise.api.training import Source
from epochwise.cli.checks import (
    check_counts,
    check_data,
    check_seed,
    check_split,
    together,
)
from epochwise.cli.options import Drop, HasHeader, Label, Task, columns_of
from epochwise.counting.durations import Duration
from epochwise.counting.numbers import whole_number
from epochwise.data import sources
from epochwise.errors import PlanError
from epochwise.models import check_learning_rate, check_optimizer, parse_model
from epochwise.record import Run, json_text, require_free
from epochwise.rules import Patience, StopRule, TimeLimit, parse_target
from epochwise.terminal.progress import progress

app = typer.Typer(add_completion=False, rich_markup_mode=None)

AUTO = "auto"
"""Told for a number that is to be measured."""

OWN_BATCH_SIZE = 64
"""The batch size unless told, and where choosing one begins."""

EXIT_CODES = {"interrupt": 130, "terminated": 143}
"""By the rule that ended a run: 128 and the number of the signal."""


@app.command()
def train(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help=f"{', '.join(sources.NAMES)}; a .npz, .csv or .parquet file; a folder of "
            "IDX files, or of images with one folder per class.",
        ),
    ] = "digits",
    model: Annotated[
        str,
        typer.Option(
            metavar="MODEL", help="mlp, cnn, FILE.py:FUNCTION, module:FUNCTION or FILE.keras."
        ),
    ] = "mlp",
    batch_size: Annotated[
        str,
        typer.Option(
            metavar="N|auto", help="Samples per weight update; auto measures what is best."
        ),
    ] = str(OWN_BATCH_SIZE),
    epochs: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Passes over the data; or auto: until the validation part no longer "
            "improves, then a short cooldown of the learning rate.",
            show_default="5, unless --iterations",
        ),
    ] = None,
    max_epochs: Annotated[
        int | None,
        typer.Option(help="The bound of --epochs auto.", show_default="100"),
    ] = None,
    iterations: Annotated[int | None, typer.Option(help="Weight updates in all.")] = None,
    learning_rate: Annotated[
        str | None,
        typer.Option(
            metavar="RATE|auto",
            help="Of the optimizer; auto measures what is best.",
            show_default="the optimizer's",
        ),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(help="One of Keras's.", show_default="adam, or the model's own"),
    ] = None,
    validation_split: Annotated[
        float | None,
        typer.Option(
            help="Share of the training samples to evaluate on after each epoch.",
            show_default="0 with a validation or test part, else 0.2",
        ),
    ] = None,
    label: Label = None,
    drop: Drop = None,
    header: HasHeader = None,
    task: Task = None,
    seed: Annotated[int, typer.Option(help="Of the split, the order and the weights.")] = 0,
    microbatch_size: Annotated[
        int | None,
        typer.Option(help="Samples that go through the network at once.", show_default="all"),
    ] = None,
    patience: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Stop when val_loss has had no new low for so long: 3 (epochs), 3ep, 500it.",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(metavar="METRIC=VALUE", help="Stop at a value, as val_accuracy=0.97."),
    ] = None,
    max_minutes: Annotated[
        float | None, typer.Option(help="Stop after so many minutes of training.")
    ] = None,
    keep: Annotated[
        Literal["best", "last"] | None,
        typer.Option(
            help="Which weights to end with.",
            show_default="best where the validation part may end the run, else last",
        ),
    ] = None,
    evaluate_every: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION", help="When to evaluate: 2ep, 500it.", show_default="1ep"
        ),
    ] = None,
    checkpoint_every: Annotated[
        str | None,
        typer.Option(
            metavar="DURATION",
            help="When to save: 1ep, 500it, 30s, never; the end is always saved.",
            show_default="10s",
        ),
    ] = None,
    run_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for this run, empty or not there yet.",
            show_default="a new one in runs/",
        ),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write event files for TensorBoard too.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="End with one JSON object on stdout.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show errors only.")] = False,
) -> None:
    """Train a network on DATA, with every iteration planned and counted."""
    if epochs is None and iterations is None:
        epochs = "5"
    with together() as checking:
        checking(lambda: check_data(data))
        checking(lambda: parse_model(model))
        checking(lambda: None if optimizer is None else check_optimizer(optimizer))
        checking(lambda: told_rate(learning_rate))
        checking(lambda: check_split(validation_split))
        checking(lambda: check_seed(seed))
        length = checking(lambda: _length(epochs, iterations, max_epochs)) or {}
        checking(
            lambda: check_counts(
                told_size(batch_size),
                length.get("epochs"),
                length.get("iterations"),
                microbatch_size,
            )
        )
        checking(lambda: None if run_dir is None else require_free(run_dir))
        checking(lambda: asked_rules(patience, target, max_minutes, evaluate_every))
        checking(lambda: evaluation_settings(evaluate_every))
        checking(lambda: checkpoint_interval(checkpoint_every, run_dir=True))

    from epochwise import api

    question = None
    if AUTO in (batch_size, learning_rate):
        from epochwise.api.advising import goal_of

        question = api.Question(
            goal=None if target is None else goal_of(parse_target(target)),
            sizes=None if batch_size == AUTO else [told_size(batch_size)],
            tunes_rate=learning_rate == AUTO,
        )
    settings = Settings(
        batch_size=told_size(batch_size),
        **length,
        seed=seed,
        microbatch_size=microbatch_size,
        **evaluation_settings(evaluate_every),
        checkpoint_every=checkpoint_interval(checkpoint_every, run_dir=True),
        **stopping_settings(
            asked_rules(patience, target, max_minutes, evaluate_every),
            best_metric=None,
            keep=keep,
            auto_epochs=epochs == "auto",
        ),
    )
    source = Source(
        data=data,
        label=label,
        drop=columns_of(drop),
        header=header,
        task=task,
        model=model,
        optimizer=optimizer,
        learning_rate=told_rate(learning_rate),
    )
    shown = progress(0 if quiet else "auto", stream=sys.stderr if json else sys.stdout)
    try:
        run = api.train(
            source,
            settings,
            validation_split=validation_split,
            run_dir=run_dir,
            progress=shown,
            arguments=sys.argv[1:],
            tensorboard=tensorboard,
            question=question,
        )
        shown.finish(run)
    finally:
        shown.close()
    end(run, json=json)


def end(run: Run, *, json: bool) -> None:
    """Print the run as JSON where asked, and exit as what ended it demands.

    Args:
        run: a run that ended.
        json: whether to print it.
    """
    if json:
        print(json_text(run.to_json()), flush=True)
    code = EXIT_CODES.get("" if run.stop is None else run.stop.rule)
    if code is not None:
        raise typer.Exit(code)


def told_size(batch_size: str) -> int:
    """Return the batch size that an option tells; where choosing begins if that is `auto`.

    Raises:
        PlanError: it is neither.

    Example:
        >>> told_size("96"), told_size("auto")
        (96, 64)
    """
    if batch_size == AUTO:
        return OWN_BATCH_SIZE
    try:
        return int(batch_size)
    except ValueError:
        raise PlanError(
            f"--batch-size {batch_size} is no number of samples.",
            "use --batch-size 64, or --batch-size auto.",
        ) from None


def told_rate(learning_rate: str | None) -> float | None:
    """Return the learning rate that an option tells; `None` for the optimizer's own.

    Raises:
        PlanError: it is no number.
        ModelError: it is none that trains.

    Example:
        >>> told_rate("3e-4"), told_rate("auto"), told_rate(None)
        (0.0003, None, None)
    """
    if learning_rate is None or learning_rate == AUTO:
        return None
    try:
        rate = float(learning_rate)
    except ValueError:
        raise PlanError(
            f"--learning-rate {learning_rate} is no number.",
            "use --learning-rate 0.001, or --learning-rate auto.",
        ) from None
    check_learning_rate(rate)
    return rate


def asked_rules(
    patience: str | None,
    target: str | None,
    max_minutes: float | None,
    evaluate_every: str | None,
) -> list[StopRule[Any]] | None:
    """Return the stopping rules that the options ask for; `None` for no option at all.

    Raises:
        PlanError: an option cannot be.
    """
    rules: list[StopRule[Any]] = []
    if patience is not None:
        rules.append(_patience(patience, evaluate_every))
    if target is not None:
        rules.append(parse_target(target))
    if max_minutes is not None:
        rules.append(TimeLimit(minutes=max_minutes))
    return rules or None


def _patience(told: str, evaluate_every: str | None) -> Patience:
    """Return the patience that an option asks for; a bare number is of epochs.

    Raises:
        PlanError: it is no such duration, or a bare number beside evaluations that are
            not made by epochs.
    """
    if told.isdigit() and (evaluate_every or "").strip().endswith("it"):
        raise PlanError(
            f"--patience {told} with --evaluate-every {evaluate_every} does not say of what.",
            f"use --patience {told}ep, or a number of iterations as --patience 2000it.",
        )
    if told.isdigit():
        return Patience(metric="val_loss", epochs=whole_number("patience", int(told)))
    length = Duration.parse(told)
    if length.seconds is not None:
        raise PlanError(
            f"--patience {told} would end at another place on each machine.",
            "use --patience 3ep or --patience 2000it.",
        )
    return Patience(metric="val_loss", epochs=length.epochs, iterations=length.iterations)


def _length(
    epochs: str | None, iterations: int | None, max_epochs: int | None
) -> dict[str, Any]:
    """Return the length asked for, as the settings have it.

    Raises:
        PlanError: it is none.
    """
    if epochs is None or epochs == "auto":
        return length_settings(epochs, iterations, max_epochs)
    try:
        told = int(epochs)
    except ValueError as error:
        raise PlanError(
            f"epochs={epochs!r} is no whole number.", 'use epochs=5, or epochs="auto".'
        ) from error
    return length_settings(told, iterations, max_epochs)
