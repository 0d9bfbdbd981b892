"""Text as samples, for layers that turn it into numbers.

An array of text holds Python's `bytes`, UTF-8, one an element, whatever it came as:
strings of fixed width lose the zeros at their ends.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from epochwise.data.samples import Array


def is_text(array: Any) -> bool:
    """Tell whether every element of an array is text.

    Example:
        >>> is_text(np.array(["a", "b"])), is_text(np.array(["a", None], object))
        (True, False)
    """
    kind = getattr(getattr(array, "dtype", None), "kind", "")
    if kind == "O":
        return array.size > 0 and all(isinstance(one, str | bytes) for one in array.flat)
    return kind in ("U", "S")


def encoded(array: Array) -> Array:
    r"""Return an array of text as Python's `bytes`.

    Example:
        >>> encoded(np.array(["é"])).tolist()
        [b'\xc3\xa9']
    """
    told = [one.encode() if isinstance(one, str) else bytes(one) for one in array.flat]
    out = np.empty(len(told), object)
    out[:] = told
    return out.reshape(array.shape)
