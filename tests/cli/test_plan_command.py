"""`epochwise plan` says in a terminal what `Plan` says in Python."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from fractions import Fraction
from types import SimpleNamespace

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from epochwise import cli
from epochwise.cli import console
from epochwise.cli.plan import duration
from epochwise.counting.plan import Plan
from epochwise.errors import EpochwiseError, PlanError, Problem

KEYS = [
    "samples",
    "batch_size",
    "epochs",
    "remainder",
    "microbatch_size",
    "devices",
    "iterations_per_epoch",
    "iterations",
    "last_batch_size",
    "samples_seen",
    "dropped_per_epoch",
]
HEAVY = ("numpy", "jax", "keras", "sklearn", "tensorflow", "torch")


def epochwise(command: str) -> tuple[int, str, str]:
    """Run the command line in this process; return exit code, stdout and stderr."""
    result = CliRunner().invoke(cli.app, command.split())
    return result.exit_code, result.stdout, result.stderr


def in_a_process(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Start Python anew, as a user's shell would, without colour from the outside."""
    environment = {name: value for name, value in os.environ.items() if name != "FORCE_COLOR"}
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_plan_is_told_in_full() -> None:
    """The first example of the documentation, line by line."""
    assert epochwise("plan --samples 1000 --batch-size 500 --epochs 3") == (
        0,
        """\
1,000 samples, batch size 500, 3 epochs

  iterations    6, each one update of the weights
  an epoch      2 iterations of 500 samples
  samples seen  3,000

  batch size   iterations an epoch   last batch
         125                     8          125
         250                     4          250
>        500                     2          500
       1,000                     1        1,000   one iteration an epoch
""",
        "",
    )


def test_microbatches_devices_and_time_are_told_where_asked() -> None:
    """Each option adds its line, with the exact counts and the time that follows."""
    _, told, _ = epochwise(
        "plan --samples 60000 --batch-size 64 --epochs 5 --microbatch-size 20 --devices 4 "
        "--seconds-per-iteration 0.012"
    )
    lines = [" ".join(line.split()) for line in told.splitlines()]
    assert "an epoch 938 iterations: 937 of 64 samples, the last of 32" in lines
    assert "microbatches 4 in a batch, of up to 20 samples; 2 in the last batch" in lines
    assert "devices 4, each with 16 samples of a full batch" in lines
    assert "time 11.3 s an epoch, 56.3 s in all, at 12 ms an iteration" in lines


def test_a_length_that_ends_inside_an_epoch_is_told() -> None:
    """Iterations in, epochs out: exact, and rounded for reading."""
    _, told, _ = epochwise("plan --samples 1001 --batch-size 7 --iterations 1000")
    assert told.startswith("1,001 samples, batch size 7, 6.99 epochs (1000/143)\n")
    assert "ends early, after 142 of 143 iterations" in told
    _, told, _ = epochwise(
        "plan --samples 1000 --batch-size 300 --iterations 5 --remainder drop"
    )
    assert "left out      100 samples of each epoch" in told


def test_a12_the_table_and_a_warning_tell_of_a_last_batch_of_one() -> None:
    """A12: it is marked in the neighbours' table, and the remedy is typed as options."""
    code, told, _ = epochwise("plan --samples 1001 --batch-size 4 --epochs 1")
    assert code == 0
    noted = [
        int(line.lstrip("> ").split()[0])
        for line in told.splitlines()
        if line.endswith("a last batch of one sample")
    ]
    assert noted == [2, 4, 8]
    assert "use --batch-size 3 or --batch-size 6 or --remainder drop." in told
    _, clean, _ = epochwise("plan --samples 1001 --batch-size 7 --epochs 1")
    assert "Warning" not in clean


@pytest.mark.parametrize(
    ("length", "epochs"),
    [
        ("--epochs 3", 3),
        ("--epochs 5/2", "5/2"),
        ("--iterations 10", "5/2"),
        ("--samples-seen 2600", "5/2"),
        ("--epochs 6/2 --iterations 12", 3),
    ],
)
def test_json_is_the_plans_own(length: str, epochs: int | str) -> None:
    """One object with exactly the promised keys; it reads back as the same plan."""
    code, told, errors = epochwise(f"plan --samples 1000 --batch-size 300 {length} --json")
    assert (code, errors, told.count("\n")) == (0, "", 1)
    printed = json.loads(told)
    assert list(printed) == KEYS
    assert printed["epochs"] == epochs
    plan = Plan(samples=1000, batch_size=300, epochs=Fraction(epochs))
    assert Plan.from_json(printed) == plan


def test_json_has_the_time_where_it_was_asked_for() -> None:
    """The time of an iteration adds that of an epoch and of the whole, and no more."""
    _, told, _ = epochwise(
        "plan --samples 60000 --batch-size 64 --epochs 5 --seconds-per-iteration 0.012 --json"
    )
    printed = json.loads(told)
    assert list(printed) == [*KEYS, "seconds_per_epoch", "seconds"]
    assert (printed["seconds_per_epoch"], printed["seconds"]) == (11.256, 56.28)


def test_all_problems_come_on_stderr_as_one_types_them() -> None:
    """Several mistakes are told together, in options, with exit code 2."""
    code, told, errors = epochwise(
        "plan --samples 10.5 --batch-size -3 --epochs 2.5 --remainder pad "
        "--seconds-per-iteration -1"
    )
    assert (code, told) == (2, "")
    assert (
        errors
        == """\
Error: --samples 10.5 is not a whole number.
  Remedy: use --samples 10 or --samples 11.
Error: --batch-size -3 is less than 1.
  Remedy: use --batch-size 1 or more.
Error: --remainder pad is neither of the two words.
  Remedy: use --remainder keep or --remainder drop.
Error: --epochs 2.5 is neither a whole number nor a fraction.
  Remedy: use --epochs 5/2.
Error: --seconds-per-iteration -1 is no time that an iteration can take.
  Remedy: use --seconds-per-iteration 0.01, with the seconds that you measured.
"""
    )


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("plan --samples 97 --batch-size 128 --epochs 2 --remainder drop", "no iteration."),
        (
            "plan --samples 60000 --batch-size 128 --epochs 5/2",
            "use --iterations 1172 (--epochs",
        ),
        ("plan --samples 100 --batch-size 10", "Nothing says how long to train."),
        ("plan --samples 100 --batch-size 10 --iterations 0", "--iterations 0 is less than 1."),
        ("plan --samples 100 --batch-size 10 --epochs 1/0", "'1/0' is not a number."),
        ("plan --samples 100 --batch-size 10 --epochs 0/3", "--epochs 0 is not more than 0."),
        ("plan --samples 100 --batch-size 10 --epochs 1 --iterations 11", "disagree"),
        ("plan --samples ten --batch-size 10 --epochs 1", "'ten' is not a number."),
        (f"plan --samples {'9' * 5000} --batch-size 10 --epochs 1", "is not a whole number"),
        (f"plan --samples 9 --batch-size 9 --epochs {'9' * 5000}/2", "is not a number"),
        (
            "plan --samples 9 --batch-size 9 --epochs 1 --seconds-per-iteration nan",
            "is no time",
        ),
        (
            "plan --samples 9 --batch-size 9 --epochs 1 --seconds-per-iteration nan --json",
            "no time",
        ),
        ("plan --batch-size 10 --epochs 1", "'--samples'"),
        ("plan --samples 1 --batch-size 1 --epochs 1 --batches 3", "--batches"),
        ("plann", "plann"),
    ],
)
def test_a_mistake_exits_with_2_and_prints_nothing_else(command: str, said: str) -> None:
    """What the user can repair goes to stderr without a traceback."""
    code, told, errors = epochwise(command)
    assert (code, told) == (2, "")
    assert said in errors
    assert "Traceback" not in errors


def test_on_a_terminal_a_sentence_is_wrapped_beside_its_lead() -> None:
    """Within the width, with the lead styled and nothing lost; elsewhere on one line."""
    sentence = "The last batch of each epoch holds 1 sample."
    printed = {}
    for terminal in (True, False):
        file = io.StringIO()
        printer = Console(file=file, force_terminal=terminal, width=32)
        console.show_sentence(printer, sentence, lead="Warning: ", style="bold")
        printed[terminal] = file.getvalue()
    assert printed[False] == f"Warning: {sentence}\n"
    assert printed[True] == (
        "\x1b[1mWarning: \x1b[0mThe last batch of each\n         epoch holds 1 sample.\n"
    )


def test_errors_keep_arguments_that_are_no_options() -> None:
    """Only the options that the verb has are spelled anew."""
    sentence = 'use microbatch_size=8, segments="scan" or epochs=Fraction(5, 2).'
    assert console.as_options(sentence, ()) == sentence
    assert console.as_options(sentence, {"microbatch_size", "epochs"}) == (
        'use --microbatch-size 8, segments="scan" or --epochs 5/2.'
    )
    assert console.as_options("use seconds=0.01.", {"seconds"}) == "use --seconds 0.01."


def test_only_our_errors_lose_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistake of the user's ends in sentences; any other exception is ours and comes out."""
    error = EpochwiseError(
        [Problem("a=1 is odd.", "use a=2."), Problem("b is gone.", "make b.")]
    )

    def fail() -> None:
        raise error

    verb = typer.Typer()
    verb.command()(fail)
    monkeypatch.setitem(sys.modules, "a_verb", SimpleNamespace(app=verb))
    monkeypatch.setitem(cli.VERBS, "fail", "a_verb")
    assert epochwise("fail") == (
        2,
        "",
        "Error: a=1 is odd.\n  Remedy: use a=2.\nError: b is gone.\n  Remedy: make b.\n",
    )
    monkeypatch.setattr("epochwise.cli.plan.Plan", int)  # no number has `samples`
    result = CliRunner().invoke(
        cli.app, ["plan", "--samples", "10", "--batch-size", "2", "--epochs", "1"]
    )
    assert isinstance(result.exception, TypeError)
    assert issubclass(PlanError, EpochwiseError)


def test_piped_text_is_plain_and_its_sentences_are_not_cut() -> None:
    """Outside a terminal there is no escape code, no box and no wrapped sentence."""
    command = "plan --samples 1001 --batch-size 4 --epochs 1"
    done = in_a_process("-m", "epochwise", *command.split())
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    assert "\x1b" not in done.stdout
    [warning] = [line for line in done.stdout.splitlines() if line.startswith("Warning")]
    assert warning.endswith("--remainder drop.")


def test_the_process_exits_with_2_and_no_traceback() -> None:
    """The command itself, started by a shell, ends as promised."""
    command = "plan --samples 100 --batch-size 1024 --epochs 1 --remainder drop"
    done = in_a_process("-m", "epochwise", *command.split())
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(
        "Error: --batch-size 1024 exceeds the training set (100 samples)"
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("also", ["", "numpy"])
def test_planning_imports_nothing_heavy(also: str) -> None:
    """`epochwise plan` loads no NumPy and no framework; the check sees one that is loaded."""
    program = f"""
import sys
from typer.testing import CliRunner
from epochwise.cli import app
{f"import {also}" if also else ""}
result = CliRunner().invoke(app, "plan --samples 9 --batch-size 2 --epochs 1".split())
assert result.exit_code == 0, result.output
print(sorted(set(sys.modules) & set({HEAVY!r})))
"""
    done = in_a_process("-c", program)
    assert done.stderr == ""
    assert done.stdout == ("['numpy']\n" if also else "[]\n")


def test_version_and_help_are_there() -> None:
    """`--version` names the program, and the help lists every verb."""
    code, told, _ = epochwise("--version")
    assert code == 0
    assert re.match(r"epochwise\b", told)
    _, told, _ = epochwise("--help")
    assert all(re.search(rf"^  {verb}\b", told, re.MULTILINE) for verb in cli.VERBS)
    _, told, _ = epochwise("plan --help")
    assert all(f"--{key.replace('_', '-')}" in told for key in KEYS[:6])


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        ("0.00012", "0.12 ms"),
        ("0.012", "12 ms"),
        ("0.9999", "1 s"),
        ("1", "1 s"),
        ("59.4", "59.4 s"),
        ("59.99", "1 min 0 s"),
        ("60", "1 min 0 s"),
        ("3599.7", "1 h 0 min"),
        ("4000", "1 h 7 min"),
        ("86399", "1 d 0 h"),
        ("90000", "1 d 1 h"),
        ("1e9", "11,574 d 2 h"),
    ],
)
def test_a_time_has_its_two_largest_units(seconds: str, shown: str) -> None:
    """Times are rounded so that no unit overflows into the next."""
    assert duration(Fraction(seconds)) == shown
