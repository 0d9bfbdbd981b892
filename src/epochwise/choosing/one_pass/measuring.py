"""The runs behind the verdict: which there are, and their losses.

For each seed the samples are put in an order. One run passes over all of them, is
evaluated on the way, and goes on for a second pass. For each part (an eighth, a quarter,
a half) a run repeats it until it has made as many iterations as the whole has in one
pass. So at each size K passes over a part can be held against one pass over fresh samples
at the same iteration.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from epochwise.choosing.one_pass.value import Part
from epochwise.errors import PlanError

SHARES = (8, 4, 2)
"""The parts: an eighth, a quarter and a half of the samples."""

FEWEST_SEEDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """Which runs there are.

    Args:
        uniques: the samples of each part, ascending, the whole last [samples].
        passes: over each of them.
        look_every: samples between two evaluations of the whole [samples].
    """

    uniques: tuple[int, ...]
    passes: tuple[int, ...]
    look_every: int

    @property
    def samples_seen(self) -> int:
        """What the runs of one seed train on, repeats counted [samples]."""
        pairs = zip(self.uniques, self.passes, strict=True)
        return sum(unique * passes for unique, passes in pairs)


def planned(samples: int, batch_size: int) -> Planned:
    """Return the runs for so many samples; what does not fill a batch of each is left out.

    Args:
        samples: that there are [samples].
        batch_size: samples per weight update.

    Raises:
        PlanError: an eighth of the samples holds no batch.

    Example:
        >>> found = planned(1000, 30)
        >>> found.uniques, found.passes, found.samples_seen
        ((120, 240, 480, 960), (8, 4, 2, 2), 4800)
    """
    eighth = samples // (SHARES[0] * batch_size) * batch_size
    if eighth == 0:
        raise PlanError(
            f"An eighth of {samples:,} samples holds no batch of {batch_size:,}.",
            f"use batch_size={max(1, samples // (4 * SHARES[0]))} or less, or more samples.",
        )
    whole = SHARES[0] * eighth
    return Planned(
        uniques=(*(whole // share for share in SHARES), whole),
        passes=(*SHARES, 2),
        look_every=eighth,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """The validation losses of all runs.

    Args:
        plan: which runs there are.
        seeds: of the runs, in order.
        losses: for each part and seed, the loss after each pass.
        on_the_way: for each seed, the loss of the whole's first pass at each multiple of
            `plan.look_every`, its end included.
    """

    plan: Planned
    seeds: tuple[int, ...]
    losses: Mapping[int, Mapping[int, Sequence[float]]]
    on_the_way: Mapping[int, Sequence[float]]

    @property
    def uniques(self) -> tuple[int, ...]:
        """The samples of each part, the whole last [samples]."""
        return self.plan.uniques

    @property
    def marks(self) -> tuple[int, ...]:
        """Where the first pass over the whole was evaluated [samples]."""
        every = self.plan.look_every
        return tuple(every * place for place in range(1, SHARES[0] + 1))

    def once(self, mark: int, *, without: int | None = None) -> list[float]:
        """Return the loss of each seed after one pass over so many fresh samples.

        Args:
            mark: one of `marks` [samples].
            without: a seed to leave out.
        """
        place = mark // self.plan.look_every - 1
        return [self.on_the_way[seed][place] for seed in self._but(without)]

    def part(self, unique: int, *, without: int | None = None) -> Part:
        """Return the mean losses of a part after each pass.

        Args:
            unique: the samples of the part [samples].
            without: a seed to leave out.
        """
        by_pass = zip(*(self.losses[unique][seed] for seed in self._but(without)), strict=True)
        return Part(unique=unique, losses=tuple(map(statistics.fmean, by_pass)))

    def gains(self, unique: int) -> list[float]:
        """Return for each seed the share of the loss that repeating took off.

        Args:
            unique: the samples of the part [samples].
        """
        return [
            (of_seed[0] - of_seed[-1]) / of_seed[0]
            for of_seed in (self.losses[unique][seed] for seed in self.seeds)
        ]

    def fresh(self, unique: int) -> list[float] | None:
        """Return the losses at the same iteration on fresh samples; `None` for the whole."""
        seen = unique * self.plan.passes[self.uniques.index(unique)]
        return self.once(seen) if seen <= self.uniques[-1] else None

    def more_data(self) -> list[float]:
        """Return for each seed the share of the loss that fresh samples took off further.

        Half of the samples, passed over twice, against all of them, once.
        """
        half = self.uniques[-2]
        return [
            (self.losses[half][seed][-1] - self.on_the_way[seed][-1])
            / self.losses[half][seed][-1]
            for seed in self.seeds
        ]

    def _but(self, without: int | None) -> list[int]:
        return [seed for seed in self.seeds if seed != without]


Run = Callable[[int, int, int, int | None], Sequence[float]]
"""`(seed, unique, passes, look_every) -> losses` at each evaluation, in order."""


def measure(
    plan: Planned,
    seeds: Sequence[int],
    run: Run,
    tell: Callable[[str], None] = lambda _: None,
) -> Measured:
    """Carry out all runs.

    Args:
        plan: which there are.
        seeds: of weights and order, at least two.
        run: trains the network of a seed on the first `unique` samples of the seed's
            order for so many passes; returns the validation losses, after each pass, or
            after every `look_every` samples where that is given.
        tell: is handed a sentence for each seed.

    Raises:
        PlanError: there are too few seeds to tell a difference from luck.
    """
    if len(set(seeds)) < FEWEST_SEEDS:
        raise PlanError(
            f"seeds={list(seeds)} does not tell a difference from luck.",
            f"use seeds={FEWEST_SEEDS} or more, such as seeds=5.",
        )
    losses: dict[int, dict[int, Sequence[float]]] = {unique: {} for unique in plan.uniques}
    on_the_way: dict[int, Sequence[float]] = {}
    *parts, whole = zip(plan.uniques, plan.passes, strict=True)
    for number, seed in enumerate(seeds, start=1):
        for unique, passes in parts:
            losses[unique][seed] = run(seed, unique, passes, None)
        looks = run(seed, *whole, plan.look_every)
        on_the_way[seed] = looks[: SHARES[0]]
        losses[whole[0]][seed] = (looks[SHARES[0] - 1], looks[-1])
        tell(f"{number} of {len(seeds)} seeds measured")
    return Measured(plan=plan, seeds=tuple(seeds), losses=losses, on_the_way=on_the_way)
