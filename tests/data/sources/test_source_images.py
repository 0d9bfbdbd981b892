"""Folders of images: classes, sizes, colours, and files that are no images."""

from __future__ import annotations

import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epochwise.data.samples import leaves
from epochwise.data.sources import load
from epochwise.errors import BackendError, DataError

Image = pytest.importorskip("PIL.Image", reason="pip install 'epochwise[images]'")

GREY = np.arange(48, dtype=np.uint8).reshape(6, 8)
COLOUR = np.arange(144, dtype=np.uint8).reshape(6, 8, 3)


def image(path: Path, pixels: Any = GREY, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def test_each_folder_is_a_class(tmp_path: Path) -> None:
    """Images are read in the order of names; grey ones have no axis of colours."""
    image(tmp_path / "dog" / "1.png", GREY + 1)
    image(tmp_path / "cat" / "2.png", GREY + 2)
    image(tmp_path / "cat" / "1.png", GREY)
    (tmp_path / "cat" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "Thumbs.db").write_bytes(b"x")

    data = load(tmp_path)

    assert data.classes == ("cat", "dog")
    assert np.array_equal(data.train.x, [GREY, GREY + 2, GREY + 1])
    assert leaves(data.train.y)[0].tolist() == [0, 0, 1]
    assert (data.train.divisor, data.test) == (255.0, None)


def test_one_image_in_colour_gives_all_three_channels(tmp_path: Path) -> None:
    """A grey image among coloured ones has its grey three times."""
    image(tmp_path / "a" / "1.png", GREY)
    image(tmp_path / "b" / "1.bmp", COLOUR)

    x = leaves(load(tmp_path).train.x)[0]

    assert np.array_equal(x[0], np.repeat(GREY[..., None], 3, axis=2))
    assert np.array_equal(x[1], COLOUR)


def test_train_and_test_folders_are_the_parts(tmp_path: Path) -> None:
    """`train/` and `test/` with classes below are the two parts."""
    image(tmp_path / "train" / "a" / "1.png")
    image(tmp_path / "train" / "b" / "1.png")
    image(tmp_path / "test" / "b" / "1.png", GREY + 9)

    data = load(tmp_path)

    assert data.classes == ("a", "b")
    assert data.test is not None
    assert leaves(data.test.y)[0].tolist() == [1]
    image(tmp_path / "test" / "c" / "1.png")
    with pytest.raises(DataError, match="never occur in the training part: 'c'"):
        load(tmp_path)


def test_images_of_several_sizes_are_named(tmp_path: Path) -> None:
    """Two files and both sizes are told, with a line to type."""
    image(tmp_path / "a" / "1.png")
    image(tmp_path / "b" / "2.png", GREY[:5])
    with pytest.raises(DataError, match=r"1\.png has 8 × 6 .*2\.png has 8 × 5") as caught:
        load(tmp_path)

    assert "mogrify" in str(caught.value)


def test_alpha_is_dropped_only_where_all_is_opaque(tmp_path: Path) -> None:
    """An opaque RGBA image is its colours; one with a transparent pixel is an error."""
    pixels = np.dstack([COLOUR, np.full((6, 8), 255, np.uint8)])
    image(tmp_path / "a" / "1.png", pixels)

    assert np.array_equal(leaves(load(tmp_path).train.x)[0][0], COLOUR)
    pixels[0, 0, 3] = 254
    image(tmp_path / "a" / "1.png", pixels)
    with pytest.raises(DataError, match="transparent"):
        load(tmp_path)


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    """A text file, a folder in a class, an animation and 16 bits are errors."""
    image(tmp_path / "a" / "1.png")
    other = tmp_path / "a" / "2.png"
    other.write_text("hello")
    with pytest.raises(DataError, match=r"2\.png: not a readable image"):
        load(tmp_path)
    image(other, np.zeros((6, 8), np.uint16))
    with pytest.raises(DataError, match=r"2\.png: pixels of mode 'I;16'"):
        load(tmp_path)
    other.unlink()
    frames = [Image.fromarray(GREY), Image.fromarray(GREY + 1)]
    frames[0].save(tmp_path / "a" / "2.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match="animated"):
        load(tmp_path)
    (tmp_path / "a" / "2.gif").unlink()
    (tmp_path / "a" / "more").mkdir()
    with pytest.raises(DataError, match="more: not a file"):
        load(tmp_path)


def test_folders_that_are_no_data_set_are_told(tmp_path: Path) -> None:
    """No class, an empty class, stray files and folders beside `train` are errors."""
    with pytest.raises(DataError, match="no data"):
        load(tmp_path)
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match="a class without images"):
        load(tmp_path)
    image(tmp_path / "stray.png")
    with pytest.raises(DataError, match=r"'stray\.png' lies beside the classes"):
        load(tmp_path)
    image(tmp_path / "train" / "a" / "1.png")
    (tmp_path / "val").mkdir()
    with pytest.raises(DataError, match="'a' lies beside 'train'"):
        load(tmp_path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp"])
def test_truncated_images_are_errors(tmp_path: Path, suffix: str) -> None:
    """An image cut in the middle is an error, not half an image."""
    path = image(tmp_path / "a" / f"1.{suffix}", np.tile(COLOUR, (8, 8, 1)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="not a readable image"):
        load(tmp_path)


@pytest.mark.parametrize("side", [9_000, 12_000, 1 << 30])
def test_a_header_that_claims_too_many_pixels_is_refused(tmp_path: Path, side: int) -> None:
    """A PNG of a hundred bytes that claims 81 million pixels or more is not decoded."""
    path = image(tmp_path / "a" / "1.png")
    raw = bytearray(path.read_bytes())
    raw[16:24] = side.to_bytes(4, "big") * 2
    raw[29:33] = zlib.crc32(raw[12:29]).to_bytes(4, "big")
    path.write_bytes(raw)
    with pytest.raises(DataError, match=r"claims data|Bomb"):
        load(tmp_path)


def test_without_pillow_the_install_line_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing Pillow is an error with the line to type."""
    image(tmp_path / "a" / "1.png")
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "PIL.Image", None)
    with pytest.raises(BackendError, match=r"pip install 'epochwise\[images\]'"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["val", "valid", "validation", "dev", "Val"])
def test_l05_a_validation_folder_is_used(tmp_path: Path, name: str) -> None:
    """L05: `val/` beside `train/` is the validation part; files beside them are named."""
    for part, change in (("train", 0), (name, 3), ("test", 9)):
        image(tmp_path / part / "a" / "1.png", GREY + change)
        image(tmp_path / part / "b" / "1.png", GREY)
    (tmp_path / "labels.csv").write_text("x")

    data = load(tmp_path)

    assert data.validation is not None
    assert np.array_equal(data.validation.x, [GREY + 3, GREY])
    assert data.test is not None
    assert np.array_equal(data.test.x, [GREY + 9, GREY])
    assert "Not used: 'labels.csv'." in data.told()
    image(tmp_path / name / "c" / "1.png")
    with pytest.raises(DataError, match="never occur in the training part: 'c'"):
        load(tmp_path)
    with pytest.raises(DataError, match="classified by their folders"):
        load(tmp_path, task="regression")
