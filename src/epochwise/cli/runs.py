"""`epochwise runs`: what was trained, newest first; and one run in full."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any

import typer

from epochwise.cli.console import console, show_sentence
from epochwise.errors import RunError
from epochwise.record import (
    RUNS_FOLDER,
    Run,
    StoredRun,
    find_run,
    is_held,
    json_text,
    read_run,
    run_folders,
)
from epochwise.terminal.progress import (
    metric_texts,
    number_text,
    plan_line,
    resume_call,
    resume_command,
    summary,
)

app = typer.Typer(add_completion=False, rich_markup_mode=None)

ParentFolder = Annotated[
    Path, typer.Option("--in", metavar="DIR", help="The folder that runs are kept in.")
]

_SPARED = ("began", "data", "model", "iterations", "test loss", "test")
"""Columns left out where the terminal is narrow, first to last; names tell the first."""


@app.callback(invoke_without_command=True)
def runs(context: typer.Context, parent: ParentFolder = RUNS_FOLDER) -> None:
    """List the runs, newest first; `runs show RUN` shows one."""
    if context.invoked_subcommand is not None:
        context.obj = parent
        return
    printer = console()
    rows = [_row(path) for path in run_folders(parent)]
    if not rows:
        show_sentence(printer, f"There are no runs in {parent}; `epochwise train` makes one.")
        return
    rows.sort(key=lambda row: (row.began, row.cells["run"]), reverse=True)
    width = printer.width if printer.is_terminal else None
    for line in _table([row.cells for row in rows], width):
        printer.print(line, soft_wrap=True)


@app.command()
def show(
    context: typer.Context,
    run: Annotated[
        str, typer.Argument(help="Its path, its name, or the beginning of its name.")
    ],
    parent: Annotated[
        Path | None,
        typer.Option("--in", metavar="DIR", help="The folder that runs are kept in."),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the JSON object of `epochwise train`.")
    ] = False,
) -> None:
    """Show one run, the JSON being that of `epochwise train`."""
    inherited = context.obj if isinstance(context.obj, Path) else RUNS_FOLDER
    stored = read_run(find_run(run, parent or inherited))
    if json:
        print(json_text(stored.run.to_json()))
        return
    printer = console()
    for line in _description(stored):
        show_sentence(printer, line)


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the list: when the run began, and its cells by column."""

    began: datetime
    cells: Mapping[str, str]


def _row(path: Path) -> _Row:
    """Return a run's line; also of one that cannot be read."""
    try:
        stored = read_run(path)
    except RunError:
        return _Row(
            datetime.min.replace(tzinfo=UTC),
            dict.fromkeys(_COLUMNS, "-") | {"run": path.name, "state": "unreadable"},
        )
    header, run = stored.header, stored.run
    test = run.test or {}
    validation = {
        name.removeprefix("val_"): values[-1]
        for name, values in run.history.items()
        if name.startswith("val_") and values
    }
    began = header.began if header.began.tzinfo else header.began.astimezone()
    return _Row(
        began,
        {
            "run": path.name,
            "began": f"{header.began:%Y-%m-%d %H:%M}",
            "data": header.data_name,
            "model": header.model_name,
            "done": epochs_text(run, header.settings),
            "iterations": f"{run.position.iterations_done:,}",
            "validation": _telling(validation),
            "test loss": number_text(test["loss"]) if "loss" in test else "-",
            "test": _telling(test),
            "state": state(run),
        },
    )


_COLUMNS = (
    "run",
    "began",
    "data",
    "model",
    "done",
    "iterations",
    "validation",
    "test loss",
    "test",
    "state",
)


def epochs_text(run: Run, settings: Mapping[str, Any] | None) -> str:
    """Return how much of a run is done, in words.

    Args:
        run: as read from its folder.
        settings: of its header, which tell the epochs where no plan does.

    Returns:
        Such as `8 of 8 epochs`, or `651/938 of epoch 1 of 8` inside an epoch; the number
        of epochs is left out where nobody knows it.
    """
    whole, inside = run.position.epochs_done, run.position.iterations_in_epoch_done
    planned = (settings or {}).get("epochs") if run.plan is None else run.plan.epochs
    try:
        of = "" if planned is None else f" of {math.ceil(Fraction(planned)):,}"
    except (TypeError, ValueError, ZeroDivisionError):
        of = ""
    if not inside:
        return f"{whole:,}{of} epoch{'' if (of or f' {whole}').endswith(' 1') else 's'}"
    length = "" if run.iterations_per_epoch is None else f"/{run.iterations_per_epoch:,}"
    unit = "" if length else "iteration " if inside == 1 else "iterations "
    return f"{inside:,}{length} {unit}of epoch {whole + 1:,}{of}"


def state(run: Run) -> str:
    """Return how a run ended, in a word or two.

    Args:
        run: as read from its folder.

    Returns:
        `finished` as planned, `interrupted`, `stopped (RULE)`, `going on`, or
        `unfinished` for a process that was killed.
    """
    if run.stop is None:
        going = run.folder is not None and is_held(run.folder)
        return "going on" if going else "unfinished"
    words = {"plan": "finished", "interrupt": "interrupted"}
    return words.get(run.stop.rule, f"stopped ({run.stop.rule})")


def _telling(metrics: Mapping[str, float]) -> str:
    """Return the metric that tells most: the accuracy, or the loss; a dash without one."""
    for name in ("accuracy", *metrics):
        if name in metrics:
            return f"{name} {number_text(metrics[name])}"
    return "-"


def _table(rows: Sequence[Mapping[str, str]], width: int | None) -> list[str]:
    """Return the rows under their heads, as many columns as fit."""
    columns = list(_COLUMNS)
    spared = list(_SPARED)
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in columns}
    while width is not None and spared and _total(widths, columns) > width:
        columns.remove(spared.pop(0))
    heads = {name: name for name in columns}
    return [
        "  ".join(
            row[name].rjust(widths[name])
            if name in ("iterations", "test loss")
            else row[name].ljust(widths[name])
            for name in columns
        ).rstrip()
        for row in (heads, *rows)
    ]


def _total(widths: Mapping[str, int], columns: Sequence[str]) -> int:
    return sum(widths[name] for name in columns) + 2 * (len(columns) - 1)


def _description(stored: StoredRun) -> list[str]:
    """Return a run in lines: what was planned, each epoch, and the sum."""
    header, run = stored.header, stored.run
    parameters = header.model.get("parameters")
    size = f", {parameters:,} parameters" if isinstance(parameters, int) else ""
    lines = [
        f"{header.data_name} with {header.model_name}{size}, {header.began:%Y-%m-%d %H:%M:%S}"
    ]
    if run.engine is not None:
        lines.append(f"{run.engine.backend} on {run.engine.device}")
    if run.plan is not None:
        lines.append(plan_line(run.plan))
    longest = max((len(values) for values in run.history.values()), default=0)
    for epoch_index in range(longest):
        metrics = {
            name: values[epoch_index]
            for name, values in run.history.items()
            if epoch_index < len(values)
        }
        lines.append("  ".join([f"epoch {epoch_index + 1:,}", *metric_texts(metrics)]))
    if run.stop is None:
        lines.append(f"{state(run)}: the record has no last line")
    return lines + summary(run, resume_command if header.source is not None else resume_call)
