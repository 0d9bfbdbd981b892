"""Where samples come from: a name, a file or folder, or arrays in Python.

Owns the choice of the reader; each format has a file of its own. Importing this package
imports NumPy alone; scikit-learn, Keras, pyarrow and Pillow are imported when a source
needs them. Whatever a file holds, reading it ends in a `Dataset`, a `DataError` or (for a
library that is missing) a `BackendError`, and takes at most four times the file's bytes
plus 64 MB of memory; images, which compress further, up to a hundred times.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from epochwise.data.samples import Dataset, Samples
from epochwise.data.sources.arrays import from_arrays as from_arrays
from epochwise.data.sources.labels import AskedTask as AskedTask
from epochwise.data.sources.named import NAMES as NAMES
from epochwise.data.sources.named import read_named
from epochwise.errors import DataError, near

__all__ = ["NAMES", "from_arrays", "load"]

FORMATS = (
    "a .npz file (keys x_train, y_train[, x_val, y_val][, x_test, y_test] or x, y), a .csv, "
    ".tsv or .parquet table with its label= column, a folder of IDX files, or a folder of "
    "images with "
    "one folder for each class"
)
_TEXT_TABLES = (".csv", ".tsv")


def load(
    source: str | os.PathLike[str],
    *,
    label: str | None = None,
    drop: Sequence[str] = (),
    header: bool | None = None,
    task: AskedTask | None = None,
) -> Dataset:
    """Read a data set by its name or from a file or folder.

    What the targets are, classes or numbers, is decided by one rule for all formats, in
    `labels.py`, or told. uint8 features stay uint8, to be divided inside the batch; other
    features become float32, or int32 where they are integers with two axes.

    Args:
        source: one of `NAMES`, or a path; a name wins over a file of the same name, which
            `./NAME` reads. What is no file is told from a name by a suffix or separator.
        label: the column with the labels; needed for tables, refused for others.
        drop: columns of a table to leave out.
        header: whether the first line of a `.csv` or `.tsv` names the columns; `None` to
            take it so unless it may be a sample.
        task: what the targets are; `None` to decide from their values.

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
    columns = {"label": label, "drop": tuple(drop) or None}
    if isinstance(source, str) and source in NAMES:
        _refuse(source, columns | {"header": header})
        return _private(read_named(source, asked=task))
    path = Path(source)
    suffix = path.suffix.lower()
    try:
        if path.exists() and suffix not in _TEXT_TABLES:
            _refuse(path, ({} if suffix == ".parquet" else columns) | {"header": header})
        return _private(_read(path, label, tuple(drop), header, task))
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

    def own(part: Samples | None) -> Samples | None:
        return None if part is None else replace(part, private=True)

    return replace(
        dataset,
        train=replace(dataset.train, private=True),
        validation=own(dataset.validation),
        test=own(dataset.test),
    )


def _read(
    path: Path,
    label: str | None,
    drop: tuple[str, ...],
    header: bool | None,
    asked: AskedTask | None,
) -> Dataset:
    """Choose the reader by what lies at the path."""
    if path.is_dir():
        from epochwise.data.sources import idx, images

        if idx.is_idx_folder(path):
            return idx.read_idx(path, asked=asked)
        if asked == "regression":
            raise DataError(
                f"{path}: images are classified by their folders, and a regression needs "
                "numbers.",
                "leave --task out.",
            )
        return images.read_images(path)
    if not path.exists():
        raise _unknown(path)
    if not path.is_file():
        raise DataError(f"{path}: not a regular file.", f"give {FORMATS}.")
    suffix = path.suffix.lower()
    if suffix == ".npz":
        from epochwise.data.sources import npz

        return npz.read_npz(path, asked=asked)
    if suffix in _TEXT_TABLES:
        from epochwise.data.sources import delimited

        return delimited.read_delimited(path, label, drop=drop, header=header, asked=asked)
    if suffix == ".parquet":
        from epochwise.data.sources import parquet

        return parquet.read_parquet(path, label, drop=drop, asked=asked)
    raise DataError(
        f"{path}: the format {suffix or 'without suffix'!r} is not known.", _remedy_for(path)
    )


def _remedy_for(path: Path) -> str:
    if path.suffix.lower() == ".npy":
        return 'join features and targets in one file: np.savez("data.npz", x=x, y=y).'
    if "idx" in path.name:
        return f"give the folder that holds the IDX files: {path.parent}"
    return f"give {FORMATS}."


def _refuse(source: object, given: Mapping[str, object]) -> None:
    """Refuse options that the source has no use for; `None` was not given."""
    for option, value in given.items():
        if value is None:
            continue
        if option == "header":
            raise DataError(
                f"{source}: only .csv and .tsv files have a header line.",
                "leave --header and --no-header out.",
            )
        raise DataError(
            f"{source}: {option}={value!r} names a column, but only tables have columns.",
            f"leave out {option}=; .csv, .tsv and .parquet files have columns.",
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
