"""NumPy's `.npz`: a zip of arrays, read without trusting any of its sizes.

Owns the zip directory, the `.npy` header and the names of keys: `x_train` and `y_train`, or
`x` and `y`; perhaps `x_val` and `y_val`, `x_test` and `y_test`, in the spellings of
`parts.py`. What else is there is named as not used; what may be one of these misspelled is
refused. Refuses pickles, objects, records
and compressions that NumPy does not write. Every size is compared with what the file can
hold before memory is asked for.

References:
    NumPy enhancement proposal 1 and `numpy.lib.format`: the `.npy` header.
    PKWARE APPNOTE 6.3: the zip directory.
"""

from __future__ import annotations

import ast
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from epochwise.data.samples import Array, Dataset, Samples
from epochwise.data.sources import labels
from epochwise.data.sources.limits import check_memory, deflate_can_hold
from epochwise.data.sources.parts import (
    SHORT,
    Part,
    misspelled_key,
    role_of_key,
    unused_note,
)
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

MOST_DIRECTORY_BYTES = 1 << 20
"""The largest zip directory read [bytes]; an array's entry takes about 60."""

MOST_HEADER_BYTES = 10_000
"""The longest `.npy` header read [bytes]; as NumPy's own limit."""

SAVE_AGAIN = 'save the arrays again: np.savez("data.npz", x_train=..., y_train=...).'
_DTYPE = re.compile(r"[<>|=]?(?:[biuf][0-9]{1,2}|[US][0-9]{1,9})")
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,  # a feature of zip that Python does not read
    RuntimeError,  # an encrypted member
    ValueError,  # a seek to a negative place, a name with a NUL
    OverflowError,
    UnicodeError,
)


def read_npz(path: Path, *, asked: labels.AskedTask | None = None) -> Dataset:
    """Read the arrays of an `.npz` file as a data set.

    Args:
        path: the file.
        asked: what the user says the targets are.

    Returns:
        Training part, validation and test part where there are, class names unless a
        regression.

    Raises:
        DataError: a key is missing or misspelled, lengths disagree, a header claims what
            the file cannot hold, the file is damaged, or its arrays hold what cannot be
            trained on.
    """
    file_bytes = path.stat().st_size
    with _mapped_zip_errors(path), path.open("rb") as file:
        _check_directory(file, file_bytes, path)
        with zipfile.ZipFile(file) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            keys, unused = _keys(members, path)
            headers = {
                key: _header(archive, members[key], file_bytes, f"{path}, key {key!r}")
                for pair in keys.values()
                for key in pair
            }
            _check_headers(headers, keys, file_bytes, path)
            samples = {
                part: tuple(
                    _array(
                        archive, members[key], headers[key], f"{path}, key {key!r}", read=read
                    )
                    for key, read in zip(pair, (read_features, read_as_stored), strict=True)
                )
                for part, pair in keys.items()
            }
    targets = labels.encode(
        [(y, f"{path}, key {keys[part][1]!r}") for part, (_, y) in samples.items()],
        name=keys["train"][1],
        asked=asked,
    )
    divisor = divisor_of(headers[keys["train"][0]].dtype)
    parts = {
        part: Samples(x=x, y=y, divisor=divisor)
        for (part, (x, _)), y in zip(samples.items(), targets.parts, strict=True)
    }
    return Dataset(
        name=path.name,
        train=parts["train"],
        validation=parts.get("validation"),
        test=parts.get("test"),
        task=targets.task,
        classes=targets.classes,
        notes=unused_note(unused),
    )


@contextmanager
def _mapped_zip_errors(path: Path) -> Iterator[None]:
    """Turn what `zipfile` and `zlib` say of a damaged file into a `DataError`."""
    try:
        yield
    except DataError:
        raise
    except _ZIP_ERRORS as error:
        raise DataError(
            f"{path}: not a readable .npz file ({type(error).__name__}: {error}).",
            f"copy or download it again, or {SAVE_AGAIN}",
        ) from error


def _check_directory(file: IO[bytes], file_bytes: int, path: Path) -> None:
    r"""Refuse a zip directory too long for arrays, before `zipfile` reads all of it.

    The last record of a zip, `PK\5\6`, tells the length of the directory; where that does
    not fit in 32 bits, the record of zip64, `PK\6\6`, does.
    """
    tail_bytes = min(file_bytes, (1 << 16) + 22 + 20 + 56)
    file.seek(file_bytes - tail_bytes)
    tail = file.read(tail_bytes)
    file.seek(0)
    for signature, place, form in ((b"PK\x05\x06", 12, "<L"), (b"PK\x06\x06", 40, "<Q")):
        start = tail.rfind(signature)
        if start < 0 or len(tail) < start + place + struct.calcsize(form):
            continue
        (directory_bytes,) = struct.unpack_from(form, tail, start + place)
        if MOST_DIRECTORY_BYTES < directory_bytes != 0xFFFFFFFF:
            raise DataError(
                f"{path}: the zip directory claims {directory_bytes:,} bytes, more than the "
                f"{MOST_DIRECTORY_BYTES:,} that an .npz of arrays can need.",
                SAVE_AGAIN,
            )


def _keys(
    members: dict[str, zipfile.ZipInfo], path: Path
) -> tuple[dict[Part, tuple[str, str]], list[str]]:
    """Return the keys of the features and targets of each part, and those not used."""
    found: dict[tuple[Part, str], str] = {}
    others: list[str] = []
    for key in members:
        role = role_of_key(key)
        if role is None:
            others.append(key)
        elif role in found:
            raise DataError(
                f"{path}: keys {found[role]!r} and {key!r} both name the {role[1]} of the "
                f"{role[0]} part.",
                f"leave one of them out: {SAVE_AGAIN}",
            )
        else:
            found[role] = key
    there = ", ".join(sorted(repr(key) for key in members)[:20]) or "none"
    if not {("train", "x"), ("train", "y")} <= found.keys():
        raise DataError(
            f"{path}: no keys 'x_train' and 'y_train', nor 'x' and 'y'; there are: {there}.",
            "use the keys x_train and y_train (x_val and y_val, x_test and y_test), or x and "
            f"y: {SAVE_AGAIN}",
        )
    for (part, kind), key in found.items():
        partner = "y" if kind == "x" else "x"
        if (part, partner) not in found:
            raise DataError(
                f"{path}: key {key!r} is there without its partner; there are: {there}.",
                f"store both x_{SHORT[part]} and y_{SHORT[part]}, or neither.",
            )
    for key in others:
        meant = misspelled_key(key)
        if meant is not None and role_of_key(meant) not in found:
            raise DataError(
                f"{path}: key {key!r} is not known; there are: {there}.",
                f"did you mean {meant!r}? Save it under that name, or leave it out.",
            )
    parts: tuple[Part, ...] = ("train", "validation", "test")
    keys = {p: (found[p, "x"], found[p, "y"]) for p in parts if (p, "x") in found}
    return keys, sorted(others)


def _header(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, file_bytes: int, place: str
) -> Header:
    """Read one array's header and check all its claims against the zip's."""
    _check_member(info, file_bytes, place)
    with archive.open(info) as stream:
        header = _parse_header(stream, place)
    held = info.file_size - header.header_bytes
    if header.data_bytes != held:
        raise DataError(
            f"{place}: the header claims shape {header.shape} of {header.dtype}, "
            f"{header.data_bytes:,} bytes, but the member holds {held:,}.",
            SAVE_AGAIN,
        )
    check_not_empty(header, place)
    return header


def _check_member(info: zipfile.ZipInfo, file_bytes: int, place: str) -> None:
    """Refuse a member whose sizes cannot be, or that NumPy did not write."""
    if info.flag_bits & 0x1:
        raise DataError(f"{place}: encrypted.", SAVE_AGAIN)
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(
            f"{place}: zip compression number {info.compress_type}, which NumPy does not "
            "write.",
            SAVE_AGAIN,
        )
    stored = info.compress_type == zipfile.ZIP_STORED
    possible = (
        info.file_size == info.compress_size
        if stored
        else deflate_can_hold(info.compress_size, info.file_size)
    )
    if not possible or info.compress_size > file_bytes:
        raise DataError(
            f"{place}: claims {info.file_size:,} bytes in {info.compress_size:,} "
            f"{'stored' if stored else 'compressed'} ones of a file of {file_bytes:,}, "
            "which cannot be.",
            SAVE_AGAIN,
        )


def _parse_header(stream: IO[bytes], place: str) -> Header:
    """Read the `.npy` header: magic, version, length, and a Python literal."""
    start = stream.read(8)
    if len(start) < 8 or start[:6] != b"\x93NUMPY" or start[6] not in (1, 2, 3):
        raise DataError(f"{place}: no NumPy array (its first bytes are {start!r}).", SAVE_AGAIN)
    form = "<H" if start[6] == 1 else "<I"
    length_raw = stream.read(struct.calcsize(form))
    (length,) = struct.unpack(form, length_raw)
    if length > MOST_HEADER_BYTES:
        raise DataError(
            f"{place}: a header of {length:,} bytes, more than {MOST_HEADER_BYTES:,}.",
            SAVE_AGAIN,
        )
    raw = stream.read(length)
    header_bytes = len(start) + len(length_raw) + length
    if len(raw) < length:
        raise DataError(f"{place}: ends within its header.", SAVE_AGAIN)
    try:
        with warnings.catch_warnings():  # a damaged literal may hold an odd escape
            warnings.simplefilter("ignore")
            literal = ast.literal_eval(raw.decode("utf-8" if start[6] == 3 else "latin-1"))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise DataError(f"{place}: its header cannot be read ({error}).", SAVE_AGAIN) from error
    if not isinstance(literal, dict) or literal.keys() != {"descr", "fortran_order", "shape"}:
        raise DataError(f"{place}: its header lacks descr, fortran_order or shape.", SAVE_AGAIN)
    return Header(
        dtype=_parse_dtype(literal["descr"], place),
        shape=_parse_shape(literal["shape"], place),
        fortran_order=bool(literal["fortran_order"]),
        header_bytes=header_bytes,
    )


def _parse_dtype(descr: Any, place: str) -> np.dtype[Any]:
    if not isinstance(descr, str):
        raise DataError(
            f"{place}: an array of records ({descr!r:.100}), not of numbers.",
            "store each field as an array of its own.",
        )
    if descr.lstrip("|") == "O":
        raise DataError(
            f"{place}: an array of Python objects, stored as a pickle, which could run any "
            "code and is not read.",
            "save it as numbers or text, e.g. x.astype(np.float32) or y.astype(str).",
        )
    try:
        if _DTYPE.fullmatch(descr) is None:
            raise TypeError("only truth values, integers, floats and text are read")
        dtype = np.dtype(descr)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(f"{place}: dtype {descr!r:.100} ({error}).", SAVE_AGAIN) from error
    if dtype.itemsize == 0:
        raise DataError(f"{place}: text of length 0.", "store labels that are not empty.")
    return dtype


def _parse_shape(shape: Any, place: str) -> tuple[int, ...]:
    whole = isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)
    if not whole or len(shape) > 32:
        raise DataError(f"{place}: shape {shape!r:.100} is no shape.", SAVE_AGAIN)
    return tuple(shape)


def _check_headers(
    headers: dict[str, Header],
    keys: dict[Part, tuple[str, str]],
    file_bytes: int,
    path: Path,
) -> None:
    """Compare the arrays with each other, and all of them with the memory allowed."""
    train_key = keys["train"][0]
    train = headers[train_key]
    for x_key, y_key in keys.values():
        x_count, y_count = headers[x_key].shape[0], headers[y_key].shape[0]
        if x_count != y_count:
            raise DataError(
                f"{path}: {x_key!r} has {x_count:,} samples, but {y_key!r} has {y_count:,}.",
                "store one target for each sample.",
            )
        other = headers[x_key]
        if train.shape[1:] != other.shape[1:] or train.dtype != other.dtype:
            raise DataError(
                f"{path}: samples of {train_key!r} are {train.dtype} of shape "
                f"{train.shape[1:]}, those of {x_key!r} {other.dtype} of {other.shape[1:]}.",
                "store all parts alike.",
            )
    needed = 0
    for x_key, y_key in keys.values():
        x, y = headers[x_key], headers[y_key]
        needed += x.peak_bytes(feature_dtype(x.dtype, len(x.shape)))
        needed += y.peak_bytes(y.dtype) + y.data_bytes // y.dtype.itemsize * 4
    check_memory(
        needed,
        file_bytes,
        place=str(path),
        remedy="save it uncompressed, with features as uint8 or float32: "
        'np.savez("data.npz", x_train=..., y_train=...) instead of np.savez_compressed.',
    )


def _array(
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    header: Header,
    place: str,
    *,
    read: Callable[[Bytes, Header, str], Array],
) -> Array:
    """Read one array to the member's end, where zip compares the checksum."""
    with archive.open(info) as stream:
        try:
            stream.read(header.header_bytes)
            array = read(cast("Bytes", stream), header, place)
            stream.read(1)
        except _ZIP_ERRORS as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"{place}: damaged ({type(error).__name__}: {error}).",
                f"copy or download the file again, or {SAVE_AGAIN}",
            ) from error
    return array
