"""A rule's memory as JSON and back, exactly.

The shape comes from the memory itself: `start()` tells which dataclass it is, and its
fields' types tell how each value is read. Rows of numbers are kept as the base64 of
their 64-bit floats. How a number that is not finite is spelt is the writer's affair: as
a number or as its name, `"NaN"`, it is read back.
"""

from __future__ import annotations

import base64
import reprlib
import sys
from array import array
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, cast, get_type_hints

from epochwise.errors import RunError
from epochwise.rules.base import AnyOf, Memory, StopRule


def to_json(memory: object) -> Any:
    """Return a memory made of what JSON has, and of numbers that may not be finite.

    Args:
        memory: what a rule's `start` or `update` returned.

    Example:
        >>> from epochwise.rules import Best
        >>> to_json(Best(metric="val_loss").start())["looks"]
        {'made': 0, 'not_finite': 0, 'absent': 0}
    """
    if is_dataclass(memory) and not isinstance(memory, type):
        return {entry.name: to_json(getattr(memory, entry.name)) for entry in fields(memory)}
    if isinstance(memory, tuple) and memory and isinstance(memory[0], float):
        return {"float64": base64.b64encode(_little_endian(array("d", memory))).decode("ascii")}
    if isinstance(memory, tuple):
        return [to_json(held) for held in memory]
    return memory


def from_json(rule: StopRule[Memory], recorded: Any) -> Memory:
    """Read back what `to_json` gave for a memory of this rule.

    Args:
        rule: the rule whose memory it was.
        recorded: what `to_json` returned, also after a way through JSON text.

    Raises:
        RunError: it is no memory of such a rule.

    Example:
        >>> from epochwise.rules import Patience
        >>> rule = Patience(metric="val_loss", epochs=3)
        >>> from_json(rule, to_json(rule.start())) == rule.start()
        True
    """
    try:
        return cast("Memory", _of_rule(rule, recorded))
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"The memory of {rule} cannot be read from {reprlib.repr(recorded)}: {error}.",
            "resume with the stopping rules that the run was started with.",
        ) from error


def _of_rule(rule: StopRule[Any], recorded: Any) -> Any:
    """Read a rule's memory; of several rules, one memory each."""
    if not isinstance(rule, AnyOf):
        return _of_kind(type(rule.start()), recorded)
    if not isinstance(recorded, list) or len(recorded) != len(rule.rules):
        raise ValueError(f"there should be {len(rule.rules)} memories")
    pairs = zip(rule.rules, recorded, strict=True)
    return tuple(_of_rule(part, held) for part, held in pairs)


def _of_kind(kind: Any, recorded: Any) -> Any:
    """Read a dataclass, each field as its type says."""
    hints = get_type_hints(kind)
    if not isinstance(recorded, Mapping) or set(recorded) != set(hints):
        raise ValueError(f"there should be {sorted(hints)}")
    return kind(**{name: _value(hint, recorded[name]) for name, hint in hints.items()})


def _value(hint: Any, recorded: Any) -> Any:
    """Read one field."""
    if is_dataclass(hint):
        return _of_kind(hint, recorded)
    if hint in (tuple[float, ...], tuple[float, ...] | None) and recorded is not None:
        return _row(recorded)
    if hint in (float, float | None) and isinstance(recorded, str):
        return float(recorded)
    kind = type(recorded)
    if hint not in (kind, kind | None) and not (recorded is None and hint == hint | None):
        raise TypeError(f"{recorded!r} is no {hint}")
    return recorded


def _row(recorded: Any) -> tuple[float, ...]:
    """Read a row of numbers; one without any is an empty list."""
    if recorded == []:
        return ()
    row = array("d", base64.b64decode(recorded["float64"], validate=True))
    return tuple(array("d", _little_endian(row)))


def _little_endian(row: array[float]) -> bytes:
    """Return the bytes of a row, in the order that is the same on every machine."""
    if sys.byteorder == "big":
        row.byteswap()
    return row.tobytes()
