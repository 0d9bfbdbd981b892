"""The command `epochwise`: one module for each verb, imported when the verb is used.

This is the one place that turns an `EpochwiseError` into sentences on stderr and exit
code 2, and what the user's own code raises too. A usage error exits with 2 as well, Ctrl-C
with 130; any other exception is a bug of ours and shows its traceback.

A verb's module holds `app`, a `typer.Typer` with one command, or with several for a
verb that has verbs of its own. To add a verb, add a line to `VERBS`.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module, metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from epochwise.cli import console
from epochwise.errors import EpochwiseError, ModelError, near
from epochwise.exits import place_in_their_code, raised_by_theirs
from epochwise.terminal.output import guard_standard_streams

UsageError: Any = typer.BadParameter.__base__
"""What the command line's own parser raises."""

VERBS: dict[str, str] = {
    "plan": "epochwise.cli.plan",
    "train": "epochwise.cli.train",
    "tune": "epochwise.cli.tune",
    "resume": "epochwise.cli.resume",
    "runs": "epochwise.cli.runs",
    "worth": "epochwise.cli.worth",
    "sweep": "epochwise.cli.sweep",
    "report": "epochwise.cli.report",
    "watch": "epochwise.cli.watch",
}
"""The verbs in the order of the help, each with the module that holds its `app`."""

TRAINING = {"train", "tune", "resume", "sweep", "--one-pass"}
"""Words of commands whose work is more than what they show."""

HELP_OPTIONS = ("-h", "--help")

COLLECTED_AFTER = (100_000, 50, 100)
"""New objects before Python looks for garbage, and how often it looks at older ones. Importing
a framework and tracing programs makes some hundred thousand that stay to the end."""


class Verbs(TyperGroup):
    """The verbs of `VERBS`, each imported when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Name the verbs in the order of the help."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import one verb; `None` if there is none of that name."""
        del ctx
        if cmd_name not in VERBS:
            return None
        verb = typer.main.get_command(import_module(VERBS[cmd_name]).app)
        verb.name = cmd_name
        return verb

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the verb; tell which one may have been meant where there is none."""
        meant = near(args[0], VERBS) if args else []
        if meant and args[0] not in VERBS:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {meant[0]!r}?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; a mistake that the user can repair ends in sentences, not a trace."""
        try:
            return super().invoke(ctx)
        except UsageError as slip:
            if isinstance(getattr(slip, "option_name", None), str) and slip.ctx is not None:
                names = [name for one in slip.ctx.command.params for name in one.opts]
                meant = near(slip.option_name, [*names, *HELP_OPTIONS], most=3)
                slip.possibilities = meant
            raise
        except Exception as raised:
            error = _as_told(raised)
            if error is None:
                raise
            verb = self.get_command(ctx, ctx.invoked_subcommand or "")
            options = frozenset(parameter.name for parameter in getattr(verb, "params", ()))
            console.show_error(error, options)
            raise typer.Exit(2) from raised


def _as_told(raised: Exception) -> EpochwiseError | None:
    """Return what a user is told of an exception; `None` if it is a bug of ours."""
    theirs = None if isinstance(raised, EpochwiseError) else raised_by_theirs(raised)
    if theirs is None:
        return raised if isinstance(raised, EpochwiseError) else None
    name, where = place_in_their_code(theirs)
    what = f"{name} raised {type(theirs).__name__}: {theirs} ({where})."
    notes = [*getattr(theirs, "__notes__", ())]
    return ModelError(" ".join([what, *notes]), "mend the line named.")


app = typer.Typer(
    cls=Verbs,
    name="epochwise",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": list(HELP_OPTIONS)},
)


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        typer.echo(f"epochwise {metadata.version('epochwise')}")
    except metadata.PackageNotFoundError:
        typer.echo("epochwise, from a source tree that is not installed")
    raise typer.Exit


@app.callback()
def _epochwise(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    """Train neural networks with epoch, batch and iteration under exact control."""
    del version


def main() -> None:
    """Run the command line; the entry point of `epochwise`.

    A training outlives its output. A verb whose output is all that was asked for exits
    with 2 where it could not be written, but not where a pipe's reader had seen enough.

    Python looks for garbage seldom meanwhile, and not once more at the end, where the
    process goes away with all that it holds.
    """
    gc.set_threshold(*COLLECTED_AFTER)
    told = {*sys.argv[1:2], *(word for word in sys.argv[2:] if word.startswith("-"))}
    trains = not told.isdisjoint(TRAINING) and told.isdisjoint(HELP_OPTIONS)
    output = guard_standard_streams(work_goes_on=trains)
    try:
        app()
    except SystemExit as end:
        output.flush()
        if output.failed and not trains and not end.code:
            raise SystemExit(2) from end
        raise
    finally:
        gc.freeze()
