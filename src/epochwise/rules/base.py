"""What a stopping rule is, what it is shown, and how its memory is kept.

A rule holds settings only. What it remembers is a value that the caller holds, hands in
and gets back, so that the memory is in every checkpoint and a resumed run decides what
the uninterrupted one would have decided.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from epochwise.counting.position import Position
from epochwise.errors import PlanError
from epochwise.events import StopReason

Memory = TypeVar("Memory")
"""What one kind of rule remembers: a frozen dataclass of plain values."""

PerSample = Callable[[], Mapping[str, Sequence[float]]]
"""Gives, when asked, a metric's value on each validation sample, by the metric's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known at a boundary: a rule is shown every one, in order.

    Args:
        position: what is done.
        closes_epoch: whether the boundary is the end of an epoch.
        evaluated: whether the validation part was evaluated here.
        metrics: by the names of the history: means of the training so far in this epoch,
            and the `val_` ones if evaluated here.
        losses: the loss of each iteration since the previous boundary, in order.
        seconds: wall time since the rules first began, that before a resume included [s].
        validation_samples: how many samples were evaluated [samples]; `None` if unknown.
        standard_errors: of the metrics, by their names, where somebody computed them.
        per_sample: the metrics on each validation sample, always in the same order; `None`
            where they are not at hand. Asked only by a rule that needs them.
        first_non_finite: what was the first not to be finite (`input`, `loss`, `gradient
            of dense/kernel`), where the engine looked; `None` while all is finite.
    """

    position: Position
    closes_epoch: bool
    evaluated: bool
    metrics: Mapping[str, float]
    losses: Sequence[float] = ()
    seconds: float = 0.0
    validation_samples: int | None = None
    standard_errors: Mapping[str, float] = field(default_factory=dict)
    per_sample: PerSample | None = None
    first_non_finite: str | None = None

    @property
    def epochs_done(self) -> int:
        """Whole epochs finished [epochs]."""
        return self.position.epochs_done

    @property
    def iterations_done(self) -> int:
        """Weight updates made since the start [iterations]."""
        return self.position.iterations_done

    @property
    def place(self) -> str:
        """Where the training is, as people say it: `epoch 3`, `iteration 1,500`."""
        if self.closes_epoch:
            return f"epoch {self.epochs_done:,}"
        return f"iteration {self.iterations_done:,}"


class StopRule(Protocol[Memory]):
    """Says when a run ends. Holds settings; the caller holds the memory."""

    @property
    def name(self) -> str:
        """A short name that programs can compare; `StopReason.rule` has it."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics that it looks at, as the history has them."""

    def start(self) -> Memory:
        """Return the memory of a run that has not begun."""

    def update(self, memory: Memory, seen: Seen) -> tuple[Memory, StopReason | None]:
        """Return the memory with this boundary in it, and a reason if the run ends here.

        Raises:
            TrainingError: a metric that the rule looks at is not there.
        """


@dataclass(frozen=True, slots=True)
class NoMemory:
    """The memory of a rule that needs none."""


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Stop as soon as one of several rules says so.

    Every rule sees every boundary, also those after another one gave its reason; the
    reason told is that of the first in order.

    Args:
        rules: in the order in which their reasons come first; none at all never stops.

    Example:
        >>> from epochwise.rules import NonFinite, Patience
        >>> AnyOf((NonFinite(), Patience(metric="val_loss", epochs=3))).metrics
        ('val_loss',)
    """

    rules: tuple[StopRule[Any], ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is no rule.

        Raises:
            PlanError: an element is not a rule.
        """
        for rule in self.rules:
            if not (callable(getattr(rule, "start", None)) and hasattr(rule, "update")):
                raise PlanError(
                    f"stop={rule!r} is no stopping rule.",
                    'use stop=Patience(metric="val_loss", epochs=3), or a list of rules.',
                )

    @property
    def name(self) -> str:
        """See `StopRule.name`."""
        return "any_of"

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names that any of the rules looks at, each once."""
        return tuple(dict.fromkeys(name for rule in self.rules for name in rule.metrics))

    def start(self) -> tuple[Any, ...]:
        """Return one memory for each rule."""
        return tuple(rule.start() for rule in self.rules)

    def update(
        self, memory: tuple[Any, ...], seen: Seen
    ) -> tuple[tuple[Any, ...], StopReason | None]:
        """See `StopRule.update`."""
        updated = [
            rule.update(held, seen) for rule, held in zip(self.rules, memory, strict=True)
        ]
        reasons = (reason for _, reason in updated if reason is not None)
        return tuple(held for held, _ in updated), next(reasons, None)
