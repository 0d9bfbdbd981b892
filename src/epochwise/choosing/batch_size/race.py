"""The search itself: pairs of batch size and learning rate raced against each other.

Each candidate is trained for real from the same weights. What counts is the time it
takes to a level of the metric, its iterations times the seconds that an iteration takes
at its size. A challenger runs until it has reached the champion's level or has clearly
lost. The search goes from the user's own pair in factors of four, then of two, in the
rate, and in the size with the rate that the optimizer's rule gives. What time is left
goes to the best few, which run on, because what is best early need not be best later.

The best of many is also the luckiest: a metric that jumps about a level is found below it
sooner or later depending on where it is looked at. So whoever leads in the end is run
again, with looks elsewhere, and the median of its runs counts.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from epochwise.choosing.batch_size.trial import Branch, Pair, Trial, rounded_rate
from epochwise.engines.memory import is_out_of_memory

LOOK_RATIO = 1.07
"""A branch is looked at after each so much growth of its iterations, or further apart
where that would cost more than training."""

HOPELESS = 1.8
"""A challenger that has taken this many times the champion's time is given up."""

FINE = 2
"""Factors up to this one are tried at each size; of larger ones the rule is trusted: a rate
that lost at one size is not tried at another."""

WORTHWHILE = 0.7
"""Of the champion's time, what must be left for racing when a new size is made ready."""

CLOSE = 1.5
"""A pair within this factor of the champion's time may still overtake it later."""

RUNS = 4
"""Runs of a pair that leads when the race is settled."""

CONTENDERS = 8
"""Pairs that are run again beside the one that leads, if there is time."""

FINALISTS = 3
"""Pairs that run on when the search is over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """Where the search may go, and what it goes for.

    Args:
        sizes: batch sizes that may be run, ascending.
        rule: `(pair, batch size) -> pair`, the rate that belongs to another size.
        largest_rate: by batch size, the rate above which training is not stable.
        level: the target's value, lower is better; `None` without a target.
        spacing: by batch size, the least iterations between two looks.
    """

    sizes: tuple[int, ...]
    rule: Callable[[Pair, int], Pair]
    largest_rate: Callable[[int], float]
    level: float | None
    spacing: Callable[[int], int]


@dataclass(slots=True, kw_only=True, eq=False)
class Race:
    """Branches so far, and who is ahead.

    Args:
        trial: runs them.
        ground: where the search may go.
        left: seconds that the race may still take [s].
        champion: the pair that is ahead; at first the user's own.
        horizon: most seconds of training that the champion is given before it is
            challenged [s].
        branches: of every pair that was run.
        too_large: sizes that turned out not to fit.
        cut_short: pairs whose race ended with the time, not with a result.
        runs_again: of pairs that led, with other looks.
    """

    trial: Trial
    ground: Ground
    left: Callable[[], float]
    champion: Pair
    horizon: float
    branches: dict[Pair, Branch] = field(default_factory=dict)
    too_large: set[int] = field(default_factory=set)
    cut_short: set[Pair] = field(default_factory=set)
    runs_again: dict[Pair, list[Branch]] = field(default_factory=dict)

    def seconds_spent(self, pair: Pair) -> float:
        """Seconds of training that a branch has taken, looks left out [s]."""
        return self.branches[pair].iterations * self.trial.ready(pair.batch_size).seconds

    def reached(self, pair: Pair, level: float) -> float | None:
        """Iterations to a level, the median of the pair's runs; `None` if not reached."""
        runs = [self.branches[pair], *self.runs_again.get(pair, [])]
        counts = [run.reached(level) for run in runs]
        median = statistics.median(math.inf if one is None else one for one in counts)
        return median if math.isfinite(median) else None

    def seconds_to(self, pair: Pair, level: float) -> float:
        """Seconds of training to a level [s]; infinite where it was not reached."""
        reached = self.reached(pair, level)
        if reached is None:
            return math.inf
        return reached * self.trial.ready(pair.batch_size).seconds

    def goal(self) -> float:
        """The level that challengers have to reach: the target, or the champion's best.

        While the champion has made nothing better, it is anything below the beginning.
        """
        branch = self.branches[self.champion]
        if branch.best >= branch.looks[0].value:
            return math.nextafter(branch.looks[0].value, -math.inf)
        return branch.best if self.ground.level is None else max(branch.best, self.ground.level)

    def extend(self) -> None:
        """Carry the champion on to the target or the horizon."""
        self._run(self.champion, level=self.ground.level, seconds=self.horizon, rival=None)

    def is_open(self, pair: Pair) -> bool:
        """Whether a race of this pair may still tell something."""
        return pair in self.cut_short or pair not in self.branches

    def challenge(self, pair: Pair) -> bool:
        """Race a pair against the champion; tell whether it has won.

        A new size is not begun unless there is time to run it nearly as long as the champion.
        """
        level = self.goal()
        took = self.seconds_to(self.champion, level)
        limit = took if math.isfinite(took) else self.horizon
        cost = self.trial.cost(pair.batch_size)
        if (
            cost and cost + WORTHWHILE * limit > self.left()
        ) or pair.batch_size in self.too_large:
            return False
        try:
            self._run(pair, level=level, seconds=limit, rival=self.champion)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self.too_large.add(pair.batch_size)
            return False
        self.cut_short.discard(pair)
        if self.left() <= 0:
            self.cut_short.add(pair)
        if self.seconds_to(pair, level) >= took:
            return False
        self.champion = pair
        self.extend()
        return True

    def settle(self) -> None:
        """Make the pair the champion that takes the least time, also when it is run again.

        By all times as they are known now, and for as long as there is time: first who
        leads is run again, then those that are near, which may have had bad luck. A pair
        that would lead but was not run again does not pass one that was and is close to
        it. Where none holds what it promised, the first runs count as before.
        """
        level = self.goal()
        leader = self._leader(level)
        while len(self.runs_again.get(leader, [])) + 1 < RUNS and self._run_again(
            leader, level
        ):
            leader = self._leader(level)
        near = sorted(
            (pair for pair, branch in self.branches.items() if not branch.diverged),
            key=lambda pair: (self.seconds_to(pair, level), self.branches[pair].best),
        )
        for runs in range(1, RUNS):
            for pair in near[:CONTENDERS]:
                if len(self.runs_again.get(pair, [])) < runs:
                    self._run_again(pair, level)
        if math.isinf(self.seconds_to(self._leader(level), level)):
            self.runs_again.clear()
        leader = self._leader(level)
        checked = min(
            self.runs_again, key=lambda pair: self.seconds_to(pair, level), default=leader
        )
        close = self.seconds_to(checked, level) <= CLOSE * self.seconds_to(leader, level)
        self.champion = checked if close else leader

    def _leader(self, level: float) -> Pair:
        """The pair that takes the least time to a level; the champion before its equals."""
        pairs = [self.champion, *self.branches]
        return min(pairs, key=lambda pair: self.seconds_to(pair, level))

    def _run_again(self, pair: Pair, level: float) -> bool:
        """Run a pair anew, its looks further apart and so between those of its other runs.

        Returns:
            Whether there was time, and a level that a pair has reached, to do so.
        """
        limit = HOPELESS * self.seconds_to(self._leader(level), level)
        if self.left() <= 0 or math.isinf(limit):
            return False
        again = self.runs_again.get(pair, [])
        spacing = self.ground.spacing(pair.batch_size)
        branch = carried_on(
            self.trial,
            self.trial.begin(pair),
            level=level,
            seconds=limit,
            spacing=spacing + (1 + len(again)) * max(1, spacing // RUNS),
            left=self.left,
            given_up=lambda _branch, _spent: self.left() <= 0,
        )
        told = self.left() > 0 or branch.reached(level) is not None
        if told:
            self.runs_again[pair] = [*again, replace(branch, values=None)]
        return told

    def _run(
        self, pair: Pair, *, level: float | None, seconds: float, rival: Pair | None
    ) -> None:
        """Carry a branch on to a level, to so many seconds, or until it has lost."""

        def given_up(branch: Branch, spent: float) -> bool:
            lost = rival is not None and self._is_hopeless(branch, spent, rival)
            return lost or self.left() <= 0

        branch = carried_on(
            self.trial,
            self.branches.get(pair) or self.trial.begin(pair),
            level=level,
            seconds=seconds,
            spacing=self.ground.spacing(pair.batch_size),
            left=self.left,
            given_up=given_up,
        )
        self.branches[pair] = replace(branch, values=None) if branch.diverged else branch

    def _is_hopeless(self, branch: Branch, spent: float, rival: Pair) -> bool:
        """Whether the rival was where the branch is now in far less time."""
        early = spent < self.seconds_spent(rival) / 4
        return not early and spent > HOPELESS * self.seconds_to(rival, branch.best)


def carried_on(
    trial: Trial,
    branch: Branch,
    *,
    level: float | None,
    seconds: float,
    spacing: int,
    left: Callable[[], float],
    given_up: Callable[[Branch, float], bool] = lambda _branch, _spent: False,
) -> Branch:
    """Return a branch carried on, with looks ever further apart.

    It ends at the level, once it has taken so many seconds of training, when it
    diverges, or when it is given up.

    Args:
        trial: runs it.
        branch: where it is.
        level: the value to reach; `None` for no end but the others.
        seconds: of training in all, as its iterations times their seconds [s].
        spacing: least iterations between two looks.
        left: seconds that may still be spent; no look is further away than that [s].
        given_up: `(branch, seconds of training so far) -> whether to end`.
    """
    time = trial.ready(branch.pair.batch_size).seconds
    while True:
        spent = branch.iterations * time
        at_level = level is not None and branch.best <= level
        if branch.diverged or at_level or spent >= seconds or given_up(branch, spent):
            return branch
        wanted = max(branch.iterations + spacing, int(branch.iterations * LOOK_RATIO))
        wanted = min(wanted, math.ceil(min(seconds, spent + max(left(), 0.0)) / time))
        branch = trial.advance(branch, max(wanted, branch.iterations + 1))


def search(race: Race, factors: tuple[int, ...] = (4, 2), *, same_rate: bool = False) -> None:
    """Race pairs around the champion until none of them wins, or time is up.

    Args:
        race: its champion is where the search begins.
        factors: how far apart pairs are, first and last.
        same_rate: whether other sizes are tried with the champion's rate too, beside
            the one that the rule gives for them.
    """
    race.extend()
    for factor in factors:
        while race.left() > 0:
            near = _around(race, factor, same_rate=same_rate)
            untried = (pair for pair in near if race.is_open(pair))
            if factor > FINE:
                untried = (pair for pair in untried if not _lost_elsewhere(race, pair))
            if not any(race.challenge(pair) for pair in untried):
                break


def _around(race: Race, factor: int, *, same_rate: bool) -> Iterator[Pair]:
    """Yield the pairs a factor away from the champion: first up in rate, then in size."""
    champion, ground = race.champion, race.ground
    size, rate = champion.batch_size, champion.learning_rate
    if rate is not None:
        for other in (rounded_rate(rate * factor), rounded_rate(rate / factor)):
            if other <= ground.largest_rate(size):
                yield Pair(batch_size=size, learning_rate=other)
    larger = [known for known in ground.sizes if known > size]
    smaller = [known for known in ground.sizes if known < size]
    for wanted, beyond in ((size * factor, larger), (size / factor, smaller)):
        near = min(beyond, key=lambda known: abs(math.log(known / wanted)), default=size)
        if near != size and near not in race.too_large:
            yield ground.rule(champion, near)
            if same_rate and (rate is None or rate <= ground.largest_rate(near)):
                yield Pair(batch_size=near, learning_rate=rate)


def _lost_elsewhere(race: Race, pair: Pair) -> bool:
    """Whether a rate at the champion's size is, by the rule, one that lost at another size."""
    return pair.batch_size == race.champion.batch_size and any(
        other.batch_size != pair.batch_size
        and other not in race.cut_short
        and race.ground.rule(other, pair.batch_size) == pair
        for other in race.branches
    )


def play_off(race: Race) -> None:
    """Let the best few run on, the horizon doubled again and again, while time is left."""
    while race.left() > 0:
        level = race.goal()
        if race.ground.level is not None and level <= race.ground.level:
            return
        took = race.seconds_to(race.champion, level)
        race.horizon = 2 * max(race.horizon, race.seconds_spent(race.champion))
        rivals = [
            pair
            for pair in sorted(race.branches, key=lambda pair: race.seconds_to(pair, level))
            if race.branches[pair].values is not None and pair != race.champion
        ]
        near = [pair for pair in rivals if _may_overtake(race, pair, CLOSE * took)]
        race.extend()
        for pair in near[: FINALISTS - 1]:
            race.challenge(pair)


def _may_overtake(race: Race, pair: Pair, seconds: float) -> bool:
    """Whether a pair was not far behind when it stopped."""
    best = race.branches[pair].best
    behind = race.seconds_spent(pair) / max(race.seconds_to(race.champion, best), 1e-12)
    return race.seconds_spent(pair) <= seconds and behind <= CLOSE
