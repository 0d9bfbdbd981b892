"""What if the disk refuses one operation, or every one from some moment on?

For each operation of a save, each error, once and lasting, and for writes that take only
half of what they are given: the newest checkpoint is the new one if it was said to be
saved, else the one before; a failure is told at the next boundary, with its cause; a
failed save is in no list; and once the disk works again, so does the next save, with
every line of the record there once. The same for reading.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from batteries import power_loss
from batteries.power_loss import BEGUN, EVENTS, HEADER, KEEP_LAST, LOSSES
from epochwise.checkpoint import Checkpoint, Checkpoints, Saver
from epochwise.errors import EpochwiseError, RunError
from epochwise.record import RunFolder
from faulty import FaultyDisk, refuses, takes_half
from saved import assert_same, state_at

ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE)


class Training:
    """A training that records, saves behind its own back, and hears what became of it."""

    def __init__(self, path: Path, disk: FaultyDisk) -> None:
        """Begin, and save at iterations 1 and 2."""
        self.folder = RunFolder.create(path, disk)
        self.folder.write("run.json", [HEADER])
        self.folder.append(EVENTS, BEGUN)
        self.checkpoints = Checkpoints(self.folder, keep_last=KEEP_LAST)
        self.saver = Saver(self.checkpoints, committed=self.on_committed, failed=self.on_failed)
        self.committed: list[int] = []
        self.told: list[str] = []
        for iteration in (1, 2):
            self.reach(iteration)
            self.saver.close()

    def on_committed(self, checkpoint: Checkpoint) -> None:
        self.committed.append(checkpoint.position.iterations_done)

    def on_failed(self, error: EpochwiseError) -> None:
        self.told.append(str(error))

    @contextmanager
    def telling(self) -> Iterator[None]:
        """Tell of a failure, and go on."""
        try:
            yield
        except RunError as error:
            self.told.append(str(error))

    def reach(self, iteration: int) -> None:
        """Come to a boundary: hear what became of the last save, record, and save."""
        self.saver.close()
        with self.telling():
            self.folder.append(EVENTS, power_loss.line(iteration))
        with self.telling():
            self.folder.append(LOSSES, power_loss.losses(iteration))
        with self.telling():
            self.saver.save(
                state_at(iteration, scale=40),
                fits={"seed": 1},
                record_lengths={name: self.folder.length(name) for name in (EVENTS, LOSSES)},
                best=1,
            )


def fail_while_saving(path: Path, disk: FaultyDisk, fault: object, cause: str | None) -> int:
    """Let a fault happen at the third save, then let the disk work again.

    Args:
        path: the run's folder, not there yet.
        disk: the disk.
        fault: what goes wrong.
        cause: what has to be told; `None` if nothing goes wrong in the end.

    Returns:
        How many operations the save asked for.
    """
    training = Training(path, disk)
    assert training.committed == [1, 2]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        disk.watch(fault)  # type: ignore[arg-type]
        training.reach(3)
        training.saver.close()
        operations = len(disk.asked)
        disk.watch(None)
    told = [*training.told, *(str(warning.message) for warning in warned)]
    assert all(cause is not None and cause in each for each in told), told
    saved = training.committed[-1]
    assert saved == 3 or told, "nothing was saved, and nothing told"
    power_loss.check(disk, path, [("mark", "header"), ("mark", "saved", saved)])

    training.told.clear()
    training.reach(4)
    training.saver.close()
    assert training.told == [], "the next save fails as well"
    assert training.committed[-1] == 4
    training.folder.close()
    power_loss.check(disk, path, [("mark", "header"), ("mark", "saved", 4)])
    names = training.folder.names("checkpoints")
    assert names == ["000000000001", "000000000004"], f"{names} are there"
    expected = b"".join(power_loss.losses(each) for each in range(1, 5))
    assert training.folder.read(LOSSES) == expected, "losses are missing or there twice"
    lines = b"".join(power_loss.line(each) for each in range(1, 5))
    assert training.folder.read(EVENTS) == BEGUN + lines, "lines are missing or there twice"
    return operations


def fail_while_loading(path: Path, disk: FaultyDisk, fault: object, number: int) -> bool:
    """Let a fault happen while the newest checkpoint is loaded.

    Args:
        path: the folder of a run with checkpoints at iterations 1, 2 and 3.
        disk: the disk.
        fault: what goes wrong.
        number: the error's.

    Returns:
        Whether an error was raised.
    """
    checkpoints = Checkpoints(RunFolder(path, disk))
    disk.watch(fault)  # type: ignore[arg-type]
    found, told = None, ""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            found = checkpoints.load_newest()
        except RunError as error:
            told = str(error)
    disk.watch(None)
    if found is None:
        assert os.strerror(number) in told
        assert len(checkpoints.committed()) == 3, "a checkpoint was set aside for nothing"
        return True
    done = found[1].position.iterations_done
    assert_same(found[1], state_at(done, scale=40))
    assert done == 3 - len(warned)
    if warned:
        assert number == errno.EIO
        with suppress(FileNotFoundError):
            (path / "checkpoints/000000000003.damaged").rename(
                path / "checkpoints/000000000003"
            )
    return False


def main() -> None:
    """Let every operation fail in every way."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as name:
        operations, faults = while_saving(Path(name), every=1)
        print(f"{operations} operations of a save, {faults} faults: 0 losses, all told")
        operations, faults = while_loading(Path(name) / "loaded")
        print(f"{operations} operations of a load, {faults} faults: 0 losses, all told")


def while_saving(root: Path, *, every: int) -> tuple[int, int]:
    """Let operations of a save fail in every way.

    Args:
        root: an empty folder.
        every: which of them: each, or every second, and so on.

    Returns:
        How many operations there are, and how many faults were tried.
    """
    total = fail_while_saving(root / "whole", FaultyDisk(), None, None)
    faults = 0
    for place in range(0, total, every):
        fail_while_saving(root / f"half-{place}", FaultyDisk(), takes_half(place), None)
        faults += 1
        for number in ERRORS:
            for lasting in (False, True):
                path = root / f"{number}-{place}-{lasting}"
                fault = refuses(place, number, lasting=lasting)
                fail_while_saving(path, FaultyDisk(), fault, os.strerror(number))
                faults += 1
    return total, faults


def while_loading(path: Path) -> tuple[int, int]:
    """Let operations of a load fail in every way; see `while_saving`."""
    disk = FaultyDisk()
    training = Training(path, disk)
    training.checkpoints.keep_last = 3
    training.reach(3)
    training.saver.close()
    training.folder.close()
    disk.watch(None)
    assert not fail_while_loading(path, disk, None, 0)
    disk.watch(None)
    Checkpoints(RunFolder(path, disk)).load_newest()
    total, faults = disk.operations, 0
    for place in range(total):
        for number in ERRORS:
            for lasting in (False, True):
                fault = refuses(place, number, lasting=lasting)
                fail_while_loading(path, disk, fault, number)
                faults += 1
    return total, faults


if __name__ == "__main__":
    main()
