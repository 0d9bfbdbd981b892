"""A run that is stopped, killed or poisoned: some of each battery, in processes of its own.

The whole of them takes an hour; `make batteries` runs it.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BATTERIES = Path(__file__).parent / "batteries"


def answer(battery: str, *arguments: str) -> str:
    """Run a part of a battery; return what it printed."""
    done = subprocess.run(
        [sys.executable, str(BATTERIES / battery), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_run_is_the_same_however_it_is_cut_and_whoever_looks() -> None:
    """Nine processes with other segments, checkpoints, logs and callbacks: one digest."""
    assert "9 trainings, 9 identical digests" in answer("repeats.py")


@pytest.mark.slow
def test_a_run_stopped_anywhere_goes_on_bit_for_bit() -> None:
    """F01 to F05, F08 to F10, F20, C07, E14: inside and at the end of epochs, in chains."""
    said = answer(
        "stops.py", "--places", "1", "62", "63", "186", "--chains", "50", "--idle", "2"
    )

    assert "4 stops, 0 differ" in said
    assert said.count("identical") == 2


@pytest.mark.slow
def test_a_killed_run_loses_nothing_that_was_committed() -> None:
    """SIGKILL and SIGTERM at random times: the same weights, each row of the record once."""
    said = answer("kills.py", "--kills", "2", "--terms", "2")

    assert "2 killed runs: 0 commits lost, 0 differ" in said
    assert "2 runs asked to end: 0 late or different" in said


@pytest.mark.slow
def test_a_run_stops_where_a_number_stops_being_finite() -> None:
    """E04: input, loss and gradient, at the first, a middle and the last iteration."""
    assert "9 poisoned runs, 9 stopped as they should" in answer("non_finite.py")
