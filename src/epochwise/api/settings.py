"""How a run is trained, as its record keeps it: what `fit` and `train` were asked for."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any, Literal

import numpy as np

from epochwise.counting.counts import Remainder
from epochwise.counting.durations import Duration
from epochwise.counting.numbers import hold_whole_numbers, whole_number
from epochwise.counting.plan import Plan
from epochwise.counting.solving import exact_epochs
from epochwise.data.split import check_share
from epochwise.errors import PlanError, Problem, RunError
from epochwise.loop.course import Keep
from epochwise.rules import (
    AnyOf,
    Best,
    NonFinite,
    StopRule,
    TimeLimit,
    rule_from_json,
    rule_to_json,
)
from epochwise.rules.metrics import check_direction
from epochwise.rules.pacing import AutoEpochs, Pacing, Steady

DEFAULT_BATCH_SIZE = 32
"""Samples per weight update where nobody says it, as in Keras [samples / iteration]."""

DEFAULT_METRIC = "val_loss"
"""What is best where no rule and nobody says it."""

EVERY_EPOCH = Duration(epochs=1)

DEFAULT_CHECKPOINTS = Duration(seconds=10.0)
"""How often a run that is kept is saved, unless told."""

DEFAULT_BOUND = 100
"""Epochs that a run which finds their number itself has at most, unless told [epochs]."""

LONGEST_WARMUP = 100
"""Iterations of its warm-up, or a quarter of an epoch where that is less [iterations]."""

Stop = StopRule[Any] | Iterable[StopRule[Any]] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a run is trained. Defaults are those of `fit`.

    Args:
        batch_size: samples per weight update; `None` for batches formed elsewhere.
        epochs: passes over the data; `None` to go by iterations [epochs].
        iterations: weight updates in all; `None` to go by epochs [iterations].
        validation_split: the share of the samples held out.
        shuffle: whether each epoch is a new permutation.
        seed: of the order and the split.
        remainder: whether left-over samples are trained on.
        microbatch_size: samples that go through the network at once; `None` for all.
        segments: how segments are executed; `None` follows from model and device.
        epochs_before: epochs of this order that were trained before the run [epochs].
        stop: what may end the run before the plan does.
        best_metric: what is best; `None` to keep no count of it.
        keep: whose weights the model holds at the end.
        evaluate_every: how often the validation part is evaluated.
        validation_batches: most batches of it that are evaluated; `None` for all.
        checkpoint_every: how often the run is saved; `None` for its end alone.
        auto_epochs: whether the run itself finds how many epochs to train; `epochs` or
            `iterations` is then the bound.
        schedule_stretch: how much longer a learning-rate schedule is than the model's
            own, because the run was extended.
        evaluate_at_epochs: after which epochs the validation part is evaluated, counted
            from 1; `None` to go by `evaluate_every`.
        most_epochs: what ends the run early, as `keras.config.set_max_epochs` asks for.
        most_iterations_per_epoch: what cuts every epoch short, as
            `keras.config.set_max_steps_per_epoch` asks for; `None` for whole epochs.
    """

    batch_size: int | None = DEFAULT_BATCH_SIZE
    epochs: Fraction | None = Fraction(1)
    iterations: int | None = None
    validation_split: float = 0.0
    shuffle: bool = True
    seed: int = 0
    remainder: Remainder = "keep"
    microbatch_size: int | None = None
    segments: Literal["scan", "single"] | None = None
    epochs_before: int = 0
    stop: tuple[StopRule[Any], ...] = (NonFinite(),)
    best_metric: str | None = None
    keep: Keep = "last"
    evaluate_every: Duration = EVERY_EPOCH
    validation_batches: int | None = None
    checkpoint_every: Duration | None = DEFAULT_CHECKPOINTS
    auto_epochs: bool = False
    schedule_stretch: Fraction = Fraction(1)
    evaluate_at_epochs: tuple[int, ...] | None = None
    most_epochs: int | None = None
    most_iterations_per_epoch: int | None = None

    def __post_init__(self) -> None:
        """Refuse what no argument can be; hold numbers as Python's own."""
        hold_whole_numbers(
            self,
            "batch_size",
            "iterations",
            "microbatch_size",
            "validation_batches",
            "most_epochs",
            "most_iterations_per_epoch",
        )
        hold_whole_numbers(self, "seed", "epochs_before", least=0)
        object.__setattr__(self, "validation_split", check_share(self.validation_split))
        words: dict[str, tuple[object, ...]] = {
            "keep": ("best", "last"),
            "segments": (None, "scan", "single"),
            "shuffle": (True, False),
        }
        problems = [
            Problem(
                f"{name} must be one of {', '.join(map(repr, known))}; got {value!r}.",
                f"use {name}={known[-1]!r}.",
            )
            for name, known in words.items()
            if not isinstance(value := getattr(self, name), Hashable) or value not in known
        ]
        if problems:
            raise PlanError(problems)

    @property
    def rules(self) -> AnyOf:
        """All rules as one."""
        return AnyOf(self.stop)

    @property
    def best(self) -> Best | None:
        """The rule that tells which evaluation is best."""
        if self.best_metric is None:
            return None
        named = (rule for rule in self.stop if self.best_metric in rule.metrics)
        better = next((getattr(rule, "better", None) for rule in named), None)
        return Best(metric=self.best_metric, better=better)

    def pacing(self, plan: Plan | None) -> Pacing[Any]:
        """Return how the learning rate goes.

        Args:
            plan: the counts; `None` for data of unknown length.

        Raises:
            PlanError: the run is to find its length and has no bound.
        """
        if not self.auto_epochs:
            return Steady()
        most = self.iterations if plan is None else plan.iterations
        if most is None:
            raise PlanError(
                'epochs="auto" needs a bound, and the number of samples is not known.',
                "give iterations=10000, or as many as may be trained at most.",
            )
        limits = [rule.limit_seconds for rule in self.stop if isinstance(rule, TimeLimit)]
        per_epoch = most if plan is None else plan.iterations_per_epoch
        assert self.best_metric is not None
        return AutoEpochs(
            metric=self.best_metric,
            most_iterations=most,
            most_seconds=min(limits, default=None),
            warmup_iterations=min(LONGEST_WARMUP, per_epoch // 4),
            better=None if self.best is None else self.best.better,
        )

    @property
    def looks_at_validation(self) -> bool:
        """Whether a rule, or what is kept, needs a validation part."""
        return self._needing() is not None

    def require_validation(self, *, has_validation: bool) -> None:
        """Refuse rules that look at a validation part where there is none.

        Raises:
            PlanError: names the metric that cannot be had.
        """
        needing = self._needing()
        if needing is not None and not has_validation:
            raise PlanError(
                f"{needing} is looked at, and there is no validation part.",
                "give validation_split=0.1 or validation_data=(x, y).",
                command="use --validation-split 0.1, or another share to hold out.",
            )

    def plan(self, samples: int) -> Plan:
        """Return the counts for so many training samples.

        Raises:
            PlanError: they cannot be.
        """
        assert self.batch_size is not None
        most = self.most_iterations_per_epoch
        if most is not None:
            samples = min(samples, most * self.batch_size)
        plan = Plan(
            samples=samples,
            batch_size=self.batch_size,
            epochs=self.epochs,
            iterations=self.iterations,
            remainder=self.remainder,
            microbatch_size=self.microbatch_size,
        )
        if self.most_epochs is not None and plan.epochs > self.most_epochs:
            plan = plan.replace(epochs=self.most_epochs, iterations=None)
        return plan

    @property
    def limits(self) -> tuple[str, ...]:
        """What Keras's own settings limit, in sentences."""
        epochs, iterations = self.most_epochs, self.most_iterations_per_epoch
        told = []
        if epochs is not None:
            told.append(f"keras.config.set_max_epochs({epochs}) ends it after epoch {epochs}.")
        if iterations is not None:
            told.append(
                f"keras.config.set_max_steps_per_epoch({iterations}) ends every epoch, and "
                f"every evaluation, after {iterations} batches."
            )
        return tuple(told)

    def _needing(self) -> str | None:
        """The first metric of the validation part that is looked at."""
        names = [name for rule in self.stop for name in rule.metrics]
        if self.best_metric is not None:
            names.append(self.best_metric)
        return next((name for name in names if name.startswith("val_")), None)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as a record keeps them."""
        kept: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "stop":
                value = [rule_to_json(rule) for rule in value]
            elif isinstance(value, (Duration, Fraction)):
                value = str(value)
            kept[field.name] = value
        return kept

    @classmethod
    def from_json(cls, recorded: Mapping[str, Any] | None) -> Settings:
        """Read back what `to_json` gave.

        Raises:
            RunError: they are not what Epochwise writes.
        """
        try:
            kept = dict(recorded or {})
            for name in ("evaluate_every", "checkpoint_every"):
                kept[name] = None if kept[name] is None else Duration.parse(kept[name])
            kept["schedule_stretch"] = Fraction(kept["schedule_stretch"])
            kept["epochs"] = None if kept["epochs"] is None else Fraction(kept["epochs"])
            kept["stop"] = tuple(rule_from_json(rule) for rule in kept["stop"])
            if kept.get("evaluate_at_epochs") is not None:
                kept["evaluate_at_epochs"] = tuple(kept["evaluate_at_epochs"])
            return cls(**kept)
        except (KeyError, TypeError, ValueError, PlanError) as error:
            raise RunError(
                f"The record does not tell how the run was trained ({error}).",
                "start the run again, with epochwise train or epochwise.fit and a run_dir.",
            ) from error


def evaluation_settings(
    evaluate_every: object, validation_freq: object = None
) -> dict[str, Any]:
    """Return `evaluate_every` and `evaluate_at_epochs` of the settings.

    Args:
        evaluate_every: a duration in epochs or iterations; `None` to go by the other.
        validation_freq: Keras's own argument: a number of epochs, or several epochs after
            each of which to evaluate, counted from 1; `None` for 1.

    Raises:
        PlanError: neither says it, or both do.
    """
    if evaluate_every is not None:
        every = Duration.parse(evaluate_every)
        if every.seconds is not None or validation_freq is not None:
            raise PlanError(
                f"evaluate_every={str(every)!r} with validation_freq={validation_freq!r} does "
                "not say after which epochs or iterations to evaluate; seconds differ from run "
                "to run.",
                'use evaluate_every="1ep" or "500it" alone.',
            )
        return {"evaluate_every": every}
    if isinstance(validation_freq, (list, tuple, set, range, np.ndarray)):
        remedy = "list the epochs to evaluate after, from 1 on: validation_freq=[1, 5]."
        at = [whole_number("validation_freq", one, remedy=remedy) for one in validation_freq]
        if not at:
            raise PlanError(
                f"validation_freq={validation_freq!r} never evaluates.",
                "leave out validation_data for that, or list epochs: validation_freq=[1, 5].",
            )
        return {"evaluate_at_epochs": tuple(sorted(set(at)))}
    epochs = whole_number(
        "validation_freq",
        1 if validation_freq is None else validation_freq,
        remedy="give the epochs from one evaluation to the next, validation_freq=2, or the "
        "epochs to evaluate after, validation_freq=[1, 5]; to never evaluate, leave out "
        "validation_data.",
    )
    return {"evaluate_every": Duration(epochs=epochs)}


def checkpoint_interval(checkpoint_every: object, run_dir: object) -> Duration | None:
    """Return how often a run is saved.

    Args:
        checkpoint_every: a duration; `"never"` for the end of the run alone; `None` for
            `DEFAULT_CHECKPOINTS`.
        run_dir: where the run is kept; `None` for nowhere.

    Raises:
        PlanError: it is no duration, or there is nowhere to save to.
    """
    if checkpoint_every is None:
        return DEFAULT_CHECKPOINTS
    if run_dir is None:
        raise PlanError(
            f"checkpoint_every={str(checkpoint_every)!r}, and no run is kept.",
            'give run_dir="my-run" as well.',
        )
    return None if checkpoint_every == "never" else Duration.parse(checkpoint_every)


def length_settings(
    epochs: int | Fraction | str | None,
    iterations: int | None,
    max_epochs: int | None,
) -> dict[str, Any]:
    """Return `epochs`, `iterations` and `auto_epochs` of the settings.

    Args:
        epochs: as `fit` takes it; beside `iterations` it has to agree with them, unless it
            is `"auto"`.
        iterations: weight updates in all [iterations].
        max_epochs: the bound of a run that finds their number itself [epochs].

    Raises:
        PlanError: a word that is none, or a bound for a run that has its length.
    """
    if max_epochs is not None:
        max_epochs = whole_number("max_epochs", max_epochs)
    if iterations is not None:
        iterations = whole_number("iterations", iterations)
    if isinstance(epochs, str) and epochs == "auto":
        if max_epochs is None and iterations is None:
            max_epochs = DEFAULT_BOUND
        bound = None if max_epochs is None else Fraction(max_epochs)
        return {"epochs": bound, "iterations": iterations, "auto_epochs": True}
    if isinstance(epochs, str):
        raise PlanError(f"epochs={epochs!r} is no number.", 'use epochs=5, or epochs="auto".')
    if max_epochs is not None:
        raise PlanError(
            f"max_epochs={max_epochs!r} bounds a run that finds its number of epochs itself, "
            f"and this one is asked for {iterations or epochs}.",
            'use epochs="auto", or leave max_epochs out.',
        )
    if epochs is None and iterations is None:
        epochs = 1
    return {"epochs": exact_epochs(epochs), "iterations": iterations}


def stopping_settings(
    stop: Stop, *, best_metric: str | None, keep: Keep | None, auto_epochs: bool = False
) -> dict[str, Any]:
    """Return `stop`, `best_metric` and `keep` of the settings, with their defaults.

    `NonFinite` is one of the rules unless `stop` is an empty list. The best weights are
    kept where a rule looks at a metric of the validation part, where asked for, or where
    the run finds its number of epochs itself.

    Raises:
        PlanError: a rule is none, or the best weights are asked for by a metric of the
            training.
    """
    rules = _listed(stop)
    watched = (name for rule in rules for name in rule.metrics if name.startswith("val_"))
    if not isinstance(best_metric, str | None):
        raise PlanError(
            f"best_metric must be a metric's name; got {best_metric!r}.",
            'use best_metric="val_loss".',
        )
    metric = best_metric
    if metric is None:
        metric = next(watched, DEFAULT_METRIC if auto_epochs else None)
    if keep is None:
        keep = "last" if metric is None else "best"
    if keep == "best" and metric is None:
        metric = DEFAULT_METRIC
    if metric is not None and not metric.startswith("val_"):
        raise PlanError(
            f"best_metric={metric!r} is a mean over the training samples, taken while the "
            "weights changed: no weights have it.",
            f'use best_metric="val_{metric}" with validation_split=0.1, or keep="last".',
        )
    if metric is not None and not any(metric in rule.metrics for rule in rules):
        check_direction(metric)
    return {"stop": rules, "best_metric": metric, "keep": keep}


def _listed(stop: Stop) -> tuple[StopRule[Any], ...]:
    """Return the rules one by one, `NonFinite` before the others unless it is there."""
    if stop is None:
        return (NonFinite(),)
    rules = tuple(_one_by_one(stop))
    AnyOf(rules)
    if not rules:
        return ()
    has = any(isinstance(rule, NonFinite) for rule in rules)
    return rules if has else (NonFinite(), *rules)


def seeds_named(seeds: Any) -> Sequence[int]:
    """Return the seeds to train with: how many, counted from 0, or which.

    Raises:
        PlanError: one is no whole number.
    """
    remedy = "use seeds=3, or name them: seeds=[0, 1, 2]."
    if isinstance(seeds, Iterable) and np.ndim(seeds):  # type: ignore[arg-type]
        return [whole_number("seeds", one, least=0, remedy=remedy) for one in seeds]
    return range(whole_number("seeds", seeds, remedy=remedy))


def _one_by_one(stop: StopRule[Any] | Iterable[StopRule[Any]]) -> Iterator[StopRule[Any]]:
    """Yield the rules that an `AnyOf` or an iterable holds, also inside one another."""
    if isinstance(stop, AnyOf):
        stop = stop.rules
    if not isinstance(stop, Iterable):
        yield stop
        return
    for rule in stop:
        if isinstance(rule, AnyOf):
            yield from _one_by_one(rule)
        else:
            yield rule
