"""`epochwise watch`: the page of a run, live while it goes on in another process."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from epochwise.cli.console import console, show_sentence
from epochwise.errors import RunError
from epochwise.record import RUNS_FOLDER, find_run, is_beginning, is_held, run_folders
from epochwise.report import LivePage, LiveServer

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_MOMENT_SECONDS = 2.0
"""How long a run that was started together with this command may take to say so [s]."""

_SECONDS_BETWEEN = 0.1
"""From one look for it to the next [s]."""

_YIELDING = 19
"""How much the server gives way to a training on the same machine."""


@app.command()
def watch(
    run: Annotated[
        str | None,
        typer.Argument(
            help="Its path, its name, or the beginning of its name.",
            show_default="the newest that goes on",
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
    folder = _found(parent) if run is None else find_run(run, parent)
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


def _found(parent: Path) -> Path:
    """Return the folder of the newest run that goes on, else of the newest.

    One that began together with this command needs seconds until its folder is there:
    as long as it says so, it is waited for.

    Raises:
        RunError: there is none.
    """
    began = time.monotonic()
    told = False
    while True:
        folders = run_folders(parent)
        beginning = is_beginning(parent)
        going = [folder for folder in folders if is_held(folder)]
        if beginning and not told:
            told = True
            sentence = f"A run in {parent} is about to begin; waiting for it."
            show_sentence(console(stderr=True), sentence)
        if not beginning and (going or time.monotonic() > began + _MOMENT_SECONDS):
            break
        time.sleep(_SECONDS_BETWEEN)
    folders = going or folders
    if not folders:
        raise RunError(
            f"There are no runs in {parent}.",
            "start one with `epochwise train`, or name the folder of a run.",
        )
    return max(folders, key=lambda path: (path / "run.json").stat().st_mtime_ns)
