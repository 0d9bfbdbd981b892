"""A file system that loses power: what the disk may hold after a crash at any moment.

`LoggingDisk` does everything on the real disk and keeps a log of it. `Replay` plays a
part of the log on a model of a file system that promises no more than POSIX does:

- what was written to a file is on the disk once the file was synced, and not before;
- a name made, changed or removed is on the disk once its folder was synced;
- before that each write, each sector of it, each name may be there or not, in any
  combination, whatever the order in which they were asked for;
- what a sync that failed should have written is lost, and a later sync calls it written.

`ImageDisk` is what the crash left, for reading.
"""

from __future__ import annotations

import errno
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from epochwise.storage.disk import Chunk, Disk

SECTOR_BYTES = 512
"""What a disk writes at once [bytes]."""

Entry = tuple[Any, ...]
"""A line of a log: what was done, and to what."""


class LoggingDisk(Disk):
    """The real disk, with a log of what was done to it; it is never synced, only said so.

    Args:
        forget_sync: the place among all syncs of one that is not made, from 0.
        fail_sync: the place among the syncs of files of one that fails, from 0.
    """

    def __init__(self, *, forget_sync: int | None = None, fail_sync: int | None = None) -> None:
        self.log: list[Entry] = []
        self.syncs = self.file_syncs = 0
        self._forget_sync, self._fail_sync = forget_sync, fail_sync
        self._opened: dict[int, int] = {}

    def mark(self, *entry: Any) -> None:
        """Note what whoever uses the disk has been promised."""
        self.log.append(("mark", *entry))

    def make_folder(self, path: Path) -> None:
        super().make_folder(path)
        self.log.append(("make_folder", path))

    def create(self, path: Path) -> int:
        file = super().create(path)
        return self._log_open("create", path, file)

    def extend(self, path: Path) -> int:
        file = super().extend(path)
        return self._log_open("extend", path, file)

    def write(self, file: int, data: Chunk) -> int:
        written = super().write(file, data)
        self.log.append(("write", self._opened[file], bytes(data[:written])))
        return written

    def truncate(self, file: int, size: int) -> None:
        super().truncate(file, size)
        self.log.append(("truncate", self._opened[file], size))

    def sync(self, file: int) -> None:
        fails = self.file_syncs == self._fail_sync
        self.file_syncs += 1
        if fails:
            self.log.append(("failed_sync", self._opened[file]))
            raise OSError(errno.EIO, "Input/output error")
        self._log_sync("sync", self._opened[file])

    def sync_folder(self, path: Path) -> None:
        self._log_sync("sync_folder", path)

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        self.log.append(("rename", old, new))

    def remove(self, path: Path) -> None:
        super().remove(path)
        self.log.append(("remove", path))

    def remove_folder(self, path: Path) -> None:
        super().remove_folder(path)
        self.log.append(("remove", path))

    def _log_open(self, done: str, path: Path, file: int) -> int:
        self._opened[file] = len(self.log)
        self.log.append((done, path, len(self.log)))
        return file

    def _log_sync(self, *entry: Any) -> None:
        if self.syncs == self._forget_sync:
            self.log.append(("mark", "forgotten"))
        else:
            self.log.append(entry)
        self.syncs += 1


@dataclass(eq=False)
class _File:
    """A file: what is on the disk, what may be, and what programs see."""

    durable: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    """Writes at an offset; `None` for a cut to that size."""
    size: int = 0


@dataclass(eq=False)
class _Folder:
    """A folder: the names on the disk, those that may be, and those that programs see."""

    durable: dict[str, Any] = field(default_factory=dict)
    pending: list[dict[str, Any]] = field(default_factory=list)
    """Changes, each made whole or not at all; `None` for a name that is removed."""
    seen: dict[str, Any] = field(default_factory=dict)

    def change(self, **names: Any) -> None:
        self.pending.append(names)
        _change(self.seen, names)


Chosen = Callable[[int], float]
"""For the place of a change among all that may be lost, the share of it that is kept."""


class Replay:
    """A file system, as far as a log has been played.

    Args:
        root: the folder that everything in the log is below.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._top = _Folder()
        self._files: dict[int, _File] = {}
        self._nodes: list[_File | _Folder] = [self._top]

    def play(self, entry: Entry) -> None:
        """Do what a line of the log says."""
        match entry:
            case ("mark", *_):
                pass
            case ("make_folder", path):
                self._parent(path).change(**{path.name: self._added(_Folder())})
            case ("create" | "extend" as done, path, handle):
                parent = self._parent(path)
                if path.name not in parent.seen:
                    parent.change(**{path.name: self._added(_File())})
                file = parent.seen[path.name]
                self._files[handle] = file
                if done == "create" and file.size:
                    file.pending.append((0, None))
                    file.size = 0
            case ("write", handle, data):
                file = self._files[handle]
                file.pending.append((file.size, data))
                file.size += len(data)
            case ("truncate", handle, size):
                self._files[handle].pending.append((size, None))
                self._files[handle].size = size
            case ("sync", handle):
                file = self._files[handle]
                file.durable = _written(file.durable, file.pending, lambda _: True)
                file.pending.clear()
            case ("failed_sync", handle):
                file = self._files[handle]
                file.durable = _written(file.durable, file.pending, lambda _: False)
                file.pending.clear()
            case ("sync_folder", path):
                folder = self._folder(path)
                folder.durable = dict(folder.seen)
                folder.pending.clear()
            case ("rename", old, new):
                parent = self._parent(old)
                assert parent is self._parent(new)
                parent.change(**{new.name: parent.seen[old.name], old.name: None})
            case ("remove", path):
                self._parent(path).change(**{path.name: None})
            case _:
                raise AssertionError(f"{entry} is no line of a log")

    @property
    def losable(self) -> int:
        """How many changes may be lost."""
        return sum(len(node.pending) for node in self._nodes)

    def image(self, kept: Chosen, rng: random.Random) -> ImageDisk:
        """Return what is left when some of the changes that may be lost are.

        Args:
            kept: how much of each is kept; of a name all or nothing, of a write whole
                sectors, taken at random.
            rng: takes them.
        """
        first, shares = 0, {}
        for node in self._nodes:
            shares[id(node)] = [kept(first + place) for place in range(len(node.pending))]
            first += len(node.pending)

        def names(folder: _Folder) -> dict[str, Any]:
            left = dict(folder.durable)
            for change, share in zip(folder.pending, shares[id(folder)], strict=True):
                if share >= 0.5:
                    _change(left, change)
            return left

        def content(file: _File) -> bytes:
            left = file.durable
            for change, share in zip(file.pending, shares[id(file)], strict=True):
                if share > 0:
                    left = _written(left, [change], lambda _, s=share: rng.random() < s)
            return left

        def walk(folder: _Folder, path: Path) -> Iterator[tuple[Path, bytes | None]]:
            yield path, None
            for name, node in names(folder).items():
                if isinstance(node, _Folder):
                    yield from walk(node, path / name)
                else:
                    yield path / name, content(node)

        return ImageDisk(dict(walk(self._top, self._root)))

    def images(self, rng: random.Random, *, torn: int) -> Iterator[ImageDisk]:
        """Yield what a crash may leave here: all lost, none, each, and at random.

        Args:
            rng: chooses.
            torn: how many are chosen at random, in parts.
        """
        count = self.losable
        yield self.image(lambda _: 0.0, rng)
        if count == 0:
            return
        yield self.image(lambda _: 1.0, rng)
        for place in range(count):
            yield self.image(lambda each, lost=place: float(each != lost), rng)
        if count > 1:
            for place in range(count):
                yield self.image(lambda each, only=place: float(each == only), rng)
        for _ in range(torn):
            shares = [rng.choice((0.0, 0.5, 0.9, 1.0)) for _ in range(count)]
            yield self.image(shares.__getitem__, rng)

    def _added(self, node: Any) -> Any:
        self._nodes.append(node)
        return node

    def _parent(self, path: Path) -> _Folder:
        return self._folder(path.parent)

    def _folder(self, path: Path) -> _Folder:
        folder = self._top
        for name in path.relative_to(self._root).parts:
            folder = folder.seen[name]
        return folder


class ImageDisk(Disk):
    """What a crash left, in memory: it is read, and folders are renamed.

    Args:
        nodes: the content of each file by its path; `None` for a folder.
    """

    def __init__(self, nodes: dict[Path, bytes | None]) -> None:
        self.nodes = nodes

    def read(self, path: Path) -> bytes:
        content = self.nodes.get(path)
        if content is None:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return content

    def names(self, path: Path) -> list[str]:
        if path not in self.nodes:
            raise FileNotFoundError(errno.ENOENT, "No such file or directory")
        return [inside.name for inside in self.nodes if inside.parent == path]

    def rename(self, old: Path, new: Path) -> None:
        for path in [p for p in self.nodes if p == old or old in p.parents]:
            self.nodes[new / path.relative_to(old)] = self.nodes.pop(path)

    def sync_folder(self, path: Path) -> None:
        assert path in self.nodes

    def write_out(self, root: Path, to: Path) -> None:
        """Put it on the real disk.

        Args:
            root: the folder that it is below here.
            to: the folder that is to take its place; made here.
        """
        for path, content in self.nodes.items():
            place = to / path.relative_to(root)
            if content is None:
                place.mkdir()
            else:
                place.write_bytes(content)


def _change(names: dict[str, Any], change: dict[str, Any]) -> None:
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def _written(
    content: bytes, changes: list[tuple[int, bytes | None]], keeps: Callable[[int], bool]
) -> bytes:
    """Return a file's content after some changes, of which some sectors are kept."""
    left = bytearray(content)
    for offset, data in changes:
        if data is None:
            if keeps(0):
                left = left[:offset] + bytes(max(0, offset - len(left)))
            continue
        left += bytes(max(0, offset + len(data) - len(left)))
        for begin in range(0, len(data), SECTOR_BYTES):
            piece = data[begin : begin + SECTOR_BYTES]
            if keeps(begin):
                left[offset + begin : offset + begin + len(piece)] = piece
    return bytes(left)
