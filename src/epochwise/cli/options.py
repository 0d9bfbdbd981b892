"""Options that several verbs take, each declared once."""

from __future__ import annotations

from typing import Annotated

import typer

from epochwise.data.sources import AskedTask

Label = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="The column of a table to predict.")
]
Drop = Annotated[
    str | None,
    typer.Option(metavar="COLUMN,...", help="Columns of a table to leave out."),
]
HasHeader = Annotated[
    bool | None,
    typer.Option(
        "--header/--no-header",
        help="Whether the first line of a .csv or .tsv names the columns; without, they are "
        "called 1, 2, and so on.",
        show_default="asked where that is not clear",
    ),
]
Task = Annotated[
    AskedTask | None,
    typer.Option(
        help="What the targets are.", show_default="decided from their values, and said"
    ),
]


def columns_of(drop: str | None) -> tuple[str, ...]:
    """Return the columns that `--drop` names.

    Example:
        >>> columns_of("id, zip"), columns_of(None)
        (('id', 'zip'), ())
    """
    return () if drop is None else tuple(name.strip() for name in drop.split(","))
