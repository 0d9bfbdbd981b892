"""The generator that trains.

    for epoch in what is left of the plan:
        for each segment, cut to end on the next boundary that anyone asked for:
            values, result = engine.run(values, segment)     one compiled call
            yield IterationsDone
            if the plan evaluates here:
                yield EvaluationBegun, Evaluated
            memory, reason = rule.update(memory, seen)
            if the epoch is complete:
                yield EpochDone
            if the pacing goes on from other values:
                yield Branched
            yield Boundary                                   a checkpoint may be taken
            if reason: break
    yield Stopped

Before the first epoch there is a boundary too. A generator keeps effects out: the
caller walks the events and hands each to whoever listens. Around every event the values
go back to the model and are taken from it again, so a listener sees the current weights
and the next iteration starts from what it finds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from functools import partial

from epochwise.counting.averages import averaged, merged_logs
from epochwise.counting.position import START, Position
from epochwise.data.feed import Window
from epochwise.engines.base import Engine, Loaded, Values
from epochwise.events import (
    Boundary,
    Branched,
    EpochBegun,
    EpochDone,
    Evaluated,
    EvaluationBegun,
    Event,
    IterationsDone,
    RunBegun,
    Stopped,
    StopReason,
    TrainingState,
)
from epochwise.loop.course import Course
from epochwise.loop.diagnosis import diagnose
from epochwise.loop.evaluation import evaluate, per_sample
from epochwise.loop.memory import Memory
from epochwise.rules import NonFinite, Seen, notes

FIRST_SEGMENT = 8
"""Iterations in the first segment, which tells how long one takes."""


def train(
    engine: Engine[Values, Loaded],
    course: Course,
    *,
    state: TrainingState | None = None,
    asked_to_stop: Callable[[], StopReason | None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Event]:
    """Yield what happens while the course is trained, in the order of `events`.

    Args:
        engine: runs the iterations.
        course: what to do.
        state: of the run that goes on, whose arrays the model holds already; `None`
            where one begins.
        asked_to_stop: asked at every boundary; a reason ends the run there.
        clock: seconds of some clock that only goes forward [s].

    Raises:
        TrainingError: a rule looks at a metric that is not there.
    """
    feed, began = course.feed, clock()
    position = START if state is None else state.position
    memory = _with_rate(Memory.of(course, state, engine.updates()), course, engine)
    halts = any(isinstance(rule, NonFinite) for rule in course.stop.rules)
    pace = _Pace(course.segment_seconds)
    settle = partial(_settle, engine, course, asked_to_stop, clock, began)
    ahead: tuple[Window, Loaded] | None = None

    compiled = engine.compile_seconds
    engine.prepare(
        course.training_windows(position),
        course.evaluation_windows(),
        measuring=course.measures_updates,
    )
    yield RunBegun(
        plan=course.plan,
        epochs=course.epochs,
        position=position,
        engine=engine.description,
        compile_seconds=engine.compile_seconds - compiled,
        iterations=course.iterations,
    )
    if state is None:
        yield Boundary(
            epoch_index=0,
            position=position,
            reason=None,
            is_best=False,
            snapshot=partial(_snapshot, engine, memory, position),
        )
    reason = memory.reason
    if memory.owed is not None:
        ended = _ended(course, memory, position)
        memory, reason, _ = yield from settle(memory, memory.owed, None, ended)
    reason = reason or _ended(course, memory, position) or asked_to_stop()
    while reason is None:
        epoch_index = position.epochs_done
        yield EpochBegun(
            epoch_index=epoch_index,
            position=position,
            iterations_per_epoch=feed.iterations_per_epoch,
        )
        if (reason := asked_to_stop()) is not None:
            break

        closes = False
        since, compiled = clock(), engine.compile_seconds
        while reason is None and not closes:
            done = position.iterations_done
            _set_rate(engine, memory, course.pacing.factor(memory.pacing, done))
            before = engine.take(fresh_metrics=position.iterations_in_epoch_done == 0)
            if ahead is None:
                window = feed.window(epoch_index, position.iterations_in_epoch_done)
                ahead = window, engine.load(window)
            window, loaded = ahead
            start = position.iterations_in_epoch_done - window.first_iteration_index
            cut = course.pacing.next_cut(memory.pacing, done)
            stop = start + course.segment_length(window, position, pace.allowed, cut)
            measured = course.measured(window, start, stop)
            values, pending = engine.run(before, loaded, start, stop, measured=measured)

            # The device works on its own from here; what comes next is made ready.
            earlier, position = position, _after(position, window, stop - start)
            closes = position.iterations_in_epoch_done == 0
            if stop == window.iterations:
                ahead = None
                place = course.next_place(position)
                if place is not None and (feed.is_pure or not closes):
                    following = feed.window(*place)
                    ahead = following, engine.load(following)

            result = pending.wait()
            trouble = None
            if halts:
                trouble = diagnose(engine, feed, window, loaded, start, result, before)
            if trouble is not None:
                values, result = trouble.values, trouble.result
                position, closes = _after(earlier, window, trouble.iterations), False
            engine.give_back(values)
            opens = earlier.iterations_in_epoch_done == 0
            logs = merged_logs({} if opens else memory.logs, result.logs)
            memory = replace(memory, logs=logs)
            final = engine.final_metrics(values) if closes else {}
            metrics = averaged({**result.metrics, **final}, logs)
            result = replace(result, metrics=metrics)
            now, compiling = clock(), engine.compile_seconds - compiled
            seconds = max(0.0, now - since - compiling)
            since, compiled = now, engine.compile_seconds
            pace.took(stop - start, seconds)
            ended = _ended(course, memory, position)
            yield IterationsDone(
                epoch_index=epoch_index,
                position=position,
                losses=result.losses,
                samples=(window.batch_size,) * len(result.losses),
                metrics=result.metrics,
                learning_rate=result.learning_rate,
                seconds=seconds,
                compile_seconds=compiling,
                epoch_goes_on=not closes and ended is None,
                update_sizes={
                    earlier.iterations_done + place - start + 1: sizes
                    for place, sizes in result.update_sizes.items()
                },
            )
            seen = Seen(
                position=position,
                closes_epoch=closes,
                evaluated=False,
                metrics=result.metrics,
                losses=result.losses,
                first_non_finite=None if trouble is None else trouble.first,
            )
            memory, reason, seen = yield from settle(memory, seen, asked_to_stop(), ended)
        if not closes or memory.owed is not None:
            yield EpochDone(
                epoch_index=epoch_index,
                position=position,
                metrics=seen.metrics,
                whole=closes,
            )

    best, weights = memory.ending(course)
    if weights is not None:
        engine.give_back(engine.from_host(engine.take(), weights))
    _set_rate(engine, memory, None if memory.rate is None else 1.0)
    counted = zip(engine.updates().items(), memory.updates_before, strict=True)
    yield Stopped(
        position=position,
        reason=reason,
        updates={name: now - before for (name, now), before in counted},
        best=best,
        restored=weights is not None,
        notes=notes(course.stop, memory.rules),
    )


def _settle(
    engine: Engine[Values, Loaded],
    course: Course,
    asked_to_stop: Callable[[], StopReason | None],
    clock: Callable[[], float],
    began: float,
    memory: Memory,
    seen: Seen,
    reason: StopReason | None,
    ended: StopReason | None,
) -> Generator[Event, None, tuple[Memory, StopReason | None, Seen]]:
    """Do all that is due between two iterations.

    Returns the memory, why to stop, and what is known here after all.

    A run that is cut off where an evaluation is due owes it: the checkpoint taken there
    says so, and the run that goes on begins with it.

    Args:
        engine: evaluates.
        course: what to do.
        asked_to_stop: asked once the epoch's end was told.
        clock: see `train`.
        began: when this process began the run, by the clock [s].
        memory: of all boundaries before.
        seen: what is known here, before any evaluation.
        reason: why somebody has asked to stop.
        ended: why the plan ends here.
    """
    position, closes = seen.position, seen.closes_epoch
    epoch_index = position.epochs_done - 1 if closes else position.epochs_done
    finite = seen.first_non_finite is None
    cut_off = reason is not None and reason.at_once
    ends = ended is not None or (reason is not None and not cut_off)
    due = finite and course.evaluates_at(position, ends=ends)
    is_best = False
    owed = seen if due and cut_off else None
    if owed is None:
        if due:
            assert course.validation is not None
            yield EvaluationBegun(epoch_index=epoch_index, position=position)
            evaluated: Evaluated | None = None
            for told in evaluate(
                engine,
                course.validation,
                batches=course.validation_batches,
                epoch_index=epoch_index,
                position=position,
                clock=clock,
                batchwise=course.evaluates_batchwise,
            ):
                yield told
                evaluated = told if isinstance(told, Evaluated) else None
            assert evaluated is not None
            seen = replace(
                seen,
                evaluated=True,
                metrics={**seen.metrics, **evaluated.named},
                validation_samples=evaluated.samples,
                per_sample=None
                if not course.validation.is_pure
                else partial(
                    per_sample, engine, course.validation, batches=course.validation_batches
                ),
            )
        spent = memory.seconds_before - memory.rules_since + clock() - began
        seen = replace(seen, seconds=spent)
        memory, decision = memory.updated(course, seen)
        is_best, turn = decision.is_best, decision.turn
        if is_best or turn.marks:
            updates = tuple(engine.updates().values())
            memory = memory.keeping(decision, engine.to_host(engine.take()), updates)
        if closes:
            yield EpochDone(
                epoch_index=epoch_index, position=position, metrics=seen.metrics, whole=True
            )
            reason = reason or asked_to_stop()
        if reason is None or not reason.at_once:
            reason = decision.reason or reason or ended
        if turn.branches and (reason is None or reason.at_once):
            memory = memory.branched(tuple(engine.updates().values()))
            engine.give_back(engine.from_host(engine.take(), memory.marked))
            yield Branched(epoch_index=epoch_index, position=position, sentence=turn.sentence)
    memory = replace(
        memory, seconds=memory.seconds_before + clock() - began, reason=reason, owed=owed
    )
    if finite:
        yield Boundary(
            epoch_index=epoch_index,
            position=position,
            reason=reason,
            is_best=is_best,
            snapshot=partial(_snapshot, engine, memory, position),
        )
    return memory, reason, seen


def _with_rate(memory: Memory, course: Course, engine: Engine[Values, Loaded]) -> Memory:
    """Return the memory of a run with the rate that its pacing begins with."""
    if memory.rate is not None or course.pacing.factor(memory.pacing, 0) is None:
        return memory
    return replace(memory, rate=engine.learning_rate())


def _set_rate(engine: Engine[Values, Loaded], memory: Memory, factor: float | None) -> None:
    """Let the next iteration train at its share of the rate."""
    if factor is not None and memory.rate is not None:
        engine.set_learning_rate(memory.rate * factor)


class _Pace:
    """How many iterations a segment may have, from how long the last ones took."""

    def __init__(self, segment_seconds: float) -> None:
        """Begin with a short segment."""
        self.allowed = FIRST_SEGMENT
        self._segment_seconds = segment_seconds

    def took(self, iterations: int, seconds: float) -> None:
        """Learn from a segment; grow at most eightfold, as early ones mislead."""
        fitting = int(self._segment_seconds * iterations / max(seconds, 1e-9))
        self.allowed = max(1, min(fitting, self.allowed * 8))


def _snapshot(
    engine: Engine[Values, Loaded], memory: Memory, position: Position
) -> TrainingState:
    """Return everything that the next iteration depends on, as the model holds it now."""
    return memory.snapshot(position, engine.to_host(engine.take()))


def _after(position: Position, window: Window, iterations: int) -> Position:
    """Return the position once so many more iterations of the window are done."""
    position = position.after_iterations(
        iterations=iterations, samples=iterations * window.batch_size
    )
    closes = position.iterations_in_epoch_done == window.end_iteration_index
    return position.after_epoch() if window.closes_epoch and closes else position


def _ended(course: Course, memory: Memory, position: Position) -> StopReason | None:
    """The reason when the pacing is at its end, or nothing is left of the plan."""
    if (paced := course.pacing.end(memory.pacing, position)) is not None:
        return paced
    if course.next_place(position) is not None:
        return None
    return StopReason(
        rule="plan",
        sentence=f"All {position.iterations_done:,} planned iterations are done.",
    )
