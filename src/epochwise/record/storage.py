"""A run's folder: every file of a run is created, extended and read here.

A file, or a folder of files, is written whole: under another name, synced, renamed, the
folder around it synced, so that it is there complete or not at all. Or a file is only
ever extended at its end. All of it is done by the few operations of a `Disk`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from epochwise.errors import RunError
from epochwise.record.disk import Chunk, Disk

TEMPORARY = ".part"
"""Ends the name of a file or a folder that is not complete, or not any more."""

BUFFER_BYTES = 1 << 16
"""Most that is held back of what is appended to a file [bytes]."""


@dataclass(slots=True)
class _Extended:
    """A file that is extended: its descriptor, and what is not written yet."""

    file: int
    length: int
    held: bytearray = field(default_factory=bytearray)


class RunFolder:
    r"""The folder of one run; names are relative to it, with `/` between parts.

    One thread may append while another syncs, or writes whole files and folders.

    Args:
        path: the folder, which must exist; `create` makes a new one. Kept as an absolute
            path, so that a change of the current folder does not move the run.
        disk: does what is done; tests give one that fails.

    Example:
        >>> import tempfile
        >>> folder = RunFolder.create(Path(tempfile.mkdtemp()) / "run")
        >>> folder.write("run.json", [b"{}"])
        >>> folder.append("events.jsonl", b"one\n")
        >>> folder.length("events.jsonl")
        4
        >>> folder.close()
        >>> folder.read("run.json"), folder.read("events.jsonl")
        (b'{}', b'one\n')
    """

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        """Look at a folder that is there; nothing is read or written yet."""
        self.path = path.absolute()
        self.disk = Disk() if disk is None else disk
        self._extended: dict[str, _Extended] = {}
        self._appending = threading.RLock()
        self._syncing = threading.Lock()
        self._lasting: set[Path] = set()
        """Folders and extended files whose names were synced by this object."""

    @classmethod
    def create(cls, path: Path, disk: Disk | None = None) -> RunFolder:
        """Make the folder, with its parents, or take one that is empty.

        Args:
            path: where the run is to be kept.
            disk: see the class.

        Raises:
            RunError: the path is taken, or cannot be made.
        """
        require_free(path)
        folder = cls(path, disk)
        with _telling("create", path):
            folder._make(folder.path)
        return folder

    @classmethod
    def create_named(cls, parent: Path, name: str, disk: Disk | None = None) -> RunFolder:
        """Make a new folder; a number is added to the name when another run has it.

        Two processes that ask for one name at once get two folders.

        Args:
            parent: where runs are kept; made if it is not there.
            name: the name wished for.
            disk: see the class.

        Raises:
            RunError: it cannot be made.
        """
        for attempt in range(1, 1_000_000):
            folder = cls(parent / (name if attempt == 1 else f"{name}-{attempt}"), disk)
            with _telling("create", folder.path):
                folder._make(folder.path.parent)
                try:
                    folder.disk.make_folder(folder.path)
                except FileExistsError:
                    continue
                folder.disk.sync_folder(folder.path.parent)
            return folder
        raise RunError(
            f"{parent} holds a million runs named {name}.",
            'name a folder of your own, such as run_dir="my-run".',
        )

    def append(self, name: str, data: Chunk) -> None:
        """Extend a file at its end; `flush` hands it to the system.

        What could not be written is held, and tried again with the next.

        Args:
            name: the file, made when it is not there.
            data: what is added.

        Raises:
            RunError: it could not be written.
        """
        with self._appending, _telling("write", self.path / name):
            extended = self._extended.get(name) or self._extend(name)
            extended.held += data
            extended.length += len(data)
            if len(extended.held) >= BUFFER_BYTES:
                self._write_held(extended)

    def length(self, name: str) -> int:
        """Return how much a file that is extended holds, not yet flushed parts too [bytes].

        Args:
            name: the file; one that is not there holds 0.

        Raises:
            RunError: it is there and cannot be opened.
        """
        with self._appending:
            if name in self._extended:
                return self._extended[name].length
        with _telling("read", self.path / name):
            try:
                return (self.path / name).stat().st_size
            except (FileNotFoundError, NotADirectoryError):
                return 0

    def flush(self) -> None:
        """Hand all that was appended to the system: it survives the end of this process.

        Raises:
            RunError: it could not be written.
        """
        with self._appending:
            for name, extended in self._extended.items():
                with _telling("write", self.path / name):
                    self._write_held(extended)

    def sync(self) -> None:
        """Have all that was appended on the disk: it survives the loss of power.

        Raises:
            RunError: it could not be written.
        """
        with self._syncing:
            self.flush()
            with self._appending:
                files = {name: extended.file for name, extended in self._extended.items()}
            for name, file in files.items():
                path = self.path / name
                with _telling("write", path):
                    self.disk.sync(file)
                    self._make_lasting(path)

    def truncate(self, name: str, size: int) -> None:
        """Cut a file that is extended to a size, for good.

        Args:
            name: the file.
            size: how much of its beginning stays [bytes].

        Raises:
            RunError: it is shorter, or could not be cut.
        """
        path = self.path / name
        with self._appending, _telling("write", path):
            extended = self._extended.get(name) or self._extend(name)
            self._write_held(extended)
            if extended.length < size:
                raise RunError(
                    f"{path} holds {extended.length:,} bytes, and {size:,} of it belong to "
                    "what was saved.",
                    "restore the file from a copy, or start the run again.",
                )
            if extended.length > size:
                self.disk.truncate(extended.file, size)
                extended.length = size
                self.disk.sync(extended.file)

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
            self._make(path.parent)
            try:
                self._write_file(temporary, chunks)
                self.disk.rename(temporary, path)
            except BaseException:
                with suppress(OSError):
                    self.disk.remove(temporary)
                raise
            self.disk.sync_folder(path.parent)

    def write_folder(self, name: str, files: Iterable[tuple[str, Iterable[Chunk]]]) -> None:
        """Put a whole folder in place, complete or not at all, also when power is lost.

        Args:
            name: the folder, which must not be there yet.
            files: name and content of each file in it, one after the other.

        Raises:
            RunError: it could not be written; nothing of it is there.
        """
        path = self.path / name
        temporary = path.with_name(path.name + TEMPORARY)
        with _telling("write", path):
            self._make(path.parent)
            self._remove_tree(temporary)
            try:
                self.disk.make_folder(temporary)
                for file, chunks in files:
                    self._write_file(temporary / file, chunks)
                self.disk.sync_folder(temporary)
                self.disk.rename(temporary, path)
                self.disk.sync_folder(path.parent)
            except BaseException:
                with suppress(OSError):
                    self.disk.rename(path, temporary)
                with suppress(OSError):
                    self._remove_tree(temporary)
                raise

    def rename_folder(self, old: str, new: str) -> None:
        """Give a folder another name.

        Args:
            old: its name.
            new: a name that is not taken, in the same folder.

        Raises:
            RunError: that cannot be done.
        """
        with _telling("rename", self.path / old):
            self.disk.rename(self.path / old, self.path / new)
            self.disk.sync_folder((self.path / new).parent)

    def remove_folder(self, name: str) -> None:
        """Remove a folder and what is in it; it is never seen half removed.

        Args:
            name: the folder; a temporary one may be left by a process that was killed.

        Raises:
            RunError: that cannot be done.
        """
        path = self.path / name
        with _telling("remove", path):
            if path.name.endswith(TEMPORARY):
                self._remove_tree(path)
                return
            temporary = path.with_name(path.name + TEMPORARY)
            self._remove_tree(temporary)
            self.disk.rename(path, temporary)
            self.disk.sync_folder(path.parent)
            self._remove_tree(temporary)

    def read(self, name: str) -> bytes | None:
        """Return all that a file holds; `None` when it is not there.

        Raises:
            RunError: it is there and cannot be read.
        """
        path = self.path / name
        with _telling("read", path):
            try:
                return self.disk.read(path)
            except (FileNotFoundError, NotADirectoryError):
                return None

    def names(self, name: str) -> list[str]:
        """Return the names in a folder, sorted; none when it is not there.

        Raises:
            RunError: it is there and cannot be read.
        """
        path = self.path / name
        with _telling("read", path):
            try:
                return sorted(self.disk.names(path))
            except (FileNotFoundError, NotADirectoryError):
                return []

    def lock(self, name: str, content: bytes) -> int | None:
        """Lock a file for this process alone, and write into it; see `Disk.lock`.

        Args:
            name: the file.
            content: what others read in it while it is locked.

        Returns:
            What `unlock` takes; `None` where the file system has no locks.

        Raises:
            BlockingIOError: another has locked it.
            RunError: it cannot be opened or written.
        """
        with _telling("lock", self.path / name):
            file = self.disk.lock(self.path / name)
            if file is None:
                return None
            try:
                self.disk.truncate(file, 0)
                self._write_all(file, content)
            except OSError:
                self.unlock(file)
                raise
            return file

    def unlock(self, file: int) -> None:
        """Empty a locked file and let go of it; what cannot be emptied is let go of too."""
        with suppress(OSError):
            self.disk.truncate(file, 0)
        with suppress(OSError):
            self.disk.unlock(file)

    def close(self) -> None:
        """Close the files that were extended. A second call does nothing.

        Raises:
            RunError: the last of what was appended could not be written.
        """
        with self._syncing, self._appending:
            while self._extended:
                name, extended = self._extended.popitem()
                with _telling("write", self.path / name):
                    try:
                        self._write_held(extended)
                    finally:
                        self.disk.close(extended.file)

    def _extend(self, name: str) -> _Extended:
        path = self.path / name
        self._make(path.parent)
        file = self.disk.extend(path)
        try:
            extended = _Extended(file, self.disk.size(file))
        except OSError:
            self.disk.close(file)
            raise
        self._extended[name] = extended
        return extended

    def _write_held(self, extended: _Extended) -> None:
        """Write what is held; what the system does not take stays held."""
        while extended.held:
            written = self.disk.write(extended.file, bytes(extended.held))
            del extended.held[:written]

    def _write_file(self, path: Path, chunks: Iterable[Chunk]) -> None:
        """Write a new file and have its content on the disk."""
        file = self.disk.create(path)
        try:
            for chunk in chunks:
                self._write_all(file, chunk)
            self.disk.sync(file)
        finally:
            self.disk.close(file)

    def _write_all(self, file: int, chunk: Chunk) -> None:
        """Write a piece, in as many calls as the system wants."""
        left = memoryview(chunk)
        while left:
            left = left[self.disk.write(file, left) :]

    def _make(self, path: Path) -> None:
        """Make a folder of the run, with its parents, to last; once for each."""
        if path in self._lasting:
            return
        if path != self.path or not path.is_dir():
            if not path.parent.is_dir():
                self._make(path.parent)
            with suppress(FileExistsError):
                self.disk.make_folder(path)
            self.disk.sync_folder(path.parent)
        self._lasting.add(path)

    def _make_lasting(self, path: Path) -> None:
        """Have the name of a file that is extended on the disk; once for each."""
        if path not in self._lasting:
            self.disk.sync_folder(path.parent)
            self._lasting.add(path)

    def _remove_tree(self, path: Path) -> None:
        """Remove a folder of files, if it is there."""
        try:
            names = self.disk.names(path)
        except FileNotFoundError:
            return
        for name in names:
            self.disk.remove(path / name)
        self.disk.remove_folder(path)


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
    except BlockingIOError:  # a lock that another has
        raise
    except OSError as error:
        raise RunError(
            f"Could not {verb} {path}: {error.strerror or error}.",
            "free space or mend the permissions there, or keep the run elsewhere, such as "
            'run_dir="my-run".',
        ) from error
