"""A folder of IDX files, the format MNIST came in, gzipped or not.

Owns the names of the files and their header: two zero bytes, the number of a dtype, the
number of axes, then each axis as 32 bits, the most significant byte first. A header is
believed only when the file can hold what it says.

References:
    LeCun, Cortes and Burges, "The MNIST database", section "File formats".
    RFC 1952: the gzip format.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

import numpy as np

from epochwise.data.samples import Array, Dataset, Samples
from epochwise.data.sources import labels
from epochwise.data.sources.limits import check_memory, deflate_can_hold
from epochwise.data.sources.parts import Part, part_of, unused_note
from epochwise.data.sources.streams import (
    Bytes,
    Header,
    check_not_empty,
    divisor_of,
    feature_dtype,
    read_as_stored,
    read_features,
)
from epochwise.errors import DataError

NAMES = "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, …"
_NAME = re.compile(
    r"(?P<prefix>.*-)?(?P<part>train|t10k|test|val|valid|validation|dev)-(?P<kind>images|labels)"
    r"[-.]idx[0-9]-[a-z0-9]+(?P<gzip>\.gz)?"
)
_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_AGAIN = "copy or download the file again."


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """One IDX file of the folder.

    Args:
        path: the file.
        gzipped: whether it is to be inflated, by its name.
        file_bytes: its size on disk [bytes].
    """

    path: Path
    gzipped: bool
    file_bytes: int


def is_idx_folder(folder: Path) -> bool:
    """Tell whether a folder holds a file named as MNIST's are."""
    return any(_NAME.fullmatch(entry.name) for entry in folder.iterdir())


def read_idx(folder: Path, *, asked: labels.AskedTask | None = None) -> Dataset:
    """Read a folder of IDX files as a data set.

    Args:
        folder: holds the images and labels of the training part, and perhaps of a
            validation and a test part, under MNIST's names; where a file is there both
            gzipped and not, the latter is read.
        asked: what the user says the targets are.

    Returns:
        Training part, validation and test part where there are, class names.

    Raises:
        DataError: a file is missing, damaged, longer or shorter than its header says, or
            images and labels differ in number.
    """
    files, unused = _files(folder)
    parts: list[Part] = ["train"]
    parts += [part for part in ("validation", "test") if (part, "images") in files]
    roles = [(part, kind) for part in parts for kind in ("images", "labels")]
    for part, kind in roles:
        if (part, kind) not in files:
            raise DataError(
                f"{folder}: no file with the {kind} of the {part} part.",
                f"name the files as MNIST's are: {NAMES} (.gz may follow).",
            )
    headers = {role: _header(files[role]) for role in roles}
    _check_headers(headers, files, parts, folder)
    images = {
        part: _array(files[part, "images"], headers[part, "images"], "images") for part in parts
    }
    targets = labels.encode(
        [
            (
                _array(files[part, "labels"], headers[part, "labels"], "labels"),
                str(files[part, "labels"].path),
            )
            for part in parts
        ],
        name=files["train", "labels"].path.name,
        asked=asked,
    )
    divisor = divisor_of(headers["train", "images"].dtype)
    samples = {
        part: Samples(x=images[part], y=y, divisor=divisor)
        for part, y in zip(parts, targets.parts, strict=True)
    }
    return Dataset(
        name=folder.resolve().name,
        train=samples["train"],
        validation=samples.get("validation"),
        test=samples.get("test"),
        task=targets.task,
        classes=targets.classes,
        notes=unused_note(unused),
    )


def _files(folder: Path) -> tuple[dict[tuple[Part, str], _File], list[str]]:
    """Return the file for each part and kind, an inflated one before a gzipped one.

    With them, the names of files that none of it is; hidden ones are passed over.
    """
    found: dict[tuple[Part, str], _File] = {}
    unused: list[str] = []
    prefixes: set[str] = set()
    for path in sorted(folder.iterdir()):
        name = _NAME.fullmatch(path.name)
        if name is None:
            if not path.name.startswith("."):
                unused.append(path.name)
            continue
        if not path.is_file():
            raise DataError(f"{path}: not a regular file.", "put the file itself there.")
        prefixes.add(name["prefix"] or "")
        role = (part_of(name["part"]) or "test", name["kind"])  # t10k is MNIST's test part
        file = _File(
            path=path, gzipped=name["gzip"] is not None, file_bytes=path.stat().st_size
        )
        if len(prefixes) == 1 and role in found and found[role].gzipped == file.gzipped:
            raise DataError(
                f"{folder}: {found[role].path.name} and {path.name} both hold the {role[1]} of "
                f"the {role[0]} part.",
                "move one of them out of the folder.",
            )
        if role not in found or found[role].gzipped:
            found[role] = file
    if len(prefixes) > 1:
        told = ", ".join(repr(prefix) for prefix in sorted(prefixes))
        raise DataError(
            f"{folder}: files of several sets, whose names begin with {told}.",
            "keep each set in a folder of its own.",
        )
    for part, kind in found:
        if kind == "labels" and (part, "images") not in found and part != "train":
            raise DataError(
                f"{found[part, 'labels'].path}: labels of a {part} part without its images.",
                "add the file with the images, or take the labels away.",
            )
    return found, unused


@contextmanager
def _opened(file: _File) -> Iterator[IO[bytes]]:
    """Open a file, inflating it where its name says so, with its errors mapped."""
    try:
        with file.path.open("rb") as raw:
            if not file.gzipped:
                yield raw
                return
            with gzip.GzipFile(fileobj=raw) as inflated:
                yield cast("IO[bytes]", inflated)
    except (gzip.BadGzipFile, EOFError, zlib.error, struct.error) as error:
        raise DataError(
            f"{file.path}: damaged or truncated gzip ({type(error).__name__}: {error}).",
            _AGAIN,
        ) from error


def _header(file: _File) -> Header:
    """Read a header and compare its claims with what the file can hold."""
    with _opened(file) as stream:
        start = stream.read(4)
        if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _DTYPES:
            raise DataError(
                f"{file.path}: no IDX file; it begins with the bytes {start!r}.",
                "IDX begins with two zero bytes and the number of a dtype; " + _AGAIN,
            )
        axes = start[3]
        raw = stream.read(4 * axes)
    if len(raw) < 4 * axes:
        raise DataError(f"{file.path}: ends within its header of {axes} axes.", _AGAIN)
    header = Header(
        dtype=np.dtype(_DTYPES[start[2]]),
        shape=struct.unpack(f">{axes}I", raw),
        header_bytes=4 + 4 * axes,
    )
    if axes > 32:
        raise DataError(f"{file.path}: the header claims {axes} axes.", _AGAIN)
    claimed = header.header_bytes + header.data_bytes
    possible = (
        deflate_can_hold(file.file_bytes, claimed)
        if file.gzipped
        else claimed == file.file_bytes
    )
    if not possible:
        raise DataError(
            f"{file.path}: the header claims shape {header.shape}, {claimed:,} bytes in all, "
            f"but the {'gzipped ' if file.gzipped else ''}file has {file.file_bytes:,}.",
            _AGAIN,
        )
    check_not_empty(header, str(file.path))
    return header


def _check_headers(
    headers: dict[tuple[Part, str], Header],
    files: dict[tuple[Part, str], _File],
    parts: list[Part],
    folder: Path,
) -> None:
    """Compare the files with each other, and all of them with the memory allowed."""
    needed = 0
    for part in parts:
        x, y = headers[part, "images"], headers[part, "labels"]
        if x.shape[0] != y.shape[0]:
            raise DataError(
                f"{files[part, 'images'].path} has {x.shape[0]:,} samples, but "
                f"{files[part, 'labels'].path} has {y.shape[0]:,}.",
                "use the two files of the same set.",
            )
        needed += x.peak_bytes(feature_dtype(x.dtype, len(x.shape)))
        needed += y.data_bytes + y.data_bytes // y.dtype.itemsize * 4
    train = headers["train", "images"]
    for part in parts:
        other = headers[part, "images"]
        if train.shape[1:] != other.shape[1:] or train.dtype != other.dtype:
            raise DataError(
                f"{folder}: training images are {train.dtype.name} of shape "
                f"{train.shape[1:]}, {part} images {other.dtype.name} of {other.shape[1:]}.",
                "use the files of the same set.",
            )
    check_memory(
        needed,
        sum(files[part, kind].file_bytes for part, kind in headers),
        place=str(folder),
        remedy="inflate the files with gunzip first.",
    )


def _array(file: _File, header: Header, kind: str) -> Array:
    """Read one file to its end, where gzip compares the checksum."""
    with _opened(file) as stream:
        stream.read(header.header_bytes)
        read = read_features if kind == "images" else read_as_stored
        array = read(cast("Bytes", stream), header, str(file.path))
        if stream.read(1):
            raise DataError(
                f"{file.path}: goes on after the {header.data_bytes:,} bytes of data that "
                "its header claims.",
                _AGAIN,
            )
    return array
