"""Does a run survive SIGKILL at any moment of saving?

Without a framework: processes that lock a run's folder, go on from its newest checkpoint
and save as fast as they can, each killed after a random time; and processes killed
before, within and after each single operation on the disk. After each kill the newest
checkpoint that was said to be saved, or a newer one, is there, bit for bit, with its
record.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from batteries import power_loss
from batteries.power_loss import BEGUN, EVENTS, HEADER, KEEP_LAST, LOSSES
from epochwise.checkpoint import Checkpoint, Checkpoints, Saver
from epochwise.errors import EpochwiseError
from epochwise.record import RunFolder, locked
from epochwise.storage.disk import Disk, telling
from epochwise.storage.folder import NewFolder
from faulty import FaultyDisk, kills
from saved import assert_same, state_at

KILLS_PER_RUN = 50

SAVED = struct.Struct("<Q")
"""What a process says to the one that kills it: the iteration of a saved checkpoint."""


def begin(path: Path, disk: Disk) -> None:
    """Make the folder of a run with its first line."""
    folder = RunFolder.create(path, disk)
    folder.write("run.json", [HEADER])
    folder.append(EVENTS, BEGUN)
    folder.append(LOSSES, b"")
    folder.sync()
    folder.close()


def go_on(path: Path, disk: Disk, saves: int, waits: bool, says: int) -> None:
    """Go on from the newest checkpoint of a run, and save behind the training's back.

    Args:
        path: the run's folder.
        disk: does what is done.
        saves: how many to make.
        waits: whether each is waited for before anything else is done.
        says: a pipe that is told of each checkpoint on the disk.
    """
    folder = RunFolder(path, disk)
    with locked(folder):
        checkpoints = Checkpoints(folder, keep_last=KEEP_LAST)
        newest = checkpoints.load_newest()
        done, lengths = 0, {EVENTS: len(BEGUN), LOSSES: 0}
        if newest is not None:
            done, lengths = newest[1].position.iterations_done, dict(newest[0].record_lengths)
            assert_same(newest[1], state_at(done, scale=40))
        for name, length in lengths.items():
            folder.truncate(name, length)

        def committed(checkpoint: Checkpoint) -> None:
            iteration = checkpoint.position.iterations_done
            os.write(says, SAVED.pack(iteration))
            folder.append(EVENTS, power_loss.committed_line(iteration))
            folder.flush()

        def failed(error: EpochwiseError) -> None:
            raise error

        with Saver(checkpoints, committed=committed, failed=failed) as saver:
            for iteration in range(done + 1, done + 1 + saves):
                state = state_at(iteration, scale=40)
                folder.append(EVENTS, power_loss.line(iteration))
                folder.append(LOSSES, power_loss.losses(iteration))
                saver.save(
                    state,
                    fits={"seed": 1},
                    record_lengths={name: folder.length(name) for name in lengths},
                    best=2,
                )
                if waits:
                    saver.close()
        folder.close()


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Args:
        saved: the last checkpoint that it said was saved; 0 if it said nothing.
        killed: whether it was killed.
    """

    saved: int
    killed: bool


def run_and_kill(work: Callable[[int], None], seconds: float | None) -> Ended:
    """Run something in a process of its own and kill that after a time.

    Args:
        work: gets the pipe to speak into.
        seconds: when it is killed; `None` to let it end [s].
    """
    hears, says = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(hears)
            work(says)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    os.close(says)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    said = b""
    while piece := os.read(hears, 1 << 16):
        said += piece
    os.close(hears)
    killed = os.WIFSIGNALED(status)
    assert killed or os.WEXITSTATUS(status) == 0, "the process failed"
    whole = len(said) - len(said) % SAVED.size
    saved = SAVED.unpack(said[whole - SAVED.size : whole])[0] if whole else 0
    return Ended(saved=saved, killed=killed)


def check(path: Path, saved: int) -> None:
    """Check that a run can go on."""
    marks = [("mark", "header"), ("mark", "begun")]
    power_loss.check(Disk(), path, [*marks, ("mark", "saved", saved)] if saved else marks)


def at_random(root: Path, kills: int, seed: int = 0) -> tuple[int, int, int]:
    """Kill processes that save at random times, one after the other on the same run.

    Args:
        root: a folder that is not there yet.
        kills: how many; after some a new run is begun.
        seed: of the times.

    Returns:
        How many were killed, how many of them in the middle of a save, and how many
        iterations were saved together.
    """
    root.mkdir()
    rng = random.Random(seed)
    killed = within = reached = 0
    for first in range(0, kills, KILLS_PER_RUN):
        path, saved = root / str(first), 5
        begin(path, Disk())
        began = time.perf_counter()
        run_and_kill(partial(go_on, path, Disk(), saved, False), None)
        at_most = (time.perf_counter() - began) * 0.8
        for _ in range(first, min(first + KILLS_PER_RUN, kills)):
            endless = partial(go_on, path, Disk(), 1_000_000, False)
            ended = run_and_kill(endless, rng.uniform(0, at_most))
            assert ended.killed
            saved = max(saved, ended.saved)
            killed += 1
            within += any(p.name.endswith(".part") for p in (path / "checkpoints").iterdir())
            check(path, saved)
        reached += saved
        shutil.rmtree(path)
    return killed, within, reached


def at_every_operation(root: Path) -> tuple[int, int]:
    """Kill a process before, within and after each of its operations on the disk.

    Args:
        root: an empty folder.

    Returns:
        How many operations there are, and how many processes were killed.
    """
    saved, disk = root / "saved", FaultyDisk()
    begin(saved, disk)
    run_and_kill(partial(go_on, saved, disk, 2, True), None)
    operations = killed = 0
    for moment in ("before", "within", "after"):
        place, ended = 0, None
        while ended is None or ended.killed:
            path = root / f"{moment}-{place}"
            shutil.copytree(saved, path)
            disk.watch(kills(place, moment))
            ended = run_and_kill(partial(go_on, path, disk, 2, True), None)
            check(path, max(2, ended.saved))
            if place % 4 == 0:
                disk.watch(None)
                run_and_kill(partial(go_on, path, disk, 1, True), None)
                assert not list((path / "checkpoints").glob("*.part")), "something is left"
            operations, place = max(operations, place), place + 1
            killed += ended.killed
    return operations, killed


@contextmanager
def careless(self: RunFolder, name: str) -> Iterator[NewFolder]:
    """Write a folder as a tool would that thinks of no crash: under its own name."""
    path = self.path / name
    with telling("write", path):
        self._make(path.parent)
        self.disk.make_folder(path)
        yield NewFolder(path, self.disk)


def main() -> None:
    """Kill as often as told, and say how often nothing was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=3000, help="at random times")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--careless", action="store_true", help="write in place, and fail")
    asked = parser.parse_args()
    if asked.careless:
        RunFolder.new_folder = careless  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as name:
        operations, killed = at_every_operation(Path(name))
        print(f"SIGKILL before, within, after each of {operations} operations: ", end="")
        print(f"{killed} processes killed, 0 losses")
        killed, within, saved = at_random(Path(name) / "random", asked.kills, asked.seed)
        print(f"SIGKILL at random times: {killed} processes killed, 0 losses", end="")
        print(f" ({within} within a save, {saved} checkpoints saved)")


if __name__ == "__main__":
    main()
