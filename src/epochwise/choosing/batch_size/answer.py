"""From what was measured to the answer, its table and its reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

from epochwise.choosing.batch_size.advice import Advice, Choice, Goal, SizeRow
from epochwise.choosing.batch_size.extrapolation import iterations_to
from epochwise.choosing.batch_size.hyperbola import Hyperbola, best_size, fitted, through
from epochwise.choosing.batch_size.speed import fit_speed
from epochwise.choosing.batch_size.study import Study
from epochwise.choosing.batch_size.trial import Pair
from epochwise.counting.counts import iterations_per_epoch

DEVICES = (2, 4, 8, 16)
"""Numbers of devices for which a choice is told."""


def advice_of(study: Study) -> Advice:
    """Return the advice that a study's measurements give.

    Args:
        study: after its run.
    """
    return _Answer(study).advice()


class _Answer:
    """What the numbers of one study say."""

    def __init__(self, study: Study) -> None:
        """Compute what several parts of the answer need."""
        self.study = study
        self.race, self.trial = study.race, study.trial
        self.champion = study.race.champion
        self.sizes = dict(sorted(study.trial.sizes.items()))
        self.speed = fit_speed({size: self.time(size) for size in self.sizes})
        self.target = self._target()
        self.level = study.trial.watched.turned(self.target.value)
        self.compared = max(self.level, self.race.goal())
        self.reached = self._reached()
        self.further = self._further()
        self.curve = self._curve()

    def time(self, batch_size: int) -> float:
        """Seconds an iteration, measured [s]."""
        return self.trial.ready(batch_size).seconds

    def _target(self) -> Goal:
        """The user's target, or what the user's own pair came to."""
        if self.study.asked.goal is not None:
            return self.study.asked.goal
        first = next(iter(self.race.branches.values()))
        watched = self.trial.watched
        return Goal(
            metric=watched.metric,
            value=watched.turned(first.best),
            higher_is_better=watched.higher_is_better,
            given=False,
        )

    def _reached(self) -> dict[Pair, float]:
        """Iterations of every pair that reached the level at which all are compared."""
        counts = {pair: self.race.reached(pair, self.compared) for pair in self.race.branches}
        return {pair: count for pair, count in counts.items() if count}

    def _further(self) -> float | None:
        """How many times the iterations to the compared level the target takes."""
        if self.level >= self.compared:
            return 1.0
        here = self.reached.get(self.champion)
        there = iterations_to(self.race.branches[self.champion].curve, self.level)
        return None if here is None or there is None else max(1.0, there / here)

    def _curve(self) -> Hyperbola | None:
        """Iterations to the target against batch size, through what was measured."""
        if self.further is None:
            return None
        least: dict[int, float] = {}
        for pair, count in self.reached.items():
            size = pair.batch_size
            least[size] = min(count * self.further, least.get(size, math.inf))
        curve = fitted(list(least.items()))
        here, noise = self.reached.get(self.champion), self.study.noise
        if curve is None and here is not None and math.isfinite(noise):
            curve = through(self.champion.batch_size, here * self.further, noise)
        return curve

    def choice(self, pair: Pair) -> Choice:
        """What the target takes with a pair that was run."""
        branch = self.race.branches.get(pair)
        iterations, measured = None, False
        if branch is not None:
            iterations = self.race.reached(pair, self.level)
            measured = bool(iterations)
            if pair in self.reached and self.further is not None:
                iterations = iterations or self.reached[pair] * self.further
            else:
                iterations = iterations or iterations_to(branch.curve, self.level)
        samples = self.trial.feed.plan.samples
        told = Choice(
            batch_size=pair.batch_size,
            learning_rate=pair.learning_rate,
            iterations=None,
            epochs=None,
            seconds=None,
            measured=measured,
        )
        if iterations is None:
            return told
        epochs = iterations * pair.batch_size / samples
        per_epoch = iterations_per_epoch(samples, pair.batch_size, "keep")
        return Choice(
            batch_size=pair.batch_size,
            learning_rate=pair.learning_rate,
            iterations=math.ceil(epochs * per_epoch),
            epochs=epochs,
            seconds=iterations * self.time(pair.batch_size),
            measured=measured,
        )

    def best(self, cost: Callable[[int], float]) -> Choice:
        """The pair of least cost, where an iteration costs so much at a batch size."""
        pairs = self.reached or {self.champion: 1.0}
        return self.choice(min(pairs, key=lambda pair: pairs[pair] * cost(pair.batch_size)))

    def on_devices(self, devices: int) -> Choice:
        """The pair of least time where so many devices share each batch."""
        shared = self.speed.on_devices(devices)

        def part(size: int) -> float:
            alone = self.speed.seconds(size)
            return shared.seconds(size) / alone if alone > 0 else 1.0

        best = self.best(lambda size: self.time(size) * part(size))
        if best.seconds is None:
            return best
        return replace(best, seconds=best.seconds * part(best.batch_size))

    def runner_up(self) -> Choice | None:
        """The pair that would be chosen without the champion."""
        pairs = [pair for pair in self.reached if pair != self.champion]
        if not pairs:
            return None
        return self.choice(
            min(pairs, key=lambda pair: self.reached[pair] * self.time(pair.batch_size))
        )

    def row(self, size: int) -> SizeRow:
        """What is known of a size."""
        ready, timing = self.sizes[size], self.trial.ready(size)
        run = [pair for pair in self.race.branches if pair.batch_size == size]
        good = {pair: self.reached[pair] for pair in run if pair in self.reached}
        best = min(good, key=lambda pair: good[pair], default=None)
        iterations = None if best is None else good[best]
        rates = {pair.learning_rate for pair in run if pair.learning_rate is not None}
        expected = None
        if iterations is not None and self.further is not None:
            expected = iterations * self.further
        elif self.curve is not None:
            expected = self.curve.iterations(size)
        return SizeRow(
            batch_size=size,
            microbatch_size=ready.microbatch_size,
            learning_rate=None if best is None else best.learning_rate,
            iteration_seconds=timing.seconds,
            iteration_spread=timing.spread,
            memory_bytes=ready.memory_bytes,
            iterations=iterations,
            samples=None if iterations is None else iterations * size,
            seconds=None if iterations is None else iterations * timing.seconds,
            expected_iterations=expected,
            expected_seconds=None if expected is None else expected * timing.seconds,
            rates=tuple(sorted(rates)),
        )

    def advice(self) -> Advice:
        """All of it."""
        chosen, study = self.choice(self.champion), self.study
        row = self.row(self.champion.batch_size)
        return Advice(
            batch_size=self.champion.batch_size,
            microbatch_size=row.microbatch_size,
            learning_rate=self.champion.learning_rate,
            target=self.target,
            iterations=chosen.iterations,
            epochs=chosen.epochs,
            seconds=chosen.seconds,
            memory_bytes=row.memory_bytes,
            own=self.choice(study.asked.own),
            runner_up=self.runner_up(),
            least_samples=self.best(float),
            on_devices={devices: self.on_devices(devices) for devices in DEVICES},
            table=tuple(self.row(size) for size in self.sizes),
            speed=self.speed,
            moments=tuple(study.moments),
            curve=self.curve,
            confirmation=study.confirmation,
            stable_rate=study.stable_rate,
            reason=f"{self._measured(chosen)} {self._explained()}",
            notes=(*study.notes, *self._notes(chosen)),
            spent_seconds=study.spent,
            budget_seconds=study.budget,
        )

    def _measured(self, chosen: Choice) -> str:
        """The first sentence: what the choice takes, and what the user's own would."""
        own = self.choice(self.study.asked.own)
        if chosen.seconds is None or chosen.epochs is None:
            ahead = self.trial.watched.turned(self.race.branches[self.champion].best)
            return (
                f"{_upper(self.champion)} came furthest in the same time, to "
                f"{self.target.metric} {ahead:.4g}, but {self.target} is not in sight."
            )
        verb = "reached" if chosen.measured else "is expected to reach"
        said = (
            f"{_upper(self.champion)} {verb} {self.target} after {chosen.iterations:,} "
            f"iterations ({chosen.epochs:.3g} epochs), {duration(chosen.seconds)} of training"
        )
        if self.champion == self.study.asked.own:
            rival = self.runner_up()
            if rival is None or rival.seconds is None:
                return f"{said}, and nothing else that was run got there."
            return f"{said}; it is your own, and the next best takes {duration(rival.seconds)}."
        if own.seconds is None:
            return f"{said}; your own {self.study.asked.own} is not near it."
        return f"{said}, where your own {self.study.asked.own} takes {duration(own.seconds)}."

    def _explained(self) -> str:
        """The second sentence: where that size lies between speed and noise."""
        speed, noise = self.speed, self.study.noise
        alone = len(self.sizes) == 1
        said = (
            f"An iteration takes {duration(speed.fixed)} and {duration(speed.per_sample)} a "
            "sample"
        )
        if alone:
            taken = duration(self.time(self.champion.batch_size))
            said = f"An iteration of {self.champion.batch_size:,} samples takes {taken}"
        if not self.study.moments:
            return f"{said}."
        if math.isinf(noise):
            return f"{said}, and the gradient's noise hides its signal at every size."
        ideal = best_size(noise, speed.fixed, speed.per_sample)
        known = not alone and math.isfinite(ideal)
        balance = f", which alone would balance near {ideal:,.0f}" if known else ""
        return f"{said}, and the noise scale is {noise:,.0f} samples{balance}."

    def _notes(self, chosen: Choice) -> Iterator[str]:
        """What else to know."""
        size, samples = self.champion.batch_size, self.trial.feed.plan.samples
        if chosen.seconds is not None and not chosen.measured:
            yield "The target was not reached in the search: iterations to it continue a curve."
        if self.champion not in self.reached or self.further is None:
            yield "Train longer or make the target easier: no pair's curve leads to it."
        if len(self.sizes) == 1 < len(self.study.asked.sizes) and not self.race.too_large:
            yield (
                f"Within {duration(self.study.budget)} no other batch size could be run; with "
                "more seconds the search compares several."
            )
        if size == samples:
            yield f"Batch size {size:,} is the whole set."
        for known, ready in self.sizes.items():
            if ready.microbatch_size is not None:
                yield (
                    f"A batch of {known:,} does not fit in memory at once; it goes through "
                    f"the network in microbatches of {ready.microbatch_size:,}."
                )
        for too_large in sorted(self.race.too_large):
            yield f"Batch size {too_large:,} ran out of memory."
        confirmation = self.study.confirmation
        if confirmation is not None and confirmation.agrees is False:
            yield (
                f"The noise scale says that batch size {confirmation.multiple:,} needs "
                f"{confirmation.expected:.2f} times the iterations of "
                f"{confirmation.batch_size:,}; branches of one checkpoint say "
                f"{confirmation.measured or 0:.2f}. The choice goes by the branches."
            )


def _upper(pair: Pair) -> str:
    """The pair at the beginning of a sentence."""
    said = str(pair)
    return said[0].upper() + said[1:]


def duration(seconds: float) -> str:
    """Return seconds as people read them.

    Example:
        >>> duration(0.00012), duration(4.2), duration(7500)
        ('0.12 ms', '4.2 s', '2.08 h')
    """
    for unit, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3)):
        if seconds >= size or (unit == "ms" and seconds >= 1e-5):
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
