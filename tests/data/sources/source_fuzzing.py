"""Feeds damaged files to the readers of `epochwise.data.sources` and says what went wrong.

Run as a program in a process of its own, one format at a time, so that a crash of a
library, a hang or a process that grew cannot hide in the test's own process:

    python -W error source_fuzzing.py FORMAT INPUTS SEED

Each input is a small file (or folder) made from a seed: a sound one, one whose fields were
changed by the format's own rules, or one whose bytes were flipped, cut, put in or spliced.
Reading it must end in a sound `Dataset` or a `DataError`. Held against every input: the
address space (a limit set once everything is imported: four times the largest file plus
64 MB), the resident memory at its peak, a watchdog, warnings, files left open. Prints one
JSON object.
"""

from __future__ import annotations

import gc
import gzip
import io
import json
import os
import random
import re
import resource
import signal
import struct
import sys
import tempfile
import traceback
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # so that limits bind it

import numpy as np

from epochwise.data.samples import Dataset, leaves
from epochwise.data.sources import load
from epochwise.errors import DataError

ALLOWED_BYTES = 64_000_000
WATCHDOG_SECONDS = 20
MOST_FAILURES = 5

Read = Callable[[], Any]
EXTREMES = (0, 1, 2, 3, 7, 27, 28, 255, 256, 65_535, 2**31 - 1, 2**31, 2**32 - 1)


class HangError(BaseException):
    """A reader took longer than the watchdog waits; not an `Exception`, so none maps it."""


# --- damage that knows nothing of the format -----------------------------------------


def damage(rng: random.Random, raw: bytes, other: bytes, focus: tuple[int, int]) -> bytes:
    """Flip, cut, put in or splice bytes, once to three times; half of it in `focus`."""
    data = bytearray(raw)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if not data:
            break
        low, high = focus if rng.random() < 0.5 else (0, len(data))
        at = rng.randrange(min(low, len(data) - 1), max(min(high, len(data)), low + 1, 1))
        at = min(at, len(data) - 1)
        kind = rng.randrange(8)
        if kind <= 1:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif kind == 3:
            del data[at:]
        elif kind == 4:
            del data[at : at + rng.randrange(1, 17)]
        elif kind == 5:
            data[at:at] = rng.randbytes(rng.randrange(1, 9))
        elif kind == 6:
            start = rng.randrange(max(1, len(other)))
            data[at : at + rng.randrange(64)] = other[start : start + rng.randrange(1, 64)]
        else:
            form = rng.choice(("<H", "<I", ">H", ">I", "<Q", ">Q"))
            field = struct.pack(form, rng.choice(EXTREMES) & (256 ** struct.calcsize(form) - 1))
            data[at : at + len(field)] = field
    return bytes(data)


# --- npz -----------------------------------------------------------------------------

_SHAPES = (
    "(-1, 4)", "(0, 4)", "(12,)", "(12, 0)", "()", "(12, 4, 1)", "(4, 12)", "(2**62, 4)",
    "(4611686018427387904, 4)", "(1000000000000000000000000000000, 1)", "(12.0, 4)", "(13, 4)",
    "(True, 48)", "[12, 4]", "12", "(12, None)", "(" * 90 + ")" * 90, "('a',)", "(1, 48)",
    "(65536, 65536)", "(12, 4) + ()", "(6, 2, 2, 2)", "(12,4", "(" + "1," * 40 + ")",
)  # fmt: skip
_DESCRS = (
    "|u1", "<f4", ">f4", "<f8", ">f8", "<i8", ">i4", "<i2", "<u8", "|b1", "<U3", "|S2", ">U1",
    "<c8", "|O", "O", "<M8[s]", "|V4", "<f2", "<f16", "<U0", "|S0", "<U999999999", "f4,f4",
    "x", "", "<i3", "<f999999999999", "\\xff", "\\d", "<m8",
)  # fmt: skip


def _npy(rng: random.Random, array: np.ndarray[Any, Any], *, change: bool) -> bytes:
    descr, shape, order = repr(array.dtype.str), repr(array.shape), "False"
    version, magic, extra = 1, b"\x93NUMPY", ""
    raw = array.tobytes()
    if change:
        for _ in range(rng.choice((1, 1, 2))):
            match rng.randrange(9):
                case 0 | 1:
                    shape = rng.choice(_SHAPES)
                case 2 | 3:
                    descr = "'" + rng.choice(_DESCRS) + "'"
                case 4:
                    descr = rng.choice(("[('a', '<f4'), ('b', '<f4')]", "None", "7", "b'<f4'"))
                case 5:
                    order = rng.choice(("True", "1", "None", "[]", "x"))
                case 6:
                    version, magic = rng.choice(
                        ((2, magic), (3, magic), (9, magic), (1, b"\x93NUMPZ"))
                    )
                case 7:
                    extra = rng.choice(
                        (", 'z': 1", "" * 9, ", " + "-" * 3000 + "1", "}{", "\0")
                    )
                case _:
                    raw = rng.choice((raw[:-1], raw * 2, b"", raw + b"\0"))
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}{extra}, }}\n"
    encoded = text.encode("latin-1")
    length = len(encoded)
    if change and rng.random() < 0.1:
        length = rng.choice((0, 1, length - 1, length + 1, 9_999, 65_535))
    form = "<H" if version == 1 else "<I"
    return magic + bytes((version, 0)) + struct.pack(form, length) + encoded + raw


def _npz_arrays(rng: random.Random) -> dict[str, np.ndarray[Any, Any]]:
    numbers = np.random.default_rng(rng.randrange(2**32))
    x = numbers.integers(0, 256, (12, 4)).astype(
        rng.choice(("u1", "u1", "<f4", "<f8", "<i8", ">f4", "<f2", "|b1", "<i2"))
    )
    y: np.ndarray[Any, Any] = numbers.integers(0, 3, 12)
    match rng.randrange(6):
        case 0:
            y = y.astype("<f8") + rng.choice((0, 0.5))
        case 1:
            y = np.array(["cat", "dog", "owl"])[y]
        case 2:
            y = np.eye(3, dtype=np.float32)[y]
        case 3:
            y = y.astype("S1").reshape(-1, 1)
        case _:
            y = y.astype("u1")
    if x.dtype.kind == "f" and rng.random() < 0.1:
        x[rng.randrange(12), 1] = rng.choice((np.nan, np.inf))
    if rng.random() < 0.5:
        return {"x": x, "y": y}
    return {"x_train": x, "y_train": y, "x_test": x[:5], "y_test": y[:5]}


def _npz_bytes(rng: random.Random, *, change: bool) -> bytes:
    arrays = _npz_arrays(rng)
    changed = rng.choice(list(arrays)) if change and rng.random() < 0.7 else None
    file = io.BytesIO()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    if change and rng.random() < 0.02:
        method = zipfile.ZIP_BZIP2
    with zipfile.ZipFile(file, "w", method) as archive:
        for key, array in arrays.items():
            name = key
            if change and rng.random() < 0.05:
                name = rng.choice(("x", "y", "x_train", "z", "../x", "", "\u00e9", "a" * 300))
            if archive.NameToInfo.get(name + ".npy") is None:
                archive.writestr(name + ".npy", _npy(rng, array, change=key == changed))
    raw = bytearray(file.getvalue())
    if change and rng.random() < 0.4:  # a field of the zip's own records
        signature, fields = rng.choice(
            (
                (b"PK\x01\x02", ((4, 2), (6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4),
                                 (28, 2), (30, 2), (32, 2), (42, 4))),
                (b"PK\x03\x04", ((4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2),
                                 (28, 2))),
                (b"PK\x05\x06", ((4, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2))),
            )
        )  # fmt: skip
        places = [at for at in range(len(raw)) if raw.startswith(signature, at)]
        offset, size = rng.choice(fields)
        if places:
            at = rng.choice(places) + offset
            value = rng.choice((*EXTREMES, len(raw), rng.randrange(2 * len(raw))))
            raw[at : at + size] = (value & (256**size - 1)).to_bytes(size, "little")
    return bytes(raw)


def npz(folder: Path) -> Iterator[Callable[[random.Random], Read]]:
    path = folder / "data.npz"
    sound = [_npz_bytes(random.Random(seed), change=False) for seed in range(24)]

    def write(rng: random.Random) -> Read:
        match rng.randrange(20):
            case 0:
                raw = rng.choice(sound)
            case value if value < 12:
                raw = _npz_bytes(rng, change=True)
            case _:
                base = rng.choice(sound)
                raw = damage(rng, base, rng.choice(sound), (len(base) // 2, len(base)))
        path.write_bytes(raw)
        return lambda: load(path)

    yield write


# --- idx -----------------------------------------------------------------------------


def _idx_raw(array: np.ndarray[Any, Any]) -> bytes:
    codes = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}
    head = bytes((0, 0, codes[array.dtype.str[1:]], array.ndim))
    big = array.astype(array.dtype.newbyteorder(">"))
    return head + struct.pack(f">{array.ndim}I", *array.shape) + big.tobytes()


def _idx_changed(rng: random.Random, raw: bytes) -> bytes:
    data = bytearray(raw)
    for _ in range(rng.choice((1, 1, 2))):
        match rng.randrange(6):
            case 0:
                data[2:3] = bytes((rng.choice((0, 7, 8, 9, 10, 11, 12, 13, 14, 255)),))
            case 1:
                data[3:4] = bytes((rng.choice((0, 1, 2, 3, 4, 33, 255)),))
            case 2 | 3:
                at = 4 * rng.randrange(1, 4)
                data[at : at + 4] = struct.pack(">I", rng.choice(EXTREMES))
            case 4:
                data = data[: rng.randrange(len(data) + 1)]
            case _:
                data += rng.randbytes(rng.randrange(1, 9))
    return bytes(data)


def _idx(folder: Path, gzipped: bool) -> Iterator[Callable[[random.Random], Read]]:
    numbers = np.random.default_rng(1)
    suffix = ".gz" if gzipped else ""

    def packed(raw: bytes) -> bytes:
        return gzip.compress(raw, 1, mtime=0) if gzipped else raw

    labels = (np.arange(9) % 3).astype(np.uint8)
    kinds = [numbers.integers(0, 99, (9, 3, 2)).astype(kind) for kind in
             ("u1", "u1", "i1", "i2", "i4", "f4", "f8")]  # fmt: skip
    names = {
        "train-images-idx3-ubyte": [_idx_raw(kind) for kind in kinds],
        "train-labels-idx1-ubyte": [_idx_raw(labels)],
        "t10k-images-idx3-ubyte": [_idx_raw(kinds[0])],
        "t10k-labels-idx1-ubyte": [_idx_raw(labels)],
    }
    sound = {name: [packed(raw) for raw in raws] for name, raws in names.items()}
    for name, raws in sound.items():
        (folder / (name + suffix)).write_bytes(raws[0])
    touched = next(iter(names))

    def write(rng: random.Random) -> Read:
        nonlocal touched
        (folder / (touched + suffix)).write_bytes(sound[touched][0])
        touched = rng.choice((*names, "train-images-idx3-ubyte"))
        base = rng.choice(names[touched])
        match rng.randrange(20):
            case 0:
                raw = packed(base)
            case value if value < 11:
                raw = packed(_idx_changed(rng, base))
            case _:
                other = rng.choice(sound[rng.choice(list(sound))])
                raw = damage(rng, packed(base), other, (0, 16))
        (folder / (touched + suffix)).write_bytes(raw)
        return lambda: load(folder)

    yield write


def idx(folder: Path) -> Iterator[Callable[[random.Random], Read]]:
    return _idx(folder, gzipped=False)


def idx_gz(folder: Path) -> Iterator[Callable[[random.Random], Read]]:
    return _idx(folder, gzipped=True)


# --- csv -----------------------------------------------------------------------------

_CELLS = (
    "", " ", "nan", "NaN", "inf", "-inf", "1e999", "-1e39", "1_0", "0x1", "1,5", '"', '""',
    '"a', 'a"b', '"1"', '"x\ny"', "cat", "3", "1.5", "é", "\u0663", "\ufeff", "\0", "\x1a",
    "1" * 400, "9" * 400, "a" * 140_000, "\r", "\n", "NA", "null", "1e-400", "0" * 5000, "-",
    "+", "1.0.0", "1 2", "True", "😀", "=1+1",
)  # fmt: skip


def _csv_bytes(rng: random.Random, *, change: bool) -> tuple[bytes, str | None]:
    delimiter = rng.choice((",", ",", ";", "\t"))
    width, rows = rng.randrange(2, 5), rng.randrange(1, 12)
    header = [f"c{index}" for index in range(width)]
    names: tuple[Any, ...] = rng.choice((("a", "b", "é"), (0, 1, 2), (0.5, 1.5, 2.5)))
    table = [header] + [
        [f"{rng.gauss(0, 9):.3g}" for _ in range(width - 1)] + [str(rng.choice(names))]
        for _ in range(rows)
    ]
    label: str | None = header[-1]
    end = rng.choice(("\n", "\n", "\r\n"))
    mark = rng.choice(("", "", "\ufeff"))
    encoding = "utf-8"
    if change:
        for _ in range(rng.choice((1, 1, 2))):
            row = rng.choice(table)
            match rng.randrange(10):
                case 0 | 1 | 2 | 3 if row:
                    row[rng.randrange(len(row))] = rng.choice(_CELLS)
                case 4 if row:
                    row.pop()
                case 5:
                    row.append(rng.choice(_CELLS))
                case 6:
                    label = rng.choice((None, "c0", "nothing", "", "é"))
                case 7:
                    encoding = rng.choice(("utf-16", "latin-1", "utf-8-sig"))
                case 8:
                    end = rng.choice(("\r", "\n\n", "", "\x0b", "\x85"))
                case _:
                    table.insert(rng.randrange(len(table) + 1), rng.choice(([], [""], row * 2)))
    text = mark + end.join(delimiter.join(row) for row in table) + rng.choice(("", end))
    return text.encode(encoding, "replace"), label


def csv(folder: Path) -> Iterator[Callable[[random.Random], Read]]:
    path = folder / "data.csv"
    sound = [_csv_bytes(random.Random(seed), change=False) for seed in range(24)]

    def write(rng: random.Random) -> Read:
        match rng.randrange(20):
            case 0:
                raw, label = rng.choice(sound)
            case value if value < 11:
                raw, label = _csv_bytes(rng, change=True)
            case _:
                raw, label = rng.choice(sound)
                raw = damage(rng, raw, rng.choice(sound)[0], (0, 12))
        path.write_bytes(raw)
        return lambda: load(path, label=label)

    yield write


# --- parquet -------------------------------------------------------------------------


def _parquet_files() -> list[bytes]:
    import pyarrow as pa
    from pyarrow import parquet

    rng = random.Random(5)
    count = 20
    columns: list[Any] = [
        pa.array([rng.gauss(0, 1) for _ in range(count)], pa.float64()),
        pa.array([rng.gauss(0, 1) for _ in range(count)], pa.float32()),
        pa.array([rng.randrange(100) for _ in range(count)], pa.int8()),
        pa.array([rng.randrange(100) for _ in range(count)], pa.int64()),
        pa.array([rng.random() < 0.5 for _ in range(count)]),
        pa.array([rng.choice("abc") for _ in range(count)]),
        pa.array([rng.choice("abc") for _ in range(count)]).dictionary_encode(),
        pa.array([rng.choice((1, None)) for _ in range(count)]),
        pa.array([[1, 2]] * count),
        pa.array([float("nan")] * count),
        pa.array([1, 2] * (count // 2), pa.timestamp("s")),
    ]
    files = []
    for seed in range(60):
        rng = random.Random(seed)
        features = rng.sample(columns[:5] if seed % 4 else columns, 2)
        label = rng.choice((columns[2], columns[5], columns[5], columns[6], columns[0]))
        integers = pa.types.is_integer(features[0].type)
        encodings = ("PLAIN", "DELTA_BINARY_PACKED") if integers else ("PLAIN",)
        table = pa.table({"a": features[0], "b": features[1], "y": label})
        file = io.BytesIO()
        parquet.write_table(
            table,
            file,
            compression=rng.choice(("none", "snappy", "gzip", "zstd")),
            use_dictionary=seed % 3 > 0,
            column_encoding={"a": rng.choice(encodings)} if seed % 3 == 0 else None,
            row_group_size=rng.choice((count, 7)),
            data_page_version=rng.choice(("1.0", "2.0")),
            write_page_checksum=rng.random() < 0.3,
            store_schema=rng.random() < 0.3,
            write_statistics=rng.random() < 0.5,
        )
        files.append(file.getvalue())
    return files


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def _parquet_changed(rng: random.Random, raw: bytes) -> bytes:
    """Replace numbers of the footer (zigzag varints of thrift) or its length and magic."""
    (footer,) = struct.unpack("<I", raw[-8:-4])
    start = len(raw) - 8 - footer
    body, foot, tail = raw[:start], bytearray(raw[start:-8]), raw[-8:]
    for _ in range(rng.choice((1, 1, 2))):
        at = rng.randrange(len(foot))
        match rng.randrange(8):
            case 0:
                tail = (
                    struct.pack("<I", rng.choice((*EXTREMES, footer + 1, footer - 1))) + b"PAR1"
                )
            case 1:
                tail = tail[:4] + rng.choice((b"PARE", b"PAR2", b"PAR1"))
            case 2:  # a page header, which lies in front of the pages
                at = rng.randrange(4, max(5, min(60, len(body))))
                body = body[:at] + _varint(2 * rng.choice(EXTREMES)) + body[at + 1 :]
            case _:
                end = at + 1
                while end < len(foot) and foot[end - 1] & 128:
                    end += 1
                foot[at:end] = _varint(2 * rng.choice((*EXTREMES, 2**40, 2**62)))
                if rng.random() < 0.7:
                    tail = struct.pack("<I", len(foot)) + tail[4:]
    return body + bytes(foot) + tail


def parquet(folder: Path) -> Iterator[Callable[[random.Random], Read]]:
    path = folder / "data.parquet"
    sound = _parquet_files()

    def write(rng: random.Random) -> Read:
        base = rng.choice(sound)
        match rng.randrange(20):
            case 0:
                raw = base
            case value if value < 11:
                raw = _parquet_changed(rng, base)
            case _:
                focus = rng.choice(((4, 80), (len(base) // 2, len(base))))
                raw = damage(rng, base, rng.choice(sound), focus)
        path.write_bytes(raw)
        label = rng.choice(("y",) * 12 + ("a", "z", None))
        return lambda: load(path, label=label)

    yield write


# --- images --------------------------------------------------------------------------


def _image_files() -> list[tuple[str, bytes]]:
    from PIL import Image

    pixels = np.random.default_rng(3).integers(0, 256, (6, 8, 4)).astype(np.uint8)
    full = Image.fromarray(np.dstack([pixels[..., :3], np.full((6, 8), 255, np.uint8)]))
    files = []
    for suffix, modes in (
        ("png", ("L", "RGB", "P", "1", "RGBA", "LA")),
        ("jpg", ("L", "RGB", "CMYK")),
        ("bmp", ("L", "RGB")),
        ("gif", ("L", "P")),
        ("webp", ("RGB",)),
        ("ppm", ("L", "RGB")),
    ):
        for mode in modes:
            file = io.BytesIO()
            full.convert(mode).save(file, {"jpg": "jpeg"}.get(suffix, suffix))
            files.append((suffix, file.getvalue()))
    return files


def _image_changed(rng: random.Random, suffix: str, raw: bytes) -> bytes:
    data = bytearray(raw)
    if suffix == "png":
        chunk = 8
        for _ in range(rng.randrange(3)):  # IHDR most often, else one that follows
            size = int.from_bytes(data[chunk : chunk + 4], "big") + 12
            chunk = chunk + size if chunk + size + 12 < len(data) else 8
        if chunk == 8:
            at, size = rng.choice(((0, 4), (4, 4), (8, 1), (9, 1), (10, 1), (11, 1), (12, 1)))
            value = rng.choice(EXTREMES) & (256**size - 1)
            data[16 + at : 16 + at + size] = value.to_bytes(size, "big")
        else:
            length = rng.choice(EXTREMES) & 0xFFFFFFFF
            data[chunk : chunk + 4] = length.to_bytes(4, "big")
        if rng.random() < 0.9:  # with the right checksum, or the change is never looked at
            data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
        return bytes(data)
    if suffix == "ppm":
        return rng.choice((b"P5", b"P6", b"P4", b"P7", b"P3")) + raw[2:].replace(
            rng.choice((b"8", b"6", b"255")),
            rng.choice((b"0", b"-1", b"99999999", b"65535", b"7", b"x")),
            1,
        )
    at = rng.choice({"bmp": (2, 10, 14, 18, 22, 26, 28, 30, 34, 46), "gif": (6, 8, 10, 13)}.get(
        suffix, range(2, 40)))  # fmt: skip
    size = rng.choice((2, 4))
    data[at : at + size] = (rng.choice(EXTREMES) & (256**size - 1)).to_bytes(size, "little")
    return bytes(data)


def images(folder: Path) -> Iterator[Callable[[random.Random], Read]]:
    sound = _image_files()
    for name in ("cat", "dog"):
        (folder / name).mkdir()
        (folder / name / "0.png").write_bytes(sound[1][1])
    written: list[Path] = []

    def write(rng: random.Random) -> Read:
        while written:
            last = written.pop()
            last.rmdir() if last.is_dir() else last.unlink()
        suffix, base = rng.choice(sound)
        name = f"{rng.randrange(-1, 2)}.{suffix}"  # before or after the sound one
        match rng.randrange(20):
            case 0:
                raw = base
            case value if value < 11:
                raw = _image_changed(rng, suffix, base)
            case _:
                raw = damage(rng, base, rng.choice(sound)[1], (0, 40))
        if name == "0.png":
            name = "1.png"
        if rng.random() < 0.05:  # the folder itself
            path = folder / rng.choice(("train", "owl", "dog/kept", ".hidden"))
            path.mkdir()
            written.append(path)
        if rng.random() < 0.05:
            name = rng.choice(("Thumbs.db", ".DS_Store", "notes.txt", "a", "é.png"))
        path = folder / rng.choice(("cat", "dog", "cat", "dog", ".")) / name
        path.write_bytes(raw)
        written.append(path)
        return lambda: load(folder)

    yield write


# --- readers that are wrong, to see that this program notices -------------------------


def _bad(fault: Callable[[], Any]) -> Any:
    def source(_: Path) -> Iterator[Callable[[random.Random], Read]]:
        yield lambda rng: fault if rng.random() < 0.2 else lambda: load("digits")

    return source


def _hang() -> None:
    while True:
        pass


def _swallow() -> None:
    try:
        np.empty(1 << 33, np.uint8)
    except MemoryError as error:
        raise DataError("a reader hides that it asked for 8 GB.", "nothing.") from error


def _leave_open() -> Any:
    open(__file__, "rb")  # noqa: SIM115, PTH123
    gc.collect()
    return load("digits")


def _unsound() -> Dataset:
    data = load("digits")
    leaves(data.train.y)[0][0] = 10
    return data


FORMATS: dict[str, Any] = {
    "npz": npz,
    "idx": idx,
    "idx_gz": idx_gz,
    "csv": csv,
    "parquet": parquet,
    "images": images,
    "bad_raises": _bad(lambda: int("x")),
    "bad_returns": _bad(lambda: None),
    "bad_unsound": _bad(_unsound),
    "bad_hangs": _bad(_hang),
    "bad_claims": _bad(_swallow),
    "bad_grows": _bad(lambda: np.ones(40_000_000)),
    "bad_crashes": _bad(os.abort),
    "bad_leaves_open": _bad(_leave_open),
}


# --- the program ---------------------------------------------------------------------


def unsound(data: Any) -> str | None:
    """Say what is wrong with a data set that was read, or nothing."""
    if not isinstance(data, Dataset):
        return f"returned {data!r}"
    for part in (data.train, data.validation, data.test):
        if part is None:
            continue
        (x,), (y,) = leaves(part.x), leaves(part.y)
        if len(x) != len(y) or x.size == 0 or x.dtype not in (np.uint8, np.int32, np.float32):
            return f"x {x.dtype}{x.shape}, y {y.dtype}{y.shape}"
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            return "holds NaN or infinity"
        classes = data.classes
        if data.task.kind == "one_hot":
            if not (y.shape[1] == data.task.outputs and (np.sort(y)[:, :-1] == 0).all()):
                return f"one-hot rows are {y[:3]}"
        elif classes is None:
            if y.dtype not in (np.float32, np.int32):
                return f"targets are {y.dtype}"
        elif y.dtype != np.int32 or y.min() < 0 or y.max() >= len(classes):
            return f"class numbers {y.min()} to {y.max()} of {len(classes)} classes"
    return None


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def resident_peak() -> int:
    """Return the most memory this program ever held [bytes].

    Where the system tells, of the program alone: `ru_maxrss` counts what the process that
    started it held, which can hide any growth.
    """
    status = Path("/proc/self/status")
    if status.exists():
        peak = re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
        if peak is not None:
            return int(peak[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@contextmanager
def address_space_limited(more_bytes: int) -> Iterator[None]:
    """Let no allocation pass, touched or not, beyond what is mapped now and this."""
    status = Path("/proc/self/statm")
    if not status.exists():
        yield
        return
    mapped = int(status.read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (mapped + more_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def asked_for_too_much(error: BaseException | None) -> bool:
    """Tell whether memory ran out somewhere behind an error; a parser's depth is not that."""
    while error is not None:
        if isinstance(error, MemoryError) and "pars" not in traceback.format_exc():
            return True
        error = error.__cause__ or error.__context__
    return False


def outcome(read: Read) -> tuple[str, str]:
    """Read one input; return what became of it, and the details of a failure."""
    try:
        data = read()
    except DataError as error:
        if asked_for_too_much(error):
            return "failure", f"asked for more memory than allowed: {error}"
        if not str(error).strip() or "Remedy: " not in str(error):
            return "failure", f"no remedy: {error}"
        return "error", ""
    except HangError:
        return "failure", "hang: " + traceback.format_exc(limit=-3)
    except BaseException as error:
        return "failure", f"{type(error).__name__}: " + traceback.format_exc(limit=-4)
    wrong = unsound(data)
    return ("failure", wrong) if wrong else ("dataset", "")


def main(
    name: str, inputs: int, seed: int, *, watchdog: float, limited: bool
) -> dict[str, Any]:
    """Feed the inputs; return the counts and the first failures."""

    def alarm(*_: object) -> None:
        raise HangError

    unraisable: list[str] = []
    sys.unraisablehook = lambda unseen: unraisable.append(repr(unseen.exc_value))
    signal.signal(signal.SIGALRM, alarm)
    counts = {"dataset": 0, "error": 0, "failure": 0}
    failures: list[str] = []
    largest = 0
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write = next(FORMATS[name](folder))
        for number in range(300):  # whatever is imported or cached late
            outcome_of_warm_up = write(random.Random(f"warm-up {number}"))
            if not name.startswith("bad"):
                outcome(outcome_of_warm_up)
        load("digits")
        gc.collect()
        baseline = resident_peak()
        with address_space_limited(ALLOWED_BYTES + 4 * 2_000_000) if limited else nothing():
            for number in range(inputs):
                read = write(random.Random(f"{seed} {number}"))
                signal.setitimer(signal.ITIMER_REAL, watchdog)
                kind, details = outcome(read)
                signal.setitimer(signal.ITIMER_REAL, 0)
                grown = resident_peak() - baseline
                if grown > ALLOWED_BYTES:
                    largest = max(largest, size_of(folder))
                    if grown > ALLOWED_BYTES + 4 * largest:
                        kind, details = "failure", f"the process grew by {grown:,} bytes"
                if unraisable:
                    kind, details = "failure", "left open: " + unraisable.pop()
                counts[kind] += 1
                if kind == "failure":
                    failures.append(f"input {number}: {details}")
                    if len(failures) == MOST_FAILURES:
                        break
        grown = resident_peak() - baseline
    return {"counts": counts, "failures": failures, "grown_bytes": grown}


@contextmanager
def nothing() -> Iterator[None]:
    yield


if __name__ == "__main__":
    told = main(
        sys.argv[1],
        int(sys.argv[2]),
        int(sys.argv[3]),
        watchdog=float(sys.argv[4]) if len(sys.argv) > 4 else WATCHDOG_SECONDS,
        limited="unlimited" not in sys.argv,
    )
    sys.stdout.write(json.dumps(told) + "\n")
