"""`epochwise runs` lists and shows what is on the disk, whole or not."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from epochwise import cli
from epochwise.cli.runs import epochs_text, state
from epochwise.counting.plan import Plan
from epochwise.counting.position import START
from epochwise.events import StopReason
from epochwise.record import Recorder, Run, RunFolder, Seconds, Tally, json_text
from staged import FakeClock, events_of, header_of, weights

PLAN = Plan(samples=10, batch_size=4, epochs=3)


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def keep(name: str, *, hours: int = 0, closed: bool = True, stop: str = "plan") -> Run:
    """Keep a staged run in `runs/`, begun some hours later than the first."""
    tally = Tally()
    header = header_of(PLAN)
    header = replace(header, began=header.began + timedelta(hours=hours))
    folder = RunFolder.create(Path("runs") / name)
    with Recorder(folder, header, clock=FakeClock()) as recorder:
        for event in events_of(PLAN, stop=StopReason(rule=stop, sentence=f"By {stop}.")):
            tally.on_event(event)
            recorder.on_event(event)
        digest = recorder.write_weights(weights())
        run = tally.run(
            seconds=Seconds(total=2.5),
            weights_sha256=digest,
            test={"loss": 0.5, "accuracy": 0.9},
        )
        return recorder.close(run) if closed else run


def runs(command: str = "") -> tuple[int, str, str]:
    """Run `epochwise runs` in this process; return exit code, stdout and stderr."""
    result = CliRunner().invoke(cli.app, ["runs", *command.split()])
    return result.exit_code, result.stdout, result.stderr


def test_no_runs_is_said() -> None:
    """An empty list says how to fill it."""
    assert runs() == (0, "There are no runs in runs; `epochwise train` makes one.\n", "")


def test_the_newest_run_comes_first() -> None:
    """By the time they began, whatever their names; each with what it reached."""
    keep("b-early")
    keep("a-late", hours=2)
    keep("c-crashed", hours=1, closed=False)
    keep("d-interrupted", hours=-1, stop="interrupt")

    code, out, _ = runs()
    head, *rows = [line.split("  ") for line in out.splitlines()]
    rows = [[cell.strip() for cell in row if cell.strip()] for row in rows]

    assert code == 0
    assert [cell.strip() for cell in head if cell.strip()] == [
        "run", "began", "data", "model", "done", "iterations", "validation", "test loss",
        "test", "state",
    ]  # fmt: skip
    assert [row[0] for row in rows] == ["a-late", "c-crashed", "b-early", "d-interrupted"]
    assert rows[0][1:] == [
        "2026-11-23 16:25", "digits", "mlp", "3 of 3 epochs", "9", "accuracy 0.7500", "0.5000",
        "accuracy 0.9000", "finished",
    ]  # fmt: skip
    assert [row[-1] for row in rows] == ["finished", "unfinished", "finished", "interrupted"]
    assert rows[1][-2] == "-"


@pytest.mark.parametrize(
    ("iterations_done", "words"),
    [
        (0, "0 of 3 epochs"),
        (2, "2/3 of epoch 1 of 3"),
        (3, "1 of 3 epochs"),
        (9, "3 of 3 epochs"),
    ],
)
def test_what_is_done_is_said_in_words(iterations_done: int, words: str) -> None:
    """L36: "651/938 of epoch 1 of 8", not a fraction of a fraction."""
    tally = Tally()
    stop = StopReason(rule="interrupt", sentence="Ctrl-C was pressed.")
    for event in events_of(PLAN, segment=1, at_iteration=iterations_done, stop=stop):
        tally.on_event(event)
    assert epochs_text(tally.run(), None) == words


def test_what_is_done_of_an_unknown_length_is_said_in_words() -> None:
    """L36: of what is known as much as there is, also of fractions of epochs."""
    run = Tally().run()
    inside = replace(run, position=START.after_iterations(iterations=1, samples=4))
    assert epochs_text(inside, {"epochs": "5/2"}) == "1 iteration of epoch 1 of 3"
    assert epochs_text(inside, {"epochs": None}) == "1 iteration of epoch 1"
    assert epochs_text(replace(run, position=inside.position.after_epoch()), None) == "1 epoch"
    assert epochs_text(run, {"epochs": "nonsense"}) == "0 epochs"


def test_another_folder_can_be_listed() -> None:
    """`--in` names it, before or after `show`."""
    keep("one")
    Path("runs").rename("elsewhere")

    assert "one" in runs("--in elsewhere")[1]
    assert (
        runs("show one --in elsewhere --json")[1] == runs("--in elsewhere show one --json")[1]
    )


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.9, 0.99])
def test_a_record_cut_off_is_listed_and_shown(share: float) -> None:
    """Half a line at the end, or no line at all, is an unfinished run and no traceback."""
    keep("cut")
    events = Path("runs/cut/events.jsonl")
    content = events.read_bytes()
    events.write_bytes(content[: int(share * len(content))])

    code, out, _ = runs()
    assert code == 0
    assert out.splitlines()[1].endswith("unfinished")
    code, out, _ = runs("show cut")
    assert code == 0
    assert "unfinished: the record has no last line" in out
    assert json.loads(runs("show cut --json")[1])["stop"] is None


def test_a_folder_that_cannot_be_read_is_listed_last() -> None:
    """A damaged header costs that run its line's content, and no other run anything."""
    keep("good")
    keep("bad", hours=5)
    Path("runs/bad/run.json").write_text("{")
    (Path("runs") / "no run").mkdir()

    _, out, _ = runs()
    assert [line.split()[0] for line in out.splitlines()] == ["run", "good", "bad"]
    assert out.splitlines()[2].endswith("unreadable")
    code, _, err = runs("show bad")
    assert code == 2
    assert "is not JSON" in err
    assert "Remedy:" in err


def test_a_run_is_shown_for_people() -> None:
    """Data and model, backend, plan, each epoch, the sum."""
    keep("name")

    _, out, _ = runs("show na")

    assert out.splitlines() == [
        "digits with mlp, 12 parameters, 2026-11-23 14:25:01",
        "jax 0.10.1 on cpu",
        "10 samples at 4: 3 iterations an epoch (the last of 2), 9 in all",
        "epoch 1  loss 0.6667  accuracy 0.6667  val_loss 0.5000  val_accuracy 0.7500",
        "epoch 2  loss 0.2133  accuracy 0.8933  val_loss 0.2500  val_accuracy 0.7500",
        "epoch 3  loss 0.1294  accuracy 0.9353  val_loss 0.1667  val_accuracy 0.7500",
        "9 iterations = 9 weight updates, 30 samples seen",
        "test  loss 0.5000  accuracy 0.9000",
        "2.50 seconds: other 2.50",
        "run runs/name",
    ]


def test_the_json_of_a_run_is_that_of_its_training() -> None:
    """What `Run.to_json` gave when the run ended, and nothing else."""
    run = keep("name")

    assert runs("show name --json")[1] == json_text(run.to_json()) + "\n"


def test_a_name_that_is_not_there_is_told_with_those_near() -> None:
    """The remedy is a name to type."""
    keep("2026-11-23-142501-digits-mlp")

    code, out, err = runs("show 2026-11-23-142501-digits-mpl")

    assert (code, out) == (2, "")
    assert "near it are 2026-11-23-142501-digits-mlp" in err
    assert "Remedy:" in err


def test_the_state_names_an_unusual_rule() -> None:
    """A run that a callback stopped says so."""
    run = keep("name", stop="callback")

    assert state(run) == "stopped (callback)"
