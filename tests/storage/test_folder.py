"""Files are there whole or not at all, and nothing is written over."""

from __future__ import annotations

import errno
import signal
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from epochwise.errors import RunError
from epochwise.record import RunFolder, require_free, run_name
from epochwise.storage.appending import BUFFER_BYTES
from epochwise.storage.disk import Chunk, Disk
from faulty import FaultyDisk, refuses, takes_half


def test_a_file_that_could_not_be_finished_leaves_the_old_one(tmp_path: Path) -> None:
    """A write that fails midway changes nothing, and leaves no half file behind."""
    folder = RunFolder.create(tmp_path / "run")
    folder.write("run.json", [b"old"])

    def chunks() -> Iterator[bytes]:
        yield b"ne"
        raise OSError(28, "No space left on device")

    with pytest.raises(RunError, match="No space left on device"):
        folder.write("run.json", chunks())

    assert folder.read("run.json") == b"old"
    assert [path.name for path in folder.path.iterdir()] == ["run.json"]


def test_what_was_flushed_is_seen_by_another_process(tmp_path: Path) -> None:
    """Appended bytes are in the file after a flush, without closing it."""
    folder = RunFolder.create(tmp_path / "run")
    folder.append("events.jsonl", b"one\n")
    folder.flush()

    assert (tmp_path / "run/events.jsonl").read_bytes() == b"one\n"
    folder.close()


def test_what_could_not_be_written_is_written_later(tmp_path: Path) -> None:
    """Nothing that was appended is lost or there twice, also if the file had no place."""
    disk = FaultyDisk()
    folder = RunFolder.create(tmp_path / "run", disk)
    for place, line in enumerate((b"one\n", b"two\n", b"three\n")):
        disk.watch(refuses(place, errno.EMFILE, lasting=True))
        with pytest.raises(RunError, match="Too many open files"):
            folder.append("series/loss.f32", line + bytes(BUFFER_BYTES))
    disk.watch(takes_half(0))
    folder.append("series/loss.f32", b"four\n")
    folder.close()

    content = folder.read("series/loss.f32")
    assert content is not None
    assert content.replace(bytes(BUFFER_BYTES), b"") == b"one\ntwo\nthree\nfour\n"


def test_a_system_that_takes_nothing_is_not_asked_for_ever(tmp_path: Path) -> None:
    """A write of no byte is an error, and no endless loop."""

    class Deaf(Disk):
        def write(self, file: int, data: Chunk) -> int:
            return 0

    with pytest.raises(RunError, match="took nothing"):
        RunFolder.create(tmp_path / "run", Deaf()).write("run.json", [b"{}"])


def test_a_signal_in_a_write_changes_nothing(tmp_path: Path) -> None:
    """EINTR: calls that a signal breaks off are made again."""
    folder = RunFolder.create(tmp_path / "run")
    content = bytes(range(256)) * 4096
    heard: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: heard.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        for _ in range(20):
            folder.write("file", [content])
            folder.append("grows", content)
            folder.sync()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    folder.close()

    assert heard
    assert folder.read("file") == content
    assert folder.read("grows") == content * 20


def test_a_file_is_cut_and_goes_on(tmp_path: Path) -> None:
    """The length counts what is held, and a cut file is appended to at its new end."""
    folder = RunFolder.create(tmp_path / "run")
    assert folder.length("events.jsonl") == 0
    folder.append("events.jsonl", b"one\ntwo\n")
    assert folder.length("events.jsonl") == 8
    folder.truncate("events.jsonl", 4)
    folder.append("events.jsonl", b"2\n")
    folder.close()
    assert folder.read("events.jsonl") == b"one\n2\n"
    assert folder.length("events.jsonl") == 6

    again = RunFolder(folder.path)
    again.truncate("events.jsonl", 4)
    again.close()
    assert again.read("events.jsonl") == b"one\n"
    with pytest.raises(RunError, match="holds 4 bytes, and 5 of it belong"):
        again.truncate("events.jsonl", 5)
    again.close()


def test_a_folder_is_removed_with_all_in_it(tmp_path: Path) -> None:
    """Also what somebody else put there; a link is removed, and not what it points to."""
    folder = RunFolder.create(tmp_path / "run")
    with folder.new_folder("old") as inside:
        inside.write("file", [b"x"])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/kept").touch()
    (folder.path / "old/deep").mkdir()
    (folder.path / "old/deep/file").touch()
    (folder.path / "old/link").symlink_to(tmp_path / "mine")
    folder.remove_folder("old")

    assert folder.names(".") == []
    assert (tmp_path / "mine/kept").exists()


def test_a_folder_whose_files_failed_is_not_there(tmp_path: Path) -> None:
    """What is raised while it is written passes through, and nothing is left."""
    folder = RunFolder.create(tmp_path / "run")
    chunks = (1 // 0 for _ in "x")
    with pytest.raises(ZeroDivisionError), folder.new_folder("new") as inside:
        inside.write("file", chunks)  # type: ignore[arg-type]

    assert folder.names(".") == []


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """A run is never written over another, nor over anything else."""
    (tmp_path / "note.txt").write_text("mine")

    with pytest.raises(RunError, match=r"already holds something \(note\.txt\)"):
        RunFolder.create(tmp_path)
    with pytest.raises(RunError, match="is a file; a run is kept in a folder"):
        require_free(tmp_path / "note.txt")
    with pytest.raises(RunError, match="is a file"):
        require_free(tmp_path / "note.txt" / "run")


def test_a_run_killed_before_its_record_began_leaves_the_folder_free(tmp_path: Path) -> None:
    """Nothing can be resumed there, so that the same command has to work again."""
    for name in ("run.lock", "model.json", "model.json.part", "run.json.part"):
        (tmp_path / name).write_text("{")

    require_free(tmp_path)

    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(RunError, match=r"already holds something \(run\.json\)"):
        require_free(tmp_path)


def test_looking_whether_a_folder_is_free_makes_nothing(tmp_path: Path) -> None:
    """The check before training leaves the disk as it was; an empty folder is free."""
    require_free(tmp_path / "a" / "b")
    require_free(tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_two_runs_of_one_name_get_two_folders(tmp_path: Path) -> None:
    """The second gets a number."""
    names = [RunFolder.create_named(tmp_path / "runs", "name").path.name for _ in range(3)]

    assert names == ["name", "name-2", "name-3"]


def test_a_name_fits_every_file_system() -> None:
    """Characters that trouble a shell or a path are replaced, and long names cut."""
    began = datetime(2026, 11, 23, 14, 25, 1)

    assert (
        run_name(began, "../a b/c.csv", "x" * 99) == f"2026-11-23-142501-a-b-c.csv-{'x' * 40}"
    )
