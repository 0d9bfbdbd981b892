"""The choice of a source by its name or path, and the data sets known by name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import epochwise
from epochwise.data.samples import leaves
from epochwise.data.sources import load, named
from epochwise.errors import DataError


def in_a_process(code: str, **environment: str) -> str:
    """Run Python code in a fresh process; return what it printed."""
    package = str(Path(epochwise.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": package, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_digits_are_uint8_with_sixteen_levels() -> None:
    """The built-in digits are 1,797 images of 8×8 bytes, without a test part."""
    data = load("digits")

    assert data.train.x.dtype == np.uint8
    assert leaves(data.train.x)[0].shape == (1797, 8, 8)
    assert leaves(data.train.x)[0].max() == 16
    assert data.train.divisor == 16.0
    assert (data.test, data.classes) == (None, tuple("0123456789"))


def test_importing_the_sources_imports_no_library_but_numpy() -> None:
    """scikit-learn, Keras, pyarrow and Pillow are imported when they are needed."""
    heavy = {"sklearn", "keras", "jax", "pyarrow", "PIL", "pandas"}
    printed = in_a_process("import sys, epochwise.data.sources; print(*sys.modules)")

    assert "epochwise.data.sources.named" in printed.split()
    assert not heavy & {module.partition(".")[0] for module in printed.split()}


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("digit", "did you mean 'digits'"),
        ("fashion-mnist", "did you mean 'fashion_mnist'"),
        ("nothing like it", "Names: digits, mnist"),
        ("a\0b", "cannot be read|no data set"),
    ],
)
def test_an_unknown_source_is_told_with_what_comes_close(source: str, told: str) -> None:
    """The error lists the names and the formats."""
    with pytest.raises(DataError, match=told):
        load(source)


def test_a_path_nearly_right_is_told(tmp_path: Path) -> None:
    """A file whose name comes close is offered."""
    (tmp_path / "flowers.npz").write_bytes(b"")
    with pytest.raises(DataError, match=r"did you mean '.*flowers\.npz'"):
        load(tmp_path / "flower.npz")


def test_other_formats_are_told_with_the_way_out(tmp_path: Path) -> None:
    """A .npy, a lone IDX file and an unknown suffix each have a remedy of their own."""
    for name, told in (
        ("x.npy", "np.savez"),
        ("train-images-idx3-ubyte", "give the folder"),
        ("x.docx", "'.docx' is not known"),
    ):
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(DataError, match=told):
            load(tmp_path / name)


def test_a_label_is_refused_where_there_are_no_columns(tmp_path: Path) -> None:
    """`label` with a name or an .npz is a mistake, not something to ignore."""
    np.savez(tmp_path / "a.npz", x=np.zeros((2, 2)), y=[0, 1])
    for source in ("digits", tmp_path / "a.npz", tmp_path):
        with pytest.raises(DataError, match="only tables have columns"):
            load(source, label="y")


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    """A named pipe, which nobody writes to, is no file."""
    os.mkfifo(tmp_path / "data.npz")
    with pytest.raises(DataError, match="not a regular file"):
        load(tmp_path / "data.npz")


def test_what_keras_gives_is_taken_with_its_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels of shape (N, 1), as CIFAR's, are numbered; images stay bytes."""
    x, y = np.zeros((4, 2, 2, 3), np.uint8), np.array([[3], [1], [3], [1]])
    monkeypatch.setattr(named, "_load_with_keras", lambda _: ((x, y), (x[:1], y[:1])))

    data = load("cifar10")

    assert data.train.x is x
    assert leaves(data.train.y)[0].tolist() == [1, 0, 1, 0]
    assert data.test is not None
    assert leaves(data.test.y)[0].tolist() == [1]
    assert (data.train.divisor, data.name) == (255.0, "cifar10")


FETCH = """
import hashlib, sys
import numpy as np
from keras.src.datasets import mnist
from keras.src.utils import file_utils
from epochwise.data.sources import load
from epochwise.errors import DataError

fetch = file_utils.get_file
def from_elsewhere(fname, origin, file_hash):
    return fetch(fname, origin=sys.argv[1] if sys.argv[1:] else ORIGIN, file_hash=None)
mnist.get_file = from_elsewhere
try:
    data = load("mnist")
    print(data.train.x.shape, data.test.x.shape, data.classes)
except DataError as error:
    print(error)
"""


def fetched(tmp_path: Path, origin: str) -> str:
    code = FETCH.replace("sys.argv[1] if sys.argv[1:] else ORIGIN", repr(origin))
    return in_a_process(code, KERAS_HOME=str(tmp_path), KERAS_BACKEND="jax")


def test_mnist_comes_from_the_cache_of_keras(tmp_path: Path) -> None:
    """A file in Keras's cache is read without a network."""
    arrays: dict[str, Any] = {
        "x_train": np.zeros((3, 28, 28), np.uint8), "y_train": np.array([7, 1, 7]),
        "x_test": np.zeros((1, 28, 28), np.uint8), "y_test": np.array([1]),
    }  # fmt: skip
    (tmp_path / "datasets").mkdir()
    np.savez(tmp_path / "datasets" / "mnist.npz", **arrays)

    printed = fetched(tmp_path, "http://127.0.0.1:9/mnist.npz")

    assert "(3, 28, 28) (1, 28, 28) ('1', '7')" in printed


def test_without_a_network_the_error_says_how_to_give_a_file(tmp_path: Path) -> None:
    """A fetch that fails (nothing listens at the address) ends in the two ways out."""
    printed = fetched(tmp_path, "http://127.0.0.1:9/mnist.npz")

    assert "data set 'mnist' is not in Keras's cache and could not be fetched" in printed
    assert "URL fetch failure" in printed
    assert "epochwise train FILE.npz" in printed
