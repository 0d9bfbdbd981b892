"""What the loop remembers from boundary to boundary, beside the engine's values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, cast

from epochwise.counting.averages import LogMean
from epochwise.counting.position import Position
from epochwise.events import BestEvaluation, StopReason, TrainingState
from epochwise.loop.course import Course
from epochwise.rules import NoMemory, Seen, StopRule
from epochwise.rules.best import BestMemory
from epochwise.rules.memory import from_json, to_json
from epochwise.rules.pacing import PacingDecision

BEST = "best/"
"""Begins the names of the best weights among a state's arrays."""

MARKED = "marked/"
"""Begins the names of the values that the run may go on from anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What follows from a boundary.

    Args:
        reason: why the run ends here; `None` where it goes on.
        is_best: whether the evaluation made here is the best so far.
        turn: what the pacing asks for.
    """

    reason: StopReason | None
    is_best: bool
    turn: PacingDecision


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Memory:
    """All that the next decision depends on.

    Args:
        rules: the memories of the stopping rules.
        best: the memory of what was best; `None` where nobody counts it.
        best_weights: the model's weights there, by the engine's names.
        pacing: the memory of the pacing.
        marked: the values that the pacing marked, metrics left out, by the engine's names.
        marked_updates: what each optimizer had counted there.
        rate: the learning rate that the pacing's factors multiply; `None` for a steady one.
        seconds_before: wall time of the run before it went on [s].
        seconds: the same, of the run until now [s].
        rules_since: those after which the rules began anew [s].
        reason: why the run ends here, `None` while it does not.
        owed: the boundary whose evaluation is still due; `None` where none is.
        logs: of a step of the user's, the means of what it logged in the epoch so far.
        updates_before: what each optimizer had counted when the run first began, in their
            order: names differ from process to process.
    """

    rules: Any
    best: BestMemory | None
    best_weights: Mapping[str, Any] = field(default_factory=dict)
    pacing: Any = field(default_factory=NoMemory)
    marked: Mapping[str, Any] = field(default_factory=dict)
    marked_updates: tuple[int, ...] = ()
    rate: float | None = None
    seconds_before: float = 0.0
    seconds: float = 0.0
    rules_since: float = 0.0
    reason: StopReason | None = None
    owed: Seen | None = None
    logs: Mapping[str, LogMean] = field(default_factory=dict)
    updates_before: tuple[int, ...] = ()

    @classmethod
    def of(
        cls, course: Course, state: TrainingState | None, updates: Mapping[str, int]
    ) -> Memory:
        """Return the memory of a run that begins, or of one that goes on.

        Args:
            course: what to do.
            state: of the run that goes on; `None` where one begins.
            updates: what each optimizer has counted until now.
        """
        if state is None:
            best = None if course.best is None else course.best.start()
            return cls(
                rules=course.stop.start(),
                best=best,
                pacing=course.pacing.start(),
                updates_before=tuple(updates.values()),
            )
        kept, reason = state.memories, state.memories["reason"]
        if reason is not None and (reason["at_once"] or reason["rule"] == "plan"):
            reason = None  # what was cut off goes on, and the course knows its own end
        return cls(
            rules=course.stop.start()
            if kept["rules"] is None
            else from_json(course.stop, kept["rules"]),
            best=_best_memory(course, kept["best"]),
            best_weights=_named(state, BEST),
            pacing=from_json(cast("StopRule[Any]", course.pacing), kept["pacing"]),
            marked=_named(state, MARKED),
            marked_updates=tuple(kept["marked_updates"]),
            rate=kept["rate"],
            seconds_before=kept["seconds"],
            seconds=kept["seconds"],
            rules_since=kept.get("rules_since", 0.0),
            reason=None if reason is None else StopReason(**reason),
            owed=_owed(state.position, kept["owed"]),
            logs={name: LogMean.from_json(log) for name, log in kept.get("logs", {}).items()},
            updates_before=tuple(kept["updates_before"]),
        )

    def updated(self, course: Course, seen: Seen) -> tuple[Memory, Decision]:
        """Show a boundary to the rules, and return what they decide."""
        is_best, best = False, self.best
        if course.best is not None and best is not None:
            best, is_best = course.best.update(best, seen)
        rules, reason = course.stop.update(self.rules, seen)
        pacing, turn = course.pacing.update(self.pacing, seen)
        memory = replace(self, rules=rules, best=best, pacing=pacing)
        return memory, Decision(reason=reason, is_best=is_best, turn=turn)

    def keeping(
        self, decision: Decision, arrays: Mapping[str, Any], updates: tuple[int, ...]
    ) -> Memory:
        """Keep what a boundary's decision asks for: the best weights, the marked values.

        Args:
            decision: what was decided.
            arrays: the engine's values, by its names.
            updates: what each optimizer has counted until now.
        """
        memory = self
        if decision.is_best:
            weights = _beginning(arrays, "trainable/", "non_trainable/")
            memory = replace(memory, best_weights=weights)
        if decision.turn.marks:
            marked = _beginning(arrays, "trainable/", "non_trainable/", "optimizer/")
            memory = replace(memory, marked=marked, marked_updates=updates)
        return memory

    def branched(self, updates: tuple[int, ...]) -> Memory:
        """Count the updates that the marked values do not have as made all the same.

        Args:
            updates: what each optimizer had counted before it went back.
        """
        counts = zip(self.updates_before, updates, self.marked_updates, strict=True)
        before = tuple(first - (now - marked) for first, now, marked in counts)
        return replace(self, updates_before=before)

    def snapshot(self, position: Position, arrays: Mapping[str, Any]) -> TrainingState:
        """Return all of it, with the engine's values, as a checkpoint keeps it."""
        best = {f"{BEST}{name}": array for name, array in self.best_weights.items()}
        marked = {f"{MARKED}{name}": array for name, array in self.marked.items()}
        return TrainingState(
            position=position,
            arrays={**arrays, **best, **marked},
            memories={
                "rules": to_json(self.rules),
                "best": None if self.best is None else to_json(self.best),
                "pacing": to_json(self.pacing),
                "marked_updates": list(self.marked_updates),
                "rate": self.rate,
                "seconds": self.seconds,
                "rules_since": self.rules_since,
                "reason": None if self.reason is None else asdict(self.reason),
                "owed": None if self.owed is None else dict(self.owed.metrics),
                "logs": {name: log.to_json() for name, log in self.logs.items()},
                "updates_before": list(self.updates_before),
            },
        )

    def ending(self, course: Course) -> tuple[BestEvaluation | None, Mapping[str, Any] | None]:
        """Return the best evaluation, and its weights where the run ends with earlier ones.

        The pacing knows best, where it has a say; else it is the best of all evaluations.
        """
        paced = course.pacing.ending(self.pacing)
        if paced is not None and course.keep == "best":
            weights = _beginning(self.marked, "trainable/", "non_trainable/")
            return paced.evaluation, weights if paced.goes_back else None
        best = self._best_evaluation(course)
        restores = course.keep == "best" and best is not None
        return best, self.best_weights if restores else None

    def _best_evaluation(self, course: Course) -> BestEvaluation | None:
        """Return the best evaluation so far; `None` if there is none or nobody counts."""
        if course.best is None or self.best is None or self.best.value is None:
            return None
        assert self.best.epochs_done is not None
        assert self.best.iterations_done is not None
        return BestEvaluation(
            metric=course.best.metric,
            value=self.best.value,
            epochs_done=self.best.epochs_done,
            iterations_done=self.best.iterations_done,
        )


def _owed(position: Position, metrics: Mapping[str, float] | None) -> Seen | None:
    """Return the boundary whose evaluation is still due, by the training's metrics there."""
    if metrics is None:
        return None
    return Seen(
        position=position,
        closes_epoch=position.iterations_in_epoch_done == 0,
        evaluated=False,
        metrics=metrics,
    )


def _beginning(arrays: Mapping[str, Any], *prefixes: str) -> dict[str, Any]:
    """Return the arrays whose names begin with one of these."""
    return {name: array for name, array in arrays.items() if name.startswith(prefixes)}


def _named(state: TrainingState, prefix: str) -> dict[str, Any]:
    """Return the arrays of a state whose names begin so, by the rest of their names."""
    return {
        name.removeprefix(prefix): array
        for name, array in state.arrays.items()
        if name.startswith(prefix)
    }


def _best_memory(course: Course, recorded: Any) -> BestMemory | None:
    """Return the memory of what was best; a new one where nobody counted before."""
    if course.best is None:
        return None
    if recorded is None:
        return course.best.start()
    memory: BestMemory = from_json(cast("StopRule[Any]", course.best), recorded)
    return memory
