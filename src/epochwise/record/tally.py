"""Events added up to a `Run`: in memory while training, and again when a record is read."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from epochwise.counting.plan import Plan
from epochwise.counting.position import START, Position
from epochwise.events import (
    BestEvaluation,
    Branched,
    CheckpointCommitted,
    CheckpointFailed,
    EngineDescription,
    EpochBegun,
    EpochDone,
    Evaluated,
    Event,
    IterationsDone,
    RunBegun,
    Stopped,
    StopReason,
)
from epochwise.record.run import Evaluation, Run, Seconds


class Tally:
    """A listener that keeps what a `Run` tells: history, losses, counts, seconds.

    Example:
        >>> tally = Tally()
        >>> tally.on_event(
        ...     EpochDone(epoch_index=0, position=START, metrics={"loss": 0.5}, whole=True)
        ... )
        >>> tally.run().history
        {'loss': [0.5]}
    """

    def __init__(self, losses: npt.NDArray[np.float32] | None = None) -> None:
        """Start with nothing seen.

        Args:
            losses: of the iterations that were run before, whose events come without.
        """
        self._plan: Plan | None = None
        self._engine: EngineDescription | None = None
        self._position: Position = START
        self._history: dict[str, list[float]] = {}
        self._losses = array("f", [] if losses is None else losses.tolist())
        self._best: BestEvaluation | None = None
        self._restored = False
        self._notes: tuple[str, ...] = ()
        self._stop: StopReason | None = None
        self._branched: list[Branched] = []
        self._updates: Mapping[str, int] = {}
        self._evaluations: list[Evaluation] = []
        self._iterations_per_epoch: int | None = None
        self._seconds = Seconds()

    def on_event(self, event: Event) -> None:
        """See `Listener.on_event`."""
        if not isinstance(event, (CheckpointCommitted, CheckpointFailed)):
            self._position = event.position
        match event:
            case RunBegun():
                self._plan, self._engine = event.plan, event.engine
                self._spend(compiling=event.compile_seconds)
                if event.plan is not None:
                    self._iterations_per_epoch = event.plan.iterations_per_epoch
            case EpochBegun():
                self._iterations_per_epoch = event.iterations_per_epoch
            case IterationsDone():
                self._losses.extend(event.losses)
                self._spend(training=event.seconds, compiling=event.compile_seconds)
            case Evaluated():
                self._spend(evaluating=event.seconds, compiling=event.compile_seconds)
                self._evaluations.append(
                    Evaluation(
                        position=event.position,
                        metrics=dict(event.metrics),
                        samples=event.samples,
                        training_seconds=self._seconds.training,
                    )
                )
            case EpochDone():
                for name, value in event.metrics.items():
                    self._history.setdefault(name, []).append(value)
            case Branched():
                self._branched.append(event)
            case Stopped():
                self._stop, self._updates = event.reason, event.updates
                self._best, self._restored = event.best, event.restored
                self._notes = event.notes
            case _:
                pass

    @property
    def seconds(self) -> Seconds:
        """What training, evaluating and compiling took so far; the rest is 0 [s]."""
        return self._seconds

    def run(
        self,
        *,
        seconds: Seconds | None = None,
        losses: npt.NDArray[np.float32] | None = None,
        test: Mapping[str, float] | None = None,
        weights_sha256: str | None = None,
        folder: Path | None = None,
    ) -> Run:
        """Return the run as it stands.

        Args:
            seconds: where the time went, where more is known than the events told.
            losses: the loss of each iteration, where the events came without.
            test: metrics of the test part.
            weights_sha256: digest of the final weights.
            folder: where the record is.
        """
        return Run(
            plan=self._plan,
            position=self._position,
            history={name: list(values) for name, values in self._history.items()},
            losses=np.array(self._losses, np.float32) if losses is None else losses,
            stop=self._stop,
            seconds=self._seconds if seconds is None else seconds,
            engine=self._engine,
            iterations_per_epoch=self._iterations_per_epoch,
            updates=dict(self._updates),
            evaluations=tuple(self._evaluations),
            test=test,
            weights_sha256=weights_sha256,
            best=self._best,
            restored=self._restored,
            notes=self._notes,
            branched=tuple(self._branched),
            folder=folder,
        )

    def _spend(
        self, *, training: float = 0.0, evaluating: float = 0.0, compiling: float = 0.0
    ) -> None:
        spent = self._seconds
        self._seconds = replace(
            spent,
            training=spent.training + training,
            evaluating=spent.evaluating + evaluating,
            compiling=spent.compiling + compiling,
        )
