"""Stop once a metric is good enough."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from epochwise.counting.numbers import real_number
from epochwise.errors import PlanError
from epochwise.events import StopReason
from epochwise.rules.base import Seen
from epochwise.rules.metrics import Better, Looks, better_of, is_better, is_looked_at


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetMemory:
    """What `Target` remembers.

    Args:
        looks: how often the metric was looked at, and what was found.
    """

    looks: Looks = field(default_factory=Looks)


@dataclass(frozen=True, slots=True)
class Target:
    """Stop once a metric is as good as a value, or better.

    Args:
        metric: as the history names it.
        value: what is good enough, finite.
        better: `"lower"` or `"higher"`; `None` follows from the metric's name.

    Raises:
        PlanError: the value is not finite, or the direction not known.

    Example:
        >>> from epochwise.rules import replay
        >>> history = {"val_accuracy": [0.95, 0.968, 0.9712, 0.98]}
        >>> epochs_done, reason = replay(Target("val_accuracy", 0.97), history)
        >>> epochs_done, reason.sentence
        (3, 'val_accuracy reached 0.9712 after epoch 3 (target 0.97).')
    """

    metric: str
    value: float
    better: Better | None = None

    def __post_init__(self) -> None:
        """Check the settings once."""
        better_of(self.metric, self.better)
        value = real_number(self.value)
        if value is None:
            raise PlanError(
                f"Target({self.metric!r}, {self.value!r}) has no number to reach.",
                f'use Target("{self.metric}", 0.97).',
            )
        if not math.isfinite(value):
            raise PlanError(
                f"Target({self.metric!r}, {value}) cannot be reached.",
                "use a finite number.",
            )
        object.__setattr__(self, "value", value)

    @property
    def name(self) -> str:
        """See `StopRule.name`."""
        return "target"

    @property
    def metrics(self) -> tuple[str, ...]:
        """See `StopRule.metrics`."""
        return (self.metric,)

    def start(self) -> TargetMemory:
        """See `StopRule.start`."""
        return TargetMemory()

    def update(
        self, memory: TargetMemory, seen: Seen
    ) -> tuple[TargetMemory, StopReason | None]:
        """See `StopRule.update`. NaN and infinity reach nothing."""
        if not is_looked_at(self.metric, seen):
            return memory, None
        looks, value = memory.looks.look(self.metric, seen)
        memory = TargetMemory(looks=looks)
        better = better_of(self.metric, self.better)
        if value is None or not math.isfinite(value) or is_better(self.value, value, better):
            return memory, None
        return memory, StopReason(
            rule=self.name,
            sentence=f"{self.metric} reached {value:.4g} after {seen.place} "
            f"(target {self.value:.4g}).",
        )


def parse_target(told: str, option: str = "--target") -> Target:
    """Read a target as a user writes it: `val_accuracy=0.97`.

    Args:
        told: a metric's name, an equals sign and a number.
        option: where it was told, for the errors.

    Raises:
        PlanError: it is not of that form.

    Example:
        >>> parse_target("val_accuracy=0.97")
        Target(metric='val_accuracy', value=0.97, better=None)
    """
    metric, equals, number = told.partition("=")
    try:
        if not (metric.strip() and equals):
            raise ValueError("there is no metric")
        value = float(number)
    except ValueError:
        raise PlanError(
            f"{option} {told} names no metric with a value to reach.",
            f"use {option} val_accuracy=0.97.",
        ) from None
    return Target(metric.strip(), value)
