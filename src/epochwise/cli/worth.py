"""`epochwise worth`: what each epoch of a run added, and what more of them would."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from epochwise.choosing.worth import Entry, Gain, Ledger, MoreEpochs
from epochwise.choosing.worth import worth as ledger_of
from epochwise.cli.console import console, show_sentence
from epochwise.record import RUNS_FOLDER, find_run, json_text, read_run

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_MOST_LINES = 60
"""Longer ledgers are shown without their middle; `--json` has every line."""


@app.command()
def worth(
    run: Annotated[
        str, typer.Argument(help="Its path, its name, or the beginning of its name.")
    ],
    parent: Annotated[
        Path, typer.Option("--in", metavar="DIR", help="The folder that runs are kept in.")
    ] = RUNS_FOLDER,
    json: Annotated[
        bool, typer.Option("--json", help="Print the ledger as one JSON object.")
    ] = False,
) -> None:
    """Show what each epoch of RUN added to validation loss and accuracy, and its price."""
    ledger = ledger_of(read_run(find_run(run, parent)))
    if json:
        print(json_text(ledger.to_json()))
        return
    printer = console()
    for line in _table(ledger):
        printer.print(line, soft_wrap=True)
    for sentence in sentences(ledger):
        show_sentence(printer, sentence)


def sentences(ledger: Ledger) -> Iterator[str]:
    """Yield what the ledger says, in words with its numbers."""
    entries = ledger.entries
    best = entries[ledger.best_index]
    yield f"The lowest validation loss, {best.loss:.4g}, is that after {_when(best)}."
    if ledger.enough_index is None:
        yield "Too few evaluations to tell a gain from noise."
    elif ledger.enough_index == len(entries) - 1:
        yield "The last epochs still gained more than the noise."
    else:
        enough = entries[ledger.enough_index]
        yield (
            f"After {_when(enough)} nothing was gained beyond two standard errors"
            f"{': one epoch is enough' if ledger.one_epoch_is_enough else ''}."
        )
    if ledger.over_fitting_index is not None:
        began = entries[ledger.over_fitting_index]
        yield (
            f"Over-fitting began after {_when(began)}: the validation loss rose from "
            f"{began.loss:.4g} to {entries[-1].loss:.4g}."
        )
    for more in ledger.more:
        yield _more(more)
    if ledger.refusal is not None:
        yield f"What more epochs would bring is not told. {ledger.refusal}"


def _more(more: MoreEpochs) -> str:
    named = "1 more epoch" if more.epochs == 1 else f"{more.epochs} more epochs"
    verb = "lower" if more.gain >= 0 else "raise"
    return (
        f"{named} would {verb} the validation loss by {abs(more.gain):.2g}, to {more.loss:.4g} "
        f"(80%: {more.low:.4g} to {more.high:.4g})."
    )


def _when(entry: Entry) -> str:
    """Name a line's moment: its epoch when that is known, else its iteration."""
    epochs = entry.epochs_done
    if epochs is None:
        return f"iteration {entry.iterations_done:,}"
    if epochs.denominator == 1:
        return f"epoch {epochs.numerator:,}"
    return f"{float(epochs):.3g} epochs"


def _table(ledger: Ledger) -> list[str]:
    """Return the ledger in columns; an asterisk marks a gain above two standard errors."""
    heads = ["after", "iteration", "val_loss", "gain", "±"]
    has_accuracy = any(entry.accuracy is not None for entry in ledger.entries)
    if has_accuracy:
        heads += ["val_accuracy", "gain", "±"]
    heads += ["seconds"]
    if has_accuracy:
        heads += ["s a point"]
    rows = [heads, *(_cells(entry, has_accuracy) for entry in _shown(ledger.entries))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]


def _shown(entries: Sequence[Entry]) -> Sequence[Entry]:
    if len(entries) <= _MOST_LINES:
        return entries
    return [*entries[: _MOST_LINES // 2], *entries[-_MOST_LINES // 2 :]]


def _cells(entry: Entry, has_accuracy: bool) -> list[str]:
    cells = [_when(entry), f"{entry.iterations_done:,}", f"{entry.loss:.4f}"]
    cells += _gain(entry.loss_gain)
    if has_accuracy:
        cells += ["-" if entry.accuracy is None else f"{entry.accuracy:.4f}"]
        cells += _gain(entry.accuracy_gain)
    cells += [f"{entry.seconds:.3g}"]
    if has_accuracy:
        price = entry.seconds_per_point
        cells += ["-" if price is None else f"{price:.3g}"]
    return cells


def _gain(gain: Gain | None) -> list[str]:
    if gain is None:
        return ["-", "-"]
    error = "-" if gain.error is None else f"{gain.error:.4f}"
    return [f"{gain.value:+.4f}{'*' if gain.is_significant else ' '}", error]
