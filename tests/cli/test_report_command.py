"""`epochwise report` writes a page where it is told, and over nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from epochwise import cli
from epochwise.counting.plan import Plan
from epochwise.record import Recorder, RunFolder
from staged import FakeClock, events_of, header_of

PLAN = Plan(samples=10, batch_size=4, epochs=3)


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with one run, `runs/2026-digits`."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "2026-digits"
    with Recorder(RunFolder.create(folder), header_of(PLAN), clock=FakeClock()) as recorder:
        for event in events_of(PLAN):
            recorder.on_event(event)
    return folder


def epochwise_report(*arguments: str) -> tuple[int, str, str]:
    """Run the command; return exit code, stdout and stderr."""
    result = CliRunner().invoke(cli.app, ["report", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_page_lies_in_the_runs_folder(run: Path) -> None:
    """The path is printed, and nothing else; a part of the run's name is enough."""
    code, out, _ = epochwise_report("2026")

    assert code == 0
    assert Path(out.strip()).resolve() == run / "report.html"
    assert (run / "report.html").read_text("utf-8").startswith("<!doctype html>")


def test_the_page_lies_where_it_is_told(tmp_path: Path, run: Path) -> None:
    """A second page there replaces the first."""
    for _ in range(2):
        code, out, _ = epochwise_report("2026", "--output", "pages/mine.html")
        assert (code, out.strip()) == (0, str(Path("pages/mine.html")))

    assert (tmp_path / "pages" / "mine.html").is_file()
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("output", ["data.csv", "weights", "runs"])
def test_a_name_that_is_no_pages_is_refused(tmp_path: Path, output: str) -> None:
    """A slip writes over nothing; the remedy can be typed."""
    (tmp_path / "data.csv").write_text("1,2", "utf-8")

    code, _, told = epochwise_report("2026", "--output", output)

    assert code == 2
    assert f"--output {output}.html" in told
    assert (tmp_path / "data.csv").read_text("utf-8") == "1,2"


def test_a_run_that_is_not_there_is_told_with_those_that_are() -> None:
    """A wrong name ends in a sentence."""
    code, _, told = epochwise_report("2025")

    assert code == 2
    assert "2026-digits" in told
