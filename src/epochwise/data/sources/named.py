"""Data sets known by name: scikit-learn's digits, and those that Keras can fetch.

Owns the names. `digits` comes with scikit-learn and needs no network; it is the default.
The others come through Keras's own loaders and its cache (`~/.keras/datasets`, or below
`KERAS_HOME`), so that what is there already is not fetched again.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from epochwise.data.samples import Dataset, Samples, leaves
from epochwise.data.sources import labels
from epochwise.data.sources.streams import UINT8_DIVISOR
from epochwise.errors import BackendError, DataError
from epochwise.framework import import_keras

DIGITS_DIVISOR = 16.0
"""scikit-learn's digits have 17 levels of grey, 0 to 16."""

KERAS_NAMES = ("mnist", "fashion_mnist", "cifar10", "cifar100")
NAMES = ("digits", *KERAS_NAMES)


def read_named(name: str, *, asked: labels.AskedTask | None = None) -> Dataset:
    """Return the data set of this name, one of `NAMES`.

    Args:
        name: of the data set.
        asked: what the user says the targets are; a classification unless told.

    Raises:
        DataError: it is not in the cache and could not be fetched.
        BackendError: the library that holds it is missing.

    Example:
        >>> data = read_named("digits")
        >>> data.train.count, data.input_shape, data.train.divisor
        (1797, (8, 8), 16.0)
    """
    data = _digits() if name == "digits" else _from_keras(name)
    parts = [part for part in (data.train, data.test) if part is not None]
    targets = labels.encode(
        [
            (leaves(part.y)[0], f"{name}, {part_name} labels")
            for part, part_name in zip(parts, ("training", "test"), strict=False)
        ],
        name="label",
        asked=asked or "classification",
    )
    told = [replace(part, y=y) for part, y in zip(parts, targets.parts, strict=True)]
    return replace(
        data,
        train=told[0],
        test=None if data.test is None else told[1],
        task=targets.task if asked else replace(targets.task, evidence=""),
        classes=targets.classes,
    )


def _digits() -> Dataset:
    """Return 1,797 images of 8×8 pixels; no test part.

    References:
        Alpaydin and Kaynak (1998), "Optical recognition of handwritten digits", UCI
        machine learning repository.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise BackendError(
            f"the built-in digits come with scikit-learn ({error}).",
            "pip install scikit-learn",
        ) from error
    bunch = load_digits()
    return Dataset(
        name="digits",
        train=Samples(
            x=bunch.images.astype(np.uint8),
            y=bunch.target,
            divisor=DIGITS_DIVISOR,
        ),
    )


def _load_with_keras(name: str) -> Any:
    """Call Keras's loader of this name: `((x, y), (x_test, y_test))`."""
    return getattr(import_keras().datasets, name).load_data()


def _from_keras(name: str) -> Dataset:
    try:
        (x, y), (x_test, y_test) = _load_with_keras(name)
    except BackendError:
        raise
    except Exception as error:  # Keras raises bare `Exception` when a download fails
        raise DataError(
            f"data set {name!r} is not in Keras's cache and could not be fetched "
            f"({type(error).__name__}: {error}).",
            "try again with a network, or give a file: epochwise train FILE.npz with the "
            "keys x_train, y_train, x_test, y_test; `epochwise train digits` needs no network.",
        ) from error
    return Dataset(
        name=name,
        train=Samples(x=x, y=y, divisor=UINT8_DIVISOR),
        test=Samples(x=x_test, y=y_test, divisor=UINT8_DIVISOR),
    )
