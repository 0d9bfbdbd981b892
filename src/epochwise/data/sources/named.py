"""Data sets known by name: scikit-learn's digits, and those that Keras can fetch.

Owns the names. `digits` comes with scikit-learn and needs no network; it is the default.
The others come through Keras's own loaders and its cache (`~/.keras/datasets`, or below
`KERAS_HOME`), so that what is there already is not fetched again.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from epochwise.data.samples import Dataset, Samples
from epochwise.data.sources import labels
from epochwise.data.sources.streams import UINT8_DIVISOR
from epochwise.errors import BackendError, DataError
from epochwise.framework import import_keras

DIGITS_DIVISOR = 16.0
"""scikit-learn's digits have 17 levels of grey, 0 to 16."""

KERAS_NAMES = ("mnist", "fashion_mnist", "cifar10", "cifar100")
NAMES = ("digits", *KERAS_NAMES)


def read_named(name: str) -> Dataset:
    """Return the data set of this name, one of `NAMES`.

    Raises:
        DataError: it is not in the cache and could not be fetched.
        BackendError: the library that holds it is missing.

    Example:
        >>> data = read_named("digits")
        >>> data.train.count, data.input_shape, data.train.divisor
        (1797, (8, 8), 16.0)
    """
    return _digits() if name == "digits" else _from_keras(name)


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
            y=bunch.target.astype(np.int32),
            divisor=DIGITS_DIVISOR,
        ),
        classes=tuple(str(name) for name in bunch.target_names),
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
    targets = labels.encode(
        y, y_test, place=f"{name}, training labels", test_place=f"{name}, test labels"
    )
    return Dataset(
        name=name,
        train=Samples(x=x, y=targets.train, divisor=UINT8_DIVISOR),
        test=Samples(x=x_test, y=targets.test, divisor=UINT8_DIVISOR),
        classes=targets.classes,
    )
