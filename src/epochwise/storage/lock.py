"""One training at a time in a run's folder.

The lock is the system's, on a file that says who has it. It ends with the process,
however that ends, so nobody has to guess whether the one named in the file still lives.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from epochwise.errors import RunError
from epochwise.storage.folder import RunFolder

LOCK_FILE: Final = "run.lock"

_BEGINNING: Final = ".beginning-"

_TRIES: Final = 25
_SECONDS_BETWEEN: Final = 0.02
"""For a process that is being ended, and one that has not written its name yet [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who has a run's lock.

    Args:
        pid: the process's number.
        host: the machine that it runs on.
        since: when it took the lock, local time with its offset.
    """

    pid: int
    host: str
    since: str

    @property
    def is_gone(self) -> bool:
        """Whether it ran on this machine and does not any more."""
        if self.host != socket.gethostname() or sys.platform == "win32":
            return False  # not to be known, or not to be asked without ending it
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except OSError:  # there, and somebody else's
            return False
        return False


@contextmanager
def locked(folder: RunFolder) -> Iterator[None]:
    """Hold a run's lock: as long as it lasts, no other training takes it.

    A file system that has no locks is told of in one warning, and nothing is held.

    Args:
        folder: the run's.

    Raises:
        RunError: another training holds it; names that one. Or the file cannot be made.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> folder = RunFolder(Path(tempfile.mkdtemp()))
        >>> with locked(folder):
        ...     folder.names(".")
        ['run.lock']
    """
    file = _take(folder, json.dumps(asdict(_ourselves())).encode() + b"\n")
    if file is None:
        warnings.warn(
            f"The file system of {folder.path} has no locks: a second training in this "
            "folder would not be noticed.",
            stacklevel=3,
        )
        yield
        return
    try:
        yield
    finally:
        folder.unlock(file)


def is_held(path: Path) -> bool:
    """Tell whether a training holds a run's lock now, by what its file says.

    Args:
        path: the run's folder.
    """
    return _goes_on(path / LOCK_FILE)


@contextmanager
def beginning(parent: Path) -> Iterator[None]:
    """Let it be known that a run in a folder is about to begin; see `is_beginning`.

    What is needed before its own folder is there (a framework, the data) takes seconds.
    Where the note cannot be written, nobody learns of it, and that is all.

    Args:
        parent: the folder that the run will be kept in.
    """
    note = parent / f"{_BEGINNING}{os.getpid()}"
    made = not parent.exists()
    with suppress(OSError):
        parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(asdict(_ourselves())), encoding="utf-8")
    try:
        yield
    finally:
        with suppress(OSError):
            note.unlink()
        if made:
            with suppress(OSError):
                parent.rmdir()  # nothing has come of it


def is_beginning(parent: Path) -> bool:
    """Tell whether a run in a folder is about to begin; see `beginning`."""
    return any(_goes_on(note) for note in parent.glob(f"{_BEGINNING}*"))


def _goes_on(file: Path) -> bool:
    """Whether the process that a file names is there."""
    try:
        holder = _named_in(file.read_bytes())
    except OSError:
        return False
    return holder is not None and not holder.is_gone


def _ourselves() -> Holder:
    return Holder(
        pid=os.getpid(),
        host=socket.gethostname(),
        since=datetime.now().astimezone().isoformat(timespec="seconds"),
    )


def _take(folder: RunFolder, content: bytes) -> int | None:
    """Return the locked file; wait a moment for one who is about to let go of it."""
    holder = None
    for _ in range(_TRIES):
        try:
            return folder.lock(LOCK_FILE, content)
        except BlockingIOError:
            holder = _holder(folder)
            if holder is not None and not holder.is_gone:
                break
            time.sleep(_SECONDS_BETWEEN)
    who, remedy = "another process", "end that process, or "
    if holder is not None:
        who = f"process {holder.pid} on {holder.host}, since {holder.since}"
        remedy = f"wait for its end, or end it with `kill {holder.pid}` on {holder.host}; or "
        if holder.is_gone:
            who += " (it is gone, but a process that it started is not)"
            remedy = "end the processes that it started; or "
    raise RunError(
        f"{folder.path} is being trained by {who}.",
        f"{remedy}train into a folder of its own, with another run_dir.",
    )


def _holder(folder: RunFolder) -> Holder | None:
    """Return who is said to hold the lock; `None` while that is not written."""
    return _named_in(folder.read(LOCK_FILE) or b"")


def _named_in(content: bytes) -> Holder | None:
    """Return who wrote a file; `None` where it does not say."""
    try:
        said = json.loads(content)
        return Holder(pid=int(said["pid"]), host=str(said["host"]), since=str(said["since"]))
    except (ValueError, KeyError, TypeError):
        return None
