"""The race finds the best pair of a training whose best pair is known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from fake_trial import FakeTrial
from hypothesis import given, settings
from hypothesis import strategies as st

from epochwise.choosing.batch_size.hyperbola import Hyperbola
from epochwise.choosing.batch_size.learning_rate import scaled_rate
from epochwise.choosing.batch_size.race import RUNS, Ground, Race, play_off, search
from epochwise.choosing.batch_size.speed import SpeedCurve
from epochwise.choosing.batch_size.trial import Branch, Pair, rounded_rate

SIZES = tuple(2**power for power in range(4, 13))
OWN = Pair(batch_size=32, learning_rate=0.001)


def rule(pair: Pair, size: int) -> Pair:
    assert pair.learning_rate is not None
    rate = scaled_rate(
        pair.learning_rate, before=pair.batch_size, after=size, family="adam", noise_scale=0.0
    )
    return Pair(batch_size=size, learning_rate=rounded_rate(rate))


def race_of(
    trial: FakeTrial,
    *,
    budget: float,
    level: float | None = 0.5,
    sizes: tuple[int, ...] = SIZES,
) -> Race:
    """A race that has so many seconds from now."""
    end = trial.now + budget
    return Race(
        trial=trial,
        ground=Ground(
            sizes=sizes,
            rule=rule,
            largest_rate=lambda _: math.inf,
            level=level,
            spacing=lambda _: 1,
        ),
        left=lambda: end - trial.now,
        champion=OWN,
        horizon=budget / 10,
    )


def trial_of(
    critical: float = 300.0, knee: float = 100.0, best_rate: float = 0.02
) -> FakeTrial:
    """A training that takes about a second at its best."""
    speed = SpeedCurve(fixed=1e-4, per_sample=1e-4 / knee, error=0.0)
    least = 1.0 / (1e-4 * (1 + math.sqrt(critical / knee)) ** 2)
    curve = Hyperbola(least_iterations=least, critical_size=critical)
    return FakeTrial(curve=curve, speed=speed, best_rate=best_rate)


@given(
    critical=st.floats(20, 3000),
    knee=st.floats(5, 500),
    best_rate=st.floats(0.002, 0.2),
)
@settings(max_examples=60)
def test_the_pair_found_is_near_the_best_there_is(
    critical: float, knee: float, best_rate: float
) -> None:
    """Whatever the noise, the machine and the best rate, it takes at most 1.25 of the least."""
    trial = trial_of(critical, knee, best_rate)
    race = race_of(trial, budget=40.0)

    search(race)

    assert trial.seconds(race.champion) <= 1.25 * trial.oracle(SIZES)


def test_the_users_own_pair_would_not_pass() -> None:
    """The bound above can fail: the pair that the search begins with is far from it."""
    trial = trial_of()

    assert trial.seconds(OWN) > 1.25 * trial.oracle(SIZES)


@given(budget=st.floats(0.0, 30.0), compiling=st.floats(0.1, 4.0))
def test_h02_the_champion_was_run(budget: float, compiling: float) -> None:
    """H02: whatever the time, the pair returned is one that was trained."""
    trial = trial_of()
    trial.compile_seconds = compiling
    race = race_of(trial, budget=budget)

    search(race)
    play_off(race)

    assert race.champion in race.branches
    assert race.champion == OWN or any(pair == race.champion for pair, _ in trial.log)
    assert {pair.batch_size for pair, _ in trial.log} <= set(SIZES)


@given(budget=st.floats(4.0, 40.0))
def test_the_time_is_kept(budget: float) -> None:
    """H06: no more is spent than allowed, but for the iteration under way when time is up."""
    trial = trial_of()
    trial.ready(32)
    before = trial.now
    race = race_of(trial, budget=budget, level=None)

    search(race)
    play_off(race)

    assert trial.now - before <= budget + trial.speed.seconds(4096)


def test_a_race_that_time_ended_is_run_to_its_end_later() -> None:
    """What was cut short has neither won nor lost: given more time, it is raced again."""
    trial = trial_of()
    race = race_of(trial, budget=40.0)
    race.extend()
    better = Pair(batch_size=32, learning_rate=0.004)
    end = trial.now + race.seconds_spent(OWN) / 10
    race.left = lambda: end - trial.now

    assert not race.challenge(better)
    assert race.is_open(better)

    race.left = lambda: math.inf
    assert race.challenge(better)
    assert not race.is_open(better)


def test_a_new_size_is_not_begun_without_time_to_race_it() -> None:
    """Compiling a size that cannot be run for as long as the champion would be wasted."""
    trial = trial_of()
    race = race_of(trial, budget=40.0)
    race.extend()
    other = rule(OWN, 128)
    cost = trial.cost(128)
    race.left = lambda: cost + 0.5 * race.seconds_spent(OWN)

    assert not race.challenge(other)
    assert 128 not in trial.sizes
    assert race.is_open(other)


def test_the_champion_is_told_by_the_times_as_known_last() -> None:
    """A size that turns out slower than it seemed loses to what it had beaten."""
    trial = trial_of()
    race = race_of(trial, budget=40.0)
    search(race)
    won = race.champion
    assert won != OWN

    slow = trial.speed.seconds
    trial.speed_of = lambda size: 100 * slow(size) if size == won.batch_size else slow(size)
    race.settle()

    assert race.champion.batch_size != won.batch_size
    assert race.champion in race.branches


class Lucky(FakeTrial):
    """One pair is seen at the level at once, on its first run only."""

    lucky: Pair = Pair(batch_size=32, learning_rate=0.0005)
    runs: int = 0

    def begin(self, pair: Pair) -> Branch:
        self.runs += pair == self.lucky
        return super().begin(pair)

    def advance(self, branch: Branch, iterations: int) -> Branch:
        after = super().advance(branch, iterations)
        if branch.pair == self.lucky and self.runs == 1:
            return branch.after(iterations, 0.0, after.values)
        return after


GOOD = Pair(batch_size=32, learning_rate=0.004)


def lucky_race() -> Race:
    """A race that a good pair led until the lucky one came."""
    plain = trial_of()
    race = race_of(Lucky(curve=plain.curve, speed=plain.speed), budget=400.0)
    race.extend()
    assert race.challenge(GOOD)
    assert race.challenge(Lucky.lucky)
    return race


def test_who_leads_is_run_again_before_the_race_is_settled() -> None:
    """A pair that led by luck does not win; who wins was run again and again."""
    race = lucky_race()

    race.settle()

    assert race.champion == GOOD
    assert len(race.runs_again[GOOD]) == RUNS - 1


def test_a_pair_not_run_again_does_not_pass_one_that_was() -> None:
    """When time is up, a claim a little better than what was checked does not win."""
    race = lucky_race()
    race.champion = GOOD
    slow = race.branches.pop(Lucky.lucky)
    race.settle()
    assert race.runs_again[GOOD]
    little = [
        replace(look, iterations=math.ceil(0.9 * look.iterations))
        for look in race.branches[GOOD].curve
    ]
    race.branches[Lucky.lucky] = replace(slow, curve=tuple(little))
    race.left = lambda: 0.0

    race.settle()

    assert race.seconds_to(Lucky.lucky, race.goal()) < race.seconds_to(GOOD, race.goal())
    assert race.champion == GOOD


def test_without_time_the_first_runs_count() -> None:
    """No pair is run again when time is up, and the leader stays."""
    race = lucky_race()
    race.left = lambda: 0.0

    race.settle()

    assert race.champion == Lucky.lucky
    assert not race.runs_again.get(Lucky.lucky)


def test_a_challenger_that_has_lost_is_given_up() -> None:
    """A rate far too small is not run to the end: it gets less than half of the champion's."""
    trial = trial_of()
    race = race_of(trial, budget=40.0)
    race.extend()
    slow = Pair(batch_size=32, learning_rate=0.00001)

    assert not race.challenge(slow)

    assert race.seconds_spent(slow) < race.seconds_spent(OWN) / 2


def test_a_rate_that_diverges_loses() -> None:
    """A branch whose loss is not finite has lost, and its weights are let go."""
    trial = trial_of()
    race = race_of(trial, budget=40.0)
    race.extend()
    wild = Pair(batch_size=32, learning_rate=10.0)

    assert not race.challenge(wild)

    assert race.branches[wild].diverged
    assert race.branches[wild].values is None
    assert race.champion == OWN


def test_a_pair_that_learns_beats_one_that_does_not() -> None:
    """Where the user's own rate diverges, the first that learns is ahead."""
    trial = trial_of(best_rate=1e-6)
    race = race_of(trial, budget=40.0)
    race.extend()

    assert race.challenge(Pair(batch_size=32, learning_rate=1e-7))


def test_h06_a_size_that_does_not_fit_is_left_out() -> None:
    """Sizes beyond memory lose; the search goes on and remembers them."""
    trial = trial_of(critical=3000.0, knee=1000.0)
    trial.room = 128
    race = race_of(trial, budget=60.0)

    search(race)

    assert race.champion.batch_size <= 128
    assert race.too_large
    assert min(race.too_large) > 128


def test_a_fault_of_the_model_ends_the_search() -> None:
    """H16: an error that is not about memory is raised as it is."""

    class Broken(FakeTrial):
        def advance(self, branch: Branch, iterations: int) -> Branch:
            raise ValueError("shapes do not match")

    plain = trial_of()
    race = race_of(Broken(curve=plain.curve, speed=plain.speed), budget=10.0)

    with pytest.raises(ValueError, match="shapes do not match"):
        search(race)


def test_without_a_rate_only_sizes_are_raced() -> None:
    """Where a schedule sets the rate, every pair has none."""

    class Scheduled(FakeTrial):
        def iterations(self, pair: Pair) -> float:
            return self.curve.iterations(pair.batch_size)

        def diverges(self, pair: Pair) -> bool:
            return False

    plain = trial_of()
    race = race_of(Scheduled(curve=plain.curve, speed=plain.speed), budget=20.0)
    race.champion = Pair(batch_size=32, learning_rate=None)
    race.ground = Ground(
        sizes=SIZES,
        rule=lambda pair, size: Pair(batch_size=size, learning_rate=None),
        largest_rate=lambda _: math.inf,
        level=0.5,
        spacing=lambda _: 1,
    )

    search(race)

    assert len(race.branches) > 2
    assert {pair.learning_rate for pair in race.branches} == {None}


def test_a_far_target_is_gone_for_further_and_further() -> None:
    """While time is left and the target is not reached, the best go on."""
    trial = trial_of()
    race = race_of(trial, budget=30.0, level=0.01)
    search(race)
    spent = race.seconds_spent(race.champion)

    play_off(race)

    assert race.seconds_spent(race.champion) > spent or race.left() <= 0


def test_one_lucky_look_does_not_win() -> None:
    """A level is reached when the mean of three looks is there."""
    branch = Branch.begun(OWN, None, 4.0)
    for n, value in enumerate([3.0, 3.0, 0.5, 3.0, 3.0]):
        branch = branch.after(10 * (n + 1), value, None)

    assert branch.reached(1.0) is None
    assert branch.best == pytest.approx((3.0 + 3.0 + 0.5) / 3)


@given(st.lists(st.floats(0.0, 10.0), max_size=12))
def test_a_curve_has_reached_its_own_best(values: list[float]) -> None:
    """The best smoothed value is reached, no later than the last look."""
    branch = Branch.begun(OWN, None, 5.0)
    for n, value in enumerate(values):
        branch = branch.after(n + 1, value, None)

    reached = branch.reached(branch.best)

    assert reached is not None
    assert 0 <= reached <= len(values)


@pytest.mark.parametrize("own", [32, 512])
def test_the_next_size_is_tried_however_far_it_is(own: int) -> None:
    """Of two sizes far apart the better one is found, from either side."""
    trial = trial_of(critical=3000.0, knee=500.0)
    race = race_of(trial, budget=40.0, sizes=(32, 512))
    race.champion = Pair(batch_size=own, learning_rate=0.001)

    search(race)

    assert {pair.batch_size for pair in race.branches} == {32, 512}
