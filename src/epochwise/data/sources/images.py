"""A folder of images with one folder for each class, read by Pillow.

Owns which files count as images and what becomes of their pixels: uint8, `(N, height,
width)` when all are grey, `(N, height, width, 3)` when any has colour. Nothing is resized,
turned or cropped, and a transparent pixel is an error, since all of these would change the
data unasked. Sizes are compared from the files' headers before a pixel is decoded.
"""

from __future__ import annotations

import io
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from epochwise.data.samples import Array, Dataset, Samples, Task
from epochwise.data.sources.labels import unseen_labels
from epochwise.data.sources.limits import check_memory
from epochwise.data.sources.parts import Part, part_of, unused_note
from epochwise.data.sources.streams import UINT8_DIVISOR
from epochwise.errors import BackendError, DataError

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "PPM")
IMAGE_FACTOR = 100
"""Pixels may take this many times the files' bytes. Photographs take 10 to 50 times their
JPEG files, which is more than other files may; a bomb of one colour takes 1000 times."""

GREY = frozenset({"1", "L"})
OPAQUE = frozenset({"1", "L", "RGB", "CMYK", "YCbCr", "HSV", "LAB", "P"})
TRANSPARENT = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
NOT_IMAGES = frozenset({"thumbs.db", "desktop.ini"})
"""What file managers leave behind; names that begin with a dot are skipped as well."""

_RESIZE = "mogrify -resize 224x224! FOLDER/*/*.png (ImageMagick) makes all of one size."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """One image file, before its pixels are decoded.

    Args:
        path: the file.
        label: number of its class.
        file_bytes: its size on disk [bytes].
    """

    path: Path
    label: int
    file_bytes: int


def read_images(folder: Path) -> Dataset:
    """Read a folder of images as a data set.

    Args:
        folder: one folder a class, its name the class's; or `train/`, and perhaps `val/`
            and `test/`, with such folders (or other spellings of `parts.py`).

    Returns:
        Training part, validation and test part where there are, the folders' names as
        classes.

    Raises:
        DataError: no class, a class without image, a file that is no image or is damaged,
            images of several sizes, transparent pixels.
        BackendError: Pillow is missing.
    """
    try:
        import PIL.Image
    except ImportError as error:
        raise BackendError(
            f"{folder}: reading images needs Pillow ({error}).",
            "pip install 'epochwise[images]'",
        ) from error
    parts, unused = _parts(folder)
    classes = _class_names(parts["train"])
    numbers = {name: number for number, name in enumerate(classes)}
    for path in parts.values():
        unseen = [name for name in _class_names(path) if name not in numbers]
        if unseen:
            raise unseen_labels(str(path), unseen)
    found = {part: list(_images(path, numbers)) for part, path in parts.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of damaged metadata, not of pixels
        shape = _common_shape([file for part in found.values() for file in part], PIL.Image)
        samples = {part: _samples(files, shape, PIL.Image) for part, files in found.items()}
    return Dataset(
        name=folder.resolve().name,
        train=samples["train"],
        validation=samples.get("validation"),
        test=samples.get("test"),
        task=Task(kind="classes", outputs=len(classes)),
        classes=classes,
        notes=unused_note(unused),
    )


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """Return what a folder holds, in order, without what file managers leave."""
    with os.scandir(folder) as entries:
        kept = [
            entry
            for entry in entries
            if not entry.name.startswith(".") and entry.name.lower() not in NOT_IMAGES
        ]
    return sorted(kept, key=lambda entry: entry.name)


def _parts(folder: Path) -> tuple[dict[Part, Path], list[str]]:
    """Return the folder of each part, and the names of files beside them."""
    entries = _entries(folder)
    found: dict[Part, Path] = {}
    others: list[str] = []
    for entry in entries:
        part = part_of(entry.name) if entry.is_dir() else None
        if part is None:
            if entry.is_dir():
                others.append(entry.name)
        elif part in found:
            raise DataError(
                f"{folder}: folders {found[part].name!r} and {entry.name!r} both name the "
                f"{part} part.",
                "put all images of the part into one of them.",
            )
        else:
            found[part] = Path(entry.path)
    train = found.get("train")
    if train is None or not any(entry.is_dir() for entry in _entries(train)):
        return {"train": folder}, []
    if others:
        raise DataError(
            f"{folder}: folder {others[0]!r} lies beside {train.name!r}; only 'val' and 'test' "
            "may.",
            "move it away; a validation part is split off with validation_split=0.2.",
        )
    return found, [entry.name for entry in entries if not entry.is_dir()]


def _class_names(folder: Path) -> tuple[str, ...]:
    entries = _entries(folder)
    for entry in entries:
        if not entry.is_dir():
            raise DataError(
                f"{folder}: file {entry.name!r} lies beside the classes' folders.",
                "put each image into the folder of its class, and other files elsewhere.",
            )
    if not entries:
        raise DataError(
            f"{folder}: no data: neither folders of images, one for each class, nor IDX files.",
            "make one folder for each class, e.g. cats/1.png and dogs/1.png.",
        )
    return tuple(entry.name for entry in entries)


def _images(folder: Path, numbers: dict[str, int]) -> Iterator[_Found]:
    """Yield the files of each class, in the order of names."""
    for name in _class_names(folder):
        entries = _entries(folder / name)
        if not entries:
            raise DataError(
                f"{folder / name}: a class without images.",
                "add images, or take the folder away.",
            )
        for entry in entries:
            seen = entry.stat()
            if not stat.S_ISREG(seen.st_mode):
                raise DataError(
                    f"{entry.path}: not a file, but lies among the images of a class.",
                    "keep the images of a class directly in its folder.",
                )
            yield _Found(path=Path(entry.path), label=numbers[name], file_bytes=seen.st_size)


@contextmanager
def _opened(path: Path, images: Any) -> Iterator[Any]:
    """Open an image, with whatever Pillow raises of it mapped.

    Pillow documents `UnidentifiedImageError`, `DecompressionBombError` and `OSError`, but
    its decoders raise many others for damaged files (SyntaxError, struct.error, ...), so
    that here every exception is taken for its word on the file. It is given the file's
    bytes, not the file: a read of the 4 GB that a damaged chunk claims asks the system for
    4 GB from a file, but for no more than there is from bytes.
    """
    try:
        with images.open(io.BytesIO(path.read_bytes()), formats=FORMATS) as image:
            yield image
    except DataError:
        raise
    except Exception as error:
        raise DataError(
            f"{path}: not a readable image ({type(error).__name__}: {error!s:.300}).",
            f"take it out of the folder, or save it again as one of {', '.join(FORMATS)}.",
        ) from error


def _common_shape(files: list[_Found], images: Any) -> tuple[int, ...]:
    """Return the shape of one sample, the same for all, from the files' headers."""
    colour = False
    first_size: tuple[int, int] = (0, 0)
    for number, file in enumerate(files):
        with _opened(file.path, images) as image:
            size, mode = image.size, image.mode
            if mode not in OPAQUE | TRANSPARENT:
                raise DataError(
                    f"{file.path}: pixels of mode {mode!r}, not 8 bits a channel.",
                    "save it with 8 bits a channel.",
                )
            if getattr(image, "is_animated", False):
                raise DataError(f"{file.path}: animated.", "save one frame as a PNG.")
            colour |= mode not in GREY | {"LA", "La"}
        if number == 0:
            first_size = size
        elif size != first_size:
            raise DataError(
                f"images differ in size: {files[0].path} has {first_size[0]} × "
                f"{first_size[1]} pixels (width × height), {file.path} has "
                f"{size[0]} × {size[1]}.",
                f"resize them to one size first; {_RESIZE}",
            )
    width, height = first_size
    shape = (height, width, 3) if colour else (height, width)
    # Beside the array, one image is held decoded, and once more while it is converted.
    needed = (len(files) * (3 if colour else 1) + 8) * height * width
    check_memory(
        needed,
        sum(file.file_bytes for file in files),
        place=str(files[0].path.parent.parent),
        remedy="make the images smaller, or give the pixels as an uncompressed .npz.",
        factor=IMAGE_FACTOR,
    )
    if 0 in shape:
        raise DataError(f"{files[0].path}: {width} × {height} pixels.", "take it away.")
    return shape


def _samples(files: list[_Found], shape: tuple[int, ...], images: Any) -> Samples:
    x = np.empty((len(files), *shape), np.uint8)
    for row, file in enumerate(files):
        with _opened(file.path, images) as image:
            x[row] = _pixels(image, "RGB" if len(shape) == 3 else "L", file.path)
    y = np.array([file.label for file in files], np.int32)
    return Samples(x=x, y=y, divisor=UINT8_DIVISOR)


def _pixels(image: Any, mode: str, path: Path) -> Array:
    """Decode one image; alpha is dropped only where every pixel is opaque."""
    if image.mode in TRANSPARENT or "transparency" in image.info:
        image = image.convert("RGBA")
        lowest, _ = image.getextrema()[3]
        if lowest < 255:
            raise DataError(
                f"{path}: transparent pixels, whose colour is up to what lies below.",
                "put the image on a background and save it without transparency.",
            )
    return np.asarray(image if image.mode == mode else image.convert(mode))
