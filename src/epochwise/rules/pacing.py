"""How a run paces itself: its learning rate by iteration, and when it is to turn down.

Pure, like the stopping rules: settings in the object, memory in the caller's hands. A
pacing decides at boundaries. It may ask the caller to keep the values of this moment (to
mark them) and to go on from the marked ones (to branch). In between, it tells what the
learning rate is multiplied by, and where that changes: it goes in stairs, so that every
engine can follow.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

from epochwise.counting.position import Position
from epochwise.errors import PlanError
from epochwise.events import BestEvaluation, StopReason
from epochwise.rules.base import Memory, NoMemory, Seen
from epochwise.rules.curve import scatter
from epochwise.rules.metrics import Better, better_of, is_looked_at

RECENT = 9
"""Evaluations whose scatter is the noise that an improvement must exceed."""

STAIRS = 50
"""In how many stairs the rate goes up, and down."""

AUTO = "auto"
"""The rule of a run that ended after its cooldown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PacingDecision:
    """What is to be done at a boundary.

    Args:
        marks: whether the values of this moment are to be kept, in place of those before.
        branches: whether the run goes on from the marked values, at a falling rate.
        sentence: why it branches, with the numbers.
    """

    marks: bool = False
    branches: bool = False
    sentence: str = ""


STRAIGHT_ON = PacingDecision()
"""Nothing is to be done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Whose weights a run ends with.

    Args:
        evaluation: what they were worth.
        goes_back: whether they are the marked ones; else the last ones.
    """

    evaluation: BestEvaluation
    goes_back: bool


class Pacing(Protocol[Memory]):
    """Tells the learning rate of each iteration, and when it turns down."""

    def start(self) -> Memory:
        """Return the memory of a run that has not begun."""

    def update(self, memory: Memory, seen: Seen) -> tuple[Memory, PacingDecision]:
        """Return the memory with this boundary in it, and what is to be done here."""

    def factor(self, memory: Memory, done: int) -> float | None:
        """Return what the rate of the next iteration is multiplied by, in [0, 1].

        Args:
            memory: as of the boundary before it.
            done: iterations done before it [iterations].

        Returns:
            `None` where the rate is never changed.
        """

    def next_cut(self, memory: Memory, done: int) -> int | None:
        """Return the iteration after `done` up to which nothing changes, if there is one."""

    def end(self, memory: Memory, position: Position) -> StopReason | None:
        """Return why the run ends at a position; `None` where it does not."""

    def ending(self, memory: Memory) -> Ending | None:
        """Return whose weights are the best to end with; `None` to have no say in it."""


@dataclass(frozen=True, slots=True)
class Steady:
    """The rate stays what the optimizer makes of it."""

    def start(self) -> NoMemory:
        """See `Pacing.start`."""
        return NoMemory()

    def update(self, memory: NoMemory, seen: Seen) -> tuple[NoMemory, PacingDecision]:
        """See `Pacing.update`."""
        del seen
        return memory, STRAIGHT_ON

    def factor(self, memory: NoMemory, done: int) -> None:
        """See `Pacing.factor`."""
        del memory, done

    def next_cut(self, memory: NoMemory, done: int) -> None:
        """See `Pacing.next_cut`."""
        del memory, done

    def end(self, memory: NoMemory, position: Position) -> None:
        """See `Pacing.end`."""
        del memory, position

    def ending(self, memory: NoMemory) -> None:
        """See `Pacing.ending`."""
        del memory


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoMemory:
    """What `AutoEpochs` remembers.

    Args:
        losses: the metric at each evaluation at the constant rate, negated where higher is
            better; finite ones only.
        evaluations: how many there were, those that were not finite included.
        best: the last of `losses` that improved beyond the noise.
        best_evaluation: its number, counted from one; 0 before the first.
        marked_evaluation: the number of the one whose values are marked; 0 likewise.
        marked: the metric there; `None` where it was not evaluated.
        marked_at: weight updates made there [iterations].
        marked_epochs: whole epochs done there [epochs].
        noise: the scatter of the evaluations when it turned.
        turned_at: weight updates made when the rate turned down [iterations]; `None`
            while it has not.
        cooldown_iterations: how many it takes to go down [iterations].
        sentence: why it turned.
        ended: the metric when the rate was down; `None` before.
        ended_at: weight updates made there [iterations].
        ended_epochs: whole epochs done there [epochs].
    """

    losses: tuple[float, ...] = ()
    evaluations: int = 0
    best: float | None = None
    best_evaluation: int = 0
    marked_evaluation: int = 0
    marked: float | None = None
    marked_at: int = 0
    marked_epochs: int = 0
    noise: float = 0.0
    turned_at: int | None = None
    cooldown_iterations: int = 0
    sentence: str = ""
    ended: float | None = None
    ended_at: int = 0
    ended_epochs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoEpochs:
    """Train at a constant rate until it no longer pays, then let the rate go down to zero.

    After a short warm-up the rate stays. An evaluation improves when it is lower than the
    best one by more than σ, the scatter of the last nine evaluations
    (`curve.scatter`); the latest one that is no more than σ above the lowest is marked.
    When none has improved for a third of the evaluations up to the best (at least three),
    or when the bound comes near, the run branches: it goes on from the marked values while
    the rate falls to zero in 50 even stairs, over a fifth of the iterations that the
    marked values had. The run ends with the weights of the cooldown, unless their metric is
    worse than that of the marked ones by more than σ. Neither the number of epochs nor the
    length of a schedule is needed beforehand.

    Args:
        metric: watched, as the history names it.
        most_iterations: the bound: all iterations, cooldown included [iterations].
        most_seconds: another one: the rate turns down so that it can end by then [s].
        warmup_iterations: over which the rate rises to its value [iterations].
        patience_share: share of the evaluations up to the best to wait for a better one.
        patience_fewest: evaluations to wait at least.
        cooldown_share: share of the marked iterations over which the rate falls.
        better: `"lower"` or `"higher"`; `None` follows from the metric's name.

    Raises:
        PlanError: the settings cannot be.

    References:
        A constant rate with a short cooldown does as well as a schedule whose length was
        known: Hägele et al. 2024, arXiv:2405.18392.

    Example:
        >>> from epochwise.rules import epochs_of
        >>> rule = AutoEpochs(metric="val_loss", most_iterations=100)
        >>> memory = rule.start()
        >>> history = [1.0, 0.6, 0.4, 0.3, 0.25, 0.27, 0.29, 0.31, 0.33]
        >>> for seen in epochs_of({"val_loss": history}):
        ...     memory, turn = rule.update(memory, seen)
        ...     if turn.branches:
        ...         break
        >>> memory.marked_at, memory.turned_at, memory.cooldown_iterations
        (5, 8, 1)
    """

    metric: str
    most_iterations: int
    most_seconds: float | None = None
    warmup_iterations: int = 0
    patience_share: float = 0.4
    patience_fewest: int = 3
    cooldown_share: float = 0.25
    better: Better | None = None

    def __post_init__(self) -> None:
        """Check the settings once."""
        better_of(self.metric, self.better)
        if self.most_iterations < 1 or (
            self.most_seconds is not None and not self.most_seconds > 0
        ):
            raise PlanError(
                f"most_iterations={self.most_iterations!r} with most_seconds="
                f"{self.most_seconds!r} leaves nothing to train.",
                "use most_iterations of at least 1, and most_seconds above 0.",
            )
        if self.warmup_iterations < 0 or self.patience_fewest < 1:
            raise PlanError(
                f"warmup_iterations={self.warmup_iterations!r}, patience_fewest="
                f"{self.patience_fewest!r}: neither can be so small.",
                "use warmup_iterations=0 or more, and patience_fewest=1 or more.",
            )
        shares = (self.patience_share, self.cooldown_share)
        if not all(0 < share <= 1 for share in shares):
            raise PlanError(
                f"patience_share={self.patience_share!r}, cooldown_share="
                f"{self.cooldown_share!r}: both are shares above 0, up to 1.",
                "use patience_share=0.4 and cooldown_share=0.25.",
            )

    def start(self) -> AutoMemory:
        """See `Pacing.start`."""
        return AutoMemory()

    def update(self, memory: AutoMemory, seen: Seen) -> tuple[AutoMemory, PacingDecision]:
        """See `Pacing.update`."""
        if memory.turned_at is not None:
            return self._with_end(memory, seen), STRAIGHT_ON
        # Between two evaluations nothing speaks against the values of this moment if
        # nothing did at the last one.
        marks = memory.marked_evaluation == memory.evaluations
        looked = is_looked_at(self.metric, seen) and self.metric in seen.metrics
        if looked:
            memory, marks = self._with_evaluation(memory, seen.metrics[self.metric])
        why = self._reason_to_turn(memory, seen) if looked else ""
        why = why or self._bound_is_near(seen)
        marks = (marks and (looked or bool(why))) or (bool(why) and not memory.marked_at)
        if marks:
            memory = replace(
                memory,
                marked_evaluation=memory.evaluations,
                marked=seen.metrics[self.metric] if looked else None,
                marked_at=seen.iterations_done,
                marked_epochs=seen.epochs_done,
            )
        if not why:
            return memory, PacingDecision(marks=marks)
        memory = self._turned(memory, seen, why)
        return memory, PacingDecision(marks=marks, branches=True, sentence=memory.sentence)

    def factor(self, memory: AutoMemory, done: int) -> float:
        """See `Pacing.factor`. On each stair it is that of the line at its middle."""
        if memory.turned_at is not None:
            cooldown = memory.cooldown_iterations
            return 1 - _middle(_stair(done - memory.turned_at, cooldown), cooldown)
        if done < self.warmup_iterations:
            return _middle(_stair(done, self.warmup_iterations), self.warmup_iterations)
        return 1.0

    def next_cut(self, memory: AutoMemory, done: int) -> int | None:
        """See `Pacing.next_cut`."""
        if memory.turned_at is not None:
            passed = _stair(done - memory.turned_at, memory.cooldown_iterations)
            return memory.turned_at + _begin(passed + 1, memory.cooldown_iterations)
        if done < self.warmup_iterations:
            return _begin(_stair(done, self.warmup_iterations) + 1, self.warmup_iterations)
        return self._latest_turn if self._latest_turn > done else None

    def end(self, memory: AutoMemory, position: Position) -> StopReason | None:
        """See `Pacing.end`."""
        if memory.turned_at is None:
            return None
        if position.iterations_done < memory.turned_at + memory.cooldown_iterations:
            return None
        return StopReason(
            rule=AUTO,
            sentence=f"The learning rate has gone down to 0, in {memory.cooldown_iterations:,} "
            f"iterations from the weights after {memory.marked_at:,}.",
        )

    def ending(self, memory: AutoMemory) -> Ending | None:
        """See `Pacing.ending`."""
        if memory.ended is None:
            return None
        sign = 1 if better_of(self.metric, self.better) == "lower" else -1
        goes_back = memory.marked is not None and not (
            sign * (memory.ended - memory.marked) <= memory.noise
        )
        value, at, epochs = memory.ended, memory.ended_at, memory.ended_epochs
        if goes_back:
            assert memory.marked is not None
            value, at, epochs = memory.marked, memory.marked_at, memory.marked_epochs
        evaluation = BestEvaluation(
            metric=self.metric, value=value, epochs_done=epochs, iterations_done=at
        )
        return Ending(evaluation=evaluation, goes_back=goes_back)

    @property
    def _latest_turn(self) -> int:
        """Iterations after which the rate must turn, to be down at the bound."""
        return math.floor(self.most_iterations / (1 + self.cooldown_share))

    def _with_evaluation(self, memory: AutoMemory, value: float) -> tuple[AutoMemory, bool]:
        """Return the memory with an evaluation in it, and whether its values are marked."""
        number = memory.evaluations + 1
        memory = replace(memory, evaluations=number)
        if not math.isfinite(value):
            return memory, False
        loss = value if better_of(self.metric, self.better) == "lower" else -value
        losses = (*memory.losses, loss)
        noise = scatter(losses[-RECENT:], order=3) or 0.0
        memory = replace(memory, losses=losses, noise=noise)
        if memory.best is None or loss < memory.best - noise:
            memory = replace(memory, best=loss, best_evaluation=number)
        return memory, loss <= min(losses) + noise

    def _with_end(self, memory: AutoMemory, seen: Seen) -> AutoMemory:
        """Return the memory with the metric of the end of the cooldown, if this is it."""
        value = seen.metrics.get(self.metric)
        if value is None or self.end(memory, seen.position) is None:
            return memory
        return replace(
            memory,
            ended=value,
            ended_at=seen.iterations_done,
            ended_epochs=seen.epochs_done,
        )

    def _reason_to_turn(self, memory: AutoMemory, seen: Seen) -> str:
        """Say why an evaluation is the last at the constant rate; nothing if it is not."""
        waited = memory.evaluations - memory.best_evaluation
        patience = max(self.patience_fewest, int(self.patience_share * memory.best_evaluation))
        if waited < patience:
            return ""
        lowest = "none was finite"
        if memory.best is not None:
            extreme = "lowest" if better_of(self.metric, self.better) == "lower" else "highest"
            lowest = f"{extreme} {abs(min(memory.losses)):.4g}"
        return (
            f"After {seen.place}, {self.metric} had not improved beyond its noise for "
            f"{waited:,} evaluations ({lowest})"
        )

    def _bound_is_near(self, seen: Seen) -> str:
        """Say which bound leaves no more time than the rate needs to go down."""
        if seen.iterations_done >= self._latest_turn:
            return (
                f"After {seen.place} the bound of {self.most_iterations:,} iterations was near"
            )
        ahead = seen.seconds * (1 + self.cooldown_share)
        if self.most_seconds is not None and ahead >= self.most_seconds:
            return f"After {seen.place} the bound of {self.most_seconds:g} seconds was near"
        return ""

    def _turned(self, memory: AutoMemory, seen: Seen, why: str) -> AutoMemory:
        """Return the memory of a run whose rate goes down from here on."""
        left = self.most_iterations - seen.iterations_done
        wanted = round(self.cooldown_share * memory.marked_at)
        cooldown = max(1, min(wanted, left))
        sentence = (
            f"{why}: from the weights after {memory.marked_at:,} iterations the learning rate "
            f"goes down to 0 in {cooldown:,}."
        )
        return replace(
            memory,
            turned_at=seen.iterations_done,
            cooldown_iterations=cooldown,
            sentence=sentence,
        )


def _stairs(length: int) -> int:
    """Return how many stairs there are over so many iterations."""
    return min(STAIRS, length)


def _begin(stair: int, length: int) -> int:
    """Return the iterations before a stair begins, counted from the foot."""
    return -(-stair * length // _stairs(length))


def _stair(done: int, length: int) -> int:
    """Return the stair that the iteration after `done` is on; beyond the top, the last."""
    return min(done * _stairs(length) // length, _stairs(length) - 1)


def _middle(stair: int, length: int) -> float:
    """Return how high the middle of a stair is, in (0, 1)."""
    return (stair + 0.5) / _stairs(length)
