"""A run survives the loss of power at any moment, and needs every sync for it."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from batteries import power_loss
from crashing import LoggingDisk
from epochwise.storage.appending import AppendedFile


def test_every_image_of_a_crash_is_recovered(tmp_path: Path) -> None:
    """G03: of 5,000 images or more, each gives the newest checkpoint that was saved."""
    count = power_loss.survive(LoggingDisk(), tmp_path / "root", torn=10)

    assert count >= 5_000


@pytest.mark.parametrize("story", [power_loss.fresh, power_loss.killed])
def test_every_sync_is_needed(tmp_path: Path, story: object) -> None:
    """G03: with any one of the syncs left out, some image is not recovered."""
    syncs, noticed = power_loss.without_one_sync(story, tmp_path / "root")  # type: ignore[arg-type]

    assert syncs > 20
    assert len(noticed) == syncs


def test_what_a_failed_sync_lost_is_written_anew(tmp_path: Path) -> None:
    """A system that calls the next sync a success has not hidden the loss from us."""
    assert power_loss.after_failed_syncs(tmp_path, (1, 7)) > 2_000


def test_without_writing_anew_lines_are_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: a retried sync alone leaves holes in the record."""
    monkeypatch.setattr(AppendedFile, "_write_anew", lambda self: None)

    with pytest.raises(AssertionError, match="missing"):
        power_loss.after_failed_syncs(tmp_path, (7,))


def test_a_run_goes_on_from_what_is_left(tmp_path: Path) -> None:
    """Saving works after a crash, and leaves nothing of what was half done."""
    rng = random.Random(1)
    disk = LoggingDisk()
    root = tmp_path / "root"
    root.mkdir()
    power_loss.long(disk, root / "runs" / "run").close()
    images = [image for _, image in power_loss.images(disk.log, root, rng, torn=1)]
    for image in rng.sample(images, 40):
        power_loss.go_on(image, root)
