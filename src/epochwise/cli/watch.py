"""`epochwise watch`: the page of a run, live while it goes on in another process."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from epochwise.cli.console import console, show_sentence
from epochwise.errors import RunError
from epochwise.record import RUNS_FOLDER, find_run, run_folders
from epochwise.report import LivePage, LiveServer

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_YIELDING = 19
"""How much the server gives way to a training on the same machine."""


@app.command()
def watch(
    run: Annotated[
        str | None,
        typer.Argument(
            help="Its path, its name, or the beginning of its name.",
            show_default="the newest",
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(help="Of the loopback address to serve the page on; 0 for any.")
    ] = 0,
    parent: Annotated[
        Path, typer.Option("--in", metavar="DIR", help="The folder that runs are kept in.")
    ] = RUNS_FOLDER,
) -> None:
    """Show a run in the browser while it goes on; Ctrl-C ends the showing, not the run."""
    folder = _newest(parent) if run is None else find_run(run, parent)
    live = LivePage(folder)
    live.page()
    with LiveServer(live, port) as server:
        printer = console()
        print(server.address, flush=True)
        show_sentence(printer, f"{folder.name}, until Ctrl-C. The training is not touched.")
        with suppress(AttributeError, OSError):
            os.nice(_YIELDING)
        with suppress(KeyboardInterrupt):
            server.serve_forever()


def _newest(parent: Path) -> Path:
    """Return the folder of the run that was begun last.

    Raises:
        RunError: there is none.
    """
    folders = run_folders(parent)
    if not folders:
        raise RunError(
            f"There are no runs in {parent}.",
            "start one with `epochwise train`, or name the folder of a run.",
        )
    return max(folders, key=lambda path: (path / "run.json").stat().st_mtime_ns)
