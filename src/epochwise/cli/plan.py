"""`epochwise plan`: a training in exact numbers, with nothing run and nothing imported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fractions import Fraction
from typing import Annotated, Any

import typer
from rich.text import Text

from epochwise.cli.console import as_options, console, show_sentence
from epochwise.counting.plan import Plan, PlanChanges
from epochwise.errors import EpochwiseError, PlanError, Problem

LABEL_COLUMNS = 16
"""Width of the column of labels, its margin included."""

app = typer.Typer(add_completion=False, rich_markup_mode=None)


def number(text: str) -> int | float:
    """Read a number as it is written; whether it can be a count, `Plan` decides."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise typer.BadParameter(f"{text!r} is not a number.")


def number_of_epochs(text: str) -> int | float | Fraction:
    """Read a number or a fraction such as `5/2`."""
    above, slash, below = text.partition("/")
    if not slash:
        return number(text)
    try:
        return Fraction(int(above), int(below))
    except (ValueError, ZeroDivisionError) as error:
        raise typer.BadParameter(f"{text!r} is not a number.") from error


@app.command()
def plan(
    samples: Annotated[
        int,
        typer.Option(parser=number, metavar="N", help="Samples in the training set."),
    ],
    batch_size: Annotated[
        int,
        typer.Option(
            parser=number, metavar="B", help="Samples per weight update, over all devices."
        ),
    ],
    epochs: Annotated[
        Any,
        typer.Option(
            parser=number_of_epochs, metavar="E", help="Passes over the data, such as 3 or 5/2."
        ),
    ] = None,
    iterations: Annotated[
        int | None,
        typer.Option(parser=number, metavar="N", help="Weight updates in all."),
    ] = None,
    samples_seen: Annotated[
        int | None,
        typer.Option(parser=number, metavar="N", help="Samples trained on in all."),
    ] = None,
    remainder: Annotated[
        str,
        typer.Option(
            metavar="keep|drop", help="Train on the samples that fill no batch, or leave them."
        ),
    ] = "keep",
    microbatch_size: Annotated[
        int | None,
        typer.Option(
            parser=number, metavar="N", help="Samples in the network at once; changes no count."
        ),
    ] = None,
    devices: Annotated[
        int,
        typer.Option(parser=number, metavar="D", help="Devices that share each batch."),
    ] = 1,
    seconds_per_iteration: Annotated[
        float | None,
        typer.Option(parser=number, metavar="S", help="Tell the time, from that of one."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Tell exactly how much training that is: epochs, iterations, samples.

    Give the length as --epochs, --iterations or --samples-seen; the others follow.
    """
    problems: list[Problem] = []
    seconds = _seconds(seconds_per_iteration, problems)
    try:
        planned = Plan(
            samples=samples,
            batch_size=batch_size,
            epochs=epochs,
            iterations=iterations,
            samples_seen=samples_seen,
            remainder=remainder,  # type: ignore[arg-type]  # Plan refuses other words
            microbatch_size=microbatch_size,
            devices=devices,
        )
    except EpochwiseError as error:
        raise PlanError([*error.problems, *problems]) from error
    if problems:
        raise PlanError(problems)
    if as_json:
        print(json.dumps(_as_json(planned, seconds)))
    else:
        _show(planned, seconds)


def _seconds(value: float | None, problems: list[Problem]) -> Fraction | None:
    """Return the time of an iteration as typed, exactly, or note why it is none."""
    if value is None:
        return None
    if not 0 < value < 10**12:
        problems.append(
            Problem(
                f"seconds_per_iteration={value} is no time that an iteration can take.",
                "use seconds_per_iteration=0.01, with the seconds that you measured.",
            )
        )
        return None
    return Fraction(repr(value))


def _as_json(planned: Plan, seconds: Fraction | None) -> dict[str, Any]:
    """Return the plan's own keys, and the time where it was asked for."""
    if seconds is None:
        return planned.to_json()
    return {
        **planned.to_json(),
        "seconds_per_epoch": float(seconds * planned.iterations_per_epoch),
        "seconds": float(seconds * planned.iterations),
    }


def _show(planned: Plan, seconds: Fraction | None) -> None:
    """Print the plan for people: what it is, its neighbours, what to be careful about."""
    printer = console()
    title = (
        f"{counted(planned.samples, 'sample')}, batch size {planned.batch_size:,}, "
        f"{epochs_shown(planned.epochs)}"
    )
    show_sentence(printer, "", lead=title, style="bold")
    printer.print()
    for label, fact in _facts(planned, seconds):
        show_sentence(printer, fact, lead=f"  {label}".ljust(LABEL_COLUMNS), style="cyan")
    printer.print()
    for row in _neighbour_rows(planned):
        printer.print(row, soft_wrap=True)
    for sentence in planned.warnings:
        printer.print()
        warning = as_options(sentence, PlanChanges.__annotations__)
        show_sentence(printer, warning, lead="Warning: ", style="bold yellow")


def _facts(planned: Plan, seconds: Fraction | None) -> Iterator[tuple[str, str]]:
    """Yield what the plan says, a label and a phrase each."""
    yield "iterations", f"{planned.iterations:,}, each one update of the weights"
    yield "an epoch", _epoch_shown(planned)
    if planned.epochs.denominator != 1:
        whole = planned.iterations // planned.iterations_per_epoch
        done = planned.iterations - whole * planned.iterations_per_epoch
        yield (
            "last epoch",
            f"ends early, after {done:,} of {planned.iterations_per_epoch:,} iterations",
        )
    yield "samples seen", f"{planned.samples_seen:,}"
    if planned.dropped_per_epoch:
        yield "left out", f"{counted(planned.dropped_per_epoch, 'sample')} of each epoch"
    if planned.microbatch_size is not None:
        yield "microbatches", _microbatches_shown(planned)
    if planned.devices > 1:
        share = counted(planned.per_device_batch_size, "sample")
        yield "devices", f"{planned.devices:,}, each with {share} of a full batch"
    if seconds is not None:
        an_epoch = duration(seconds * planned.iterations_per_epoch)
        in_all = duration(seconds * planned.iterations)
        yield (
            "time",
            f"{an_epoch} an epoch, {in_all} in all, at {duration(seconds)} an iteration",
        )


def _epoch_shown(planned: Plan) -> str:
    """Return the batches of an epoch as a phrase."""
    iterations, last = planned.iterations_per_epoch, planned.last_batch_size
    if iterations == 1 or last == planned.batch_size:
        return f"{counted(iterations, 'iteration')} of {counted(last, 'sample')}"
    return (
        f"{counted(iterations, 'iteration')}: {iterations - 1:,} of "
        f"{counted(planned.batch_size, 'sample')}, the last of {last:,}"
    )


def _microbatches_shown(planned: Plan) -> str:
    """Return the parts of a batch as a phrase."""
    full, last = planned.microbatches_per_batch, planned.microbatches_in_last_batch
    phrase = f"{full:,} in a batch, of up to {counted(planned.microbatch_size or 0, 'sample')}"
    return phrase if last == full else f"{phrase}; {last:,} in the last batch"


def _neighbour_rows(planned: Plan) -> Iterator[Text]:
    """Yield the table of batch sizes nearby, this plan's row marked."""
    heads = ("batch size", "iterations an epoch", "last batch")
    rows = [
        (
            neighbour.batch_size == planned.batch_size,
            tuple(
                f"{count:,}"
                for count in (
                    neighbour.batch_size,
                    neighbour.iterations_per_epoch,
                    neighbour.last_batch_size,
                )
            ),
            ", ".join(caution.note for caution in neighbour.cautions),
        )
        for neighbour in planned.neighbours
    ]
    widths = [
        max(len(head), *(len(cells[column]) for _, cells, _ in rows))
        for column, head in enumerate(heads)
    ]
    yield Text("  " + _row(heads, widths), style="cyan")
    for own, cells, note in rows:
        counts = ("> " if own else "  ") + _row(cells, widths)
        yield Text.assemble(
            (counts, "bold" if own else ""), (f"   {note}" if note else "", "yellow")
        )


def _row(cells: tuple[str, ...], widths: list[int]) -> str:
    return "   ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))


def counted(count: int, noun: str) -> str:
    """Return a count with its noun: `1 sample`, `60,000 samples`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def epochs_shown(epochs: Fraction) -> str:
    """Return epochs for people, the exact fraction in brackets when they are not whole."""
    if epochs.denominator == 1:
        return counted(epochs.numerator, "epoch")
    rounded = f"{float(epochs):,.2f}" if epochs >= 1 else f"{float(epochs):.3g}"
    return f"{rounded} epochs ({epochs})"


def duration(seconds: Fraction) -> str:
    """Return a time for people, in its two largest units.

    Example:
        >>> duration(Fraction(12, 1000)), duration(Fraction(4690 * 12, 1000))
        ('12 ms', '56.3 s')
        >>> duration(Fraction(4000)), duration(Fraction(90_000))
        ('1 h 7 min', '1 d 1 h')
    """
    if seconds < Fraction("0.9995"):
        return f"{float(seconds * 1000):.3g} ms"
    if seconds < Fraction("59.95"):
        return f"{float(seconds):.3g} s"
    if (whole := round(seconds)) < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if (minutes := round(seconds / 60)) < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / 3600)
    return f"{hours // 24:,} d {hours % 24} h"
