"""The one way to the disk: every file of a run is created, extended and read here.

A file is either written whole (under another name, synced, renamed, the folder synced,
so that it is there complete or not at all) or only ever extended at its end. Whoever
wants to see what a full disk or a lost write does to a run replaces this class.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeAlias

from epochwise.errors import RunError

Chunk: TypeAlias = bytes | memoryview
"""A piece of a file."""

TEMPORARY = ".part"
"""Ends the name of a file that is not complete yet."""


class RunFolder:
    r"""The folder of one run; names are relative to it, with `/` between parts.

    Args:
        path: the folder, which must exist; `create` makes a new one. Kept as an absolute
            path, so that a change of the current folder does not move the run.

    Example:
        >>> import tempfile
        >>> folder = RunFolder.create(Path(tempfile.mkdtemp()) / "run")
        >>> folder.write("run.json", [b"{}"])
        >>> folder.append("events.jsonl", b"one\n")
        >>> folder.close()
        >>> folder.read("run.json"), folder.read("events.jsonl")
        (b'{}', b'one\n')
    """

    def __init__(self, path: Path) -> None:
        """Look at a folder that is there; nothing is read or written yet."""
        self.path = path.absolute()
        self._extended: dict[str, BinaryIO] = {}

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Make the folder, with its parents, or take one that is empty.

        Args:
            path: where the run is to be kept.

        Raises:
            RunError: the path is taken, or cannot be made.
        """
        require_free(path)
        with _telling("create", path):
            path.mkdir(parents=True, exist_ok=True)
        return cls(path)

    @classmethod
    def create_named(cls, parent: Path, name: str) -> RunFolder:
        """Make a new folder; a number is added to the name when another run has it.

        Two processes that ask for one name at once get two folders.

        Args:
            parent: where runs are kept; made if it is not there.
            name: the name wished for.

        Raises:
            RunError: it cannot be made.
        """
        for attempt in range(1, 1_000_000):
            path = parent / (name if attempt == 1 else f"{name}-{attempt}")
            with _telling("create", path):
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    path.mkdir()
                except FileExistsError:
                    continue
            return cls(path)
        raise RunError(
            f"{parent} holds a million runs named {name}.",
            'name a folder of your own, such as run_dir="my-run".',
        )

    def append(self, name: str, data: Chunk) -> None:
        """Extend a file at its end; `flush` hands it to the system.

        Args:
            name: the file, made when it is not there.
            data: what is added.

        Raises:
            RunError: it could not be written.
        """
        with _telling("write", self.path / name):
            if name not in self._extended:
                path = self.path / name
                path.parent.mkdir(parents=True, exist_ok=True)
                self._extended[name] = path.open("ab")
            self._extended[name].write(data)

    def flush(self) -> None:
        """Hand all that was appended to the system: it survives the end of this process.

        Raises:
            RunError: it could not be written.
        """
        for name, file in self._extended.items():
            with _telling("write", self.path / name):
                file.flush()

    def sync(self) -> None:
        """Have all that was appended on the disk: it survives the loss of power.

        Raises:
            RunError: it could not be written.
        """
        self.flush()
        for name, file in self._extended.items():
            with _telling("write", self.path / name):
                os.fsync(file.fileno())

    def write(self, name: str, chunks: Iterable[Chunk]) -> None:
        """Put a whole file in place, complete or not at all, also when power is lost.

        Args:
            name: the file; what it held before is replaced.
            chunks: its content, piece by piece.

        Raises:
            RunError: it could not be written; the old file, if any, is as it was.
        """
        path = self.path / name
        temporary = path.with_name(path.name + TEMPORARY)
        with _telling("write", path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("wb") as file:
                    file.writelines(chunks)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            _sync_folder(path.parent)

    def read(self, name: str) -> bytes | None:
        """Return all that a file holds; `None` when it is not there.

        Raises:
            RunError: it is there and cannot be read.
        """
        path = self.path / name
        with _telling("read", path):
            try:
                return path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def close(self) -> None:
        """Close the files that were extended. A second call does nothing.

        Raises:
            RunError: the last of what was appended could not be written.
        """
        while self._extended:
            name, file = self._extended.popitem()
            with _telling("write", self.path / name):
                file.close()


def require_free(path: Path) -> None:
    """Check that a run can be kept at a path, before anything is trained.

    Args:
        path: the folder meant for the run; nothing is made.

    Raises:
        RunError: it is a file, or a folder that holds something.
    """
    if path.is_dir():
        with _telling("read", path):
            first = next(path.iterdir(), None)
        if first is not None:
            raise RunError(
                f"{path} already holds something ({first.name}), and a run never writes "
                "over another.",
                f'use run_dir="{path}-2" or another folder that is empty or not there yet, or '
                "move this one away.",
            )
    elif path.exists() or path.is_symlink():
        raise RunError(
            f"{path} is a file; a run is kept in a folder.",
            'name a folder that is not there yet, such as run_dir="my-run".',
        )
    else:
        _require_writable(path)


def _require_writable(path: Path) -> None:
    """Refuse a path below a file or a folder where nothing can be made."""
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        raise RunError(
            f"{path} cannot be made: {above} is a file.",
            'name a folder that is not there yet, such as run_dir="my-run".',
        )
    if not os.access(above, os.W_OK | os.X_OK):
        raise RunError(
            f"{path} cannot be made: {above} does not allow writing.",
            'name a folder of your own, such as run_dir="my-run".',
        )


@contextmanager
def _telling(verb: str, path: Path) -> Iterator[None]:
    """Turn what the system refuses into an error that says what was tried."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"Could not {verb} {path}: {error.strerror or error}.",
            "free space or mend the permissions there, or keep the run elsewhere, such as "
            'run_dir="my-run".',
        ) from error


def _sync_folder(path: Path) -> None:
    """Have a folder's list of names on the disk, where the system can do that."""
    if os.name == "nt":  # Windows has no handle of a folder to sync
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
