"""`epochwise resume`: go on with a run at the very next iteration."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated, Literal

import typer

from epochwise.api import FitData, go_on, is_finished
from epochwise.cli.train import end
from epochwise.record import RUNS_FOLDER, Run, find_run, read_run
from epochwise.terminal.progress import progress

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def resume(
    run: Annotated[
        str, typer.Argument(help="Its path, its name, or the beginning of its name.")
    ],
    parent: Annotated[
        Path, typer.Option("--in", metavar="DIR", help="The folder that runs are kept in.")
    ] = RUNS_FOLDER,
    extend_to_epochs: Annotated[
        int | None, typer.Option(metavar="N", help="Go on to N epochs in all.")
    ] = None,
    extend_to_iterations: Annotated[
        int | None, typer.Option(metavar="N", help="Go on to N weight updates in all.")
    ] = None,
    rules: Annotated[
        Literal["keep", "anew", "drop"] | None,
        typer.Option(
            help="When extended, the stopping rules go on with what they remember, begin anew, "
            "or are left out."
        ),
    ] = None,
    schedule: Annotated[
        Literal["keep", "rescale"] | None,
        typer.Option(help="What becomes of a learning-rate schedule when extended."),
    ] = None,
    in_order: Annotated[
        bool,
        typer.Option(
            "--in-order",
            help="Go on even where only the order of the samples is sure to be the same.",
        ),
    ] = False,
    accept_changed_model: Annotated[
        bool,
        typer.Option(
            "--accept-changed-model",
            help="Go on though a setting of the network, its optimizer, loss or metrics is "
            "another.",
        ),
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="End with one JSON object on stdout.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show errors only.")] = False,
) -> None:
    """Go on with RUN from its newest checkpoint, as if nothing had happened."""
    path = find_run(run, parent)
    stored = read_run(path).run
    stream = sys.stderr if json else sys.stdout
    if is_finished(stored) and extend_to_epochs is None and extend_to_iterations is None:
        if not quiet:
            print(_finished(stored), file=stream)
        end(stored, json=json)
        return
    with closing(progress(0 if quiet else "auto", stream=stream)) as shown:
        ended = go_on(
            path,
            None,
            FitData(x=None),
            shown=shown,
            extend_to_epochs=extend_to_epochs,
            extend_to_iterations=extend_to_iterations,
            rules=rules,
            schedule=schedule,
            in_order=in_order,
            accept_changed_model=accept_changed_model,
        )
    end(ended, json=json)


def _finished(run: Run) -> str:
    """Say that there is nothing to go on with."""
    assert run.stop is not None
    return (
        f"This run is finished, and nothing was trained: {run.stop.sentence} "
        "Type --extend-to-epochs N to train it further."
    )
