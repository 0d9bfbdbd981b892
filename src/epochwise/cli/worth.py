"""`epochwise worth`: what each epoch of a run added, and what more of them would.

With `--one-pass DATA` it trains on parts of the data and tells whether one pass is enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from epochwise.api.passes import one_pass_of_source
from epochwise.api.training import SPLIT_WITHOUT_TEST_PART, Source
from epochwise.choosing.one_pass import Answer, Comparison
from epochwise.choosing.worth import Entry, Gain, Ledger, MoreEpochs
from epochwise.choosing.worth import worth as ledger_of
from epochwise.cli.checks import check_counts, check_data, check_split, together
from epochwise.cli.console import console, show_sentence
from epochwise.cli.options import Drop, HasHeader, Label, Task, columns_of
from epochwise.errors import RunError
from epochwise.models import check_learning_rate, parse_model
from epochwise.record import RUNS_FOLDER, find_run, json_text, read_run

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_MOST_LINES = 60
"""Longer ledgers are shown without their middle; `--json` has every line."""


@app.command()
def worth(
    run: Annotated[
        str | None,
        typer.Argument(help="Its path, its name, or the beginning of its name."),
    ] = None,
    one_pass: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help="Train on parts of DATA: is one pass over it enough?"
        ),
    ] = None,
    parent: Annotated[
        Path, typer.Option("--in", metavar="DIR", help="The folder that runs are kept in.")
    ] = RUNS_FOLDER,
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="With --one-pass: as for train.")
    ] = "mlp",
    batch_size: Annotated[
        int, typer.Option(help="With --one-pass: samples per weight update.")
    ] = 64,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="With --one-pass: of the optimizer.", show_default="the optimizer's"),
    ] = None,
    seeds: Annotated[int, typer.Option(help="With --one-pass: how many, at least 2.")] = 5,
    validation_split: Annotated[
        float | None,
        typer.Option(
            help="With --one-pass: share held out to measure on.",
            show_default=f"{SPLIT_WITHOUT_TEST_PART}, unless DATA has a validation part",
        ),
    ] = None,
    max_samples: Annotated[
        int | None,
        typer.Option(
            help="With --one-pass: train on so many at most; for very long data.",
            show_default="all",
        ),
    ] = None,
    label: Label = None,
    drop: Drop = None,
    header: HasHeader = None,
    task: Task = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what each epoch of RUN added to validation loss and accuracy, and its price."""
    if (run is None) == (one_pass is None):
        raise RunError(
            "Say what to tell the worth of: a run, or data with --one-pass.",
            "type epochwise worth RUN, or epochwise worth --one-pass DATA.",
        )
    if run is not None:
        _tell_ledger(run, parent, json=json)
        return
    assert one_pass is not None
    with together() as checking:
        checking(lambda: check_data(one_pass))
        checking(lambda: parse_model(model))
        checking(lambda: None if learning_rate is None else check_learning_rate(learning_rate))
        checking(lambda: check_split(validation_split))
        checking(lambda: check_counts(batch_size, 1, None, None))
    printer = console(stderr=json)
    found = one_pass_of_source(
        Source(
            data=one_pass,
            label=label,
            drop=columns_of(drop),
            header=header,
            task=task,
            model=model,
            learning_rate=learning_rate,
        ),
        batch_size=batch_size,
        seeds=seeds,
        validation_split=validation_split,
        max_samples=max_samples,
        tell=lambda line: show_sentence(printer, line),
    )
    if json:
        print(json_text(found.to_json()), flush=True)
        return
    for line in (*comparison_table(found), *answer_sentences(found)):
        printer.print(line, soft_wrap=True)


def _tell_ledger(run: str, parent: Path, *, json: bool) -> None:
    """Print the ledger of a kept run."""
    ledger = ledger_of(read_run(find_run(run, parent)))
    if json:
        print(json_text(ledger.to_json()))
        return
    printer = console()
    for line in _table(ledger):
        printer.print(line, soft_wrap=True)
    for sentence in sentences(ledger):
        show_sentence(printer, sentence)


def comparison_table(found: Answer) -> list[str]:
    """Return a line for each part, under its heads."""
    heads = ["samples", "passes", "val_loss after 1", "after all", "1 pass, as long"]
    heads += ["gain", "±", "a repeat's worth"]
    rows = [heads, *(_comparison(each) for each in found.comparisons)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    return [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]


def _comparison(each: Comparison) -> list[str]:
    return [
        f"{each.unique:,}",
        f"{each.passes:,}",
        f"{each.once:.4f}",
        f"{each.repeated:.4f}",
        "-" if each.fresh is None else f"{each.fresh:.4f}",
        f"{each.gain:+.1%}",
        f"{each.error:.1%}",
        "-" if each.worth is None else f"{each.worth:.2f}",
    ]


def answer_sentences(found: Answer) -> list[str]:
    """Return what the answer says, in words with its numbers."""
    sure = f"(confidence {found.confidence:.0%})"
    said = [f"With {found.samples:,} samples and {found.seeds} seeds: {found.verdict} {sure}."]
    if found.half_life is not None:
        span = f"{found.half_life_low:.3g} to {found.half_life_high:.3g}"
        said.append(
            f"A repeated sample keeps a third of a fresh one's worth for R* = "
            f"{found.half_life:.3g} further passes ({span} with a seed left out)."
        )
    helps = "would help" if found.more_data_helps else "is not seen to help"
    said.append(
        f"More data instead of a second pass {helps}: as many fresh samples as repeated ones "
        f"lower the loss by {found.more_data:.1%} more."
    )
    return said


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
