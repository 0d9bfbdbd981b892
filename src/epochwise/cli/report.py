"""`epochwise report`: records of runs as one page that opens in any browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from epochwise.errors import RunError
from epochwise.record import RUNS_FOLDER, RunFolder, find_run
from epochwise.report import budget_of, page, read_story

app = typer.Typer(add_completion=False, rich_markup_mode=None)

PAGE_FILE = "report.html"
"""What the page is called unless told otherwise."""

_ENDINGS = (".html", ".htm")


@app.command()
def report(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...", help="Paths, names, or beginnings of names; several are compared."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.html",
            help="Where to; an older page there is replaced.",
            show_default=f"{PAGE_FILE} in the run's folder, or here for several runs",
        ),
    ] = None,
    parent: Annotated[
        Path, typer.Option("--in", metavar="DIR", help="The folder that runs are kept in.")
    ] = RUNS_FOLDER,
) -> None:
    """Make a page of one run or several: what was planned, done and gained."""
    if output is not None:
        _check_output(output)
    folders = [find_run(run, parent) for run in runs]
    budget_of(len(folders))
    written = page([read_story(folder) for folder in folders])
    beside = folders[0] / PAGE_FILE if len(folders) == 1 else Path(PAGE_FILE)
    path = beside if output is None else output
    RunFolder(path.parent).write(path.name, [written.encode()])
    print(path)


def _check_output(output: Path) -> None:
    """Refuse a name that is no page's, so that a slip overwrites nothing else.

    Raises:
        RunError: it does not end as a page does, or is a folder.
    """
    if output.suffix.lower() not in _ENDINGS:
        raise RunError(
            f"output={str(output)!r} is not the name of a page.",
            f"use output={str(output) + '.html'!r} or another name that ends in .html.",
        )
    if output.is_dir():
        raise RunError(
            f"output={str(output)!r} is a folder.",
            f"name a file in it, such as output={str(output / PAGE_FILE)!r}.",
        )
