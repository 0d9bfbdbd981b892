"""`epochwise worth` prints the ledger of a kept run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from epochwise import cli
from epochwise.choosing.worth import worth
from epochwise.counting.plan import Plan
from epochwise.events import Evaluated, Event
from epochwise.record import Recorder, RunFolder, Tally, json_text, read_run
from staged import FakeClock, events_of, header_of, weights

PLAN = Plan(samples=10, batch_size=4, epochs=8)


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def turning(events: Iterator[Event]) -> Iterator[Event]:
    """The events with a validation loss that is lowest after epoch 3."""
    for event in events:
        if isinstance(event, Evaluated):
            loss = 0.5 + 0.1 * abs(event.epoch_index - 2)
            yield replace(event, metrics={**event.metrics, "loss": loss})
        else:
            yield event


def keep(name: str, *, evaluates: bool = True) -> Path:
    """Keep a staged run whose validation loss turns upwards after epoch 3."""
    tally = Tally()
    path = Path("runs") / name
    with Recorder(RunFolder.create(path), header_of(PLAN), clock=FakeClock()) as recorder:
        for event in turning(events_of(PLAN, evaluates=evaluates)):
            tally.on_event(event)
            recorder.on_event(event)
        digest = recorder.write_weights(weights())
        recorder.close(tally.run(weights_sha256=digest))
    return path


def said(command: str) -> tuple[int, str, str]:
    """Run `epochwise worth` in this process; return exit code, stdout and stderr."""
    result = CliRunner().invoke(cli.app, ["worth", *command.split()])
    return result.exit_code, result.stdout, result.stderr


def test_the_ledger_has_a_line_for_each_epoch() -> None:
    """After the heads; then what it says in words."""
    keep("a-run")

    code, out, _ = said("a-run")
    lines = out.splitlines()

    assert code == 0
    assert lines[0].split()[:3] == ["after", "iteration", "val_loss"]
    assert [line.split()[1] for line in lines[1:9]] == [str(epoch) for epoch in range(1, 9)]
    assert lines[1].split()[3] == "0.7000"
    assert "The lowest validation loss, 0.5, is that after epoch 3." in lines
    assert "Over-fitting began after epoch 3: the validation loss rose from 0.5 to 1." in lines
    assert any(
        line.startswith("5 more epochs would raise the validation loss") for line in lines
    )


def test_the_json_is_the_ledger_of_the_record() -> None:
    """One object, the one that Python's `worth` gives."""
    path = keep("a-run")

    code, out, _ = said("a-run --json")

    assert code == 0
    assert json.loads(out) == json.loads(json_text(worth(read_run(path)).to_json()))


def test_a_run_without_validation_is_an_error_with_a_remedy() -> None:
    """In the words of the command line."""
    keep("bare", evaluates=False)

    code, _, err = said("bare")

    assert code == 2
    assert "no evaluations" in err
    assert "Remedy: train with" in err


def test_one_pass_ends_in_a_verdict() -> None:
    """A line for each part, then the verdict with its confidence."""
    code, out, _ = said("--one-pass digits --seeds 2 --batch-size 64")
    lines = out.splitlines()
    heads = next(i for i, text in enumerate(lines) if text.split()[:2] == ["samples", "passes"])

    assert code == 0
    assert [text.split()[:2] for text in lines[heads + 1 : heads + 5]] == [
        ["128", "8"], ["256", "4"], ["512", "2"], ["1,024", "2"],
    ]  # fmt: skip
    assert lines[heads + 5].startswith("With 1,024 samples and 2 seeds: ")
    assert any(text.startswith("More data instead of a second pass") for text in lines)


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("", "a run, or data"),
        ("a-run --one-pass digits", "a run, or data"),
        ("--one-pass nowhere.csv", "nowhere.csv"),
        ("--one-pass digits --batch-size 0", "--batch-size 0"),
        ("--one-pass digits --batch-size 1000", "holds no batch of 1,000"),
        ("--one-pass digits --seeds 1", "does not tell a difference from luck"),
    ],
)
def test_a_slip_is_told_with_a_remedy(command: str, what: str) -> None:
    """In the words of the command line."""
    code, _, err = said(command)

    assert code == 2
    assert what in err
    assert "Remedy:" in err
