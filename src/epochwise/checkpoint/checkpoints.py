"""The checkpoints of a run: saved whole, verified before use, thinned out.

    checkpoints/000000000938/state.safetensors    the arrays
    checkpoints/000000000938/manifest.json        what it is, written last

A checkpoint is there once its folder has its name, which is the number of iterations
done (with `.2` and so on for another at the same place). Before that the folder's name
ends in `.part`, as it does again while it is removed. One that turns out not to be what
was written is renamed, `.damaged`, and kept for whoever wants to know why.
"""

from __future__ import annotations

import errno
import hashlib
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from epochwise.checkpoint.manifest import FileDigest, Manifest
from epochwise.counting.position import Position
from epochwise.errors import RunError
from epochwise.events import TrainingState
from epochwise.record import RunFolder
from epochwise.record.tensors import decoded, encoded
from epochwise.storage.disk import Chunk
from epochwise.storage.folder import TEMPORARY

FOLDER: Final = "checkpoints"
STATE_FILE: Final = "state.safetensors"
MANIFEST_FILE: Final = "manifest.json"
DAMAGED: Final = ".damaged"
"""Ends the name of a checkpoint that was set aside."""

_NAME = re.compile(r"(\d{12,})(?:\.(\d+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint that is on the disk.

    Args:
        name: its folder's, in `checkpoints/`.
        manifest: what it says about itself.
    """

    name: str
    manifest: Manifest

    @property
    def position(self) -> Position:
        """How much was done."""
        return self.manifest.position

    @property
    def fits(self) -> Mapping[str, Any]:
        """What a training must be like to go on from it."""
        return self.manifest.fits

    @property
    def record_lengths(self) -> Mapping[str, int]:
        """How much of each file of the record belongs to what was done [bytes]."""
        return self.manifest.record_lengths


class Checkpoints:
    """The checkpoints in a run's folder.

    Args:
        folder: the run's; the one that its record is appended through, so that a
            checkpoint never reaches the disk before what it says of the record.
        keep_last: how many of the latest places are kept; at least 1 [checkpoints].

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from epochwise.counting.position import START
        >>> checkpoints = Checkpoints(RunFolder(Path(tempfile.mkdtemp())))
        >>> state = TrainingState(
        ...     position=START, arrays={"trainable/0": np.ones(2)}, memories={"best": 0.5}
        ... )
        >>> checkpoints.save(state, fits={}, record_lengths={}).name
        '000000000000'
        >>> checkpoints.load(checkpoints.newest()).memories
        {'best': 0.5}
    """

    def __init__(self, folder: RunFolder, keep_last: int = 3) -> None:
        """Look at the folder; nothing is read or written yet."""
        if keep_last < 1:
            raise ValueError(f"keep_last={keep_last} would keep no checkpoint")
        self.folder = folder
        self.keep_last = keep_last

    def committed(self) -> list[str]:
        """Return the names of the checkpoints, oldest first; none of them is verified.

        Raises:
            RunError: the folder cannot be read.
        """
        return sorted((n for n in self.folder.names(FOLDER) if _NAME.fullmatch(n)), key=_place)

    def save(
        self,
        state: TrainingState,
        *,
        fits: Mapping[str, Any],
        record_lengths: Mapping[str, int],
        best: int | None = None,
    ) -> Checkpoint:
        """Save a state, complete or not at all, then remove what is not kept.

        What was appended to the folder before is synced first. Returns when all of it
        survives the loss of power; may run in a thread of its own.

        Args:
            state: nobody changes its arrays meanwhile.
            fits: see `Manifest`.
            record_lengths: see `Manifest`.
            best: where the best weights so far are, whose checkpoint, if there is one,
                is kept as well [iterations done].

        Raises:
            RunError: it could not be written; no trace of it is left, unless the disk
                refuses that as well.
        """
        self.remove_leftovers()
        self.folder.sync()
        earlier = self.committed()
        name = _new_name(earlier, state.position)
        with self.folder.new_folder(f"{FOLDER}/{name}") as inside:
            arrays = _Digested(encoded(state.arrays, {}))
            inside.write(STATE_FILE, arrays)
            manifest = Manifest(
                position=state.position,
                files={STATE_FILE: arrays.digest()},
                memories=state.memories,
                fits=fits,
                record_lengths=record_lengths,
            )
            inside.write(MANIFEST_FILE, [manifest.to_bytes()])
        self._remove(self._superseded([*earlier, name], best))
        return Checkpoint(name=name, manifest=manifest)

    def newest(self) -> Checkpoint | None:
        """Return the newest checkpoint that is what was written; `None` if there is none.

        One that is not is set aside, with one warning.

        Raises:
            RunError: one is there and cannot be read.
        """
        found = self.load_newest()
        return None if found is None else found[0]

    def load_newest(self) -> tuple[Checkpoint, TrainingState] | None:
        """Return what `newest` returns, with its state, read and verified once.

        Raises:
            RunError: see `newest`.
        """
        for name in reversed(self.committed()):
            try:
                return self._read(name)
            except ValueError as error:
                self._set_aside(name, error)
        return None

    def load(self, checkpoint: Checkpoint) -> TrainingState:
        """Return the state of a checkpoint, once all of it was verified.

        Args:
            checkpoint: one of this run's.

        Returns:
            The state; its arrays cannot be written to.

        Raises:
            RunError: it is not what was written.
        """
        try:
            return self._read(checkpoint.name)[1]
        except ValueError as error:
            raise RunError(
                f"The checkpoint {checkpoint.name} in {self.folder.path} is damaged: {error}.",
                "go on from the one before it: ask for the newest again.",
            ) from error

    def remove_leftovers(self) -> None:
        """Remove what a process that was killed has left half written or half removed.

        Only the training that holds the run's lock may do so. What cannot be removed
        is told of in a warning, and tried again at the next save.

        Raises:
            RunError: the folder cannot be read.
        """
        self._remove(n for n in self.folder.names(FOLDER) if n.endswith(TEMPORARY))

    def _read(self, name: str) -> tuple[Checkpoint, TrainingState]:
        """Read and verify a checkpoint.

        Raises:
            ValueError: it is not what was written.
            RunError: it cannot be read now, or not by this version.
        """
        manifest = Manifest.from_bytes(self._read_file(name, MANIFEST_FILE))
        if manifest.position.iterations_done != _place(name)[0]:
            raise ValueError(f"{MANIFEST_FILE} is that of another checkpoint")
        data = self._read_file(name, STATE_FILE)
        manifest.files[STATE_FILE].verify(data)
        arrays, _ = decoded(data)
        state = TrainingState(
            position=manifest.position, arrays=arrays, memories=manifest.memories
        )
        return Checkpoint(name=name, manifest=manifest), state

    def _read_file(self, name: str, file: str) -> bytes:
        try:
            data = self.folder.read(f"{FOLDER}/{name}/{file}")
        except RunError as error:
            cause = error.__cause__
            if isinstance(cause, OSError) and cause.errno == errno.EIO:
                raise ValueError(f"the disk cannot read {file} ({cause.strerror})") from error
            raise
        if data is None:
            raise ValueError(f"{file} is missing")
        return data

    def _set_aside(self, name: str, error: Exception) -> None:
        """Rename a checkpoint that is not what was written, and say so."""
        taken = set(self.folder.names(FOLDER))
        aside, copies = name + DAMAGED, 1
        while aside in taken:
            copies += 1
            aside = f"{name}{DAMAGED}.{copies}"
        try:
            self.folder.rename_folder(f"{FOLDER}/{name}", f"{FOLDER}/{aside}")
            kept = f"It was set aside as {aside}"
        except RunError as refused:
            kept = f"It could not be set aside ({refused.problems[0].what})"
        warnings.warn(
            f"The checkpoint {name} in {self.folder.path} is damaged: {error}. {kept}; the "
            "one before it is used.",
            stacklevel=4,
        )

    def _remove(self, names: Iterable[str]) -> None:
        """Remove folders; those that the disk refuses to remove only take its space."""
        for name in names:
            try:
                self.folder.remove_folder(f"{FOLDER}/{name}")
            except RunError as error:
                warnings.warn(str(error), stacklevel=4)

    def _superseded(self, names: list[str], best: int | None) -> list[str]:
        """Return the checkpoints that are not kept, oldest first."""
        latest = {_place(name)[0]: name for name in names}
        places = list(latest)[-self.keep_last :]
        if best is not None:
            places.append(best)
        kept = {latest[place] for place in places if place in latest}
        return [name for name in names if name not in kept]


class _Digested:
    """Chunks that are hashed while they go by."""

    def __init__(self, chunks: Iterable[Chunk]) -> None:
        self._chunks = chunks
        self._size = 0
        self._sha256 = hashlib.sha256()

    def __iter__(self) -> Iterator[Chunk]:
        for chunk in self._chunks:
            self._size += len(chunk)
            self._sha256.update(chunk)
            yield chunk

    def digest(self) -> FileDigest:
        return FileDigest(size=self._size, sha256=self._sha256.hexdigest())


def _place(name: str) -> tuple[int, int]:
    """Return the iterations done, and the number among those of the same place."""
    match = _NAME.fullmatch(name)
    assert match is not None
    return int(match[1]), int(match[2] or 1)


def _new_name(names: list[str], position: Position) -> str:
    """Return a name that sorts behind those of the same place."""
    name = f"{position.iterations_done:012d}"
    copies = [copy for done, copy in map(_place, names) if done == position.iterations_done]
    return f"{name}.{max(copies) + 1}" if copies else name
