"""`epochwise sweep` compares what its lists name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from epochwise import cli


def said(command: str) -> tuple[int, str, str]:
    """Run `epochwise sweep` in this process; return exit code, stdout and stderr."""
    result = CliRunner().invoke(cli.app, ["sweep", *command.split()])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_sweep_ends_in_a_table_and_a_sentence() -> None:
    """One line for each setting, the best first; runs are kept and JSON is last."""
    code, out, err = said(
        "digits --batch-size 256,512 --seeds 1 --epochs 2 --sweep-dir one --json"
    )
    told = json.loads(out.splitlines()[-1])
    lines = err.splitlines()

    assert code == 0
    assert lines[-4].split()[:3] == ["batch_size", "learning_rate", "seeds"]
    assert lines[-3].split()[:4] == ["256", "its", "own", "1"]
    assert lines[-1].startswith("Best: batch size 256, val_loss ")
    assert told["best"]["batch_size"] == 256
    assert sorted(path.name for path in Path("one/runs").iterdir()) == ["b256-s0", "b512-s0"]


@pytest.mark.parametrize(
    ("command", "what"),
    [
        ("digits --batch-size 32;64", "--batch-size '32;64' is no list"),
        ("digits --batch-size 32,0", "--batch-size 0"),
        ("digits --learning-rate 1e-3,-1", "-1"),
        ("digits --seeds 0", "--seeds 0"),
        ("digits --validation-split 0", "--validation-split 0"),
        ("nowhere.csv", "nowhere.csv"),
    ],
)
def test_a_slip_is_told_before_anything_is_trained(command: str, what: str) -> None:
    """In the words of the command line, with a remedy; nothing is left behind."""
    code, _, err = said(command)

    assert code == 2
    assert what in err
    assert "Remedy:" in err
    assert list(Path().iterdir()) == []
