"""The ledger of epochs as the page shows it: `choosing.worth` beside the training losses."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from epochwise.choosing.worth import Entry, Gain, Ledger, accuracy_of, worth
from epochwise.errors import RunError
from epochwise.record import Evaluation, Run
from epochwise.report.story import Pass, Story
from epochwise.rules.curve import proportion_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line: the end of an epoch, or a look at the validation part inside one.

    Args:
        iterations_done: weight updates made before it [iterations].
        epochs_done: passes over the data before it [epochs]; `None` where the length of
            an epoch is not known.
        closes: the epoch that ends here; `None` inside one.
        entry: what the validation said; `None` where nothing was evaluated.
        accuracy_error: standard error of the entry's accuracy; `None` without one.
    """

    iterations_done: int
    epochs_done: Fraction | None
    closes: Pass | None
    entry: Entry | None
    accuracy_error: float | None


def worth_of(run: Run) -> Ledger | None:
    """Return what each epoch of a run was worth; `None` where nothing tells it.

    Args:
        run: may have no evaluations, or evaluations that are not finite.
    """
    try:
        return worth(run)
    except RunError:
        return None


def lines(story: Story, ledger: Ledger | None) -> list[Line]:
    """Return the lines of the ledger in order of time.

    Args:
        story: the run.
        ledger: what its epochs were worth; `None` where nothing tells it.
    """
    closed = {one.last_iteration: one for one in story.passes}
    entries = {} if ledger is None else {one.iterations_done: one for one in ledger.entries}
    seen = {one.position.iterations_done: one for one in story.run.evaluations}
    per_epoch = story.run.iterations_per_epoch
    return [
        Line(
            iterations_done=done,
            epochs_done=None if per_epoch is None else Fraction(done, per_epoch),
            closes=closed.get(done),
            entry=entries.get(done),
            accuracy_error=accuracy_error(seen[done]) if done in entries else None,
        )
        for done in sorted({*closed, *entries})
    ]


def accuracy_error(evaluation: Evaluation) -> float | None:
    """Return the standard error √(p(1−p)/n) of an evaluation's accuracy p on n samples.

    Args:
        evaluation: may have no accuracy, or not know its samples.
    """
    accuracy = accuracy_of(evaluation.metrics)
    if accuracy is None or not evaluation.samples:
        return None
    return proportion_error(accuracy, evaluation.samples)


def share_errors(name: str, evaluations: Sequence[Evaluation]) -> list[float | None]:
    """Return the standard error of a metric at each evaluation, where it is the accuracy.

    Args:
        name: of the metric; one that is no share of right answers has no error.
        evaluations: in order; all have the metric.
    """
    return [
        accuracy_error(seen) if seen.metrics[name] == accuracy_of(seen.metrics) else None
        for seen in evaluations
    ]


def first_gain(ledger: Ledger) -> Gain | None:
    """Return how much accuracy the epochs after the first one brought, at the most.

    Args:
        ledger: of the run.

    Returns:
        The best accuracy against that after the first whole epoch, the error that of two
        independent measurements; `None` where one of them is not known.
    """
    first = next((entry for entry in ledger.entries if entry.epochs_done == 1), None)
    best = best_accuracy(ledger)
    if first is None or first.accuracy is None or best is None or best.accuracy is None:
        return None
    samples = ledger.validation_samples
    error = None
    if samples:
        error = math.hypot(
            proportion_error(first.accuracy, samples), proportion_error(best.accuracy, samples)
        )
    return Gain(value=best.accuracy - first.accuracy, error=error)


def best_accuracy(ledger: Ledger) -> Entry | None:
    """Return the first entry with the highest accuracy; `None` without one."""
    known = [entry for entry in ledger.entries if entry.accuracy is not None]
    return max(known, key=lambda entry: entry.accuracy or 0.0, default=None)


def metric_names(measured: Sequence[Mapping[str, float]]) -> list[str]:
    """Return the names of metrics in the order in which they first appear."""
    return list(dict.fromkeys(name for metrics in measured for name in metrics))
