"""The runs of a sweep, carried out in turn on one engine.

Every run is a generator of the training loop. One engine serves all of them: before a
run goes on, the model is given its values, and when it pauses they are taken again. So
the data lie on the device once and each program is compiled once, however many runs
there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from epochwise import loop
from epochwise.choosing.sweep.halving import rungs, survivors
from epochwise.choosing.sweep.trial import Setting, Trial
from epochwise.engines.base import Engine
from epochwise.events import EpochDone, Event, Listener, Stopped, StopReason
from epochwise.record import Evaluation, Run, Tally

HALVING = "halving"
"""The rule of a run that was dropped."""


@dataclass(slots=True, kw_only=True, eq=False)
class Entrant:
    """A run of a sweep, on its way.

    Args:
        trial: what it is.
        run: what it became, where an earlier sweep has ended it; else `None`.
        course: what to do; `None` where there is nothing left to do.
        values: the engine's, that it begins with and, while it pauses, goes on from.
        open: called before its first iteration, when the model holds its first weights;
            returns who listens.
        close: called at its end, with what happened, while the model holds its weights;
            returns the run.
    """

    trial: Trial
    run: Run | None = None
    course: loop.Course | None = None
    values: Callable[[], Any] | None = None
    open: Callable[[], Sequence[Listener]] = tuple
    close: Callable[[Tally], Run] | None = None
    _held: Any = None
    _tally: Tally = field(default_factory=Tally)
    _listeners: Sequence[Listener] = ()
    _events: Iterator[Event] | None = None
    _dropped: StopReason | None = None

    def lowest(self, metric: str, epochs: int) -> float:
        """Return the lowest value within so many epochs; NaN where there is no finite one.

        Args:
            metric: as the history names it.
            epochs: how far to look [epochs].
        """
        run = self._tally.run() if self.run is None else self.run
        return lowest(run.evaluations, metric, epochs)

    def drop(self, reason: StopReason) -> None:
        """Let it end where it stands."""
        self._dropped = reason

    def advance(
        self,
        engine: Engine[Any, Any],
        epochs: int | None,
        asked_to_stop: Callable[[], StopReason | None],
    ) -> None:
        """Train until so many epochs are done, or to the end.

        Args:
            engine: of all runs.
            epochs: where to pause [epochs]; `None` for nowhere.
            asked_to_stop: asked at every boundary.
        """
        if self.run is not None:
            return
        assert self.course is not None
        assert self.close is not None
        if self._events is None:
            assert self.values is not None
            self._held = self.values()
        engine.give_back(self._held)
        if self._events is None:
            self._listeners = (self._tally, *self.open())
            self._events = loop.train(
                engine, self.course, asked_to_stop=lambda: self._dropped or asked_to_stop()
            )
        for event in self._events:
            for listener in self._listeners:
                listener.on_event(event)
            if isinstance(event, Stopped):
                self.run, self._held = self.close(self._tally), None
                return
            if isinstance(event, EpochDone) and event.position.epochs_done == epochs:
                break
        self._held = engine.take()


def carry_out(
    entrants: Sequence[Entrant],
    engine: Engine[Any, Any],
    *,
    metric: str,
    epochs: int,
    halves: bool,
    asked_to_stop: Callable[[], StopReason | None] = lambda: None,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Train all of them, dropping poor settings on the way.

    Args:
        entrants: the runs; each has its `run` afterwards, unless somebody asked to stop.
        engine: runs the iterations of all of them.
        metric: what settings are compared by, lower being better.
        epochs: of a run that is never dropped [epochs].
        halves: whether poor settings are dropped.
        asked_to_stop: asked at every boundary.
        tell: shows a sentence.
    """
    going = list(dict.fromkeys(entrant.trial.setting for entrant in entrants))
    stops = rungs(epochs, len(going)) if halves else ()
    for rung in (*stops, None):
        for entrant in entrants:
            if entrant.trial.setting in going:
                entrant.advance(engine, rung, asked_to_stop)
            if asked_to_stop() is not None:
                return
        if rung is not None and len(going) > 1:
            kept = _best(entrants, going, metric, rung)
            dropped = [setting for setting in going if setting not in kept]
            tell(_sentence(kept, dropped, metric, rung))
            for entrant in entrants:
                if entrant.trial.setting in dropped:
                    entrant.drop(StopReason(rule=HALVING, sentence=_why(kept, metric, rung)))
                    entrant.advance(engine, None, asked_to_stop)
            going = kept


def lowest(evaluations: Sequence[Evaluation], metric: str, epochs: int) -> float:
    """Return the lowest finite value of a metric within so many epochs; NaN without one.

    Args:
        evaluations: of a run, in order.
        metric: as the history names it, with `val_` before it.
        epochs: how far to look [epochs].
    """
    found = (
        evaluation.metrics.get(metric.removeprefix("val_"), math.nan)
        for evaluation in evaluations
        if evaluation.position.epochs_done <= epochs
    )
    return min(filter(math.isfinite, found), default=math.nan)


def _best(
    entrants: Sequence[Entrant], going: Sequence[Setting], metric: str, rung: int
) -> list[Setting]:
    """Return the settings that go on from a rung."""
    return survivors(
        {
            setting: [
                entrant.lowest(metric, rung)
                for entrant in entrants
                if entrant.trial.setting == setting
            ]
            for setting in going
        }
    )


def _sentence(
    kept: Sequence[Setting], dropped: Sequence[Setting], metric: str, rung: int
) -> str:
    on, out = (", ".join(setting.name for setting in group) for group in (kept, dropped))
    return f"After epoch {rung:,}, by {metric}: {on} on; {out} dropped."


def _why(kept: Sequence[Setting], metric: str, rung: int) -> str:
    better = ", ".join(setting.name for setting in kept)
    return f"After epoch {rung:,} {metric} was lower with {better}."
