"""What the verbs share in printing: the console, and how an error looks.

Colour and style appear on a terminal only, and colour not where `NO_COLOR` is set;
piped text is plain, and its lines are as long as their sentences.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from rich.console import Console
from rich.text import Text

from epochwise.errors import EpochwiseError

_ARGUMENT = re.compile(
    r"""\b(?P<name>[a-z][a-z_]*)=
    (?:Fraction\((?P<numerator>\d+),\ (?P<denominator>\d+)\)
      |(?P<quote>["'])(?P<word>[^"']*)(?P=quote)
      |(?P<number>-?[\d_]+(?:\.\d+)?(?:e[+-]?\d+)?))""",
    re.VERBOSE,
)
"""An argument as Python code has it: `batch_size=64`, `remainder="keep"`."""


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
        what, remedy = as_options(problem.what, options), as_options(problem.remedy, options)
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
    """

    def spelled(match: re.Match[str]) -> str:
        if match["name"] not in options:
            return match[0]
        if match["numerator"] is not None:
            value = f"{match['numerator']}/{match['denominator']}"
        else:
            value = match["number"] if match["word"] is None else match["word"]
        return f"--{match['name'].replace('_', '-')} {value}"

    return _ARGUMENT.sub(spelled, sentence)
