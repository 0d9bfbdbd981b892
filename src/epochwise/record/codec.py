"""Events as rows of JSON and back: the one place that knows how a value is written.

A row holds `event`, the kind, which is the event's class in snake case, and the event's
fields; a field whose metadata says `recorded=False` is kept elsewhere (the plan in the
header, the losses in the series). So an event or a field of one is added in
`epochwise.events` alone. What is read is checked by its type: a count is a whole number of 0
or more, a number is a number or one of the strings of `jsontext`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_args

from cattrs import Converter
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from epochwise.counting.plan import Plan
from epochwise.counting.position import Position
from epochwise.events import BatchEvaluated, Boundary, Event, RunBegun
from epochwise.record.jsontext import number

NOT_RECORDED: tuple[type[Event], ...] = (Boundary, BatchEvaluated)
"""Events that leave no row."""

KINDS: dict[str, type[Event]] = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower(): kind
    for kind in get_args(Event)
    if kind not in NOT_RECORDED
}
"""Each kind of event by its name in a record."""

_NAMES = {kind: name for name, kind in KINDS.items()}


def event_row(event: Event) -> dict[str, Any]:
    """Return an event as its row.

    Example:
        >>> from epochwise.events import EvaluationBegun
        >>> from epochwise.counting.position import START
        >>> event_row(EvaluationBegun(epoch_index=0, position=START))["event"]
        'evaluation_begun'
    """
    return {"event": _NAMES[type(event)], **_CONVERTER.unstructure(event)}


def event_of_row(row: Mapping[str, Any], plan: Plan | None) -> Event:
    """Return the event that a row tells of, without what is kept elsewhere but the plan.

    Args:
        row: as `event_row` gave it, also after a way through JSON text.
        plan: of the run; `None` for data of unknown length.

    Raises:
        KeyError, TypeError, ValueError, AttributeError, RunError: it is no such row.
    """
    kind = KINDS[row["event"]]
    event: Event = _CONVERTER.structure(row, kind)
    return replace(event, plan=plan) if isinstance(event, RunBegun) else event


def read_as(kind: Any, recorded: Any) -> Any:
    """Return a part of a row, read by its type: a dataclass, or `dict[str, float] | None`.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it is no such part.

    Example:
        >>> read_as(dict[str, float] | None, {"loss": "NaN"})
        {'loss': nan}
    """
    return _CONVERTER.structure(recorded, kind)


def _count(value: Any, _: Any) -> int:
    """Read a count; the keys of a mapping are its digits."""
    if isinstance(value, str) and value.isdecimal():
        value = int(value)
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _exactly(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"{value!r} is no {kind.__name__}")
    return value


def _converter() -> Converter:
    """Return what reads and writes every event."""
    made = Converter(detailed_validation=False)
    made.register_structure_hook(int, _count)
    made.register_structure_hook(float, lambda value, _: number(value))
    made.register_structure_hook(bool, _exactly)
    made.register_structure_hook(str, _exactly)
    made.register_structure_hook(Position, lambda value, _: Position.from_json(value))
    for kind in KINDS.values():
        assert is_dataclass(kind)
        elsewhere: dict[str, Any] = {
            field.name: override(omit=True)
            for field in fields(kind)
            if not field.metadata.get("recorded", True)
        }
        made.register_unstructure_hook(kind, make_dict_unstructure_fn(kind, made, **elsewhere))
        made.register_structure_hook(kind, make_dict_structure_fn(kind, made, **elsewhere))
    return made


_CONVERTER = _converter()
