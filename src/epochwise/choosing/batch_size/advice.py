"""The answer: a batch size and a learning rate, with all that was measured for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from epochwise.choosing.batch_size.hyperbola import Hyperbola
from epochwise.choosing.batch_size.pilot import Moment
from epochwise.choosing.batch_size.speed import SpeedCurve
from epochwise.record.jsontext import jsonable


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a training is to reach.

    Args:
        metric: as the history names it.
        value: the value wanted.
        higher_is_better: which way the metric improves.
        given: whether the user told it; else it is what the user's own pair reached in
            its part of the search.
    """

    metric: str
    value: float
    higher_is_better: bool
    given: bool

    def __str__(self) -> str:
        """Return the target for a sentence.

        Example:
            >>> print(Goal(metric="val_loss", value=0.125, higher_is_better=False, given=True))
            val_loss 0.125
        """
        return f"{self.metric} {self.value:.4g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A pair that was run, and what the target takes with it.

    Args:
        batch_size: [samples / iteration].
        learning_rate: `None` where a schedule of the optimizer's sets it.
        iterations: to the target [iterations]; `None` where it is not in sight.
        epochs: to the target [epochs].
        seconds: that those iterations take; compiling and evaluating left out [s].
        measured: whether the target was reached in the search itself; else the numbers
            continue the curve.
    """

    batch_size: int
    learning_rate: float | None
    iterations: int | None
    epochs: float | None
    seconds: float | None
    measured: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeRow:
    """What is known of one batch size.

    Args:
        batch_size: [samples / iteration].
        microbatch_size: that it needs to fit; `None` for the whole batch at once.
        learning_rate: the best that was run at it.
        iteration_seconds: median, measured [s / iteration].
        iteration_spread: half the distance between the quartiles [s / iteration].
        memory_bytes: that training takes [bytes]; `None` where nobody can tell.
        iterations: that the comparison's level took with it; `None` where it was not
            reached.
        samples: likewise [samples].
        seconds: likewise [s].
        expected_iterations: to the target, by the curve through what was measured.
        expected_seconds: likewise [s].
        rates: every rate that was run at this size, ascending.
    """

    batch_size: int
    microbatch_size: int | None
    learning_rate: float | None
    iteration_seconds: float
    iteration_spread: float
    memory_bytes: int | None
    iterations: float | None
    samples: float | None
    seconds: float | None
    expected_iterations: float | None
    expected_seconds: float | None
    rates: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """One checkpoint carried on at the chosen size and at a multiple of it.

    Args:
        batch_size: the smaller of the two sizes [samples].
        multiple: the larger one [samples].
        measured: iterations at the larger over iterations at the smaller, to the same
            level; `None` where one of them did not get there.
        expected: the same by the noise scale.
    """

    batch_size: int
    multiple: int
    measured: float | None
    expected: float

    @property
    def agrees(self) -> bool | None:
        """Whether the two are within a quarter of one; `None` where it was not measured."""
        return None if self.measured is None else abs(self.measured - self.expected) <= 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Which batch size to train with, and why.

    Args:
        batch_size: samples per weight update [samples / iteration]; one that was run.
        microbatch_size: samples that go through the network at once; `None` for all.
        learning_rate: that goes with it; `None` where a schedule sets it.
        target: what the numbers below are to reach.
        iterations: to the target [iterations]; `None` where it is not in sight.
        epochs: to the target [epochs].
        seconds: that those iterations take; compiling and evaluating left out [s].
        memory_bytes: that training takes: data, weights, optimizer and what an iteration
            needs on top [bytes]; `None` where nobody can tell.
        own: what the user's own pair would take.
        runner_up: the next best pair.
        least_samples: the pair that needs the fewest samples instead of the least time.
        on_devices: by a number of devices that share each batch, the pair of least time.
        table: every size that was run, ascending.
        speed: the line through the seconds an iteration.
        moments: the noise of the gradients on the way.
        curve: iterations against batch size.
        confirmation: whether branches bear the noise out; `None` where time was short.
        stable_rate: the largest rate at which the user's own size still learned; `None`
            where it was not looked for.
        reason: two sentences.
        notes: what else to know, sentences.
        spent_seconds: that choosing took [s].
        budget_seconds: that it might take [s].
    """

    batch_size: int
    microbatch_size: int | None
    learning_rate: float | None
    target: Goal
    iterations: int | None
    epochs: float | None
    seconds: float | None
    memory_bytes: int | None
    own: Choice
    runner_up: Choice | None
    least_samples: Choice
    on_devices: Mapping[int, Choice]
    table: tuple[SizeRow, ...]
    speed: SpeedCurve
    moments: tuple[Moment, ...]
    curve: Hyperbola | None
    confirmation: Confirmation | None
    stable_rate: float | None
    reason: str
    notes: tuple[str, ...] = ()
    spent_seconds: float = 0.0
    budget_seconds: float = field(default=0.0)

    def to_json(self) -> dict[str, Any]:
        """Return the advice as `epochwise tune --json` prints it.

        Returns:
            `batch_size`, `microbatch_size`, `learning_rate`, `iterations`, `epochs`,
            `seconds`, `memory_bytes`, `runner_up`, `table`, `reason`, then the rest of
            the evidence. Infinity and NaN are the strings of `epochwise.record`.
        """
        confirmation = None
        if self.confirmation is not None:
            confirmation = asdict(self.confirmation) | {"agrees": self.confirmation.agrees}
        told: dict[str, Any] = {
            "batch_size": self.batch_size,
            "microbatch_size": self.microbatch_size,
            "learning_rate": self.learning_rate,
            "iterations": self.iterations,
            "epochs": self.epochs,
            "seconds": self.seconds,
            "memory_bytes": self.memory_bytes,
            "runner_up": None if self.runner_up is None else asdict(self.runner_up),
            "table": [asdict(row) for row in self.table],
            "reason": self.reason,
            "target": asdict(self.target),
            "own": asdict(self.own),
            "least_samples": asdict(self.least_samples),
            "on_devices": {str(n): asdict(choice) for n, choice in self.on_devices.items()},
            "speed": self.speed.to_json(),
            "noise": [moment.to_json() for moment in self.moments],
            "curve": None if self.curve is None else asdict(self.curve),
            "confirmation": confirmation,
            "stable_rate": self.stable_rate,
            "notes": list(self.notes),
            "spent_seconds": self.spent_seconds,
            "budget_seconds": self.budget_seconds,
        }
        return {name: jsonable(value) for name, value in told.items()}
