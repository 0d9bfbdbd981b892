"""Which evaluation of a run is the best one, by one metric.

Simpler than any stopping rule on purpose: a value is the best when it is strictly better
than all before it. No `min_delta`, no warm-up, no baseline; those say when to stop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from epochwise.rules.base import Seen
from epochwise.rules.metrics import Better, Looks, better_of, is_better, is_looked_at


@dataclass(frozen=True, slots=True, kw_only=True)
class BestMemory:
    """The best evaluation so far.

    Args:
        value: of the metric; `None` before the first finite one.
        epochs_done: whole epochs done there [epochs]; `None` likewise.
        iterations_done: weight updates made there [iterations]; `None` likewise.
        looks: how often the metric was looked at, and what was found.
    """

    value: float | None = None
    epochs_done: int | None = None
    iterations_done: int | None = None
    looks: Looks = field(default_factory=Looks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """Tell at each boundary whether it is the best so far.

    Ties keep the earlier one; a NaN or an infinity is never the best.

    Args:
        metric: as the history names it.
        better: `"lower"` or `"higher"`; `None` follows from the metric's name.

    Raises:
        PlanError: the direction is not told and the name does not tell it.

    Example:
        >>> from epochwise.rules import epochs_of
        >>> rule = Best(metric="val_loss")
        >>> memory, found = rule.start(), []
        >>> for seen in epochs_of({"val_loss": [1.0, 0.5, 0.5, math.nan]}):
        ...     memory, is_best = rule.update(memory, seen)
        ...     found.append(is_best)
        >>> found, memory.epochs_done
        ([True, True, False, False], 2)
    """

    metric: str
    better: Better | None = None

    def __post_init__(self) -> None:
        """Refuse a metric whose direction nobody knows."""
        better_of(self.metric, self.better)

    def start(self) -> BestMemory:
        """Return the memory of a run that has not begun."""
        return BestMemory()

    def update(self, memory: BestMemory, seen: Seen) -> tuple[BestMemory, bool]:
        """Return the memory with this boundary in it, and whether it is a new best.

        Raises:
            TrainingError: the metric is due and has never been there.
        """
        if not is_looked_at(self.metric, seen):
            return memory, False
        looks, value = memory.looks.look(self.metric, seen)
        memory = replace(memory, looks=looks)
        if value is None:
            return memory, False
        if not math.isfinite(value) or (
            memory.value is not None
            and not is_better(value, memory.value, better_of(self.metric, self.better))
        ):
            return memory, False
        found = replace(
            memory,
            value=value,
            epochs_done=seen.epochs_done,
            iterations_done=seen.iterations_done,
        )
        return found, True
