"""Where samples come from: a name, a file or folder, or arrays in Python.

Owns the choice of the reader; each format has a file of its own. Importing this package
imports NumPy alone; scikit-learn, Keras, pyarrow and Pillow are imported when a source
needs them. Whatever a file holds, reading it ends in a `Dataset`, a `DataError` or (for a
library that is missing) a `BackendError`, and takes at most four times the file's bytes
plus 64 MB of memory; images, which compress further, up to a hundred times.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from epochwise.data.samples import Dataset
from epochwise.data.sources.arrays import from_arrays as from_arrays
from epochwise.data.sources.named import NAMES as NAMES
from epochwise.data.sources.named import read_named
from epochwise.errors import DataError, near

__all__ = ["NAMES", "from_arrays", "load"]

FORMATS = (
    "a .npz file (keys x_train, y_train[, x_test, y_test] or x, y), a .csv, .tsv or "
    ".parquet table with its label= column, a folder of IDX files, or a folder of images with "
    "one folder for each class"
)
_TABLES = (".csv", ".tsv", ".parquet")


def load(source: str | os.PathLike[str], *, label: str | None = None) -> Dataset:
    """Read a data set by its name or from a file or folder.

    Integer or text labels become class numbers, with the names kept; a label with
    fractions, or of more than 1000 distinct whole numbers, is a regression's target.
    uint8 features stay uint8, to be divided inside the batch; other features become
    float32, or int32 where they are integers with two axes.

    Args:
        source: one of `NAMES`, or a path; a name wins over a file of the same name, which
            `./NAME` reads. What is no file is told from a name by a suffix or separator.
        label: the column with the labels; needed for tables, refused for others.

    Returns:
        The data set, checked: not empty, no NaN, one target a sample.

    Raises:
        DataError: no such source, or one that cannot be trained on; with file and place.
        BackendError: a library that the format needs is missing.

    Example:
        >>> load("digits").classes
        ('0', '1', '2', '3', '4', '5', '6', '7', '8', '9')
        >>> try:
        ...     load("digitz")
        ... except DataError as error:
        ...     print(str(error).partition(" Names")[0])
        no data set is called 'digitz', and no such file is there.
          Remedy: did you mean 'digits'?
    """
    if isinstance(source, str) and source in NAMES:
        _refuse_label(label, source)
        return _private(read_named(source))
    path = Path(source)
    try:
        return _private(_read(path, label))
    except DataError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        raise DataError(
            f"{path}: cannot be read ({error}).",
            "check that the file is there and may be read.",
        ) from error
    except MemoryError as error:
        raise DataError(
            f"{path}: its arrays do not fit in this machine's memory.",
            "use a smaller file, or np.load(..., mmap_mode='r') and epochwise.fit in Python.",
        ) from error


def _private(dataset: Dataset) -> Dataset:
    """Return the data set with a note that its arrays are this package's own."""
    train, test = dataset.train, dataset.test
    return replace(
        dataset,
        train=replace(train, private=True),
        test=None if test is None else replace(test, private=True),
    )


def _read(path: Path, label: str | None) -> Dataset:
    """Choose the reader by what lies at the path."""
    if path.is_dir():
        from epochwise.data.sources import idx, images

        _refuse_label(label, path)
        return idx.read_idx(path) if idx.is_idx_folder(path) else images.read_images(path)
    if not path.exists():
        raise _unknown(path)
    if not path.is_file():
        raise DataError(f"{path}: not a regular file.", f"give {FORMATS}.")
    suffix = path.suffix.lower()
    if suffix not in _TABLES:
        _refuse_label(label, path)
    if suffix == ".npz":
        from epochwise.data.sources import npz

        return npz.read_npz(path)
    if suffix in (".csv", ".tsv"):
        from epochwise.data.sources import delimited

        return delimited.read_delimited(path, label)
    if suffix == ".parquet":
        from epochwise.data.sources import parquet

        return parquet.read_parquet(path, label)
    raise DataError(
        f"{path}: the format {suffix or 'without suffix'!r} is not known.", _remedy_for(path)
    )


def _remedy_for(path: Path) -> str:
    if path.suffix.lower() == ".npy":
        return 'join features and targets in one file: np.savez("data.npz", x=x, y=y).'
    if "idx" in path.name:
        return f"give the folder that holds the IDX files: {path.parent}"
    return f"give {FORMATS}."


def _refuse_label(label: str | None, source: object) -> None:
    if label is not None:
        raise DataError(
            f"{source}: label={label!r} names a column, but only tables have columns.",
            "leave out label=; .csv, .tsv and .parquet files need it.",
        )


def _unknown(path: Path) -> DataError:
    """Return the error for what is neither a name nor a file, with what comes close."""
    siblings: list[str] = []
    if path.parent.is_dir():
        siblings = sorted(entry.name for entry in path.parent.iterdir())[:10_000]
    meant = near(str(path), NAMES)
    if not meant:
        meant = [str(path.parent / name) for name in near(path.name, siblings)]
    asked = f"did you mean {meant[0]!r}? " if meant else ""
    return DataError(
        f"no data set is called {str(path)!r}, and no such file is there.",
        f"{asked}Names: {', '.join(NAMES)}; or give {FORMATS}.",
    )
