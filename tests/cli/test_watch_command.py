"""`epochwise watch` serves the page of a run until Ctrl-C, and touches nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

from epochwise import cli
from epochwise.counting.plan import Plan
from epochwise.record import Recorder, RunFolder
from newcomer import newcomer_environment, run_as_newcomer
from staged import FakeClock, events_of, header_of

PLAN = Plan(samples=10, batch_size=4, epochs=3)


def begin(folder: Path) -> None:
    """Keep a run that has not ended."""
    with Recorder(RunFolder.create(folder), header_of(PLAN), clock=FakeClock()) as recorder:
        for event in list(events_of(PLAN))[:-1]:
            recorder.on_event(event)


def test_the_newest_run_is_shown_until_ctrl_c(tmp_path: Path) -> None:
    """The address is the first line; Ctrl-C ends with success and the files as they were."""
    for number, name in enumerate(("b-older", "a-newer")):
        begin(tmp_path / "runs" / name)
        os.utime(tmp_path / "runs" / name / "run.json", (number, number))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    # In the background of a shell Ctrl-C is ignored, and what begins there inherits that.
    before_tests = signal.signal(signal.SIGINT, signal.default_int_handler)
    server = subprocess.Popen(
        [sys.executable, "-m", "epochwise", "watch"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    signal.signal(signal.SIGINT, before_tests)
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/", address)
        assert "a-newer" in server.stdout.readline()
        with urllib.request.urlopen(address, timeout=300) as answer:
            assert "<h1><bdi>a-newer</bdi></h1>" in answer.read().decode()
        server.send_signal(signal.SIGINT)
        _, told = server.communicate(timeout=300)
    finally:
        server.kill()
        server.wait()

    assert server.returncode == 0
    assert told == ""
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before


def test_without_runs_there_is_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing to watch is told in a sentence."""
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(cli.app, ["watch"])

    assert result.exit_code == 2
    assert "epochwise train" in result.stderr


def test_watch_waits_for_the_run_that_was_started_with_it(tmp_path: Path) -> None:
    """L36: not the older one, which is finished; and Ctrl-C names the next command."""
    begin(tmp_path / "runs" / "9999-older")
    environment = newcomer_environment(tmp_path)
    epochwise = [sys.executable, "-m", "epochwise"]
    before_tests = signal.signal(signal.SIGINT, signal.default_int_handler)
    shared = {"cwd": tmp_path, "env": environment, "stdout": subprocess.PIPE, "text": True}
    training = subprocess.Popen([*epochwise, "train", "digits", "--epochs", "100000"], **shared)
    watching = subprocess.Popen([*epochwise, "watch"], **shared)
    signal.signal(signal.SIGINT, before_tests)
    try:
        assert watching.stdout is not None
        assert training.stdout is not None
        assert watching.stdout.readline().startswith("http://127.0.0.1:")
        shown = watching.stdout.readline().partition(",")[0]
        assert shown.endswith("-digits-mlp")
        while not training.stdout.readline().startswith("epoch 2/100,000"):
            pass
        listed = run_as_newcomer(["runs"], folder=tmp_path).stdout.splitlines()
        assert listed[1].startswith(shown)
        assert re.search(r"  \d[\d,]*(/23)? of (epoch \d[\d,]* of )?100,000", listed[1])
        assert listed[1].endswith("going on")
        training.send_signal(signal.SIGINT)
        last = training.communicate(timeout=300)[0].splitlines()
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=300)
    finally:
        for process in (training, watching):
            process.kill()
            process.wait()
    assert (training.returncode, watching.returncode) == (130, 0)
    assert last[-1] == f"go on with: epochwise resume runs/{shown}"
    assert (
        run_as_newcomer(["runs"], folder=tmp_path)
        .stdout.splitlines()[1]
        .endswith("interrupted")
    )
    times = re.fullmatch(r"([\d.]+) seconds: (.*)", last[-3])
    assert times is not None
    hundredths = [round(100 * float(part.split()[1])) for part in times[2].split(", ")]
    assert sum(hundredths) == round(100 * float(times[1]))
