"""The operations on files that a run is made of, each one call to the system.

Nothing else in Epochwise changes a run's folder. Whoever wants to see what a full disk,
a kill or a loss of power does to a run replaces these methods: `RunFolder` and all above
it stand on them alone.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from epochwise.errors import RunError

if sys.platform == "darwin":
    import fcntl

Chunk: TypeAlias = bytes | memoryview
"""A piece of a file."""

_CLOSED_ON_EXEC = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)

_NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL})
"""What a file system answers that has no locks."""


class Disk:
    """A file system; every method raises `OSError` when it is refused.

    Files that are open are the system's descriptors. A call that a signal interrupts is
    made again (Python does that, PEP 475).

    Example:
        >>> import tempfile
        >>> disk, path = Disk(), Path(tempfile.mkdtemp()) / "file"
        >>> file = disk.create(path)
        >>> disk.write(file, b"half")
        4
        >>> disk.sync(file)
        >>> disk.close(file)
        >>> disk.read(path)
        b'half'
    """

    def make_folder(self, path: Path) -> None:
        """Make a folder that is not there yet, in a folder that is."""
        path.mkdir()

    def create(self, path: Path) -> int:
        """Open a file for writing, empty whether it was there or not."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | _CLOSED_ON_EXEC
        return os.open(path, flags, 0o666)

    def extend(self, path: Path) -> int:
        """Open a file for writing at its end; it is made when it is not there."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | _CLOSED_ON_EXEC
        return os.open(path, flags, 0o666)

    def write(self, file: int, data: Chunk) -> int:
        """Write some of the data, from its beginning, and return how much [bytes]."""
        return os.write(file, data)

    def truncate(self, file: int, size: int) -> None:
        """Cut an open file to a size [bytes]."""
        os.ftruncate(file, size)

    def size(self, file: int) -> int:
        """Return how much an open file holds [bytes]."""
        return os.fstat(file).st_size

    def sync(self, file: int) -> None:
        """Have what an open file holds survive the loss of power."""
        if sys.platform == "darwin":  # fsync leaves it in the drive's own cache there
            with suppress(OSError):  # not every file system can do more
                fcntl.fcntl(file, fcntl.F_FULLFSYNC)
                return
        os.fsync(file)

    def close(self, file: int) -> None:
        """Close an open file."""
        os.close(file)

    def sync_folder(self, path: Path) -> None:
        """Have a folder's list of names survive the loss of power, where that can be had."""
        if sys.platform == "win32":  # has no handle of a folder to sync
            return
        folder = os.open(path, os.O_RDONLY | _CLOSED_ON_EXEC)
        try:
            os.fsync(folder)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):
                raise
        finally:
            os.close(folder)

    def rename(self, old: Path, new: Path) -> None:
        """Give a file or a folder another name, at once; a file of that name is replaced."""
        old.replace(new)

    def remove(self, path: Path) -> None:
        """Remove a file."""
        path.unlink()

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder."""
        path.rmdir()

    def read(self, path: Path) -> bytes:
        """Return all that a file holds."""
        return path.read_bytes()

    def names(self, path: Path) -> list[str]:
        """Return the names in a folder, in no order."""
        return [inside.name for inside in path.iterdir()]

    def lock(self, path: Path) -> int | None:
        """Open a file, made if it is not there, that this process alone has locked.

        The lock ends when it is let go of or the process ends, however that happens.

        Returns:
            The open file; `None` where the file system has no locks.

        Raises:
            BlockingIOError: another has locked it.
        """
        from filelock import lock_descriptor  # a tenth of a second that reading a run saves

        file = os.open(path, os.O_RDWR | os.O_CREAT | _CLOSED_ON_EXEC, 0o666)
        try:
            if not lock_descriptor(file, blocking=False):
                raise BlockingIOError(errno.EWOULDBLOCK, os.strerror(errno.EWOULDBLOCK))
        except OSError as error:
            os.close(file)
            if error.errno in _NO_LOCKS:
                return None
            raise
        return file

    def unlock(self, file: int) -> None:
        """Let go of a locked file and close it, also where a forked process has it open."""
        from filelock import unlock_descriptor

        try:
            unlock_descriptor(file)
        finally:
            os.close(file)

    # Made of the above.

    def write_some(self, file: int, chunk: Chunk) -> int:
        """Write the beginning of a piece; return how much, at least 1 [bytes]."""
        written = self.write(file, chunk)
        if written == 0:
            raise OSError(errno.ENOSPC, "The system took nothing of what was to be written")
        return written

    def write_all(self, file: int, chunk: Chunk) -> None:
        """Write a piece, in as many calls as the system wants."""
        left = memoryview(chunk)
        while left:
            left = left[self.write_some(file, left) :]

    def write_file(self, path: Path, chunks: Iterable[Chunk]) -> None:
        """Write a file, empty before, and have its content survive the loss of power."""
        file = self.create(path)
        try:
            for chunk in chunks:
                self.write_all(file, chunk)
            self.sync(file)
        finally:
            self.close(file)


@contextmanager
def telling(verb: str, path: Path) -> Iterator[None]:
    """Turn what the system refuses into an error that says what was tried.

    Args:
        verb: what is being done, such as `write`.
        path: to what.

    Raises:
        RunError: in place of an `OSError`; a lock that another has is left as it is.
    """
    try:
        yield
    except BlockingIOError:
        raise
    except OSError as error:
        raise RunError(
            f"Could not {verb} {path}: {error.strerror or error}.",
            "free space or mend the permissions there, or keep the run elsewhere, such as "
            'run_dir="my-run".',
        ) from error
