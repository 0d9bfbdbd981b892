"""Boundaries as the loop would show them, made by hand, and a run by a rule alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from epochwise.counting.position import Position
from epochwise.events import StopReason
from epochwise.record import json_text
from epochwise.rules import Seen, StopRule, from_json, to_json

NAN = float("nan")
INF = float("inf")


def at(epochs_done: int, iterations_in_epoch_done: int = 0, *, per_epoch: int = 1) -> Position:
    """Return a place in a training with so many iterations an epoch, of one sample each."""
    iterations_done = epochs_done * per_epoch + iterations_in_epoch_done
    return Position(
        epochs_done=epochs_done,
        iterations_done=iterations_done,
        iterations_in_epoch_done=iterations_in_epoch_done,
        samples_done=iterations_done,
        samples_in_epoch_done=iterations_in_epoch_done,
    )


def boundary(place: Position, metrics: Mapping[str, float] | None = None, **more: Any) -> Seen:
    """Return a boundary that is evaluated if metrics of a validation part are given."""
    metrics = metrics or {}
    return Seen(
        **{
            "position": place,
            "closes_epoch": place.iterations_in_epoch_done == 0,
            "evaluated": any(name.startswith("val_") for name in metrics),
            "metrics": metrics,
            **more,
        }
    )


@dataclass(frozen=True)
class Look:
    """One boundary of a made-up training.

    Args:
        position: what is done.
        evaluated: whether the validation part is evaluated.
        value: of `val_loss`; `None` where it is absent.
    """

    position: Position
    evaluated: bool
    value: float | None


def shown(looks: Iterable[Look]) -> list[Seen]:
    """Return boundaries as a rule sees them, each with the losses since the one before."""
    seen, done = [], 0
    for look in looks:
        named = {"val_loss": look.value} if look.evaluated and look.value is not None else {}
        losses = (1.0,) * (look.position.iterations_done - done)
        metrics = {"loss": 1.0, **named}
        seen.append(boundary(look.position, metrics, evaluated=look.evaluated, losses=losses))
        done = look.position.iterations_done
    return seen


def stops_at(rule: StopRule[Any], boundaries: Iterable[Seen]) -> tuple[int, StopReason] | None:
    """Return the index of the boundary at which a rule stops, and why."""
    memory = rule.start()
    for index, seen in enumerate(boundaries):
        memory, reason = rule.update(memory, seen)
        if reason is not None:
            return index, reason
    return None


def stops_at_resumed(
    rule: StopRule[Any], boundaries: Iterable[Seen]
) -> tuple[int, StopReason] | None:
    """Return the same where the run is saved as text and resumed at every boundary."""
    kept = json_text(to_json(rule.start()))
    for index, seen in enumerate(boundaries):
        memory, reason = rule.update(from_json(rule, json.loads(kept)), seen)
        kept = json_text(to_json(memory))
        if reason is not None:
            return index, reason
    return None


def finer(looks: Iterable[Look], *, per_epoch: int) -> list[Look]:
    """Return the same boundaries, and one after each other iteration, not evaluated."""
    given = {look.position.iterations_done: look for look in looks}
    nothing = (
        Look(at(*divmod(done, per_epoch), per_epoch=per_epoch), False, None)
        for done in range(1, max(given) + 1)
    )
    return [given.get(look.position.iterations_done, look) for look in nothing]
