"""Sparse matrices as arrays whose rows are made dense when they are taken.

Owns which objects are sparse (SciPy's matrices and arrays, JAX's BCOO and BCSR,
TensorFlow's SparseTensor, PyTorch's sparse tensors) and how their rows are had. Imports
none of these frameworks, and SciPy only where something is sparse.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from epochwise.data.samples import Array
from epochwise.errors import DataError


class SparseRows:
    """Rows of numbers most of which are 0, held without these.

    To whoever takes rows of it, it is an array.

    Args:
        stored: SciPy's CSR array of shape (N, numbers in a row), duplicates added up.
        shape: what the array would have, dense; N first.

    Example:
        >>> from scipy.sparse import csr_array
        >>> rows = sparse_rows(csr_array([[0, 0, 2], [0, 1, 0]]))
        >>> rows[np.array([1, 0, 1])].tolist()
        [[0, 1, 0], [0, 0, 2], [0, 1, 0]]
    """

    def __init__(self, stored: Any, shape: tuple[int, ...]) -> None:
        """Hold the numbers that are stored."""
        self._stored = stored
        self.shape = shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its numbers."""
        return self.values.dtype

    @property
    def ndim(self) -> int:
        """Its axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Its numbers, with those that are 0."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """What it would take dense, as its rows do once they are taken [bytes]."""
        return self.size * self.dtype.itemsize

    @property
    def values(self) -> Array:
        """The numbers that are stored."""
        values: Array = self._stored.data
        return values

    @property
    def parts(self) -> tuple[Array, ...]:
        """All that tells the array from another of its shape."""
        stored = self._stored
        return stored.data, stored.indices.astype(np.int64), stored.indptr.astype(np.int64)

    def __getitem__(self, rows: Any) -> Array:
        """Return these rows, dense; of a place, a tuple, the number there."""
        if isinstance(rows, tuple):
            return self[np.array(rows[:1])][0][rows[1:]]  # type: ignore[no-any-return]
        dense: Array = self._stored[rows].toarray()
        return dense.reshape(-1, *self.shape[1:])

    def mapped(self, change: Callable[[Array], Array]) -> SparseRows:
        """Return the same with its stored numbers changed."""
        stored = self._stored.copy()
        stored.data = change(stored.data)
        return SparseRows(stored, self.shape)

    def place_of(self, index: int) -> tuple[int, ...]:
        """Return where the stored number of this index stands."""
        row = int(np.searchsorted(self._stored.indptr, index, side="right")) - 1
        inside = np.unravel_index(int(self._stored.indices[index]), self.shape[1:])
        return (row, *(int(part) for part in inside))


def sparse_rows(value: Any, place: str = "x") -> SparseRows | None:
    """Return a sparse object as rows; `None` where it is not sparse.

    Args:
        value: anything.
        place: where it stands, for messages.

    Raises:
        DataError: it has no axis of samples beside another.
    """
    if _is_scipys(value) and value.ndim == 2:
        return SparseRows(_added_up(_csr(value)), tuple(map(int, value.shape)))
    found = _coordinates(value)
    if found is None:
        return None
    values, coordinates, shape = found
    if len(shape) < 2:
        raise DataError(
            f"{place} is sparse, of shape {shape}: it has no rows.",
            "give it dense, or with an axis of samples first: shape (samples, 1).",
        )
    columns = np.ravel_multi_index(tuple(coordinates[1:]), shape[1:])
    flat = (shape[0], math.prod(shape[1:]))
    return SparseRows(_added_up(_csr((values, (coordinates[0], columns)), shape=flat)), shape)


def _is_scipys(value: Any) -> bool:
    """Tell whether it is one of SciPy's, without importing what only they need."""
    if not any(kind.__module__.startswith("scipy.sparse") for kind in type(value).__mro__):
        return False
    from scipy.sparse import issparse

    return bool(issparse(value))


def _csr(*arguments: Any, **options: Any) -> Any:
    """Return SciPy's CSR array."""
    from scipy.sparse import csr_array  # a tenth of a second that few need

    return csr_array(*arguments, **options)


def _added_up(stored: Any) -> Any:
    """Return a CSR array without duplicates; the caller's own stays as it is."""
    if not stored.has_canonical_format:
        stored = stored.copy()
        stored.sum_duplicates()
    return stored


def _coordinates(value: Any) -> tuple[Array, list[Array], tuple[int, ...]] | None:
    """Return the stored numbers, their places by axis, and the shape of what is sparse."""
    if _is_scipys(value):
        coo = value.tocoo()
        return coo.data, list(coo.coords), tuple(map(int, value.shape))
    package, name = type(value).__module__.partition(".")[0], type(value).__name__
    if package == "tensorflow" and name == "SparseTensor":
        places = np.asarray(value.indices.numpy())
        shape = tuple(np.asarray(value.dense_shape.numpy()).tolist())
        return np.asarray(value.values.numpy()), list(places.T), shape
    if package == "torch" and str(getattr(value, "layout", "")).startswith("torch.sparse"):
        coo = value.detach().cpu().to_sparse_coo().coalesce()
        return coo.values().numpy(), list(coo.indices().numpy()), tuple(value.shape)
    if package == "jax" and name == "BCSR":
        value, name = value.to_bcoo(), "BCOO"
    if package == "jax" and name == "BCOO" and not value.n_batch and not value.n_dense:
        # A place beyond the shape is padding.
        places = np.asarray(value.indices)
        inside = (places < np.asarray(value.shape)).all(axis=1)
        return np.asarray(value.data)[inside], list(places[inside].T), tuple(value.shape)
    if package == "jax" and name == "BCOO":
        return _coordinates(value.update_layout(n_batch=0, n_dense=0))
    return None
