"""`epochwise train` checks what it can before it imports a framework, and prints as asked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import epochwise
from epochwise import cli
from epochwise.api import Settings, Source
from epochwise.counting.durations import Duration
from epochwise.counting.plan import Plan
from epochwise.errors import RunError
from epochwise.events import Event, StopReason
from epochwise.record import Recorder, Run, RunFolder, Seconds, Tally
from epochwise.rules import NonFinite, Patience, Target, TimeLimit
from staged import FakeClock, events_of, header_of, weights

PLAN = Plan(samples=10, batch_size=4, epochs=3)


def staged_train(stop: StopReason | None = None) -> Callable[..., Run]:
    """Return what stands in for `api.train`: a staged run, shown and kept as a real one."""

    def train(_source: Source, _settings: Settings, **asked: Any) -> Run:
        tally = Tally()
        shown = asked["progress"]
        folder = RunFolder.create(asked["run_dir"] or Path("runs/name"))
        with Recorder(folder, header_of(PLAN), clock=FakeClock()) as recorder:
            event: Event
            for event in events_of(PLAN, stop=stop, at_iteration=None if stop is None else 4):
                for listener in (tally, recorder, shown):
                    listener.on_event(event)
            digest = recorder.write_weights(weights())
            run = tally.run(
                seconds=Seconds(total=2.5), weights_sha256=digest, test={"accuracy": 0.9}
            )
            return recorder.close(run)

    return train


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Put a staged `api.train` in place, in an empty folder; return what it was asked."""
    seen: dict[str, Any] = {}

    def train(source: Source, settings: Settings, **rest: Any) -> Run:
        seen.update(rest, source=source, settings=settings)
        return staged_train()(source, settings, **rest)

    put_in_place(monkeypatch, train)
    monkeypatch.chdir(tmp_path)
    return seen


def put_in_place(monkeypatch: pytest.MonkeyPatch, train: Callable[..., Run]) -> None:
    """Let the command find a `train` of ours."""
    monkeypatch.setattr("epochwise.api.train", train)


def epochwise_command(command: str) -> tuple[int, str, str]:
    """Run the command line in this process; return exit code, stdout and stderr."""
    result = CliRunner().invoke(cli.app, command.split())
    return result.exit_code, result.stdout, result.stderr


def test_the_defaults_are_digits_mlp_64_5_and_the_optimizers_own(asked: dict[str, Any]) -> None:
    """Nothing typed is the first run of the tutorial."""
    code, _, _ = epochwise_command("train")

    assert code == 0
    del asked["progress"], asked["arguments"]
    assert asked == {
        "source": Source(data="digits", model="mlp"),
        "settings": Settings(batch_size=64, epochs=Fraction(5)),
        "validation_split": None,
        "run_dir": None,
        "tensorboard": False,
        "question": None,
    }


def test_iterations_take_the_place_of_the_five_epochs(asked: dict[str, Any]) -> None:
    """The default length steps back where a length is typed."""
    assert epochwise_command("train --iterations 7")[0] == 0

    assert (asked["settings"].epochs, asked["settings"].iterations) == (None, 7)


def test_what_ends_and_saves_a_run_is_typed_with_units(asked: dict[str, Any]) -> None:
    """Patience, target, time, evaluations and checkpoints reach the training as typed."""
    assert (
        epochwise_command(
            "train --patience 3ep --target val_accuracy=0.97 --max-minutes 2 "
            "--evaluate-every 500it --checkpoint-every 1ep --keep last"
        )[0]
        == 0
    )

    settings = asked["settings"]
    assert settings.stop == (
        NonFinite(),
        Patience(metric="val_loss", epochs=3),
        Target("val_accuracy", 0.97),
        TimeLimit(minutes=2),
    )
    assert settings.evaluate_every == Duration(iterations=500)
    assert settings.checkpoint_every == Duration(epochs=1)
    assert (settings.keep, settings.best_metric) == ("last", "val_loss")


def test_patience_alone_keeps_the_best_weights(asked: dict[str, Any]) -> None:
    """Whoever stops on the validation part wants the weights that were best there."""
    assert epochwise_command("train --patience 500it")[0] == 0

    assert asked["settings"].stop[1] == Patience(metric="val_loss", iterations=500)
    assert asked["settings"].keep == "best"


@pytest.mark.usefixtures("asked")
def test_the_progress_goes_to_stdout() -> None:
    """Backend first, an epoch a line, the sum and the folder last."""
    _, out, err = epochwise_command("train")
    lines = out.splitlines()

    assert err == ""
    assert lines[0].startswith("jax 0.10.1 on cpu")
    assert lines[-1] == "run runs/name"
    assert sum(line.startswith("epoch ") for line in lines) == 3


@pytest.mark.usefixtures("asked")
def test_with_json_the_object_is_all_of_stdout() -> None:
    """One line that any parser reads; the progress is on stderr."""
    _, out, err = epochwise_command("train --json")
    shown = json.loads(out)

    assert out.count("\n") == 1
    assert shown["done"] == {"epochs": 3, "iterations": 9, "samples": 30}
    assert shown["stop"]["rule"] == "plan"
    assert "epoch 3/3" in err


@pytest.mark.usefixtures("asked")
def test_quiet_is_quiet() -> None:
    """Nothing is printed, or the object alone."""
    assert epochwise_command("train --quiet --run-dir a") == (0, "", "")

    _, out, err = epochwise_command("train --quiet --json --run-dir b")
    assert json.loads(out)["plan"] == PLAN.to_json()
    assert err == ""


@pytest.mark.usefixtures("asked")
def test_runs_show_prints_the_object_of_train() -> None:
    """What `train --json` printed is what the record gives, to the byte."""
    _, trained, _ = epochwise_command("train --json")
    _, shown, _ = epochwise_command("runs show name --json")

    assert shown == trained


def test_an_interrupted_run_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """After Ctrl-C the record is closed, the sum shown, and the object printed."""
    monkeypatch.chdir(tmp_path)
    put_in_place(monkeypatch, staged_train(StopReason(rule="interrupt", sentence="Ctrl-C.")))

    code, out, err = epochwise_command("train --json")

    assert code == 130
    assert json.loads(out)["stop"] == {"rule": "interrupt", "sentence": "Ctrl-C."}
    assert "stopped (interrupt): Ctrl-C." in err


def test_a_mistake_found_in_training_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An error for users has its remedy and no traceback."""
    monkeypatch.chdir(tmp_path)

    def train(*_asked: Any, **_rest: Any) -> Run:
        raise RunError("The disk is full.", "make room.")

    put_in_place(monkeypatch, train)

    assert epochwise_command("train") == (
        2,
        "",
        "Error: The disk is full.\n  Remedy: make room.\n",
    )


def test_ctrl_c_before_training_ends_with_130(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever loses patience while the framework is imported gets no traceback."""
    monkeypatch.chdir(tmp_path)

    def train(*_asked: Any, **_rest: Any) -> Run:
        raise KeyboardInterrupt

    put_in_place(monkeypatch, train)

    assert epochwise_command("train")[0] == 130


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("digitz", "did you mean 'digits'"),
        ("no/such.npz", "no/such.npz"),
        ("--model mpl", "use --model mlp"),
        ("--model gone.py:f", "no file gone.py"),
        ("--optimizer adma", "use --optimizer adamax or --optimizer adam"),
        ("--learning-rate -1", "--learning-rate -1.0 is no positive number"),
        ("--learning-rate nan", "is no positive number"),
        ("--batch-size 0", "use --batch-size 1 or more"),
        ("--epochs 0", "use --epochs 1 or more"),
        ("--iterations -3", "use --iterations 1 or more"),
        ("--microbatch-size 65", "--microbatch-size 65 exceeds --batch-size 64"),
        ("--validation-split 1", "use --validation-split 0.2"),
        ("--validation-split nan", "--validation-split must be in [0, 1)"),
        ("--seed -1", "use --seed 0"),
        ("--run-dir full", "--run-dir full-2"),
        ("--run-dir full/note.txt", "is a file"),
        ("--epochs two", "no whole number"),
        ("--patience 0", "--patience 0 is less than 1"),
        ("--patience 3 --evaluate-every 500it", "use --patience 3ep"),
        ("--patience 30s", "use --patience 3ep or --patience 2000it"),
        ("--target val_accuracy", "--target val_accuracy=0.97"),
        ("--evaluate-every 500", 'write "1ep" (epochs), "500it"'),
        ("--evaluate-every 30s", "seconds differ from run to run"),
        ("--checkpoint-every 5", 'write "1ep" (epochs), "500it"'),
    ],
)
def test_a_slip_ends_with_2_before_anything_is_done(
    asked: dict[str, Any], tmp_path: Path, arguments: str, message: str
) -> None:
    """Each is told with what to type instead, and nothing was trained or written."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").touch()

    code, out, err = epochwise_command(f"train {arguments}")

    assert (code, out, asked) == (2, "", {})
    assert message in " ".join(err.split())
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


@pytest.mark.usefixtures("asked")
def test_all_slips_are_told_together() -> None:
    """Four mistakes are four errors with four remedies, in one go."""
    code, _, err = epochwise_command("train digitz --model mpl --batch-size 0 --optimizer x")

    assert code == 2
    assert err.count("Error:") == err.count("Remedy:") == 4


def test_a_slip_costs_no_import_of_a_framework(tmp_path: Path) -> None:
    """Whatever is checked first is checked without Keras, JAX or scikit-learn."""
    script = (
        "import sys\nfrom epochwise import cli\n"
        "sys.argv = ['epochwise', 'train', 'gone.npz', '--optimizer', 'adma']\n"
        "try:\n    cli.main()\n"
        "finally:\n"
        "    print(sorted({'keras', 'jax', 'sklearn', 'tensorflow'} & set(sys.modules)))\n"
    )
    source = Path(epochwise.__file__).parents[1]
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env={"PYTHONPATH": str(source)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert answer.returncode == 2, answer.stderr
    assert answer.stdout == "[]\n"
    assert "Traceback" not in answer.stderr


def test_auto_asks_for_the_batch_size_to_be_chosen(asked: dict[str, Any]) -> None:
    """`--batch-size auto` keeps the rate, `--learning-rate auto` chooses it too."""
    assert epochwise_command("train --batch-size auto --target val_loss=0.2")[0] == 0

    question = asked["question"]
    assert (question.sizes, question.tunes_rate) == (None, False)
    assert str(question.goal) == "val_loss 0.2"
    assert asked["settings"].batch_size == 64

    again = "train --batch-size auto --learning-rate auto --run-dir again"
    assert epochwise_command(again)[0] == 0
    assert asked["question"].tunes_rate
    assert asked["question"].goal is None
    assert asked["source"].learning_rate is None


def test_auto_for_the_rate_alone_keeps_the_size(asked: dict[str, Any]) -> None:
    """`--learning-rate auto` with a batch size chooses the rate for just that size."""
    assert epochwise_command("train --batch-size 96 --learning-rate auto")[0] == 0

    assert asked["question"].sizes == [96]
    assert asked["settings"].batch_size == 96


@pytest.mark.usefixtures("asked")
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--batch-size many", "use --batch-size 64, or --batch-size auto."),
        ("--learning-rate fast", "use --learning-rate 0.001, or --learning-rate auto."),
        ("--learning-rate -1", "--learning-rate"),
        ("--batch-size 0", "--batch-size 0 is less than 1"),
    ],
)
def test_what_is_neither_a_number_nor_auto_is_refused(options: str, says: str) -> None:
    """A slip costs a second, and the remedy can be typed."""
    code, _, err = epochwise_command(f"train {options}")

    assert code == 2
    assert says in err
