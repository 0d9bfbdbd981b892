"""A disk that refuses, that takes half, or on which the process is killed, on demand."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from epochwise.storage.disk import Chunk, Disk

Do = Callable[..., Any]


class FaultyDisk(Disk):
    """The real disk, never synced, that counts its operations and lets one go wrong.

    Attributes:
        operations: how many were asked for.
        names: theirs, in order.
        fault: asked at each, once it is set: gets its place among those since then, its
            name, what does it, and its arguments; does it or does not.
    """

    def __init__(self) -> None:
        self.operations = 0
        self.asked: list[str] = []
        self.fault: Callable[[int, str, Do, tuple[Any, ...]], Any] | None = None

    def watch(self, fault: Callable[[int, str, Do, tuple[Any, ...]], Any] | None) -> None:
        """Let a fault see all operations from now on."""
        self.fault, self.operations, self.asked = fault, 0, []

    def _do(self, name: str, do: Do, *arguments: Any) -> Any:
        place = self.operations
        self.operations += 1
        self.asked.append(name)
        if self.fault is None:
            return do(*arguments)
        return self.fault(place, name, do, arguments)

    def make_folder(self, path: Path) -> None:
        self._do("make_folder", super().make_folder, path)

    def create(self, path: Path) -> int:
        return int(self._do("create", super().create, path))

    def extend(self, path: Path) -> int:
        return int(self._do("extend", super().extend, path))

    def write(self, file: int, data: Chunk) -> int:
        return int(self._do("write", super().write, file, data))

    def truncate(self, file: int, size: int) -> None:
        self._do("truncate", super().truncate, file, size)

    def size(self, file: int) -> int:
        return int(self._do("size", super().size, file))

    def sync(self, file: int) -> None:
        self._do("sync", lambda _: None, file)

    def close(self, file: int) -> None:
        self._do("close", super().close, file)

    def sync_folder(self, path: Path) -> None:
        self._do("sync_folder", lambda _: None, path)

    def rename(self, old: Path, new: Path) -> None:
        self._do("rename", super().rename, old, new)

    def remove(self, path: Path) -> None:
        self._do("remove", super().remove, path)

    def remove_folder(self, path: Path) -> None:
        self._do("remove_folder", super().remove_folder, path)

    def read(self, path: Path) -> bytes:
        return bytes(self._do("read", super().read, path))

    def names(self, path: Path) -> list[str]:
        return list(self._do("names", super().names, path))


def refuses(first: int, number: int, *, lasting: bool) -> Any:
    """Return a fault: an operation, and all after it if told so, raises an `OSError`.

    Args:
        first: its place.
        number: the error's, `errno.ENOSPC`.
        lasting: whether all after it are refused as well.
    """

    def fault(place: int, name: str, do: Do, arguments: tuple[Any, ...]) -> Any:
        if place == first or (lasting and place > first):
            if name == "close":  # an error of close leaves the file closed
                do(*arguments)
            raise OSError(number, os.strerror(number))
        return do(*arguments)

    return fault


def takes_half(first: int) -> Any:
    """Return a fault: from an operation on, each write takes half of what it is given."""

    def fault(place: int, name: str, do: Do, arguments: tuple[Any, ...]) -> Any:
        if name == "write" and place >= first:
            file, data = arguments
            return do(file, data[: (len(data) + 1) // 2])
        return do(*arguments)

    return fault


def kills(first: int, moment: str) -> Any:
    """Return a fault: the process is killed at an operation.

    Args:
        first: its place.
        moment: `before`, `after`, or `within` it (half of a write is done).
    """

    def fault(place: int, name: str, do: Do, arguments: tuple[Any, ...]) -> Any:
        if place != first:
            return do(*arguments)
        if moment == "within" and name == "write":
            file, data = arguments
            do(file, data[: len(data) // 2])
        elif moment == "after":
            with suppress(OSError):
                do(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("the process outlived SIGKILL")

    return fault
