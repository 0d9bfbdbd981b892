"""The ledger of epochs as a table."""

from __future__ import annotations

import numpy as np

from epochwise.choosing.worth import Entry, Gain, Ledger
from epochwise.report.blocks import cell, paragraph, row, section, table
from epochwise.report.ledger import Line, lines
from epochwise.report.markup import Child, Html, element, joined
from epochwise.report.phrases import Fact, Facts, number, phrase
from epochwise.report.story import Story
from epochwise.report.thinning import thin


def ledger_section(story: Story, ledger: Ledger | None, facts: Facts, most_lines: int) -> Html:
    """Return the section that tells what each epoch brought.

    Args:
        story: the run.
        ledger: what its epochs were worth; `None` where nothing tells it.
        facts: what its heads and sentences may state.
        most_lines: how many lines it may have; those of the lowest and the highest loss
            are among them.
    """
    every = lines(story, ledger)
    title = phrase("ledger.title")
    if not every:
        return section("ledger", title, paragraph("ledger.none"))
    losses = [_loss(line) for line in every]
    shown = [every[place] for place in thin(np.array(losses), most_lines)]
    has_accuracy = "top.metric" in facts
    notes: list[Child] = []
    if len(shown) < len(every):
        told: dict[str, Fact] = {"ledger.shown": len(shown), "ledger.all": len(every)}
        notes.append(paragraph("ledger.left_out", told, "note"))
    if ledger is not None and ledger.loss_error is not None:
        told = {"ledger.loss_error": ledger.loss_error}
        notes.append(paragraph("ledger.loss_error", told, "note"))
    return section(
        "ledger",
        title,
        paragraph("ledger.lead_bare" if ledger is None else "ledger.lead"),
        table(
            [phrase(key, facts) for key in _heads(ledger, has_accuracy)],
            [_row(story, ledger, line, has_accuracy) for line in shown],
        ),
        notes,
    )


def _loss(line: Line) -> float:
    """What a long ledger is thinned by."""
    if line.entry is not None:
        return line.entry.loss
    return np.nan if line.closes is None else line.closes.metrics.get("loss", np.nan)


def _heads(ledger: Ledger | None, has_accuracy: bool) -> list[str]:
    heads = ["ledger.epoch", "ledger.iteration", "ledger.samples", "ledger.loss"]
    if ledger is not None:
        heads += ["ledger.val_loss", "ledger.gain"]
    if has_accuracy:
        heads += ["ledger.accuracy", "ledger.gain"]
    heads.append("ledger.seconds")
    return [*heads, "ledger.seconds_per_point"] if has_accuracy else heads


def _row(story: Story, ledger: Ledger | None, line: Line, has_accuracy: bool) -> Html:
    """One line; its facts are named by the iteration after which it stands."""
    prefix = f"ledger.{line.iterations_done}."
    entry, closes = line.entry, line.closes
    done = int(story.samples_done_after(np.array([line.iterations_done]))[0])
    cells: list[Child] = [
        cell(f"{prefix}iteration", line.iterations_done),
        cell(f"{prefix}samples", done),
        cell(f"{prefix}loss", None if closes is None else closes.metrics.get("loss")),
    ]
    if ledger is not None:
        cells.append(cell(f"{prefix}val_loss", None if entry is None else entry.loss))
        cells.append(
            _gain(f"{prefix}val_loss_gain", None if entry is None else entry.loss_gain)
        )
    if has_accuracy:
        cells.append(_accuracy(prefix, entry, line.accuracy_error))
        cells.append(
            _gain(f"{prefix}accuracy_gain", None if entry is None else entry.accuracy_gain)
        )
    cells.append(_seconds(prefix, line))
    if has_accuracy:
        cost = None if entry is None else entry.seconds_per_point
        cells.append(cell(f"{prefix}seconds_per_point", cost, "seconds"))
    best = ledger is not None and entry == ledger.entries[ledger.best_index]
    return row(_epochs(prefix, line), *cells, class_="best" if best else None)


def _epochs(prefix: str, line: Line) -> Child:
    """The epochs done at a line, whole or with two decimals."""
    epochs = line.epochs_done
    if epochs is None:
        return ""
    if epochs.denominator == 1:
        return number(f"{prefix}epochs", epochs.numerator)
    return number(f"{prefix}epochs", round(float(epochs), 2))


def _accuracy(prefix: str, entry: Entry | None, error: float | None) -> Child:
    if entry is None or entry.accuracy is None:
        return ""
    shown = number(f"{prefix}accuracy", entry.accuracy)
    if error is None:
        return shown
    return joined([shown, " ± ", number(f"{prefix}accuracy_error", error)])


def _gain(name: str, gain: Gain | None) -> Child:
    if gain is None:
        return ""
    shown = number(name, gain.value, "signed")
    return element("strong", shown) if gain.is_significant else shown


def _seconds(prefix: str, line: Line) -> Child:
    seconds = None
    if line.closes is not None:
        seconds = line.closes.seconds
    elif line.entry is not None:
        seconds = line.entry.seconds
    return cell(f"{prefix}seconds", seconds, "seconds")
