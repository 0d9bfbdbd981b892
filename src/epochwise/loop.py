"""THE training loop: a generator of events. Nothing else trains.

    for epoch in what is left of the plan:
        for each segment, cut to end on the next boundary that anyone asked for:
            values, result = engine.run(values, segment)     one compiled call
            yield IterationsDone
        if the plan evaluates here:
            yield EvaluationBegun, Evaluated
        yield EpochDone
    yield Stopped

A generator keeps effects out: the caller walks the events and hands each to whoever
listens. Around every event the values go back to the model and are taken from it again,
so a listener sees the current weights and the next iteration starts from what it finds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from epochwise.data.feed import Feed, Window
from epochwise.engines.base import Engine, Loaded, Values
from epochwise.events import (
    EpochBegun,
    EpochDone,
    Evaluated,
    EvaluationBegun,
    Event,
    IterationsDone,
    RunBegun,
    Stopped,
    StopReason,
)
from epochwise.plan import Plan
from epochwise.position import START, Position

FIRST_SEGMENT = 8
"""Iterations in the first segment, which tells how long one takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What one run is to do.

    Args:
        feed: the training samples of each iteration.
        plan: the counts; `None` while the length of the data is unknown.
        epochs: passes to make; `None` to go by iterations alone [epochs].
        iterations: weight updates to make in all; `None` to go by epochs [iterations].
        validation: what is evaluated after an epoch, or `None`.
        validate_every_epochs: after every which epoch; the last epoch only if it fits.
        look_every_iterations: a segment ends at each multiple of it, for listeners that
            look at iterations; `None` when nobody does.
        validation_batches: most batches of it that are evaluated; `None` for all.
        segment_seconds: about how long a segment may take, so that progress is seen and
            Ctrl-C is heard [s].
    """

    feed: Feed
    plan: Plan | None
    epochs: int | None
    iterations: int | None
    validation: Feed | None = None
    validate_every_epochs: int = 1
    validation_batches: int | None = None
    look_every_iterations: int | None = None
    segment_seconds: float = 0.25


def train(
    engine: Engine[Values, Loaded],
    course: Course,
    *,
    position: Position = START,
    asked_to_stop: Callable[[], StopReason | None] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> Iterator[Event]:
    """Yield what happens while the course is trained, in the order of `events`.

    Args:
        engine: runs the iterations.
        course: what to do.
        position: how much of it is done already.
        asked_to_stop: asked at every boundary; a reason ends the run there.
        clock: seconds of some clock that only goes forward [s].
    """
    feed, validation = course.feed, course.validation
    updates_before = engine.updates()
    reason: StopReason | None = None
    pace = _Pace(course.segment_seconds)
    ahead: tuple[Window, Loaded] | None = None

    engine.prepare(_shapes(feed, course, position), _validation_shapes(course))
    yield RunBegun(
        plan=course.plan,
        epochs=course.epochs,
        position=position,
        engine=engine.description,
    )
    reason = asked_to_stop()
    while reason is None and (place := _next_place(course, position)) is not None:
        epoch_index, _ = place
        yield EpochBegun(
            epoch_index=epoch_index,
            position=position,
            iterations_per_epoch=feed.iterations_per_epoch,
        )
        if (reason := asked_to_stop()) is not None:
            break

        metrics: Mapping[str, float] = {}
        since, compiled = clock(), engine.compile_seconds
        while place is not None and place[0] == epoch_index and reason is None:
            values = engine.take()
            if position.iterations_in_epoch_done == 0:
                values = engine.begin_metrics(values)
            if ahead is None:
                window = feed.window(*place)
                ahead = window, engine.load(window)
            window, loaded = ahead
            batch_size = window.batch_size
            start = place[1] - window.first_iteration_index
            stop = start + _segment_length(course, window, position, pace.allowed)
            values, pending = engine.run(values, loaded, start, stop)

            # The device works on its own from here; what comes next is made ready.
            position = _after(position, window, start, stop)
            place = _next_place(course, position)
            goes_on = place is not None and place[0] == epoch_index
            if stop == window.iterations:
                ahead = None
                if place is not None and (goes_on or feed.is_pure):
                    window = feed.window(*place)
                    ahead = window, engine.load(window)

            result = pending.wait()
            engine.give_back(values)
            now, compiling = clock(), engine.compile_seconds - compiled
            seconds = max(0.0, now - since - compiling)
            since, compiled = now, engine.compile_seconds
            pace.took(stop - start, seconds)
            metrics = result.metrics
            yield IterationsDone(
                epoch_index=epoch_index,
                position=position,
                losses=result.losses,
                samples=(batch_size,) * (stop - start),
                metrics=metrics,
                learning_rate=result.learning_rate,
                seconds=seconds,
                compile_seconds=compiling,
                epoch_goes_on=goes_on,
            )
            reason = asked_to_stop()

        due = (epoch_index + 1) % course.validate_every_epochs == 0
        if validation is not None and due and not (reason and reason.at_once):
            yield EvaluationBegun(epoch_index=epoch_index, position=position)
            evaluated = evaluate(engine, course, validation, epoch_index, position, clock)
            yield evaluated
            named = {f"val_{name}": value for name, value in evaluated.metrics.items()}
            metrics = {**metrics, **named}
        yield EpochDone(
            epoch_index=epoch_index,
            position=position,
            metrics=metrics,
            whole=position.epochs_done == epoch_index + 1,
        )
        reason = reason or asked_to_stop()

    counted = engine.updates()
    yield Stopped(
        position=position,
        reason=reason or _plan_done(position),
        updates={name: counted[name] - updates_before.get(name, 0) for name in counted},
    )


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


def _next_place(course: Course, position: Position) -> tuple[int, int] | None:
    """Return the zero-based (epoch, iteration in it) to run next; `None` at the end."""
    if course.iterations is not None and position.iterations_done >= course.iterations:
        return None
    if course.epochs is not None and position.epochs_done >= course.epochs:
        return None
    return position.epochs_done, position.iterations_in_epoch_done


def _segment_length(course: Course, window: Window, position: Position, allowed: int) -> int:
    """Return how many iterations to run before the next boundary."""
    index = position.iterations_in_epoch_done
    bounds = [allowed, window.end_iteration_index - index]
    if course.iterations is not None:
        bounds.append(course.iterations - position.iterations_done)
    if course.look_every_iterations is not None:
        every = course.look_every_iterations
        bounds.append(every - position.iterations_done % every)
    return min(bounds)


def _after(position: Position, window: Window, start: int, stop: int) -> Position:
    """Return the position once iterations `start` to `stop - 1` of the window are done."""
    count = stop - start
    position = position.after_iterations(iterations=count, samples=count * window.batch_size)
    if window.closes_epoch and stop == window.iterations:
        return position.after_epoch()
    return position


def _shapes(feed: Feed, course: Course, position: Position) -> list[Window]:
    """Return a window of each shape that the training is known to need."""
    place = _next_place(course, position)
    if place is None:
        return []
    windows = [feed.window(*place)]
    per_epoch = feed.iterations_per_epoch
    if feed.is_pure and per_epoch is not None:
        left = (
            None if course.iterations is None else course.iterations - position.iterations_done
        )
        if left is None or place[1] + left >= per_epoch:
            windows.append(feed.window(place[0], per_epoch - 1))
        if place[1] and (left is None or place[1] + left > per_epoch):
            windows.append(feed.window(place[0] + 1, 0))
    return windows


def _validation_shapes(course: Course) -> list[Window]:
    """Return a window of each shape that the evaluation is known to need."""
    feed = course.validation
    if feed is None or not feed.is_pure or feed.iterations_per_epoch is None:
        return []
    last = feed.iterations_per_epoch - 1
    if course.validation_batches is not None:
        last = min(last, course.validation_batches - 1)
    return [feed.window(0, 0), feed.window(0, last)]


def evaluate(
    engine: Engine[Values, Loaded],
    course: Course,
    feed: Feed,
    epoch_index: int,
    position: Position,
    clock: Callable[[], float] = time.perf_counter,
) -> Evaluated:
    """Evaluate the validation part; the values that training goes on from stay as they are."""
    since, compiled = clock(), engine.compile_seconds
    values = engine.begin_metrics(engine.take())
    batches = samples = 0
    limit = course.validation_batches
    while True:
        window = feed.window(0, batches)
        start = batches - window.first_iteration_index
        stop = window.iterations
        if limit is not None:
            stop = min(stop, start + limit - batches)
        loaded = engine.load(window, evaluating=True)
        values, pending = engine.evaluate(values, loaded, start, stop)
        batches += stop - start
        samples += (stop - start) * window.batch_size
        if batches == limit or (window.closes_epoch and stop == window.iterations):
            break
    result = pending.wait()
    compiling = engine.compile_seconds - compiled
    return Evaluated(
        epoch_index=epoch_index,
        position=position,
        metrics=result.metrics,
        samples=samples,
        seconds=max(0.0, clock() - since - compiling),
        compile_seconds=compiling,
    )


def _plan_done(position: Position) -> StopReason:
    """The reason when nothing else ended the run."""
    return StopReason(
        rule="plan",
        sentence=f"All {position.iterations_done:,} planned iterations are done.",
    )
