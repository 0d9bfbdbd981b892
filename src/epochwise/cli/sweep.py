"""`epochwise sweep`: settings and seeds compared, poor ones dropped early."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from epochwise.api.sweeping import Asked, sweep_source
from epochwise.api.training import SPLIT_WITHOUT_TEST_PART, Source
from epochwise.choosing.sweep import Row, Sweep
from epochwise.cli.checks import check_counts, check_data, check_split, together
from epochwise.cli.console import console, show_sentence
from epochwise.cli.options import Drop, HasHeader, Label, Task, columns_of
from epochwise.cli.train import EXIT_CODES
from epochwise.counting.numbers import whole_number
from epochwise.data import sources
from epochwise.errors import PlanError
from epochwise.models import check_optimizer, parse_model
from epochwise.record import json_text, run_name

app = typer.Typer(add_completion=False, rich_markup_mode=None)

SWEEPS_FOLDER = Path("sweeps")
"""Where sweeps are kept unless told otherwise, below the current folder."""

Number = TypeVar("Number", int, float)


@app.command()
def sweep(
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
        str, typer.Option(metavar="N,N,…", help="Samples per weight update, one or several.")
    ] = "64",
    learning_rate: Annotated[
        str | None,
        typer.Option(metavar="R,R,…", help="Of the optimizer.", show_default="the optimizer's"),
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many seeds, counted from 0.")] = 3,
    epochs: Annotated[int, typer.Option(help="Of a run that is never dropped.")] = 20,
    halving: Annotated[
        bool, typer.Option(help="Let one setting of three go on at each rung.")
    ] = True,
    optimizer: Annotated[
        str | None,
        typer.Option(help="One of Keras's.", show_default="adam, or the model's own"),
    ] = None,
    validation_split: Annotated[
        float | None,
        typer.Option(
            help="Share of the training samples to compare by.",
            show_default=f"{SPLIT_WITHOUT_TEST_PART}, unless DATA has a validation part",
        ),
    ] = None,
    label: Label = None,
    drop: Drop = None,
    header: HasHeader = None,
    task: Task = None,
    sweep_dir: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for this sweep; one that was cut off goes on.",
            show_default="a new one in sweeps/",
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="End with one JSON object on stdout.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show errors and the table.")] = False,
) -> None:
    """Train DATA with every batch size, learning rate and seed, and compare them."""
    began = datetime.now().astimezone()
    with together() as checking:
        checking(lambda: check_data(data))
        checking(lambda: parse_model(model))
        checking(lambda: None if optimizer is None else check_optimizer(optimizer))
        checking(lambda: check_split(validation_split))
        asked: Asked | None = checking(
            lambda: asked_of(
                batch_size, learning_rate, seeds, epochs, validation_split, halving=halving
            )
        )
    assert asked is not None
    for size in asked.batch_sizes:
        check_counts(size, asked.epochs, None, None)
    if sweep_dir is None:
        sweep_dir = SWEEPS_FOLDER / run_name(began, data, model)
    printer = console(stderr=json)
    try:
        found = sweep_source(
            Source(
                data=data,
                label=label,
                drop=columns_of(drop),
                header=header,
                task=task,
                model=model,
                optimizer=optimizer,
            ),
            asked,
            validation_split=validation_split,
            folder=sweep_dir,
            tell=(lambda _: None) if quiet else (lambda line: show_sentence(printer, line)),
            arguments=sys.argv[1:],
        )
    except KeyboardInterrupt:
        told = sys.argv[1:]
        if not any(word.startswith("--sweep-dir") for word in told):
            told = [*told, "--sweep-dir", str(sweep_dir)]
        show_sentence(printer, f"go on with: {shlex.join(['epochwise', *told])}")
        raise typer.Exit(EXIT_CODES["interrupt"]) from None
    for line in lines(found):
        printer.print(line, soft_wrap=True)
    if json:
        print(json_text(found.to_json()), flush=True)


def asked_of(
    batch_size: str,
    learning_rate: str | None,
    seeds: int,
    epochs: int,
    validation_split: float | None,
    *,
    halving: bool,
) -> Asked:
    """Return what the options ask to compare.

    Raises:
        PlanError: a list holds what is no number, or cannot be compared.
    """
    if seeds < 1:
        raise PlanError(f"seeds={seeds} trains nothing.", "use seeds=3, or another number.")
    if validation_split == 0:
        raise PlanError(
            "validation_split=0 leaves nothing to compare by.", "use validation_split=0.2."
        )
    rates = (None,) if learning_rate is None else numbers("learning_rate", learning_rate, float)
    sizes = numbers("batch_size", batch_size, int)
    return Asked(
        batch_sizes=tuple(whole_number("batch_size", size) for size in sizes),
        learning_rates=rates,
        seeds=tuple(range(seeds)),
        epochs=epochs,
        halving=halving,
    )


def numbers(name: str, told: str, kind: Callable[[str], Number]) -> tuple[Number, ...]:
    """Return the numbers of a list with commas.

    Args:
        name: of the option, for the error.
        told: such as `32,128`.
        kind: what one of them is read by.

    Raises:
        PlanError: one of them is none.

    Example:
        >>> numbers("batch_size", "32, 128", int)
        (32, 128)
    """
    try:
        return tuple(kind(part) for part in told.split(","))
    except ValueError as error:
        example = "32,128,512" if name == "batch_size" else "0.001,0.004"
        raise PlanError(
            f"{name}={told!r} is no list of numbers.",
            f"use --{name.replace('_', '-')} {example}, with commas and no other signs.",
        ) from error


def lines(found: Sweep) -> list[str]:
    """Return the table and its sentence."""
    heads = ["batch_size", "learning_rate", "seeds", found.metric, "±", "val_accuracy"]
    heads += ["epochs", "seconds", ""]
    rows = [heads, *(_cells(row) for row in found.rows)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    shown = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    best = found.best
    rate = best.setting.learning_rate
    with_rate = "" if rate is None else f" with learning rate {rate:g}"
    shown.append(
        f"Best: batch size {best.setting.batch_size:,}{with_rate}, {found.metric} "
        f"{best.value:.4g}; {len(found.runs):,} runs in {found.seconds:.3g} s"
        + ("." if found.folder is None else f", kept in {found.folder}.")
    )
    return shown


def _cells(row: Row) -> list[str]:
    rate = row.setting.learning_rate
    return [
        f"{row.setting.batch_size:,}",
        "its own" if rate is None else f"{rate:g}",
        f"{row.seeds:,}",
        f"{row.value:.4f}",
        "-" if row.error is None else f"{row.error:.4f}",
        "-" if row.accuracy is None else f"{row.accuracy:.4f}",
        f"{row.epochs:,}",
        f"{row.seconds:.3g}",
        "dropped" if row.was_dropped else "",
    ]
