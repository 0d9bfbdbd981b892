"""One search for a batch size: what is measured, in which order, at what cost.

    the user's own size is compiled, run and timed
    its rate is raised until training is no longer stable
    a pilot training with the user's own pair; the noise of the gradients on its way
    other sizes are timed: the line t(B) = α + βB
    pairs around the best so far are raced (`race.search`)
    one checkpoint is carried on at two sizes: does the noise scale tell the truth here?
    the best few run on while time is left (`race.play_off`)
    who leads is run again, looked at elsewhere (`Race.settle`)
    the largest size is run, if that costs little

The arithmetic proposes, the branches decide: what is returned was run.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from epochwise.choosing.batch_size.advice import Confirmation, Goal
from epochwise.choosing.batch_size.extrapolation import iterations_to
from epochwise.choosing.batch_size.hyperbola import through
from epochwise.choosing.batch_size.learning_rate import Family, scaled_rate
from epochwise.choosing.batch_size.pilot import PARTS, Moment, noise_at, probe_size
from epochwise.choosing.batch_size.probes import EngineTrial
from epochwise.choosing.batch_size.race import Ground, Race, carried_on, play_off, search
from epochwise.choosing.batch_size.trial import Branch, Pair, rounded_rate
from epochwise.errors import ModelError, PlanError

MOST_SECONDS = 60.0
"""A budget that nobody told is not larger [s]."""

TRAINING_SHARE = 0.2
"""A budget that nobody told is this part of the training that is predicted."""

LEAST_SECONDS = 7.0
"""A budget that nobody told is not smaller: two or three sizes can be compiled [s]."""

SHORT_TRAINING = 10.0
"""A training that is predicted to take less is short: choosing costs more than it saves [s]."""

SHORT_BUDGET = 15.0
"""What choosing for a short training may take: a handful of sizes can be compiled [s]."""

SEARCH_SHARE = 0.9
"""The part of the budget that pilot and search may take; the rest is for checking."""

PILOT_SHARE = 0.18
"""The most of the budget that the pilot's training may take."""

CONTESTS = 10
"""Contests that the search is expected to take; each is given its part of the time."""

STABILITY_ITERATIONS = 16
"""Iterations of each branch of the range test."""

STABILITY_BRANCHES = 12
"""Most branches of the range test."""

STABILITY_COST = 0.1
"""The part of the time left that one branch of the range test may take."""

LEAST_STABILITY_ITERATIONS = 4
"""Shorter branches tell nothing."""

CHECKPOINT_PART = 1 / 4
"""Where the pilot is branched to confirm the noise: learning goes on there at any size."""

LEAST_ITERATIONS = 8
"""Iterations of the shortest training that pairs are compared by."""

PILOT_PARTS = (1 / 16, CHECKPOINT_PART, 1.0)
"""The moments of the pilot at which the noise is measured, as parts of it."""

CONFIRMED_PART = 0.6
"""The part of what the chosen size gains from there that both branches are timed over:
near the end of it the curves are flat, and noise would decide."""

LARGEST_NOISE = 1e12
"""Stands for a noise scale without bound [samples]."""

NOISE_DRAWS = 12
"""Draws of gradients at each moment."""

TIMED_FACTORS = (4, 16)
"""Sizes that are timed before the search, as multiples of the user's own."""

CONFIRMING_COST = 1 / 60
"""The first of the branches that confirm may take this part of the budget, the other twice."""

SMALL_COST = 0.1
"""What is good to know may cost this part of the time that is left."""


def budget_of(predicted: float) -> float:
    """Return the seconds that choosing may take where nobody told [s].

    Args:
        predicted: how long the training takes [s].

    Example:
        >>> [budget_of(seconds) for seconds in (1.0, 20.0, 60.0, 3600.0)]
        [15.0, 7.0, 12.0, 60.0]
    """
    if predicted < SHORT_TRAINING:
        return SHORT_BUDGET
    return min(max(LEAST_SECONDS, TRAINING_SHARE * predicted), MOST_SECONDS)


def worse(losses: Sequence[float], untrained: Sequence[float]) -> bool:
    """Tell whether training did harm, beyond the noise: a loss is not finite, or they rose.

    Args:
        losses: of the first batches, each before its update.
        untrained: of the same batches at the weights that training began with.

    Example:
        >>> worse([2.0, 2.5, 3.0, 3.1], [2.0, 2.1, 1.9, 2.0])
        True
        >>> worse([2.0, 2.1, 1.9, 2.01], [2.0, 2.1, 1.9, 2.0])
        False
    """
    change, noise = _change(losses, untrained)
    return not change <= 2 * noise


def better(losses: Sequence[float], untrained: Sequence[float]) -> bool:
    """Tell whether training lowered the losses of the last of these batches on average.

    Example:
        >>> better([2.0, 2.0, 1.7, 1.8], [2.0, 2.1, 1.9, 2.0])
        True
    """
    return _change(losses, untrained)[0] < 0


def _change(losses: Sequence[float], untrained: Sequence[float]) -> tuple[float, float]:
    """How far training moved the losses of the last half, and the standard error of it."""
    if len(losses) < len(untrained) or not all(map(math.isfinite, losses)):
        return math.inf, 0.0
    pairs = list(zip(losses, untrained, strict=False))
    changes = [loss - before for loss, before in pairs[len(pairs) // 2 :]]
    return statistics.fmean(changes), statistics.stdev(changes) / math.sqrt(len(changes))


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSettings:
    """What the user asked for.

    Args:
        own: the user's own pair, where the search begins.
        sizes: batch sizes that may be run, ascending; `own`'s among them.
        goal: what to reach, or `None`.
        seconds: the budget [s]; `None` for a part of the training predicted.
        epochs: the length of the training, where no target tells it [epochs].
        family: the optimizer's.
        began: when the budget began to run, by the trial's clock [s].
    """

    own: Pair
    sizes: tuple[int, ...]
    goal: Goal | None
    seconds: float | None
    epochs: float
    family: Family
    began: float


@dataclass(slots=True, kw_only=True, eq=False)
class Study:
    """All that is measured, as it is measured.

    Args:
        trial: runs the model.
        asked: what was asked for.
        budget: seconds that choosing may take in all [s].
        moments: the noise on the way.
        confirmation: what branches of one checkpoint say of it.
        stable_rate: see `Advice.stable_rate`.
        notes: what went otherwise than expected, sentences.
    """

    trial: EngineTrial
    asked: SearchSettings
    budget: float = MOST_SECONDS
    moments: list[Moment] = field(default_factory=list)
    confirmation: Confirmation | None = None
    stable_rate: float | None = None
    notes: list[str] = field(default_factory=list)
    race: Race = field(init=False)
    _tells_noise: bool = True
    _checkpoint: tuple[Branch, Moment] | None = None

    def __post_init__(self) -> None:
        """Set the race up; nothing runs yet."""
        if self.asked.seconds is not None:
            self.budget = self.asked.seconds
        target = self.asked.goal
        self.race = Race(
            trial=self.trial,
            ground=Ground(
                sizes=self.asked.sizes,
                rule=self.rule,
                largest_rate=self._largest_rate,
                level=None if target is None else self.trial.watched.turned(target.value),
                spacing=self._spacing,
            ),
            left=self._search_left,
            champion=self.asked.own,
            horizon=0.0,
        )

    def run(self) -> None:
        """Measure within the budget.

        Raises:
            PlanError: the target is reached already.
            ModelError: not even one sample fits in memory.
        """
        self._refuse_reached_target()
        self._find_stable_rate()
        self._run_pilot()
        for factor in TIMED_FACTORS:
            self._time(self.asked.own.batch_size * factor)
        search(self.race)
        self._confirm()
        search(self.race, factors=(2,), same_rate=True)
        play_off(self.race)
        self.race.left = self.left
        if self.left() > 0:
            self.trial.time_in_turn()
        self.race.settle()
        self._measure_noise()
        self._time(self.asked.sizes[-1])

    @property
    def spent(self) -> float:
        """Seconds spent so far [s]."""
        return self.trial.clock() - self.asked.began

    @property
    def noise(self) -> float:
        """B_noise as measured last, as the optimizer sees it; infinite while unknown."""
        return self.moments[-1].seen.scale.value if self.moments else math.inf

    def left(self) -> float:
        """Seconds that are left of the budget [s]."""
        return self.budget - self.spent

    def rule(self, pair: Pair, batch_size: int) -> Pair:
        """Return another size with the rate that the optimizer's rule gives for it."""
        rate = pair.learning_rate
        if rate is not None:
            rate = rounded_rate(
                scaled_rate(
                    rate,
                    before=pair.batch_size,
                    after=batch_size,
                    family=self.asked.family,
                    noise_scale=self.noise,
                )
            )
        return Pair(batch_size=batch_size, learning_rate=rate)

    def _search_left(self) -> float:
        """Seconds that the search may still take, by the training as predicted now [s]."""
        predicted = self._predicted_seconds()
        if self.asked.seconds is None and predicted is not None:
            self.budget = budget_of(predicted)
        return SEARCH_SHARE * self.budget - self.spent

    def _predicted_seconds(self) -> float | None:
        """How long the training would take with the champion [s]; `None` if unknown."""
        pair, level = self.race.champion, self.race.ground.level
        branch = self.race.branches.get(pair)
        if branch is None:
            return None
        samples = self.trial.feed.plan.samples
        iterations: float | None = self.asked.epochs * samples / pair.batch_size
        if self.asked.goal is not None and level is not None:
            iterations = branch.reached(level) or iterations_to(branch.curve, level)
        if iterations is None:
            return None
        return iterations * self.trial.ready(pair.batch_size).seconds

    def _spacing(self, batch_size: int) -> int:
        """So many iterations that looking costs a small part of running."""
        seconds = self.trial.ready(batch_size).seconds
        return max(1, math.ceil(3 * self.trial.look_seconds / seconds))

    def _largest_rate(self, batch_size: int) -> float:
        """The rate above which training at a size is not expected to be stable."""
        if self.stable_rate is None:
            return math.inf
        own = Pair(batch_size=self.asked.own.batch_size, learning_rate=self.stable_rate)
        scaled = self.rule(own, batch_size).learning_rate
        return max(self.stable_rate, scaled or 0.0)

    def _refuse_reached_target(self) -> None:
        """Refuse a target that the model is at before any training.

        Raises:
            PlanError: it is.
        """
        start, target = self.trial.begin(self.asked.own), self.asked.goal
        level = self.race.ground.level
        if target is not None and level is not None and start.best <= level:
            now = self.trial.watched.turned(start.best)
            raise PlanError(
                f"The target {target} is reached already: the model has {target.metric} "
                f"{now:.4g} before any training.",
                "give a target that is better than that.",
            )

    def _find_stable_rate(self) -> None:
        """Move the user's rate, up while it still learns or down until it does."""
        own = self.asked.own.learning_rate
        if own is None:
            return
        untrained, first = self._first_losses(0.0), self._first_losses(own)
        if untrained is None or first is None:
            return
        harmful = worse(first, untrained)
        rate = own
        for _ in range(STABILITY_BRANCHES):
            tried = rate / 4 if harmful else 2 * rate
            losses = self._first_losses(tried)
            if losses is None or (not harmful and not better(losses, untrained)):
                break
            rate = tried
            if harmful and not worse(losses, untrained):
                self._begin_with(rate, len(first))
                break
        if rate >= own or self.race.champion.learning_rate == rate:
            self.stable_rate = rate

    def _begin_with(self, rate: float, iterations: int) -> None:
        """Begin the search at a lower rate than the user's, and say so."""
        own = self.asked.own
        self.race.champion = Pair(batch_size=own.batch_size, learning_rate=rate)
        self.notes.append(
            f"With learning rate {own.learning_rate:.3g} the loss got worse in the first "
            f"{iterations} iterations, so the search began at {rate:.3g}."
        )

    def _first_losses(self, rate: float) -> list[float] | None:
        """The losses of the first iterations with a rate; `None` without time for them."""
        own = self.asked.own.batch_size
        seconds = self.trial.ready(own).seconds
        room = STABILITY_COST * max(self._search_left(), 0.0) / seconds
        iterations = min(STABILITY_ITERATIONS, int(room))
        if iterations < LEAST_STABILITY_ITERATIONS:
            return None
        return self.trial.losses(Pair(batch_size=own, learning_rate=rate), iterations)

    def _run_pilot(self) -> None:
        """Train with the first pair, in parts, and measure the noise after each."""
        enough = self.spent + SMALL_COST * self.budget
        self.race.left = lambda: max(self._search_left(), enough - self.spent)
        horizon = self._horizon()
        for part in PILOT_PARTS:
            self.race.horizon = min(part * horizon, PILOT_SHARE * self.budget)
            self.race.extend()
            self._measure_noise()
            if part == CHECKPOINT_PART and self.moments:
                self._checkpoint = self.race.branches[self.race.champion], self.moments[-1]
        self.race.left = self._search_left
        self.race.horizon = self._horizon()
        if self.asked.goal is None:
            reached = self.race.branches[self.race.champion].best
            self.race.ground = replace(self.race.ground, level=reached)

    def _horizon(self) -> float:
        """Seconds of training that the champion is given: its part, or all of it [s]."""
        part = max(self.race.left(), 0.0) / CONTESTS
        if self.asked.goal is not None:
            return part
        own, samples = self.asked.own.batch_size, self.trial.feed.plan.samples
        iterations = max(self.asked.epochs * samples / own, LEAST_ITERATIONS)
        return min(part, iterations * self.trial.ready(own).seconds)

    def _measure_noise(self) -> None:
        """Measure the noise where the champion is, if it was not and that costs little."""
        branch = self.race.branches[self.race.champion]
        samples, trial = self.trial.feed.plan.samples, self.trial
        size = probe_size(samples)
        seconds_a_sample = trial.ready(branch.pair.batch_size).seconds / branch.pair.batch_size
        cost = NOISE_DRAWS * PARTS * size * seconds_a_sample
        here = (branch.iterations, branch.pair.batch_size)
        known = any((one.iterations, one.batch_size) == here for one in self.moments)
        if known or branch.values is None or cost > SMALL_COST * self.left():
            return
        if not self._tells_noise or samples < 2 * size:
            return
        try:
            moment = noise_at(
                trial.engine,
                trial.engine_probe,
                trial.feed_of(size),
                branch.values,
                draws=NOISE_DRAWS,
                iterations=branch.iterations,
                batch_size=branch.pair.batch_size,
            )
        except ModelError as error:
            self._tells_noise = False
            self.notes.append(f"The noise was not measured: {error.problems[0].what}")
        else:
            self.moments.append(moment)

    def _time(self, wanted: int) -> None:
        """Make the size nearest to the one wanted ready, if that costs little."""
        size = min(self.asked.sizes, key=lambda known: abs(math.log(known / wanted)))
        if self.trial.cost(size) <= SMALL_COST * self.left():
            self.trial.ready(size)

    def _confirm(self) -> None:
        """Carry a checkpoint of the pilot on at the chosen size and at a multiple of it."""
        if self._checkpoint is None:
            return
        checkpoint, moment = self._checkpoint
        chosen = self.race.champion
        multiple = self._multiple(chosen.batch_size)
        seconds = min(self.race.horizon, CONFIRMING_COST * self.budget)
        if multiple is None or checkpoint.values is None or self.left() <= 0:
            return
        first = self._forked(checkpoint, chosen, level=None, seconds=seconds)
        start = first.looks[0].value
        level = start - CONFIRMED_PART * (start - first.best)
        second = self._forked(
            checkpoint, self.rule(chosen, multiple), level=level, seconds=2 * seconds
        )
        counts = {one.pair.batch_size: one.reached(level) for one in (first, second)}
        small, large = sorted(counts)
        few, many = counts[large], counts[small]
        curve = through(small, 1.0, min(moment.seen.scale.value, LARGEST_NOISE))
        self.confirmation = Confirmation(
            batch_size=small,
            multiple=large,
            measured=few / many if few and many else None,
            expected=curve.iterations(large),
        )

    def _multiple(self, batch_size: int) -> int | None:
        """The ready size nearest to another that is twice as large or half, or further."""
        others = [size for size in self.trial.sizes if abs(math.log2(size / batch_size)) >= 1]
        return min(others, key=lambda size: abs(math.log(size / batch_size)), default=None)

    def _forked(
        self, checkpoint: Branch, pair: Pair, *, level: float | None, seconds: float
    ) -> Branch:
        """Fork a checkpoint and carry it on."""
        return carried_on(
            self.trial,
            self.trial.fork(checkpoint, pair),
            level=level,
            seconds=seconds,
            spacing=self._spacing(pair.batch_size),
            left=self.left,
            given_up=lambda _branch, _spent: self.left() <= 0,
        )
