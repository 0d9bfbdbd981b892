"""What a sweep found: one row for each setting, best first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from epochwise.choosing.sweep.running import HALVING, lowest
from epochwise.choosing.sweep.trial import Setting, Trial
from epochwise.choosing.worth import accuracy_of
from epochwise.record import Run
from epochwise.record.jsontext import jsonable


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SweptRun:
    """One run of a sweep.

    Args:
        trial: its setting and seed.
        run: what became of it.
    """

    trial: Trial
    run: Run

    @property
    def was_dropped(self) -> bool:
        """Whether halving ended it."""
        return self.run.stop is not None and self.run.stop.rule == HALVING


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a setting reached, over its seeds.

    Args:
        setting: what was trained with.
        seeds: how many runs there were.
        value: the mean of the lowest value of each run; NaN where one had none.
        error: its standard error over the seeds; `None` for one seed.
        accuracy: the mean accuracy at those lowest values; `None` where there is none.
        epochs: trained by each of its runs [epochs].
        seconds: training and evaluating all of them [s].
        was_dropped: whether halving ended them.
    """

    setting: Setting
    seeds: int
    value: float
    error: float | None
    accuracy: float | None
    epochs: int
    seconds: float
    was_dropped: bool

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name, those of the setting among them."""
        return {
            **self.setting.to_json(),
            "seeds": self.seeds,
            "value": self.value,
            "error": self.error,
            "accuracy": self.accuracy,
            "epochs": self.epochs,
            "seconds": self.seconds,
            "dropped": self.was_dropped,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sweep:
    """A sweep that ended.

    Args:
        metric: what settings were compared by.
        rows: one for each setting: those that were never dropped first, best first; then
            the others, those that went on longest first.
        runs: all of them, in the order they were asked for.
        seconds: wall time of this call [s].
        folder: where the runs are kept; `None` for nowhere.
    """

    metric: str
    rows: tuple[Row, ...]
    runs: tuple[SweptRun, ...]
    seconds: float
    folder: Path | None = None

    @property
    def best(self) -> Row:
        """The row of the best setting."""
        return self.rows[0]

    def to_json(self) -> dict[str, Any]:
        """Return the sweep as `epochwise sweep --json` prints it."""
        told: dict[str, Any] = jsonable(
            {
                "metric": self.metric,
                "best": self.best.to_json(),
                "table": [row.to_json() for row in self.rows],
                "runs": [
                    {
                        "name": swept.trial.name,
                        **swept.trial.setting.to_json(),
                        "seed": swept.trial.seed,
                        "dropped": swept.was_dropped,
                        "run": None if swept.run.folder is None else str(swept.run.folder),
                    }
                    for swept in self.runs
                ],
                "seconds": self.seconds,
                "folder": None if self.folder is None else str(self.folder),
            }
        )
        return told


def table(runs: Sequence[SweptRun], metric: str) -> tuple[Row, ...]:
    """Return one row for each setting, in the order that `Sweep.rows` promises.

    Args:
        runs: every setting with every seed.
        metric: what settings are compared by, lower being better.
    """
    settings = dict.fromkeys(swept.trial.setting for swept in runs)
    rows = [
        _row(setting, [swept for swept in runs if swept.trial.setting == setting], metric)
        for setting in settings
    ]
    return tuple(
        sorted(
            rows,
            key=lambda row: (
                row.was_dropped,
                -row.epochs if row.was_dropped else 0,
                math.isnan(row.value),
                row.value,
            ),
        )
    )


def _row(setting: Setting, runs: Sequence[SweptRun], metric: str) -> Row:
    """Return the row of one setting."""
    epochs = max(swept.run.position.epochs_done for swept in runs)
    values = [lowest(swept.run.evaluations, metric, epochs) for swept in runs]
    accuracies = [_accuracy_at_lowest(swept.run, metric) for swept in runs]
    known = [accuracy for accuracy in accuracies if accuracy is not None]
    finite = all(map(math.isfinite, values))
    return Row(
        setting=setting,
        seeds=len(runs),
        value=fmean(values) if finite else math.nan,
        error=stdev(values) / math.sqrt(len(values)) if finite and len(values) > 1 else None,
        accuracy=fmean(known) if len(known) == len(runs) else None,
        epochs=epochs,
        seconds=sum(
            swept.run.seconds.training + swept.run.seconds.evaluating for swept in runs
        ),
        was_dropped=any(swept.was_dropped for swept in runs),
    )


def _accuracy_at_lowest(run: Run, metric: str) -> float | None:
    """Return the accuracy of the evaluation that had the lowest value."""
    name = metric.removeprefix("val_")
    finite = [
        evaluation
        for evaluation in run.evaluations
        if math.isfinite(evaluation.metrics.get(name, math.nan))
    ]
    if not finite:
        return None
    best = min(finite, key=lambda evaluation: evaluation.metrics[name])
    return accuracy_of(best.metrics)
