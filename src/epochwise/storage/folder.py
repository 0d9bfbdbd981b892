"""A run's folder: every file of a run is created, extended and read here.

A file, or a folder of files, is written whole: under another name, synced, renamed, the
folder around it synced, so that it is there complete or not at all. Or a file is only
ever extended at its end. All of it is done by the few operations of a `Disk`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from epochwise.errors import RunError
from epochwise.storage.appending import AppendedFile
from epochwise.storage.disk import Chunk, Disk, telling

TEMPORARY = ".part"
"""Ends the name of a file or a folder that is not complete, or not any more."""

BEFORE_THE_RECORD = frozenset({"run.lock", "model.json"})
"""What a run writes before the `run.json` that makes its folder a run's."""


class NewFolder:
    """A folder that is being written, under a name that says so.

    Args:
        path: where it is now.
        disk: does what is done.
    """

    def __init__(self, path: Path, disk: Disk) -> None:
        """Look at a folder that was just made."""
        self._path = path
        self._disk = disk

    def write(self, name: str, chunks: Iterable[Chunk]) -> None:
        """Write a file, and have its content on the disk.

        Args:
            name: the file, which must not be there yet.
            chunks: its content, piece by piece.

        Raises:
            OSError: it could not be written; `RunFolder.new_folder` tells of it.
        """
        self._disk.write_file(self._path / name, chunks)


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
        self._appended: dict[str, AppendedFile] = {}
        self._there: set[Path] = set()
        """Folders that need not be made."""
        self._used: set[Path] = set()
        """Folders whose names have to last."""
        self._synced: set[Path] = set()
        """Those of them whose names do, as far as is known."""

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
        with telling("create", path):
            folder._make(folder.path)
            folder._sync_names()
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
        parent = parent.absolute()
        for attempt in range(1, 1_000_000):
            folder = cls(parent / (name if attempt == 1 else f"{name}-{attempt}"), disk)
            with telling("create", folder.path):
                if not parent.is_dir():
                    folder._make(parent)
                try:
                    folder.disk.make_folder(folder.path)
                except FileExistsError:
                    continue
                folder._named_in(parent)
                folder._sync_names()
            return folder
        raise RunError(
            f"{parent} holds a million runs named {name}.",
            'name a folder of your own, such as run_dir="my-run".',
        )

    # Files that grow.

    def append(self, name: str, data: Chunk) -> None:
        """Extend a file at its end; `flush` hands it to the system.

        Args:
            name: the file, made when it is not there.
            data: what is added; held, and tried again, when it cannot be written.

        Raises:
            RunError: it could not be written.
        """
        self._opened(name).append(data)

    def length(self, name: str) -> int:
        """Return how much a file holds, with what is appended and not flushed [bytes].

        Args:
            name: the file; one that is not there holds 0.

        Raises:
            RunError: it is there and cannot be looked at.
        """
        if name in self._appended:
            return self._appended[name].length
        with telling("read", self.path / name):
            try:
                return (self.path / name).stat().st_size
            except (FileNotFoundError, NotADirectoryError):
                return 0

    def flush(self) -> None:
        """Hand all that was appended to the system: it survives the end of this process.

        Raises:
            RunError: it could not be written.
        """
        for file in list(self._appended.values()):
            file.flush()

    def sync(self) -> None:
        """Have all that was appended on the disk: it survives the loss of power.

        Raises:
            RunError: it could not be written.
        """
        for file in list(self._appended.values()):
            file.sync()
        with telling("write", self.path):
            self._sync_names()

    def truncate(self, name: str, size: int) -> None:
        """Cut a file to a size, and go on appending there.

        Args:
            name: the file.
            size: how much of its beginning stays [bytes].

        Raises:
            RunError: it is shorter, or could not be cut.
        """
        self._opened(name).truncate(size)

    def close(self) -> None:
        """Close the files that were extended. A second call does nothing.

        Raises:
            RunError: the last of what was appended could not be written.
        """
        while self._appended:
            self._appended.popitem()[1].close()

    # Files and folders that are there whole or not at all.

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
        with telling("write", path):
            self._make(path.parent)
            try:
                self.disk.write_file(temporary, chunks)
                self.disk.rename(temporary, path)
            except BaseException:
                with suppress(OSError):
                    self.disk.remove(temporary)
                raise
            self._named_in(path.parent)
            self._sync_names()

    @contextmanager
    def new_folder(self, name: str) -> Iterator[NewFolder]:
        """Put a whole folder in place, complete or not at all, also when power is lost.

        Its files are written in a `with` block; an exception in it leaves no folder.

        Args:
            name: the folder, which must not be there yet.

        Raises:
            RunError: it could not be written; nothing of it is there, unless the disk
                refuses that as well.
        """
        path = self.path / name
        temporary = path.with_name(path.name + TEMPORARY)
        in_place = False
        with telling("write", path):
            self._make(path.parent)
            self._remove_tree(temporary)
            try:
                self.disk.make_folder(temporary)
                yield NewFolder(temporary, self.disk)
                self.disk.sync_folder(temporary)
                self.disk.rename(temporary, path)
                in_place = True
                self._named_in(path.parent)
                self._sync_names()
            except BaseException:
                with suppress(OSError):
                    if in_place:
                        self.disk.rename(path, temporary)
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
        with telling("rename", self.path / old):
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
        with telling("remove", path):
            if not path.name.endswith(TEMPORARY):
                whole, path = path, path.with_name(path.name + TEMPORARY)
                self._remove_tree(path)
                self.disk.rename(whole, path)
                self.disk.sync_folder(path.parent)
            self._remove_tree(path)

    # What is there.

    def read(self, name: str) -> bytes | None:
        """Return all that a file holds; `None` when it is not there.

        Raises:
            RunError: it is there and cannot be read.
        """
        path = self.path / name
        with telling("read", path):
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
        with telling("read", path):
            try:
                return sorted(self.disk.names(path))
            except (FileNotFoundError, NotADirectoryError):
                return []

    # A file that one process at a time has.

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
        with telling("lock", self.path / name):
            file = self.disk.lock(self.path / name)
            if file is None:
                return None
            try:
                self.disk.truncate(file, 0)
                self.disk.write_all(file, content)
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

    def _opened(self, name: str) -> AppendedFile:
        """Return a file that can be extended."""
        if name not in self._appended:
            self._appended[name] = AppendedFile(
                self.path / name, self.disk, prepare_folder=self._prepare
            )
        return self._appended[name]

    def _prepare(self, path: Path) -> None:
        """Make ready a folder in which a file will be made."""
        self._make(path)
        self._named_in(path)

    def _make(self, path: Path) -> None:
        """Make a folder, with its parents, unless it is there."""
        if path in self._there:
            return
        if path != self.path or not path.is_dir():
            if not path.parent.is_dir():
                self._make(path.parent)
            try:
                self.disk.make_folder(path)
                self._named_in(path.parent)
            except FileExistsError:  # perhaps made by a process that was killed
                self._used.add(path.parent)
        self._there.add(path)

    def _named_in(self, path: Path) -> None:
        """Note that a name was made in a folder, or will be."""
        self._used.add(path)
        self._synced.discard(path)

    def _sync_names(self) -> None:
        """Have the names in the folders that are used on the disk."""
        for folder in list(self._used):
            if folder not in self._synced:
                self._synced.add(folder)  # first: a name may be made meanwhile
                try:
                    self.disk.sync_folder(folder)
                except OSError:
                    self._synced.discard(folder)
                    raise

    def _remove_tree(self, path: Path) -> None:
        """Remove a folder and all in it, if it is there."""
        try:
            names = self.disk.names(path)
        except FileNotFoundError:
            return
        for name in names:
            inside = path / name
            if inside.is_dir() and not inside.is_symlink():
                self._remove_tree(inside)
            else:
                self.disk.remove(inside)
        self.disk.remove_folder(path)


def run_path(told: object) -> Path:
    """Return the path of a run's folder as a user told it.

    Raises:
        RunError: it is no path, or one that no file system takes.
    """
    remedy = 'name a folder, such as run_dir="my-run".'
    if not isinstance(told, str | os.PathLike) or not isinstance(os.fspath(told), str):
        raise RunError(f"run_dir must be text or a path; got {told!r}.", remedy)
    path = Path(told)
    if "\0" in str(path):
        raise RunError(f"run_dir={str(path)!r} holds a NUL character.", remedy)
    with telling("look at", path):
        path.exists()
    return path


def require_free(path: Path) -> None:
    """Check that a run can be kept at a path, before anything is trained.

    Args:
        path: the folder meant for the run; nothing is made.

    Raises:
        RunError: it is a file, or a folder that holds something other than what a run
            that was killed before its record began has left.
    """
    if path.is_dir():
        with telling("read", path):
            names = sorted(inside.name for inside in path.iterdir())
        taken = [name for name in names if not _is_of_an_unborn_run(name)]
        if taken:
            raise RunError(
                f"{path} already holds something ({taken[0]}), and a run never writes "
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


def _is_of_an_unborn_run(name: str) -> bool:
    """Tell whether a run has such a file before it has a record."""
    return name.removesuffix(TEMPORARY) in BEFORE_THE_RECORD or name == f"run.json{TEMPORARY}"


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
