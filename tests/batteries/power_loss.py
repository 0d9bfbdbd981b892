"""Does a run survive the loss of power at any moment?

A run is saved, cut back and saved again on a disk that keeps a log. For every prefix of
the log, images are made of what the disk may hold if power is lost there, and read:

- the newest checkpoint whose saving was done, or a newer one, is recovered, bit for bit;
- everything under a checkpoint's name is whole, so nothing is set aside;
- the record is there up to the place that the checkpoint names;
- lines and files that were called synced are there.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from crashing import Entry, ImageDisk, LoggingDisk, Replay
from epochwise.checkpoint import Checkpoint, Checkpoints
from epochwise.errors import RunError
from epochwise.record import RunFolder
from epochwise.storage.disk import Disk
from saved import assert_same, state_at

EVENTS, LOSSES = "events.jsonl", "series/loss.f32"
HEADER = b'{"format": 1}' * 100
BEGUN = b'{"event": "run_begun"}\n'
SAVES = 5
KEEP_LAST = 1


def line(iteration: int) -> bytes:
    """Return the record's line of an iteration."""
    return f'{{"event": "iterations_done", "iterations_done": {iteration}}}\n'.encode()


def committed_line(iteration: int) -> bytes:
    """Return the record's line of a checkpoint."""
    return f'{{"event": "checkpoint_committed", "iterations_done": {iteration}}}\n'.encode()


def losses(iteration: int) -> bytes:
    """Return the losses of the iterations since the checkpoint before; 800 of them."""
    return iteration.to_bytes(4, "little") * 800


def save(
    checkpoints: Checkpoints, iteration: int, disk: LoggingDisk | None = None
) -> Checkpoint:
    """Record an iteration, save there, and record that."""
    folder = checkpoints.folder
    folder.append(EVENTS, line(iteration))
    folder.append(LOSSES, losses(iteration))
    checkpoint = checkpoints.save(
        state_at(iteration, scale=40),
        fits={"seed": 1},
        record_lengths={name: folder.length(name) for name in (EVENTS, LOSSES)},
        best=2,
    )
    if disk is not None:
        disk.mark("saved", iteration)
    folder.append(EVENTS, committed_line(iteration))
    folder.sync()
    if disk is not None:
        disk.mark("announced", iteration)
    return checkpoint


def begin(disk: LoggingDisk, path: Path) -> RunFolder:
    """Make a run's folder, its header, and the first lines of its record."""
    folder = RunFolder.create(path, disk)
    folder.write("run.json", [HEADER])
    disk.mark("header")
    folder.append(EVENTS, BEGUN)
    folder.append(LOSSES, b"")
    return folder


def fresh(disk: LoggingDisk, path: Path) -> RunFolder:
    """Keep a run; a save that the disk refuses is not tried again."""
    folder = begin(disk, path)
    with suppress(RunError):
        folder.sync()
        disk.mark("begun")
    checkpoints = Checkpoints(folder, keep_last=KEEP_LAST)
    for iteration in range(1, SAVES + 1):
        with suppress(RunError):
            save(checkpoints, iteration, disk)
    return folder


def killed(disk: LoggingDisk, path: Path) -> RunFolder:
    """Keep a run whose first process was killed in its first save, just before a sync."""
    folder = begin(disk, path)
    folder.flush()
    disk.make_folder(path / "checkpoints")
    return resumed(disk, path)


def long(disk: LoggingDisk, path: Path) -> RunFolder:
    """Keep a run that stops and goes on."""
    fresh(disk, path).append(EVENTS, b'{"event": "epoch_begun"}\n')
    return resumed(disk, path)


def resumed(disk: LoggingDisk, path: Path) -> RunFolder:
    """Cut a run's record back to its newest checkpoint, and go on to the next ones."""
    disk.mark("resumed")
    folder = RunFolder(path, disk)
    checkpoints = Checkpoints(folder, keep_last=KEEP_LAST)
    newest = checkpoints.newest()
    done = 0 if newest is None else newest.position.iterations_done
    lengths = {EVENTS: len(BEGUN), LOSSES: 0} if newest is None else newest.record_lengths
    for name, length in lengths.items():
        folder.truncate(name, length)
    for iteration in range(done + 1, done + 4):
        with suppress(RunError):
            save(checkpoints, iteration, disk)
    return folder


def check(disk: Disk, path: Path, marks: list[Entry]) -> None:
    """Check that a run can go on from what is left.

    Args:
        disk: what is left.
        path: the run's folder.
        marks: what was promised before.
    """
    promised: dict[str, Entry] = {}
    for _, kind, *mark in marks:
        promised[kind] = tuple(mark)
        if kind == "resumed":
            promised.pop("announced", None)  # the line is cut off with what was undone
    folder = RunFolder(path, disk)
    checkpoints = Checkpoints(folder)
    if "header" in promised:
        assert folder.read("run.json") == HEADER, "the header is not there"
    for name in checkpoints.committed():
        checkpoint, state = checkpoints._read(name)
        iteration = checkpoint.position.iterations_done
        assert_same(state, state_at(iteration, scale=40))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        newest = checkpoints.newest()
    if "begun" in promised:
        assert (folder.read(EVENTS) or b"").startswith(BEGUN), "the first line is missing"
        assert folder.read(LOSSES) is not None, "the file of the losses is missing"
    if newest is None:
        assert "saved" not in promised, f"no checkpoint of {promised} is there"
        return
    done = newest.position.iterations_done
    if "saved" in promised:
        assert done >= promised["saved"][0], f"{done} is older than {promised}"
    events, series = folder.read(EVENTS) or b"", folder.read(LOSSES) or b""
    expected = b"".join(losses(each) for each in range(1, done + 1))
    assert series[: newest.record_lengths[LOSSES]] == expected, "losses are missing"
    rows = events[: newest.record_lengths[EVENTS]].splitlines(keepends=True)
    lines = [BEGUN, *(line(each) for each in range(1, done + 1))]
    assert [row for row in rows if b"committed" not in row] == lines, "lines are missing"
    if "announced" in promised:
        assert committed_line(promised["announced"][0]) in events, "a line is missing"


def images(
    log: list[Entry], root: Path, rng: random.Random, *, torn: int, first: int = 0
) -> Iterator[tuple[int, ImageDisk]]:
    """Yield what may be left after each prefix of a log from a length on."""
    replay = Replay(root)
    for length in range(len(log) + 1):
        if length:
            replay.play(log[length - 1])
        if length >= first:
            for image in replay.images(rng, torn=torn):
                yield length, image


def survive(
    disk: LoggingDisk,
    root: Path,
    *,
    torn: int,
    story: Callable[[LoggingDisk, Path], RunFolder] = long,
    seed: int = 0,
) -> int:
    """Keep a run on a disk and check every image of its log.

    Args:
        disk: whose log it is.
        root: a folder that is not there yet.
        torn: images of parts of what may be lost, for each prefix.
        story: what happens to the run.
        seed: chooses the images.

    Returns:
        How many images were checked.
    """
    root.mkdir()
    story(disk, root / "runs" / "run").close()
    marks = [[e for e in disk.log[:n] if e[0] == "mark"] for n in range(len(disk.log) + 1)]
    forgotten = ("mark", "forgotten")
    first = disk.log.index(forgotten) if forgotten in disk.log else 0
    count = 0
    for length, image in images(disk.log, root, random.Random(seed), torn=torn, first=first):
        check(image, root / "runs" / "run", marks[length])
        count += 1
    return count


def go_on(image: ImageDisk, root: Path) -> None:
    """Check that a run goes on, on a real disk, from what a crash left."""
    to = Path(tempfile.mkdtemp())
    try:
        image.write_out(root, to / "image")
        path = to / "image" / "runs" / "run"
        if not path.is_dir():
            return
        folder = RunFolder(path)
        checkpoints = Checkpoints(folder, keep_last=KEEP_LAST)
        newest = checkpoints.newest()
        for name in (EVENTS, LOSSES):
            folder.truncate(name, 0 if newest is None else newest.record_lengths[name])
        done = 0 if newest is None else newest.position.iterations_done
        for iteration in (done + 1, done + 2):
            save(checkpoints, iteration)
        folder.close()
        names = folder.names("checkpoints")
        assert names == checkpoints.committed(), f"something is left over: {names}"
        expected = b"".join(losses(each) for each in range(1, done + 3))
        assert folder.read(LOSSES) == expected, "losses are missing or there twice"
    finally:
        shutil.rmtree(to)


def main() -> None:
    """Check all images, of a disk that works and of one whose syncs fail once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--torn", type=int, default=40, help="images of parts a prefix")
    torn = parser.parse_args().torn
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        disk = LoggingDisk()
        count = survive(disk, root / "long", torn=torn)
        print(f"power loss: {count} images of {len(disk.log)} prefixes recovered, all")
        places = range(1, disk.file_syncs)  # without its header no run begins
        count, failed = after_failed_syncs(root, places), len(places)
        print(f"  after one of {failed} syncs of files failed: {count} images recovered, all")
        for story in (fresh, killed):
            syncs, noticed = without_one_sync(story, root / story.__name__)
            left_out = f"{story.__name__}, without one of {syncs} syncs"
            print(f"  {left_out}: noticed {len(noticed)} times of {syncs}")
            assert len(noticed) == syncs


def after_failed_syncs(root: Path, places: Iterable[int]) -> int:
    """Let syncs of files fail, each alone, in a run that stops and goes on.

    Args:
        root: a folder.
        places: which of them, from 0.

    Returns:
        How many images were recovered.
    """
    return sum(
        survive(LoggingDisk(fail_sync=place), root / f"failing-{place}", torn=0)
        for place in places
    )


def without_one_sync(
    story: Callable[[LoggingDisk, Path], RunFolder], root: Path
) -> tuple[int, list[int]]:
    """Leave out each sync in turn.

    Args:
        story: what happens to the run.
        root: a folder that is not there yet.

    Returns:
        How many syncs there are, and which of them were missed by the checks.
    """
    root.mkdir()
    disk = LoggingDisk()
    survive(disk, root / "whole", torn=0, story=story)
    resumed_at = disk.log.index(("mark", "resumed")) if story is killed else 0
    before = sum(entry[0] in ("sync", "sync_folder") for entry in disk.log[:resumed_at])
    noticed = []
    for place in range(before, disk.syncs):
        try:
            survive(LoggingDisk(forget_sync=place), root / str(place), torn=0, story=story)
        except (AssertionError, ValueError):
            noticed.append(place)
    return disk.syncs - before, noticed


if __name__ == "__main__":
    main()
