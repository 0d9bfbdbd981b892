"""What every verb that trains shares: walking the events, and hearing signals."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from epochwise import loop, models
from epochwise.api.job import Job, with_microbatches
from epochwise.api.keeping import KeptRun
from epochwise.engines.base import Engine
from epochwise.engines.shrinking import ShrinkingEngine
from epochwise.errors import PlanError
from epochwise.events import IterationsDone, Listener, Stopped, StopReason, TrainingState
from epochwise.record import Tally

INTERRUPTED = "interrupt"
TERMINATED = "terminated"
CUT_OFF = frozenset({INTERRUPTED, TERMINATED})
"""Rules of the reasons that a signal gives: the run did not end by itself."""

_SENTENCES = {
    signal.SIGINT: (INTERRUPTED, "Ctrl-C was pressed."),
    signal.SIGTERM: (TERMINATED, "The process was asked to end (SIGTERM)."),
}


def carry_out(
    job: Job,
    tally: Tally,
    listeners: Sequence[Listener],
    *,
    kept: KeptRun | None = None,
    state: TrainingState | None = None,
    asked_to_stop: Callable[[], StopReason | None] = lambda: None,
    looks_at_iterations: bool = False,
    looks_at_evaluation: bool = False,
    note: Callable[[str], None],
) -> Engine[Any, Any]:
    """Train, tell everybody who listens, and return the engine that memory sufficed for.

    Args:
        job: what to train.
        tally: adds up what happens.
        listeners: whoever else wants to know, in order.
        kept: where the run is kept; `None` for nowhere.
        state: of a run that goes on.
        asked_to_stop: asked at every boundary.
        looks_at_iterations: whether a listener looks at every iteration.
        looks_at_evaluation: whether one looks at every batch that is evaluated.
        note: shows a sentence to the user.
    """
    from epochwise.engines.microbatches import check_evaluation_parts  # imports the framework

    course = replace(
        job.course, evaluates_batchwise=looks_at_evaluation, measures_updates=kept is not None
    )
    if looks_at_iterations:
        course = replace(course, cuts=(*course.cuts, 1))
    recorders = () if kept is None else (kept.recorder, *kept.beside)
    everybody: tuple[Listener, ...] = (tally, *recorders, *listeners)
    engine = ShrinkingEngine(
        job.engine,
        partial(with_microbatches, job),
        microbatch_size=job.settings.microbatch_size,
        told=note,
        check_parts=partial(check_evaluation_parts, job.model),
    )
    rates = None if kept is None else _rates_of(job.model, state)
    with signals() as heard:
        events = loop.train(
            engine, course, state=state, asked_to_stop=lambda: heard() or asked_to_stop()
        )
        for event in events if kept is None else kept.keeper.through(events):
            if rates is not None and isinstance(event, IterationsDone):
                event = replace(event, learning_rates=rates(event))  # noqa: PLW2901  # the same, told in full
            for listener in everybody:
                listener.on_event(event)
            if isinstance(event, Stopped):
                break
    if job.model.optimizer is not None:
        job.model.optimizer.finalize_variable_values(job.model.trainable_weights)
    return engine


def checked(listeners: object) -> tuple[Listener, ...]:
    """Return listeners one by one.

    Raises:
        PlanError: one has no method `on_event`.
    """
    several = tuple(listeners) if isinstance(listeners, Iterable) else (listeners,)
    for listener in several:
        if not callable(getattr(listener, "on_event", None)):
            raise PlanError(
                f"{listener!r} among listeners has no method on_event.",
                "give objects with on_event(event), in a list.",
            )
    return several


def _rates_of(
    model: Any, state: TrainingState | None
) -> Callable[[IterationsDone], dict[int, float]] | None:
    """Return what finds the extreme rates of a segment; `None` for a rate that nobody plans."""
    schedule = models.schedule_of(model)
    if schedule is None:
        return None
    begun = 0 if state is None else state.position.iterations_done
    before = int(model.optimizer.iterations) - begun  # by trainings before this run
    rate = models.compiled_rate(schedule)

    def rates(event: IterationsDone) -> dict[int, float]:
        done = event.position.iterations_done
        first, last = done - len(event.losses) + before, done - 1 + before
        found = models.extreme_rates(rate, first, last)
        return {update - before + 1: one for update, one in found.items()}

    return rates


@contextmanager
def signals() -> Iterator[Callable[[], StopReason | None]]:
    """Hear Ctrl-C and SIGTERM as a wish to stop at the next boundary; a second ends at once.

    Only the main thread can hear them; elsewhere nothing changes.
    """
    heard: list[int] = []

    def hear(number: int, _frame: object) -> None:
        heard.append(number)
        for each, handler in before.items():
            signal.signal(each, handler)

    def reason() -> StopReason | None:
        if not heard:
            return None
        rule, sentence = _SENTENCES[signal.Signals(heard[0])]
        return StopReason(rule=rule, sentence=sentence, at_once=True)

    before: dict[int, Any] = {}
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number in _SENTENCES:
                before[number] = signal.getsignal(number)
                signal.signal(number, hear)
                stack.callback(signal.signal, number, before[number])
        yield reason


def pass_on(reason: StopReason | None) -> None:
    """Let a signal that ended the run do to the caller what it would have done.

    Raises:
        KeyboardInterrupt: after Ctrl-C, unless the caller has another handler.
    """
    for number, (rule, _) in _SENTENCES.items():
        if reason is not None and reason.rule == rule:
            signal.raise_signal(number)
