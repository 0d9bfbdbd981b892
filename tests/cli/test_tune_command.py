"""`epochwise tune` and `epochwise train --batch-size auto` on a small set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from epochwise import cli
from epochwise.api import go_on
from epochwise.api.material import FitData
from epochwise.choosing.batch_size.advice import SizeRow
from epochwise.cli.tune import parse_sizes, table
from epochwise.errors import PlanError
from epochwise.record import read_run
from epochwise.terminal.progress import progress


def epochwise_command(command: str) -> tuple[int, str, str]:
    """Run the command line in this process; return exit code, stdout and stderr."""
    result = CliRunner().invoke(cli.app, command.split())
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file with 120 samples of two classes, in an empty folder."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 5)).astype(np.float32)
    np.savez(tmp_path / "small.npz", x=x, y=(x[:, 0] > 0).astype(np.int32))
    monkeypatch.chdir(tmp_path)
    return "small.npz"


KEYS = (
    "batch_size",
    "microbatch_size",
    "learning_rate",
    "iterations",
    "epochs",
    "seconds",
    "memory_bytes",
    "runner_up",
    "table",
    "reason",
)


def test_the_advice_is_printed_and_saved(data: str) -> None:
    """The last line of stdout is one JSON object; the table goes to stderr; both are kept."""
    code, out, err = epochwise_command(
        f"tune {data} --target val_loss=0.6 --sizes 16,32 --batch-size 16 --seconds 6 "
        "--save kept --json"
    )

    assert code == 0
    told = json.loads(out.splitlines()[-1])
    assert tuple(told)[: len(KEYS)] == KEYS
    assert told["batch_size"] in (16, 32)
    assert told["reason"] in err.replace("\n", " ")
    assert err.splitlines()[-1].startswith("Choosing took ")
    assert "batch size" in err
    kept = json.loads(Path("kept/advice.json").read_text(encoding="utf-8"))
    assert kept == told
    assert read_run(Path("kept")).header.data_name == "small.npz"


def test_h11_h13_what_auto_chose_is_used_and_never_chosen_again(data: str) -> None:
    """H11, H13: weights are those of the numbers typed; going on chooses nothing again."""
    code, out, _ = epochwise_command(
        f"train {data} --batch-size auto --learning-rate auto --epochs 1 --run-dir run --json"
    )
    assert code == 0
    chosen = json.loads(Path("run/advice.json").read_text(encoding="utf-8"))
    tuned = json.loads(out.splitlines()[-1])
    assert tuned["plan"]["batch_size"] == chosen["batch_size"]

    _, out, _ = epochwise_command(
        f"train {data} --batch-size {chosen['batch_size']} "
        f"--learning-rate {chosen['learning_rate']} --epochs 1 --json"
    )
    assert json.loads(out.splitlines()[-1])["weights_sha256"] == tuned["weights_sha256"]

    written = Path("run/advice.json").stat().st_mtime_ns
    source = read_run(Path("run")).header.source
    run = go_on(Path("run"), None, FitData(x=None), shown=progress(0), extend_to_epochs=3)
    assert run.plan is not None
    assert run.plan.batch_size == chosen["batch_size"]
    assert run.position.iterations_done == 3 * tuned["plan"]["iterations"]
    assert source is not None
    assert source["learning_rate"] == chosen["learning_rate"]
    assert Path("run/advice.json").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--target accuracy", "use --target val_accuracy=0.97."),
        ("--sizes 16,many", "use --sizes 16,64,256"),
        ("--seconds 0", "--seconds 0"),
        ("--batch-size 0", "--batch-size 0 is less than 1"),
        ("--model nothing", "nothing"),
    ],
)
def test_a_slip_is_told_before_anything_is_imported(data: str, options: str, says: str) -> None:
    """What cannot be asked is refused, with what to type instead."""
    code, out, err = epochwise_command(f"tune {data} {options}")

    assert (code, out) == (2, "")
    assert says in err


@pytest.mark.parametrize("told", ["", "0", "16,-1", "1.5", "a"])
def test_no_list_of_sizes(told: str) -> None:
    """Sizes are whole numbers from 1."""
    with pytest.raises(PlanError, match="no list of batch sizes"):
        parse_sizes(told)


def row(**changes: Any) -> SizeRow:
    told: dict[str, Any] = {
        "batch_size": 32,
        "microbatch_size": None,
        "learning_rate": 0.001,
        "iteration_seconds": 0.002,
        "iteration_spread": 1e-5,
        "memory_bytes": 2_000_000,
        "iterations": 100.0,
        "samples": 3200.0,
        "seconds": 0.2,
        "expected_iterations": 150.0,
        "expected_seconds": 0.3,
    }
    return SizeRow(**(told | changes))


def test_the_table_marks_the_choice_and_what_is_expected() -> None:
    """One line a size; the choice has a mark, and numbers of a curve a tilde."""
    rows = [
        row(),
        row(
            batch_size=4096, microbatch_size=512, learning_rate=None, iterations=None,
            expected_seconds=None, memory_bytes=None,
        ),
    ]  # fmt: skip

    assert table(rows, 32) == [
        "  batch size  learning rate  an iteration        ±  memory  iterations  to the target",
        "        > 32          0.001          2 ms  0.01 ms    2 MB         150         300 ms",
        "4,096 by 512              -          2 ms  0.01 ms       -        ~150              -",
    ]
