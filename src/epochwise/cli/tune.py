"""`epochwise tune`: which batch size and learning rate, with the evidence."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from epochwise.api.advising import Question, goal_of
from epochwise.api.settings import Settings
from epochwise.api.training import Source
from epochwise.choosing.batch_size.advice import Advice, Choice, SizeRow
from epochwise.choosing.batch_size.answer import duration
from epochwise.choosing.batch_size.memory import amount
from epochwise.cli.checks import (
    check_counts,
    check_data,
    check_seed,
    check_split,
    together,
)
from epochwise.cli.console import console, show_sentence
from epochwise.cli.options import Drop, HasHeader, Label, Task, columns_of
from epochwise.data import sources
from epochwise.errors import PlanError
from epochwise.models import check_learning_rate, check_optimizer, parse_model
from epochwise.record import json_text, require_free
from epochwise.rules import parse_target
from epochwise.terminal.progress import progress

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def tune(
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
    target: Annotated[
        str | None,
        typer.Option(
            metavar="METRIC=VALUE",
            help="What to reach in least time, as val_accuracy=0.975.",
            show_default="what your own pair reaches in its part of the search",
        ),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            help="How long choosing may take.",
            show_default="a fifth of the training, 15 to 60",
        ),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...",
            help="Batch sizes that may be chosen.",
            show_default="powers of two from 16 to 4096",
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Your own, where it begins.")] = 64,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Your own, where it begins.", show_default="the optimizer's"),
    ] = None,
    optimizer: Annotated[
        str | None,
        typer.Option(help="One of Keras's.", show_default="adam, or the model's own"),
    ] = None,
    epochs: Annotated[
        int, typer.Option(help="Length of the training, where there is no --target.")
    ] = 5,
    validation_split: Annotated[
        float | None,
        typer.Option(
            help="Share of the training samples to compare by.",
            show_default="0 with a validation part, 0.1 with a test part, else 0.2",
        ),
    ] = None,
    label: Label = None,
    drop: Drop = None,
    header: HasHeader = None,
    task: Task = None,
    seed: Annotated[int, typer.Option(help="Of the split, the order and the weights.")] = 0,
    save: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A new folder to keep the advice in."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="End with one JSON object on stdout.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show errors only.")] = False,
) -> None:
    """Choose the batch size of least training time for DATA, and its learning rate."""
    with together() as checking:
        checking(lambda: check_data(data))
        checking(lambda: parse_model(model))
        checking(lambda: None if optimizer is None else check_optimizer(optimizer))
        checking(lambda: None if learning_rate is None else check_learning_rate(learning_rate))
        checking(lambda: check_split(validation_split))
        checking(lambda: check_seed(seed))
        checking(lambda: check_counts(batch_size, epochs, None, None))
        checking(lambda: None if save is None else require_free(save))
        checking(lambda: _question(target, seconds, sizes))

    from epochwise import api

    shown = progress(0 if quiet else "auto", stream=sys.stderr if json else sys.stdout)
    with closing(shown):
        advice = api.tune_source(
            Source(
                data=data,
                label=label,
                drop=columns_of(drop),
                header=header,
                task=task,
                model=model,
                optimizer=optimizer,
                learning_rate=learning_rate,
            ),
            Settings(batch_size=batch_size, epochs=Fraction(epochs), seed=seed),
            _question(target, seconds, sizes),
            validation_split=validation_split,
            save=save,
            progress=shown,
            arguments=sys.argv[1:],
        )
    if not quiet:
        _show(advice, stderr=json)
    if json:
        print(json_text(advice.to_json()), flush=True)


def parse_sizes(told: str | None) -> tuple[int, ...] | None:
    """Read batch sizes as a user writes them: `16,64,256`.

    Raises:
        PlanError: one is no whole number above 0.

    Example:
        >>> parse_sizes("16, 64")
        (16, 64)
    """
    if told is None:
        return None
    try:
        sizes = tuple(int(part) for part in told.split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise PlanError(
            f"--sizes {told} is no list of batch sizes.", "use --sizes 16,64,256 with your own."
        )
    return sizes


def _question(target: str | None, seconds: float | None, sizes: str | None) -> Question:
    return Question(
        goal=None if target is None else goal_of(parse_target(target)),
        seconds=seconds,
        sizes=parse_sizes(sizes),
    )


def _show(advice: Advice, *, stderr: bool) -> None:
    """Print the table, the reason, and what else is to be known."""
    printer = console(stderr=stderr)
    for line in table(advice.table, advice.batch_size):
        printer.print(line, soft_wrap=True)
    printer.print()
    show_sentence(printer, advice.reason)
    if advice.runner_up is not None:
        show_sentence(printer, f"Next best: {_pair(advice.runner_up)}.")
    if advice.least_samples.batch_size != advice.batch_size:
        show_sentence(printer, f"For the fewest samples: {_pair(advice.least_samples)}.")
    elsewhere = {
        devices: choice
        for devices, choice in advice.on_devices.items()
        if choice.batch_size != advice.batch_size
    }
    for devices, choice in list(elsewhere.items())[:1]:
        show_sentence(
            printer,
            f"On {devices} such devices: {_pair(choice)}, if they told each other nothing.",
        )
    for note in advice.notes:
        show_sentence(printer, note, lead="Note: ")
    show_sentence(
        printer,
        f"Choosing took {advice.spent_seconds:.1f} s of {advice.budget_seconds:.0f} s.",
    )


def _pair(choice: Choice) -> str:
    rate = (
        "" if choice.learning_rate is None else f" with learning rate {choice.learning_rate:g}"
    )
    takes = "" if choice.seconds is None else f", {duration(choice.seconds)} to the target"
    return f"batch size {choice.batch_size:,}{rate}{takes}"


_HEADS = (
    "batch size",
    "learning rate",
    "an iteration",
    "± ",
    "memory",
    "iterations",
    "to the target",
)


def table(rows: Sequence[SizeRow], chosen: int) -> list[str]:
    """Return the table of the sizes that were run, the chosen one marked.

    Args:
        rows: ascending.
        chosen: the batch size that is advised.
    """
    lines = [[head.strip() for head in _HEADS]]
    for row in rows:
        size = f"{row.batch_size:,}"
        if row.microbatch_size is not None:
            size += f" by {row.microbatch_size:,}"
        expected = row.expected_iterations
        measured = row.iterations is not None
        lines.append(
            [
                ("> " if row.batch_size == chosen else "") + size,
                "-" if row.learning_rate is None else f"{row.learning_rate:g}",
                duration(row.iteration_seconds),
                duration(row.iteration_spread),
                "-" if row.memory_bytes is None else amount(row.memory_bytes),
                "-" if expected is None else ("" if measured else "~") + f"{expected:,.0f}",
                "-"
                if row.expected_seconds is None
                else ("" if measured else "~") + duration(row.expected_seconds),
            ]
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
