"""A training that is arithmetic: how fast it learns and how long it takes are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from epochwise.choosing.batch_size.hyperbola import Hyperbola
from epochwise.choosing.batch_size.speed import SpeedCurve, Timing
from epochwise.choosing.batch_size.trial import Branch, Pair


@dataclass(kw_only=True, eq=False)
class FakeTrial:
    """See `Trial`; time passes on a clock of its own.

    The metric after n iterations is 1/(1 + n/S), where S is the hyperbola at the batch
    size, times a penalty for a rate that is off the best one for that size.

    Args:
        curve: iterations against batch size.
        speed: seconds against batch size.
        best_rate: the best rate for batches without noise.
        room: samples that fit in memory.
        compile_seconds: that making a size ready takes [s].
        speed_of: seconds an iteration as they seem at present; the true ones at first.
    """

    curve: Hyperbola
    speed: SpeedCurve
    best_rate: float = 0.01
    room: float = math.inf
    compile_seconds: float = 1.0
    now: float = 0.0
    sizes: dict[int, float] = field(default_factory=dict)
    log: list[tuple[Pair, int]] = field(default_factory=list)
    speed_of: Callable[[float], float] = field(init=False)

    def __post_init__(self) -> None:
        """Let the times seem what they are."""
        self.speed_of = self.speed.seconds

    def clock(self) -> float:
        return self.now

    def ready(self, batch_size: int) -> Timing:
        if batch_size > self.room:
            raise MemoryError
        seconds = self.speed_of(batch_size)
        if batch_size not in self.sizes:
            self.sizes[batch_size] = seconds
            self.now += self.compile_seconds + 3 * seconds
        return Timing(seconds=seconds, spread=0.0, repeats=5)

    def cost(self, batch_size: int) -> float:
        if batch_size in self.sizes:
            return 0.0
        return self.compile_seconds + 3 * self.speed.seconds(batch_size)

    def begin(self, pair: Pair) -> Branch:
        return Branch.begun(pair, 0.0, 1.0)

    def fork(self, branch: Branch, pair: Pair) -> Branch:
        return Branch.begun(pair, branch.values, branch.looks[-1].value)

    def advance(self, branch: Branch, iterations: int) -> Branch:
        count = iterations - branch.iterations
        assert count > 0
        self.now += count * self.ready(branch.pair.batch_size).seconds
        self.log.append((branch.pair, count))
        progress = branch.values + count / self.iterations(branch.pair)
        value = math.inf if self.diverges(branch.pair) else 1 / (1 + progress)
        return branch.after(iterations, value, progress)

    def iterations(self, pair: Pair) -> float:
        """Iterations to the value 0.5."""
        assert pair.learning_rate is not None
        off = math.log(pair.learning_rate / self.rate(pair.batch_size))
        return self.curve.iterations(pair.batch_size) * math.exp(off**2 / 2)

    def rate(self, batch_size: int) -> float:
        """The best rate for a size."""
        return self.best_rate / math.sqrt(1 + self.curve.critical_size / batch_size)

    def diverges(self, pair: Pair) -> bool:
        assert pair.learning_rate is not None
        return pair.learning_rate > 8 * self.rate(pair.batch_size)

    def seconds(self, pair: Pair) -> float:
        """Seconds to the value 0.5."""
        return self.iterations(pair) * self.speed.seconds(pair.batch_size)

    def oracle(self, sizes: tuple[int, ...]) -> float:
        """The least seconds to the value 0.5 of any size at its best rate."""
        return min(
            self.seconds(Pair(batch_size=size, learning_rate=self.rate(size))) for size in sizes
        )
