"""Prechelt's three rules for when a network has begun to learn the training set by heart.

They look at the error on the validation part, E_va, which is above zero and lower when
better, at the ends of epochs. A strip is k epochs long and ends at the first evaluation
once k epochs are done; with an evaluation each epoch, as in the paper, that is every k-th.

References:
    Prechelt (1998), Early Stopping - But When?, in Neural Networks: Tricks of the Trade,
    LNCS 1524, pp. 55-69, section 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from statistics import fmean

from epochwise.counting.numbers import hold_whole_numbers
from epochwise.errors import PlanError, TrainingError
from epochwise.events import StopReason
from epochwise.rules.base import Seen
from epochwise.rules.metrics import Looks, better_of, is_looked_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Lowest:
    """The lowest error on the validation part so far.

    Args:
        error: E_opt; `None` before the first finite one.
        at: where that was, for people: `epoch 3`.
    """

    error: float | None = None
    at: str = ""

    def with_error(self, error: float, seen: Seen) -> Lowest:
        """Return the lowest with one more finite error in it."""
        if self.error is not None and not error < self.error:
            return self
        return Lowest(error=error, at=seen.place)

    def generalization_loss(self, error: float) -> float:
        """Return GL = 100·(E_va/E_opt − 1), in percent, at least 0."""
        assert self.error is not None
        if self.error == 0:
            return math.inf if error > 0 else 0.0
        return 100 * (error / self.error - 1)

    def shown(self, error: float) -> str:
        """Return both errors, for a sentence."""
        return f"{self.error:.4g} after {self.at}, now {error:.4g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneralizationLossMemory:
    """What `GeneralizationLoss` remembers.

    Args:
        lowest: the lowest error so far.
        looks: how often the metric was looked at, and what was found.
    """

    lowest: Lowest = field(default_factory=Lowest)
    looks: Looks = field(default_factory=Looks)


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneralizationLoss:
    """Stop once the error is more than `alpha` percent above its lowest.

    GL(t) = 100·(E_va(t)/E_opt(t) − 1) > α, where E_opt(t) is the lowest error up to t.

    Args:
        alpha: α [percent], at least 0.
        metric: E_va, as the history names it.

    Raises:
        PlanError: α is no such number, or a higher value of the metric is better.

    References:
        Prechelt (1998), class GL.

    Example:
        >>> from epochwise.rules import replay
        >>> history = {"val_loss": [0.8, 0.5, 0.52, 0.53, 0.4]}
        >>> epochs_done, reason = replay(GeneralizationLoss(alpha=5), history)
        >>> epochs_done, reason.sentence
        (4, 'val_loss is 6% above its lowest, more than 5% (0.5 after epoch 2, now 0.53).')
    """

    alpha: float
    metric: str = "val_loss"

    def __post_init__(self) -> None:
        """Check the settings once."""
        _check(self.alpha, self.metric)

    @property
    def name(self) -> str:
        """See `StopRule.name`."""
        return "generalization_loss"

    @property
    def metrics(self) -> tuple[str, ...]:
        """See `StopRule.metrics`."""
        return (self.metric,)

    def start(self) -> GeneralizationLossMemory:
        """See `StopRule.start`."""
        return GeneralizationLossMemory()

    def update(
        self, memory: GeneralizationLossMemory, seen: Seen
    ) -> tuple[GeneralizationLossMemory, StopReason | None]:
        """See `StopRule.update`. Where the error is not finite nothing is decided."""
        if not is_looked_at(self.metric, seen):
            return memory, None
        looks, value = memory.looks.look(self.metric, seen)
        memory = replace(memory, looks=looks)
        if value is None or not math.isfinite(value):
            return memory, None
        lowest = memory.lowest.with_error(_error(self.metric, value), seen)
        memory = replace(memory, lowest=lowest)
        loss = lowest.generalization_loss(value)
        if not loss > self.alpha:
            return memory, None
        return memory, StopReason(
            rule=self.name,
            sentence=f"{self.metric} is {loss:.4g}% above its lowest, more than "
            f"{self.alpha:.4g}% ({lowest.shown(value)}).",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressQuotientMemory:
    """What `ProgressQuotient` remembers.

    Args:
        lowest: the lowest error on the validation part so far.
        strip: the training errors of the epochs of the strip under way.
        looks: how often the metric was looked at, and what was found.
        training_looks: the same of the training metric.
    """

    lowest: Lowest = field(default_factory=Lowest)
    strip: tuple[float, ...] = ()
    looks: Looks = field(default_factory=Looks)
    training_looks: Looks = field(default_factory=Looks)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressQuotient:
    """Stop once generalization is lost faster than the training still progresses.

    PQ(t) = GL(t)/P_k(t) > α at the end of a strip, with the progress in per mille

        P_k(t) = 1000·(mean of the strip's training errors / their minimum − 1).

    Args:
        alpha: α, at least 0.
        strip_epochs: k [epochs], at least 1; 5 in the paper. With 1 the progress is
            always 0, and any loss of generalization ends the run.
        metric: E_va, as the history names it.
        training_metric: the training error of an epoch.

    Raises:
        PlanError: a setting is no such number, or a higher value of a metric is better.

    References:
        Prechelt (1998), class PQ.

    Example:
        >>> from epochwise.rules import replay
        >>> history = {"loss": [0.5, 0.4, 0.4, 0.4], "val_loss": [0.6, 0.5, 0.5, 0.6]}
        >>> epochs_done, reason = replay(ProgressQuotient(alpha=1, strip_epochs=2), history)
        >>> epochs_done, reason.sentence[:62]
        (4, 'val_loss is 20% above its lowest (0.5 after epoch 2, now 0.6),')
    """

    alpha: float
    strip_epochs: int = 5
    metric: str = "val_loss"
    training_metric: str = "loss"

    def __post_init__(self) -> None:
        """Check the settings once."""
        _check(self.alpha, self.metric)
        _check(self.alpha, self.training_metric)
        hold_whole_numbers(self, "strip_epochs")

    @property
    def name(self) -> str:
        """See `StopRule.name`."""
        return "progress_quotient"

    @property
    def metrics(self) -> tuple[str, ...]:
        """See `StopRule.metrics`."""
        return (self.metric, self.training_metric)

    def start(self) -> ProgressQuotientMemory:
        """See `StopRule.start`."""
        return ProgressQuotientMemory()

    def update(
        self, memory: ProgressQuotientMemory, seen: Seen
    ) -> tuple[ProgressQuotientMemory, StopReason | None]:
        """See `StopRule.update`. Where an error is not finite nothing is decided."""
        if not seen.closes_epoch:
            return memory, None
        memory = self._with_training_error(memory, seen)
        if not is_looked_at(self.metric, seen):
            return memory, None
        looks, value = memory.looks.look(self.metric, seen)
        memory = replace(memory, looks=looks)
        if value is None:
            return memory, None
        if math.isfinite(value):
            lowest = memory.lowest.with_error(_error(self.metric, value), seen)
            memory = replace(memory, lowest=lowest)
        if len(memory.strip) < self.strip_epochs:
            return memory, None
        strip, memory = memory.strip, replace(memory, strip=())
        if not all(map(math.isfinite, (value, *strip))):
            return memory, None
        loss, progress = memory.lowest.generalization_loss(value), _progress(strip)
        if not loss > self.alpha * progress:
            return memory, None
        return memory, StopReason(
            rule=self.name,
            sentence=f"{self.metric} is {loss:.4g}% above its lowest "
            f"({memory.lowest.shown(value)}), while {self.training_metric} progressed by "
            f"{progress:.4g} per mille in {len(strip)} epochs: a quotient above "
            f"{self.alpha:.4g}.",
        )

    def _with_training_error(
        self, memory: ProgressQuotientMemory, seen: Seen
    ) -> ProgressQuotientMemory:
        """Return the memory with the training error of one more epoch."""
        looks, value = memory.training_looks.look(self.training_metric, seen)
        if value is None:
            return replace(memory, training_looks=looks)
        strip = (*memory.strip, _error(self.training_metric, value))
        return replace(memory, training_looks=looks, strip=strip)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuccessiveRisesMemory:
    """What `SuccessiveRises` remembers.

    Args:
        strip_begun: whole epochs done where the strip under way began [epochs].
        error: at the end of the last strip that was finite; `None` before the first.
        rises: strips in a row that ended higher than the one before.
        looks: how often the metric was looked at, and what was found.
    """

    strip_begun: int | None = None
    error: float | None = None
    rises: int = 0
    looks: Looks = field(default_factory=Looks)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuccessiveRises:
    """Stop once the error has risen in so many strips in a row, however little.

    UP_s stops where E_va(t) > E_va(t − k) > … for s strips of k epochs.

    Args:
        rises: s, at least 1 [strips].
        strip_epochs: k [epochs], at least 1; 5 in the paper.
        metric: E_va, as the history names it.

    Raises:
        PlanError: a setting is no such number, or a higher value of the metric is better.

    References:
        Prechelt (1998), class UP.

    Example:
        >>> from epochwise.rules import replay
        >>> history = {"val_loss": [0.5, 0.6, 0.55, 0.56, 0.57]}
        >>> epochs_done, reason = replay(SuccessiveRises(rises=2, strip_epochs=1), history)
        >>> epochs_done, reason.sentence
        (5, 'val_loss has risen in 2 strips of 1 epoch in a row (now 0.57).')
    """

    rises: int
    strip_epochs: int = 5
    metric: str = "val_loss"

    def __post_init__(self) -> None:
        """Check the settings once."""
        _check(0, self.metric)
        hold_whole_numbers(self, "rises", "strip_epochs")

    @property
    def name(self) -> str:
        """See `StopRule.name`."""
        return "successive_rises"

    @property
    def metrics(self) -> tuple[str, ...]:
        """See `StopRule.metrics`."""
        return (self.metric,)

    def start(self) -> SuccessiveRisesMemory:
        """See `StopRule.start`."""
        return SuccessiveRisesMemory()

    def update(
        self, memory: SuccessiveRisesMemory, seen: Seen
    ) -> tuple[SuccessiveRisesMemory, StopReason | None]:
        """See `StopRule.update`. A NaN or an infinity counts as a rise over what was finite."""
        if memory.strip_begun is None:
            memory = replace(memory, strip_begun=seen.epochs_done - seen.closes_epoch)
        if not (seen.closes_epoch and is_looked_at(self.metric, seen)):
            return memory, None
        looks, value = memory.looks.look(self.metric, seen)
        memory = replace(memory, looks=looks)
        begun = memory.strip_begun or 0
        if value is None or seen.epochs_done - begun < self.strip_epochs:
            return memory, None
        finite = math.isfinite(value)
        rose = memory.error is not None and not (finite and value <= memory.error)
        memory = replace(
            memory,
            strip_begun=seen.epochs_done,
            error=value if finite else memory.error,
            rises=memory.rises + 1 if rose else 0,
        )
        if memory.rises < self.rises:
            return memory, None
        strips = f"{memory.rises:,} strip{'s' if memory.rises != 1 else ''}"
        epochs = f"{self.strip_epochs:,} epoch{'s' if self.strip_epochs != 1 else ''}"
        return memory, StopReason(
            rule=self.name,
            sentence=f"{self.metric} has risen in {strips} of {epochs} in a row (now "
            f"{value:.4g}).",
        )


def _progress(strip: tuple[float, ...]) -> float:
    """Return P_k = 1000·(mean/min − 1) of a strip's training errors, in per mille.

    At least 0: where all are equal the mean may be rounded to below them.

    Example:
        >>> _progress((1.0, 3.0)), _progress((0.0, 0.0)), _progress((0.0, 1.0))
        (1000.0, 0.0, inf)
    """
    lowest, mean = min(strip), fmean(strip)
    if lowest == 0:
        return math.inf if mean > 0 else 0.0
    return max(0.0, 1000 * (mean / lowest - 1))


def _error(metric: str, value: float) -> float:
    """Return a value as an error, of which ratios can be formed.

    Raises:
        TrainingError: it is below zero.
    """
    if value < 0:
        raise TrainingError(
            f"Prechelt's rules divide by {metric}, which has to be above zero and is "
            f"{value:.4g}.",
            f'use Patience(metric="{metric}", epochs=3).',
        )
    return value


def _check(alpha: float, metric: str) -> None:
    """Refuse settings that the formulas cannot have."""
    if not 0 <= alpha < math.inf:
        raise PlanError(
            f"alpha={alpha!r} is no limit: it has to be 0 or more.", "use alpha=5 or so."
        )
    if better_of(metric) == "higher":
        raise PlanError(
            f"Prechelt's rules need an error, and a higher {metric} is better.",
            f'use metric="val_loss", or Patience(metric="{metric}", epochs=3).',
        )
