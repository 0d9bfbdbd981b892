"""A file that only grows: lines and numbers of a run, written at its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from epochwise.errors import RunError
from epochwise.storage.disk import Chunk, Disk, telling

BUFFER_BYTES = 1 << 16
"""Most that is held back before it is written [bytes]."""


class AppendedFile:
    r"""A file that is written at its end; it is made when it is not there.

    What the system does not take is held, and tried again with the next: nothing that
    was appended is lost by a disk that is full for a while, or there twice. One thread
    may append while another syncs.

    Args:
        path: where it is.
        disk: does what is done.
        prepare_folder: called with the folder that it is in, before it is opened.

    Raises:
        RunError: it cannot be opened or written, in every method.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "events.jsonl"
        >>> file = AppendedFile(path, Disk(), prepare_folder=lambda path: None)
        >>> file.append(b"one\n")
        >>> file.length
        4
        >>> file.close()
    """

    def __init__(
        self, path: Path, disk: Disk, *, prepare_folder: Callable[[Path], None]
    ) -> None:
        """Open nothing yet."""
        self._path = path
        self._disk = disk
        self._prepare_folder = prepare_folder
        self._file: int | None = None
        self._written = 0
        self._held = bytearray()
        self._synced = 0
        """How much of its beginning is never written anew [bytes]."""
        self._appending = threading.Lock()
        self._syncing = threading.Lock()

    @property
    def length(self) -> int:
        """What it holds, with what is not written yet [bytes]."""
        with self._appending, telling("read", self._path):
            self._opened()
            return self._written + len(self._held)

    def append(self, data: Chunk) -> None:
        """Extend it; `flush` hands it to the system.

        Args:
            data: what is added; held when it cannot be written.
        """
        with self._appending, telling("write", self._path):
            self._held += data
            self._opened()
            if len(self._held) >= BUFFER_BYTES:
                self._write_held()

    def flush(self) -> None:
        """Hand it to the system: it survives the end of this process."""
        with self._appending, telling("write", self._path):
            self._write_held()

    def sync(self) -> None:
        """Have it on the disk: where its name is there, it survives the loss of power.

        A system that failed to sync may call the next sync a success without having
        written what it failed to write. So what was not synced is written anew.

        References:
            Rebello et al., "Can applications recover from fsync failures?", USENIX ATC
            2020.
        """
        with self._syncing, telling("write", self._path):
            with self._appending:
                self._write_held()
                file, written = self._opened(), self._written
            if written == self._synced:
                return
            try:
                self._disk.sync(file)
            except OSError:
                self._write_anew()
                raise
            self._synced = written

    def truncate(self, size: int) -> None:
        """Cut it to a size.

        Args:
            size: how much of its beginning stays [bytes].

        Raises:
            RunError: it is shorter.
        """
        with self._syncing, self._appending, telling("write", self._path):
            self._write_held()
            file = self._opened()
            if self._written < size:
                raise RunError(
                    f"{self._path} holds {self._written:,} bytes, and {size:,} of it belong "
                    "to what was saved.",
                    "restore the file from a copy, or start the run again.",
                )
            if self._written > size:
                self._disk.truncate(file, size)
                self._written = size
                self._synced = min(self._synced, size)

    def close(self) -> None:
        """Write what is held, and close it. A second call does nothing."""
        with self._syncing, self._appending, telling("write", self._path):
            try:
                if self._held:
                    self._write_held()
            finally:
                file, self._file = self._file, None
                if file is not None:
                    self._disk.close(file)

    def _opened(self) -> int:
        """Return its descriptor."""
        if self._file is None:
            self._prepare_folder(self._path.parent)
            file = self._disk.extend(self._path)
            try:
                self._written = self._synced = self._disk.size(file)
            except OSError:
                self._disk.close(file)
                raise
            self._file = file
        return self._file

    def _write_held(self) -> None:
        """Write what is held; what the system does not take stays held."""
        while self._held:
            written = self._disk.write_some(self._opened(), bytes(self._held[:BUFFER_BYTES]))
            self._written += written
            del self._held[:written]

    def _write_anew(self) -> None:
        """Write again what was written and not synced, as far as the disk allows it."""
        with self._appending, suppress(OSError):
            unsynced = self._disk.read(self._path)[self._synced :]
            self._disk.truncate(self._opened(), self._synced)
            self._held[:0] = unsynced
            self._written = self._synced
            self._write_held()
