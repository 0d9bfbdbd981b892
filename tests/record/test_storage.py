"""Files are there whole or not at all, and nothing is written over."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from epochwise.errors import RunError
from epochwise.record import RunFolder, require_free, run_name


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


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """A run is never written over another, nor over anything else."""
    (tmp_path / "note.txt").write_text("mine")

    with pytest.raises(RunError, match=r"already holds something \(note\.txt\)"):
        RunFolder.create(tmp_path)
    with pytest.raises(RunError, match="is a file; a run is kept in a folder"):
        require_free(tmp_path / "note.txt")
    with pytest.raises(RunError, match="is a file"):
        require_free(tmp_path / "note.txt" / "run")


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
