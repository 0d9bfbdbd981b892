"""A rule's settings as JSON and back, for the record of a run that may go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

from epochwise.errors import RunError
from epochwise.rules.base import AnyOf, StopRule


def rule_to_json(rule: StopRule[Any]) -> dict[str, Any]:
    """Return what a rule is: `rule`, its class's name, and its settings.

    Args:
        rule: one of ours, or a frozen dataclass of plain values.

    Example:
        >>> from epochwise.rules import Patience
        >>> rule_to_json(Patience(metric="val_loss", epochs=3))["epochs"]
        3
    """
    settings: dict[str, Any] = {}
    if isinstance(rule, AnyOf):
        settings = {"rules": [rule_to_json(part) for part in rule.rules]}
    elif is_dataclass(rule) and not isinstance(rule, type):
        settings = asdict(rule)
    return {"rule": type(rule).__name__, **settings}


def rule_from_json(recorded: Mapping[str, Any]) -> StopRule[Any]:
    """Return the rule that `rule_to_json` told of.

    Raises:
        RunError: it is no rule of ours.
    """
    from epochwise import rules  # the names that the package exports are the rules

    settings = dict(recorded)
    name = settings.pop("rule", None)
    kind = getattr(rules, str(name), None)
    if kind is AnyOf:
        return AnyOf(tuple(rule_from_json(part) for part in settings["rules"]))
    if not (isinstance(kind, type) and hasattr(kind, "update")):
        raise RunError(
            f"The stopping rule {name!r} of the record is none of Epochwise's.",
            "give resume the rules again: stop=[...].",
        )
    rule: StopRule[Any] = kind(**settings)
    return rule
