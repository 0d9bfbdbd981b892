"""A training that ended, in numbers: what `fit` returns and what a record holds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from epochwise.counting.plan import Plan
from epochwise.counting.position import Position
from epochwise.events import BestEvaluation, Branched, EngineDescription, StopReason
from epochwise.record.jsontext import jsonable, number


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """Where the wall time of a run went [s]: parts of a total, and what is left of it.

    Args:
        total: from the start of the process, or of `fit`, to the end; of a run that went
            on, over all processes.
        importing: importing the framework.
        data: reading, checking and splitting the data.
        compiling: tracing and compiling programs.
        training: iterations.
        evaluating: validation and test parts.

    Example:
        >>> Seconds(total=2.0, importing=0.5, training=1.0).other
        0.5
    """

    total: float = 0.0
    importing: float = 0.0
    data: float = 0.0
    compiling: float = 0.0
    training: float = 0.0
    evaluating: float = 0.0

    @property
    def other(self) -> float:
        """What belongs to no part: building the model, choosing, saving, starting [s]."""
        parts = math.fsum(asdict(self).values()) - self.total
        return max(0.0, self.total - parts)

    def to_json(self) -> dict[str, float]:
        """Return `total`, and `import`, `data`, `compile`, `train`, `evaluate`, `other` [s]."""
        named = {_SECONDS_KEYS[name]: seconds for name, seconds in asdict(self).items()}
        return named | {"other": self.other}

    def in_hundredths(self) -> dict[str, float]:
        """Return `to_json` for people: two decimals, and parts that still add up to the total.

        The remainder of the rounding goes to `other`, or where that is nothing to the
        longest part. What is nothing is left out.

        Example:
            >>> Seconds(total=1.0, importing=0.333, data=0.333, training=0.334).in_hundredths()
            {'total': 1.0, 'import': 0.33, 'data': 0.33, 'train': 0.33, 'other': 0.01}
        """
        spent = self.to_json()
        if not all(map(math.isfinite, spent.values())):
            return {name: seconds for name, seconds in spent.items() if seconds > 0}
        shown = {name: round(100 * seconds) for name, seconds in spent.items()}
        left = 2 * shown["total"] - sum(shown.values())
        if self.total and abs(left) <= len(shown):  # of rounding; nothing else is put right
            parts = [name for name in shown if name != "total"]
            longest = max(parts, key=shown.__getitem__)
            shown["other" if shown["other"] + left >= 0 else longest] += left
        return {name: hundredths / 100 for name, hundredths in shown.items() if hundredths > 0}

    @classmethod
    def from_json(cls, recorded: Mapping[str, Any]) -> Seconds:
        """Read back what `to_json` gave.

        Raises:
            ValueError: a part is missing or no number.
        """
        if not set(_SECONDS_KEYS.values()) <= set(recorded):
            raise ValueError(f"seconds need {sorted(_SECONDS_KEYS.values())}")
        return cls(**{f.name: number(recorded[_SECONDS_KEYS[f.name]]) for f in fields(cls)})


_SECONDS_KEYS = {
    "total": "total",
    "importing": "import",
    "data": "data",
    "compiling": "compile",
    "training": "train",
    "evaluating": "evaluate",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One evaluation of the validation part, and what had been spent until then.

    Args:
        position: what was done when it was made.
        metrics: means over its samples, without a `val_` prefix.
        samples: how many samples were evaluated [samples]; `None` if not known.
        training_seconds: what the iterations before it took since the run began [s].
    """

    position: Position
    metrics: Mapping[str, float]
    samples: int | None
    training_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """One training: what was planned, what was done, and how it went.

    Args:
        plan: what was to happen; `None` for data whose length was not known before.
        position: what is done.
        history: for each metric one value an epoch, as Keras's `History.history`, in its
            order, by name; validation metrics begin with `val_`.
        losses: the loss of each iteration's own batch, in order, shape
            `(iterations,)`, float32.
        stop: why it ended; `None` for a run that never did (a process that was killed).
        seconds: where the time went.
        engine: how the iterations were executed; `None` if none began.
        iterations_per_epoch: M, planned or found out [iterations]; `None` if unknown.
        updates: weight updates that the optimizer counted itself, by its name.
        evaluations: of the validation part, in order.
        test: metrics of the test part, `loss` first; `None` without one.
        weights_sha256: digest of the final weights; `None` if they were not kept.
        best: the best evaluation; `None` where nobody counted or nothing was evaluated.
        restored: whether the weights kept are those of the best evaluation.
        notes: what a stopping rule came upon and the user should know, in sentences.
        branched: where it went on from earlier values, at a falling learning rate.
        folder: where the record is; `None` if none was kept.
        params: `verbose`, `epochs` and `steps`, as Keras's `History.params`; empty for a
            run read back from its record.
        model: the trained model, as Keras's `History.model`; `None` for a run read back.
    """

    plan: Plan | None
    position: Position
    history: Mapping[str, Sequence[float]]
    losses: npt.NDArray[np.float32]
    stop: StopReason | None
    seconds: Seconds
    engine: EngineDescription | None
    iterations_per_epoch: int | None = None
    updates: Mapping[str, int] = field(default_factory=dict)
    evaluations: Sequence[Evaluation] = ()
    test: Mapping[str, float] | None = None
    weights_sha256: str | None = None
    best: BestEvaluation | None = None
    restored: bool = False
    notes: tuple[str, ...] = ()
    branched: Sequence[Branched] = ()
    folder: Path | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    model: Any = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Put the history in the order that Keras's has."""
        object.__setattr__(self, "history", dict(sorted(self.history.items())))

    @property
    def epoch(self) -> list[int]:
        """The zero-based epochs that `history` has values of, as Keras's `History.epoch`."""
        return list(range(max(map(len, self.history.values()), default=0)))

    @property
    def skipped(self) -> dict[str, int]:
        """Iterations in which an optimizer left its weights alone, by its name.

        As a loss scale does with gradients that are not finite; schedules do not move.
        """
        done = self.position.iterations_done
        return {name: done - made for name, made in self.updates.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the run as `epochwise train --json` prints it.

        Returns:
            The keys `run` (the folder's path), `plan`, `done` (`epochs`, `iterations`,
            `samples`; epochs are a number when whole, else `"a/b"`, and `None` where
            the length of an epoch is not known), `stop`, `history`, `test`,
            `weights_sha256`, `seconds`, `backend`, `device`, `best` (`metric`, `value`,
            `epochs_done`, `iterations_done`; `None` where nothing was evaluated),
            `restored` and `notes`. NaN and infinity are the strings of
            `epochwise.record.jsontext`.
        """
        epochs = self.position.epochs_done_fraction(self.iterations_per_epoch)
        if epochs is None:
            shown = None
        else:
            shown = epochs.numerator if epochs.denominator == 1 else str(epochs)
        stop = None
        if self.stop is not None:
            stop = {"rule": self.stop.rule, "sentence": self.stop.sentence}
        return {
            "run": None if self.folder is None else str(self.folder),
            "plan": None if self.plan is None else self.plan.to_json(),
            "done": {
                "epochs": shown,
                "iterations": self.position.iterations_done,
                "samples": self.position.samples_done,
            },
            "stop": stop,
            "history": jsonable(self.history),
            "test": jsonable(self.test),
            "weights_sha256": self.weights_sha256,
            "seconds": jsonable(self.seconds.to_json()),
            "backend": None if self.engine is None else self.engine.backend,
            "device": None if self.engine is None else self.engine.device,
            "best": None if self.best is None else jsonable(asdict(self.best)),
            "restored": self.restored,
            "notes": list(self.notes),
        }
