"""What the verbs share in printing: the console, and how an error looks.

Colour and style appear on a terminal only, and colour not where `NO_COLOR` is set;
piped text is plain, and its lines are as long as their sentences.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection

from rich.console import Console
from rich.text import Text

from epochwise.errors import EpochwiseError

_ARGUMENT = re.compile(
    r"""(?<![\w.\-"'])(?P<name>[a-z][a-z_]*)
    (?:=(?:Fraction\((?P<numerator>\d+),\ (?P<denominator>\d+)\)
      |(?P<quote>["'])(?P<word>[^"']*)(?P=quote)
      |(?P<truth>True|False)\b
      |\[(?P<list>[^\]]*)\]
      |\{["'](?P<key>[^"']*)["']:\ (?P<value>[^}]*)\}
      |(?P<number>-?[\d_]+(?:\.\d+)?(?:e[+-]?\d+)?)
      |(?=[\s.,;)]|$))
    |(?=[\s.,;:)]|$))""",
    re.VERBOSE,
)
"""An argument as Python code has it: `batch_size=64`, `remainder="keep"`, `run_dir`."""


_FOLDERS = ("run_dir", "sweep_dir", "save")
"""What the folder to keep things in is called by the options of different verbs."""


def console(*, stderr: bool = False) -> Console:
    """Return a console that prints text as it is, styled only on a terminal.

    Args:
        stderr: whether it prints to stderr instead of stdout.
    """
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def show_sentence(printer: Console, sentence: str, *, lead: str = "", style: str = "") -> None:
    """Print a sentence after its lead; on a terminal it is wrapped beside the lead.

    Args:
        printer: where it goes.
        sentence: plain text.
        lead: what stands before it, such as `"Warning: "`.
        style: how the lead looks on a terminal.
    """
    lines = [Text(sentence)]
    if printer.is_terminal:
        lines = list(lines[0].wrap(printer, max(printer.width - len(lead), 20)))
    for number, line in enumerate(lines):
        line.rstrip()
        first = (" " * len(lead), "") if number else (lead, style)
        printer.print(Text.assemble(first, line), soft_wrap=True)


def show_error(error: EpochwiseError, options: Collection[str | None] = ()) -> None:
    """Print every problem with its remedy to stderr.

    Args:
        error: what to print.
        options: the names of the command's options; arguments of those names are
            printed as one types them there.
    """
    printer = console(stderr=True)
    for problem in error.problems:
        what = as_options(problem.what, options)
        remedy = as_options(problem.command or problem.remedy, options)
        show_sentence(printer, what, lead="Error: ", style="bold red")
        show_sentence(printer, remedy, lead="  Remedy: ", style="bold")


def as_options(sentence: str, options: Collection[str | None]) -> str:
    """Return a sentence with Python arguments spelled as command-line options.

    Args:
        sentence: as the library words it.
        options: the names to spell anew; others stay.

    Example:
        >>> as_options('use batch_size=97 or remainder="keep".', {"batch_size", "remainder"})
        'use --batch-size 97 or --remainder keep.'
        >>> as_options("use epochs=Fraction(5, 2) or x=3.", {"epochs"})
        'use --epochs 5/2 or x=3.'
        >>> as_options("add in_order=True, or leave out extend_to_epochs.", {"in_order"})
        'add --in-order, or leave out extend_to_epochs.'
    """

    def spelled(match: re.Match[str]) -> str:
        name = match["name"]
        if name == "run_dir":
            name = next((one for one in _FOLDERS if one in options), name)
        if name not in options or (match[0] == match["name"] and "_" not in name):
            return match[0]
        option = f"--{name.replace('_', '-')}"
        if match["truth"]:
            return option if match["truth"] == "True" else option.replace("--", "--no-", 1)
        if match["numerator"] is not None:
            return f"{option} {match['numerator']}/{match['denominator']}"
        if match["list"] is not None:
            return f"{option} {match['list'].replace(' ', '')}"
        if match["key"] is not None:
            return f"{option} {match['key']}={match['value']}"
        if match["word"] is not None:
            return f"{option} {shlex.quote(match['word'])}"
        return f"{option} {match['number']}" if match["number"] else option

    return _ARGUMENT.sub(spelled, sentence)
