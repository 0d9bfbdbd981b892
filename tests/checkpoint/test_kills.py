"""A saver that is killed, at any operation or at any time, loses nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BATTERY = Path(__file__).parents[1] / "batteries/kill_saver.py"


pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def run(*options: str) -> subprocess.CompletedProcess[str]:
    """Run the battery."""
    return subprocess.run(
        [sys.executable, str(BATTERY), *options],
        check=False,
        capture_output=True,
        text=True,
        timeout=500,
    )


def test_a_killed_saver_loses_nothing() -> None:
    """G01: before, within and after every operation, and at random times, 0 losses."""
    ended = run("--kills", "25")

    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("0 losses") == 2


def test_a_saver_that_writes_in_place_is_caught() -> None:
    """G01: the battery can fail: without another name first, a checkpoint is torn."""
    ended = run("--kills", "0", "--careless")

    assert ended.returncode == 1
    assert "is missing" in ended.stderr
