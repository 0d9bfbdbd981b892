"""Saving behind the training's back: told in the training's own thread, one at a time."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest

from epochwise.checkpoint import Checkpoint, Checkpoints, Saver
from epochwise.errors import EpochwiseError
from epochwise.record import RunFolder
from epochwise.storage.disk import Chunk, Disk
from saved import state_at


class GatedDisk(Disk):
    """A disk that writes when the gate is open, and says that it is full when told so."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.full = False

    def write(self, file: int, data: Chunk) -> int:
        assert self.gate.wait(20)
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(file, data)


class Heard:
    """What a saver tells, and in which threads."""

    def __init__(self) -> None:
        self.committed: list[str] = []
        self.failed: list[str] = []
        self.threads: set[str] = set()

    def on_committed(self, checkpoint: Checkpoint) -> None:
        self.committed.append(checkpoint.name)
        self.threads.add(threading.current_thread().name)

    def on_failed(self, error: EpochwiseError) -> None:
        self.failed.append(str(error))
        self.threads.add(threading.current_thread().name)


@pytest.fixture
def disk() -> GatedDisk:
    """A disk whose gate is closed."""
    return GatedDisk()


@pytest.fixture
def heard() -> Heard:
    """Nothing heard yet."""
    return Heard()


@pytest.fixture
def saver(tmp_path: Path, disk: GatedDisk, heard: Heard) -> Saver:
    """A saver on that disk."""
    checkpoints = Checkpoints(RunFolder.create(tmp_path / "run", disk))
    return Saver(checkpoints, committed=heard.on_committed, failed=heard.on_failed)


def test_saving_holds_nobody_up(saver: Saver, disk: GatedDisk, heard: Heard) -> None:
    """`save` and `tell` return while the disk is not done; later it is told, once."""
    saver.save(state_at(1), fits={}, record_lengths={})
    saver.tell()
    assert heard.committed == []
    disk.gate.set()
    saver.close()
    saver.tell()

    assert heard.committed == ["000000000001"]
    assert heard.threads == {threading.current_thread().name}


def test_the_next_waits_for_the_one_before(saver: Saver, disk: GatedDisk, heard: Heard) -> None:
    """Two are never under way at once, and both are told in their order."""
    disk.gate.set()
    saver.save(state_at(1), fits={}, record_lengths={})
    saver.save(state_at(2), fits={}, record_lengths={})

    assert heard.committed == ["000000000001"]
    saver.close()
    assert heard.committed == ["000000000001", "000000000002"]


def test_a_full_disk_is_told_and_the_next_is_tried(
    saver: Saver, disk: GatedDisk, heard: Heard
) -> None:
    """G04: a failed save is told with its cause and is in no list; the next one works."""
    disk.gate.set()
    disk.full = True
    saver.save(state_at(1), fits={}, record_lengths={})
    saver.close()
    assert "No space left on device" in heard.failed[0]
    disk.full = False
    saver.save(state_at(2), fits={}, record_lengths={})
    saver.close()

    assert heard.committed == ["000000000002"]
    assert len(heard.failed) == 1


def test_a_mistake_of_ours_is_raised(saver: Saver, disk: GatedDisk, heard: Heard) -> None:
    """What is none of the disk's mistakes is not kept in the thread."""
    disk.gate.set()
    saver.save(state_at(1, bad=object()), fits={}, record_lengths={})

    with pytest.raises(TypeError, match="cannot be remembered"):
        saver.close()
    assert heard.committed == heard.failed == []
