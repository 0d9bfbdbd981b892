"""JSON as every parser reads it: also where a training made NaN or infinity.

JSON has no word for them, and Python's own `NaN` is refused elsewhere. They are kept
as the strings `"NaN"`, `"Infinity"` and `"-Infinity"`, so that nothing is lost and
nobody mistakes a diverged loss for a missing one; `number` reads them back.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

NOT_FINITE = ("NaN", "Infinity", "-Infinity")
"""The strings that stand for the three kinds of number that are not finite."""


def json_text(value: object, *, indent: int | None = None) -> str:
    """Return a value as strict JSON text, one line unless indented.

    Args:
        value: mappings, sequences, strings, numbers, true, false and `None`; anything
            else is kept as its text.
        indent: columns a level, `None` for one line.

    Example:
        >>> json_text({"loss": [0.5, float("nan")], "epochs": 2})
        '{"loss": [0.5, "NaN"], "epochs": 2}'
    """
    return json.dumps(jsonable(value), indent=indent, ensure_ascii=False, allow_nan=False)


def jsonable(value: object) -> Any:
    """Return the value made of what JSON has.

    Example:
        >>> jsonable((1, float("-inf")))
        [1, '-Infinity']
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _word(value)
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    item = getattr(value, "item", None)  # a NumPy scalar
    if item is not None and getattr(value, "ndim", None) == 0:
        return jsonable(item())
    return str(value)


def number(value: object) -> float:
    """Read a number back, one of the three strings included.

    Raises:
        ValueError: it is no number.

    Example:
        >>> number(0.5), number("-Infinity")
        (0.5, -inf)
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and value in NOT_FINITE:
        return float(value)
    raise ValueError(f"{value!r} is no number")


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Read back a mapping of numbers.

    Raises:
        ValueError: one is no number, or it is no mapping.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{values!r} is no mapping")
    return {name: number(value) for name, value in values.items()}


def _word(value: float) -> str:
    """Return the string that stands for a number that is not finite."""
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
