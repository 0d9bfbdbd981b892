"""Whatever operation the disk refuses, a checkpoint is there, and the user is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from batteries import failing_disk
from batteries.kill_saver import careless
from epochwise.record import RunFolder


def test_a_disk_that_fails_while_saving_loses_nothing(tmp_path: Path) -> None:
    """G01, G04: every operation, four errors, once and lasting, and half writes."""
    operations, faults = failing_disk.while_saving(tmp_path, every=1)

    assert operations >= 25
    assert faults == 9 * operations


def test_a_disk_that_fails_while_loading_loses_nothing(tmp_path: Path) -> None:
    """Only what the disk cannot read any more is set aside; the rest is an error."""
    operations, faults = failing_disk.while_loading(tmp_path / "run")

    assert operations >= 3
    assert faults == 8 * operations


def test_a_failed_save_that_leaves_traces_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """G04: the test can fail: without another name first, half a checkpoint is listed."""
    monkeypatch.setattr(RunFolder, "new_folder", careless)

    with pytest.raises((AssertionError, ValueError)):
        failing_disk.while_saving(tmp_path, every=1)
