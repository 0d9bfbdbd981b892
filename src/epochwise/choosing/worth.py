"""What each epoch of a run was worth: arithmetic over its evaluations.

Reads a run and trains nothing. A gain is told with its standard error, because a gain
within the noise is none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from epochwise.errors import RunError
from epochwise.record import Evaluation, Run, StoredRun
from epochwise.rules.curve import (
    FEWEST_FOR_FORECAST,
    forecast,
    lasting_end,
    proportion_error,
    rise_began,
    scatter,
)

SIGNIFICANT = 2.0
"""Standard errors that a gain must exceed to count."""

FEWEST_AFTER = 3
"""Evaluations without a gain before it is said that nothing more was gained."""

AHEAD = (1, 2, 5)
"""How many more epochs are looked ahead [epochs]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """By how much an evaluation is better than the one before it.

    Args:
        value: positive for better: a loss that fell, an accuracy that rose.
        error: its standard error; `None` where nothing tells it.
    """

    value: float
    error: float | None

    @property
    def is_significant(self) -> bool:
        """Whether it is more than two standard errors."""
        return self.error is not None and self.value > SIGNIFICANT * self.error

    def to_json(self) -> dict[str, float | bool | None]:
        """Return `value`, `error` and `significant`."""
        return {"value": self.value, "error": self.error, "significant": self.is_significant}


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the ledger: an evaluation, and what the epoch before it brought.

    Args:
        epochs_done: at the evaluation; a fraction inside an epoch, `None` where the
            length of an epoch is not known [epochs].
        iterations_done: at the evaluation [iterations].
        loss: of the validation part.
        accuracy: of the validation part; `None` where it has none.
        loss_gain: against the line before; `None` in the first.
        accuracy_gain: the same for the accuracy.
        seconds: training since the line before, without evaluating and compiling [s].
        seconds_per_point: what a percentage point of accuracy cost [s]; `None` where
            none was gained.
    """

    epochs_done: Fraction | None
    iterations_done: int
    loss: float
    accuracy: float | None
    loss_gain: Gain | None
    accuracy_gain: Gain | None
    seconds: float
    seconds_per_point: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name; epochs a number when whole, else `"a/b"`."""
        return {
            "epochs_done": _epochs_json(self.epochs_done),
            "iterations_done": self.iterations_done,
            "loss": self.loss,
            "accuracy": self.accuracy,
            "loss_gain": None if self.loss_gain is None else self.loss_gain.to_json(),
            "accuracy_gain": (
                None if self.accuracy_gain is None else self.accuracy_gain.to_json()
            ),
            "seconds": self.seconds,
            "seconds_per_point": self.seconds_per_point,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class MoreEpochs:
    """What some more epochs would bring, as far as the curve tells.

    Args:
        epochs: how many more [epochs].
        loss: the validation loss expected then.
        low: the lower end of its 80% interval.
        high: the upper end.
        gain: by how much `loss` lies below the last value of the curve; negative where
            it is expected to rise.
        gain_low: the lower end of the gain's 80% interval.
        gain_high: the upper end.
    """

    epochs: int
    loss: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float

    def to_json(self) -> dict[str, float]:
        """Return the fields by name."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """What each epoch of a run was worth.

    Places are indices into `entries`.

    Args:
        entries: one for each evaluation, in order; at least one.
        validation_samples: how many were evaluated [samples]; `None` if not known.
        loss_error: the standard error of one validation loss, from the curve's scatter;
            `None` below four evaluations.
        best_index: where the validation loss was lowest.
        enough_index: the first after which neither loss nor accuracy improved by more
            than two standard errors, at least three evaluations long; the last while they
            still do, `None` where no error is known.
        loss_turned_index: where the validation loss turned upwards for good; `None` where
            it did not.
        accuracy_turned_index: where the accuracy turned downwards for good; `None` likewise.
        more: what more epochs would bring; empty where the curve does not tell.
        refusal: why `more` is empty, a sentence.
    """

    entries: tuple[Entry, ...]
    validation_samples: int | None
    loss_error: float | None
    best_index: int
    enough_index: int | None
    loss_turned_index: int | None
    accuracy_turned_index: int | None
    more: tuple[MoreEpochs, ...]
    refusal: str | None

    @property
    def over_fitting_index(self) -> int | None:
        """Where over-fitting began; `None` where it did not.

        Midway between the turns of loss and accuracy, the later of two epochs in the middle,
        or where the loss turned if the accuracy did not. A network grows too sure of itself
        before it is wrong more often, and either turn alone is blurred by noise.
        """
        if self.loss_turned_index is None or self.accuracy_turned_index is None:
            return self.loss_turned_index
        return (self.loss_turned_index + self.accuracy_turned_index + 1) // 2

    @property
    def one_epoch_is_enough(self) -> bool | None:
        """Whether nothing was gained after the first epoch; `None` where it is not known."""
        if self.enough_index is None:
            return None
        after = self.entries[self.enough_index].epochs_done
        return None if after is None else after <= 1

    def to_json(self) -> dict[str, Any]:
        """Return the ledger as `epochwise worth --json` prints it."""
        return {
            "validation_samples": self.validation_samples,
            "loss_error": self.loss_error,
            "entries": [entry.to_json() for entry in self.entries],
            "best": self._place(self.best_index),
            "enough": self._place(self.enough_index),
            "over_fitting_began": self._place(self.over_fitting_index),
            "loss_turned": self._place(self.loss_turned_index),
            "accuracy_turned": self._place(self.accuracy_turned_index),
            "one_epoch_is_enough": self.one_epoch_is_enough,
            "more": [more.to_json() for more in self.more],
            "refusal": self.refusal,
        }

    def _place(self, index: int | None) -> dict[str, Any] | None:
        if index is None:
            return None
        entry = self.entries[index]
        return {
            "epochs_done": _epochs_json(entry.epochs_done),
            "iterations_done": entry.iterations_done,
        }


def worth(run: Run | StoredRun) -> Ledger:
    """Tell what each epoch of a run added, and what more of them would.

    The standard error of an accuracy p on n validation samples is √(p(1−p)/n), and that of
    a gain the root of the sum of squares of two of them: too large rather than too small,
    because both are measured on the same samples. That of a loss is the scatter of the
    curve itself (`curve.scatter`). Where the curve ends and turns is looked for in its
    running median of three, so that the luck of one evaluation is not taken for either.

    Args:
        run: with at least one evaluation of a validation part.

    Raises:
        RunError: it has none, or one without a finite loss.

    Example:
        >>> from epochwise.record import Seconds
        >>> from epochwise.counting.position import Position
        >>> evaluations = [
        ...     Evaluation(
        ...         position=Position(epochs_done=e, iterations_done=10 * e),
        ...         metrics={"loss": 1 / e, "accuracy": 1 - 0.5 / e},
        ...         samples=1000,
        ...         training_seconds=2.0 * e,
        ...     )
        ...     for e in (1, 2, 3)
        ... ]
        >>> run = Run(
        ...     plan=None, position=evaluations[-1].position, history={}, losses=None,
        ...     stop=None, seconds=Seconds(), engine=None, evaluations=evaluations,
        ... )
        >>> ledger = worth(run)
        >>> round(ledger.entries[1].accuracy_gain.value, 4)
        0.25
        >>> round(ledger.entries[1].seconds_per_point, 4)
        0.08
        >>> ledger.refusal
        'The curve has 3 epochs, and below 5 its course cannot be told.'
    """
    if isinstance(run, StoredRun):
        run = run.run
    evaluations = run.evaluations
    _require_losses(evaluations)
    losses = [evaluation.metrics["loss"] for evaluation in evaluations]
    loss_error = scatter(losses)
    entries = tuple(
        _entry(run, before, here, loss_error)
        for before, here in zip((None, *evaluations), evaluations, strict=False)
    )
    more = tuple(_more(losses, ahead) for ahead in AHEAD if len(losses) >= FEWEST_FOR_FORECAST)
    refusal = _refusal(run, entries, more)
    return Ledger(
        entries=entries,
        validation_samples=evaluations[-1].samples,
        loss_error=loss_error,
        best_index=min(range(len(losses)), key=losses.__getitem__),
        enough_index=_enough(evaluations, losses),
        loss_turned_index=_turned(losses),
        accuracy_turned_index=_turned(_mistakes(evaluations)),
        more=() if refusal else more,
        refusal=refusal,
    )


def accuracy_of(metrics: Mapping[str, float]) -> float | None:
    """Return the share of samples that were right, the first metric that is one.

    Example:
        >>> accuracy_of({"loss": 0.1, "sparse_categorical_accuracy": 0.9})
        0.9
    """
    for name, value in metrics.items():
        if (name == "acc" or name.endswith("accuracy")) and 0 <= value <= 1:
            return value
    return None


def _require_losses(evaluations: Sequence[Evaluation]) -> None:
    """Refuse a run whose epochs nothing can be said about."""
    if not evaluations:
        raise RunError(
            "The run has no evaluations, so nothing tells what an epoch added.",
            "train with validation_split=0.2, or with validation data.",
        )
    for number, evaluation in enumerate(evaluations, start=1):
        loss = evaluation.metrics.get("loss", math.nan)
        if not math.isfinite(loss):
            raise RunError(
                f"Evaluation {number} of {len(evaluations)} has the loss {loss}.",
                "train again with a smaller learning_rate, such as a tenth of this run's.",
            )


def _entry(
    run: Run, before: Evaluation | None, here: Evaluation, loss_error: float | None
) -> Entry:
    """Return one line of the ledger."""
    accuracy = accuracy_of(here.metrics)
    seconds = here.training_seconds
    loss_gain = accuracy_gain = None
    if before is not None:
        seconds -= before.training_seconds
        loss_gain = Gain(
            value=before.metrics["loss"] - here.metrics["loss"],
            error=None if loss_error is None else math.sqrt(2) * loss_error,
        )
        accuracy_before = accuracy_of(before.metrics)
        if accuracy is not None and accuracy_before is not None:
            accuracy_gain = Gain(
                value=accuracy - accuracy_before, error=_accuracy_error(before, here)
            )
    points = 0.0 if accuracy_gain is None else 100 * accuracy_gain.value
    return Entry(
        epochs_done=here.position.epochs_done_fraction(run.iterations_per_epoch),
        iterations_done=here.position.iterations_done,
        loss=here.metrics["loss"],
        accuracy=accuracy,
        loss_gain=loss_gain,
        accuracy_gain=accuracy_gain,
        seconds=seconds,
        seconds_per_point=seconds / points if points > 0 else None,
    )


def _accuracy_error(one: Evaluation, other: Evaluation) -> float | None:
    """Return the standard error of the difference of two accuracies."""
    first, second = accuracy_of(one.metrics), accuracy_of(other.metrics)
    if first is None or second is None or not one.samples or not other.samples:
        return None
    return math.hypot(
        proportion_error(first, one.samples), proportion_error(second, other.samples)
    )


def _enough(evaluations: Sequence[Evaluation], losses: Sequence[float]) -> int | None:
    """Return the first place after which neither loss nor accuracy gained."""
    error = _noise(losses)
    if error is None:
        return None
    enough = lasting_end(losses, error)
    mistakes = _mistakes(evaluations)
    errors = [_accuracy_error(evaluation, evaluations[-1]) for evaluation in evaluations]
    if mistakes and errors[-1] is not None:
        enough = max(enough, lasting_end(mistakes, SIGNIFICANT * errors[-1]))
    last = len(losses) - 1
    return enough if last - enough >= FEWEST_AFTER else last


def _turned(values: Sequence[float]) -> int | None:
    """Return where a curve turned upwards for good, beyond its own scatter."""
    error = _noise(values)
    return None if error is None else rise_began(values, error)


def _noise(values: Sequence[float]) -> float | None:
    """Return what the difference of two values must exceed; `None` if nothing tells."""
    noise = scatter(values)
    return None if noise is None else SIGNIFICANT * math.sqrt(2) * noise


def _mistakes(evaluations: Sequence[Evaluation]) -> list[float]:
    """Return the share of wrong answers at each evaluation; none where one lacks it."""
    accuracies = [accuracy_of(evaluation.metrics) for evaluation in evaluations]
    known = [1 - accuracy for accuracy in accuracies if accuracy is not None]
    return known if len(known) == len(evaluations) else []


def _refusal(run: Run, entries: Sequence[Entry], more: Sequence[MoreEpochs]) -> str | None:
    """Return why the curve does not tell what comes next; `None` where it does."""
    if run.branched:
        done = run.branched[0].position.iterations_done
        return f"The learning rate went down from iteration {done:,} on, and is now 0."
    epochs = [entry.epochs_done for entry in entries]
    if epochs != list(range(1, len(entries) + 1)):
        return "The curve is not one evaluation after each whole epoch from the first on."
    if len(entries) < FEWEST_FOR_FORECAST:
        return (
            f"The curve has {len(entries)} epochs, and below {FEWEST_FOR_FORECAST} its "
            "course cannot be told."
        )
    covered = max(entry.loss for entry in entries) - min(entry.loss for entry in entries)
    widest = max(found.high - found.low for found in more)
    if widest > 2 * covered:
        return (
            f"The curve is too noisy: {AHEAD[-1]} epochs on, the loss could lie anywhere "
            f"within {widest:.3g}, and all epochs together changed it by {covered:.3g}."
        )
    return None


def _more(losses: Sequence[float], ahead: int) -> MoreEpochs:
    """Return what some more epochs would bring."""
    found = forecast(losses, ahead)
    assert found is not None  # refused before
    last = losses[-1]
    return MoreEpochs(
        epochs=ahead,
        loss=found.value,
        low=found.low,
        high=found.high,
        gain=last - found.value,
        gain_low=last - found.high,
        gain_high=last - found.low,
    )


def _epochs_json(epochs: Fraction | None) -> int | str | None:
    if epochs is None:
        return None
    return epochs.numerator if epochs.denominator == 1 else str(epochs)
