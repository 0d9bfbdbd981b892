"""Stop once a metric has not improved for so long, with the unit of "long" in the name."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

from epochwise.counting.numbers import hold_whole_numbers, real_number
from epochwise.errors import PlanError
from epochwise.events import StopReason
from epochwise.rules.base import Seen
from epochwise.rules.metrics import Better, Looks, better_of, is_better, is_looked_at
from epochwise.rules.noise import noise_of, rows_of

Unit = Literal["epochs", "evaluations", "iterations"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PatienceMemory:
    """What `Patience` remembers, the evaluation just seen included.

    Args:
        best: the last value that counted as an improvement; `None` before the first.
        best_at: where that was, for people: `epoch 3`.
        since: the count of the rule's unit from which it waits; `None` while nothing does.
        last: that count at the latest look, so that an absent metric adds nothing.
        looks: how often the metric was looked at, and what was found.
        best_row: the metric on each validation sample at the best; for paired noise.
    """

    best: float | None = None
    best_at: str | None = None
    since: int | None = None
    last: int = 0
    looks: Looks = field(default_factory=Looks)
    best_row: tuple[float, ...] | None = None

    @property
    def waited(self) -> int:
        """Units gone by without an improvement, as of the latest look."""
        return 0 if self.since is None else max(0, self.last - self.since)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Stop once a metric has not improved for so many epochs, evaluations or iterations.

    A value improves when it is strictly better than the last one that did, by more than
    `min_delta`. NaN and infinity never improve; they count as waiting. The first look
    starts the waiting, so that `epochs=1` never stops at epoch 1. It decides only where
    the metric is looked at. Where the metric is absent later, that stretch neither counts
    nor resets.

    Args:
        metric: as the history names it.
        epochs: whole epochs to wait [epochs]; one of the three units is given.
        evaluations: looks at the metric to wait [evaluations].
        iterations: weight updates to wait [iterations].
        min_delta: what an improvement must exceed, in the metric's unit, at least 0;
            or `"noise"`: the metric's standard error on this validation set (see `noise`).
        relative: whether `min_delta` is a share of the best value so far.
        warmup_epochs: epochs whose waiting does not count; improvements do [epochs].
        baseline: a value that the metric must beat; until it has, nothing improves, and
            the waiting starts with the run rather than with the first look.
        better: `"lower"` or `"higher"`; `None` follows from the metric's name.

    Raises:
        PlanError: the settings cannot be.

    Example:
        >>> from epochwise.rules import replay
        >>> rule = Patience(metric="val_loss", epochs=2)
        >>> epochs_done, reason = replay(rule, {"val_loss": [1.0, 0.9, 0.95, 0.96, 0.5]})
        >>> epochs_done
        4
        >>> reason.sentence
        'val_loss has had no new low for 2 epochs (best 0.9 after epoch 2, now 0.96).'
    """

    metric: str
    epochs: int | None = None
    evaluations: int | None = None
    iterations: int | None = None
    min_delta: float | Literal["noise"] = 0.0
    relative: bool = False
    warmup_epochs: int = 0
    baseline: float | None = None
    better: Better | None = None

    def __post_init__(self) -> None:
        """Check the settings once."""
        better_of(self.metric, self.better)
        units = ("epochs", "evaluations", "iterations")
        told = [unit for unit in units if getattr(self, unit) is not None]
        remedy = f'use Patience(metric="{self.metric}", epochs=3).'
        if len(told) != 1:
            raise PlanError(
                "Patience waits a whole number, at least 1, of one unit; this has "
                f"epochs={self.epochs!r}, evaluations={self.evaluations!r}, "
                f"iterations={self.iterations!r}.",
                remedy,
            )
        hold_whole_numbers(self, *units, remedy=remedy)
        if self.min_delta != "noise":
            min_delta = real_number(self.min_delta)
            if min_delta is None or not 0 <= min_delta < math.inf:
                raise PlanError(
                    f"min_delta={self.min_delta!r} is no size of an improvement.",
                    'use min_delta=0.001, or min_delta="noise".',
                )
            object.__setattr__(self, "min_delta", min_delta)
        if self.relative and self.min_delta == "noise":
            raise PlanError(
                'min_delta="noise" is in the metric\'s unit already, so relative=True says '
                "nothing.",
                "leave relative=True out.",
            )
        hold_whole_numbers(self, "warmup_epochs", least=0)
        if self.baseline is not None:
            baseline = real_number(self.baseline)
            if baseline is None or not math.isfinite(baseline):
                raise PlanError(
                    f"baseline={self.baseline!r} is no value to beat.", "use a finite number."
                )
            object.__setattr__(self, "baseline", baseline)

    @property
    def name(self) -> str:
        """See `StopRule.name`."""
        return "patience"

    @property
    def metrics(self) -> tuple[str, ...]:
        """See `StopRule.metrics`."""
        return (self.metric,)

    @property
    def unit(self) -> Unit:
        """What the patience is counted in."""
        if self.epochs is not None:
            return "epochs"
        return "evaluations" if self.evaluations is not None else "iterations"

    @property
    def length(self) -> int:
        """How many units it waits, at least 1."""
        length = self.epochs or self.evaluations or self.iterations
        assert length is not None
        return length

    def start(self) -> PatienceMemory:
        """See `StopRule.start`."""
        return PatienceMemory()

    def update(
        self, memory: PatienceMemory, seen: Seen
    ) -> tuple[PatienceMemory, StopReason | None]:
        """See `StopRule.update`."""
        if memory.since is None and self.baseline is not None:
            memory = replace(memory, since=self._count_before(seen))
        warming_up = self._is_warming_up(seen)
        if not is_looked_at(self.metric, seen):
            now = self._count(memory.looks, seen)
            return (replace(memory, since=now, last=now) if warming_up else memory), None

        looks, value = memory.looks.look(self.metric, seen)
        now = max(memory.last, self._count(looks, seen))
        if value is None:
            assert memory.since is not None
            since = memory.since + now - memory.last
            return replace(memory, since=since, last=now, looks=looks), None
        memory = replace(memory, looks=looks, last=now)
        row = rows_of(self.metric, seen) if self.min_delta == "noise" else None
        improves = self._improves(memory, value, seen, row)
        if improves:
            memory = replace(memory, best=value, best_at=seen.place, best_row=row)
        is_first = looks.made == 1 and self.baseline is None
        if improves or warming_up or is_first:
            begun = self._count_from(looks, seen)
            return replace(memory, since=begun, last=begun), None
        if memory.waited < self.length:
            return memory, None
        return memory, StopReason(rule=self.name, sentence=self._sentence(memory, value))

    def _count(self, looks: Looks, seen: Seen) -> int:
        """Return how many whole units are done."""
        if self.unit == "evaluations":
            return looks.made
        return seen.epochs_done if self.unit == "epochs" else seen.iterations_done

    def _count_from(self, looks: Looks, seen: Seen) -> int:
        """Return the count from which whole units after this place are counted."""
        inside = self.unit == "epochs" and seen.position.iterations_in_epoch_done > 0
        return self._count(looks, seen) + inside

    def _count_before(self, seen: Seen) -> int:
        """Return the count at the beginning of the segment that ends here."""
        if self.unit == "epochs":
            return seen.epochs_done - seen.closes_epoch
        return 0 if self.unit == "evaluations" else seen.iterations_done - len(seen.losses)

    def _is_warming_up(self, seen: Seen) -> bool:
        """Tell whether no more than the warm-up is done."""
        done = (seen.epochs_done, seen.position.iterations_in_epoch_done)
        return done <= (self.warmup_epochs, 0)

    def _improves(
        self, memory: PatienceMemory, value: float, seen: Seen, row: tuple[float, ...] | None
    ) -> bool:
        """Tell whether a value counts as an improvement."""
        if not math.isfinite(value):
            return False
        better = better_of(self.metric, self.better)
        reference, reference_row = memory.best, memory.best_row
        if self.baseline is not None and (
            reference is None or is_better(self.baseline, reference, better)
        ):
            reference, reference_row = self.baseline, None
        if self.min_delta == "noise":
            margin = noise_of(self.metric, value, seen, row=row, best_row=reference_row)
        else:
            margin = self.min_delta * (abs(reference or 0.0) if self.relative else 1.0)
        if reference is None:
            return True
        return is_better(value, reference, better) and abs(value - reference) > margin

    def _sentence(self, memory: PatienceMemory, value: float) -> str:
        """Return why it ends, with the numbers."""
        length = f"{memory.waited:,} {self.unit if memory.waited != 1 else self.unit[:-1]}"
        if memory.best is None and self.baseline is not None:
            return (
                f"{self.metric} has not beaten the baseline {self.baseline:.4g} in {length} "
                f"(now {value:.4g})."
            )
        extreme = "low" if better_of(self.metric, self.better) == "lower" else "high"
        if memory.best is None:
            return f"{self.metric} has had no finite value for {length} (now {value:.4g})."
        by = ""
        if self.min_delta == "noise":
            by = " beyond its noise"
        elif self.min_delta:
            by = f" by more than {self.min_delta:.4g}" + " of the best" * self.relative
        return (
            f"{self.metric} has had no new {extreme}{by} for {length} "
            f"(best {memory.best:.4g} after {memory.best_at}, now {value:.4g})."
        )
