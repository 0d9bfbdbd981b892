"""Branches run on an engine: the trial that a real model makes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from epochwise import loop
from epochwise.choosing.batch_size.memory import (
    LEAST_ITERATIONS,
    Tried,
    amount,
    largest_batch,
)
from epochwise.choosing.batch_size.speed import Timing, timings
from epochwise.choosing.batch_size.trial import Branch, Pair
from epochwise.counting.plan import Plan
from epochwise.counting.position import START
from epochwise.data.feed import ArrayFeed, Feed, Window
from epochwise.engines.base import Engine
from epochwise.engines.memory import is_out_of_memory
from epochwise.engines.probing import Probe, ProgramMemory
from epochwise.errors import PlanError
from epochwise.events import Evaluated

TIMED_SECONDS = 0.02
"""About how long one timed segment takes [s]."""

TIMED_ROUNDS = 3
"""Rounds in which all sizes are timed when one more is ready."""

FREED_SECONDS = 0.005
"""What a segment took is freed beside what runs; so long after it ended, it is [s]."""

MOST_TIMED_SECONDS = 0.5
"""No round is begun that would take longer, nor more warming up after as long [s]."""


class TooLargeError(MemoryError):
    """A batch would take more memory than it may; it was not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """The metric that branches are compared by.

    Args:
        metric: as the history names it.
        higher_is_better: whether it is turned around.
    """

    metric: str
    higher_is_better: bool

    def turned(self, value: float) -> float:
        """Return a value of the metric so that lower is better, and back again."""
        return -value if self.higher_is_better else value


Engines = Callable[[int | None], Engine[Any, Any]]
"""`microbatch_size -> engine`; `None` is for batches that go through the network whole."""


@dataclass(slots=True, kw_only=True, eq=False)
class EngineTrial:
    """See `Trial`.

    Training uses the samples in the order in which a training from here would use them;
    only a last batch of another size is left out, since it would be one more program to
    compile for each size. A batch that does not fit goes through the network in the
    largest microbatches that do.

    Args:
        engines: make the engines.
        probe: makes what tells the memory of an engine's sizes.
        feed: the training samples; its batch size does not matter.
        validation: what is evaluated, or `None` to watch the training's own metrics.
        validation_batches: how many batches of it.
        watched: the metric.
        clock: seconds of a clock that only goes forward [s].
        sizes: those that are ready.
        rounds: seconds an iteration by batch size, each from segments one after the other.
        timings: what the rounds tell.
        look_seconds: what the last evaluation took [s].
    """

    engines: Engines
    probe: Callable[[Engine[Any, Any]], Probe[Any, Any]]
    feed: ArrayFeed
    validation: Feed | None
    validation_batches: int
    watched: Watched
    clock: Callable[[], float] = time.perf_counter
    sizes: dict[int, ReadySize] = field(default_factory=dict)
    rounds: list[dict[int, float]] = field(default_factory=list)
    timings: dict[int, Timing] = field(default_factory=dict)
    look_seconds: float = 0.0
    _made: dict[int | None, tuple[Engine[Any, Any], Probe[Any, Any]]] = field(
        default_factory=dict
    )
    _start: Any = None
    _first_value: float | None = None

    def __post_init__(self) -> None:
        """Remember where every branch begins."""
        self._start = self.engine.take()

    @property
    def engine(self) -> Engine[Any, Any]:
        """The engine for whole batches."""
        return self._engine(None)[0]

    @property
    def engine_probe(self) -> Probe[Any, Any]:
        """What measures memory and gradients of the engine for whole batches."""
        return self._engine(None)[1]

    @property
    def start(self) -> Any:
        """The values that the model had."""
        return self._start

    def ready(self, batch_size: int) -> Timing:
        """See `Trial.ready`.

        Raises:
            ModelError: not even one sample of the batch fits at a time.
        """
        if batch_size not in self.sizes:
            try:
                self._make_ready(batch_size, None)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                self._find_microbatch(batch_size)
        return self.timings[batch_size]

    def cost(self, batch_size: int) -> float:
        """See `Trial.cost`."""
        if batch_size in self.sizes or not self.sizes:
            return 0.0
        known = min(self.sizes, key=lambda size: abs(math.log(size / batch_size)))
        seconds = self.timings[known].seconds * max(1.0, batch_size / known)
        compiling = max(size.ready_seconds for size in self.sizes.values())
        return compiling + (LEAST_ITERATIONS + 1) * seconds

    def begin(self, pair: Pair) -> Branch:
        """See `Trial.begin`."""
        if self._first_value is None:
            self._first_value = self._value_at_start(pair.batch_size)
        values = self._with_rate(self._start, pair.learning_rate)
        return Branch.begun(pair, values, self._first_value)

    def fork(self, branch: Branch, pair: Pair) -> Branch:
        """See `Trial.fork`."""
        values = self._with_rate(branch.values, pair.learning_rate)
        return Branch.begun(pair, values, branch.looks[-1].value, (branch.place[0] + 1, 0))

    def advance(self, branch: Branch, iterations: int) -> Branch:
        """See `Trial.advance`."""
        values, place, metrics, losses = self._carried_on(branch, iterations)
        finite = all(map(math.isfinite, losses))
        value = self._look(values, metrics) if finite else math.inf
        value = value if math.isfinite(value) else math.inf
        return branch.after(iterations, value, values, place)

    def losses(self, pair: Pair, iterations: int) -> list[float]:
        """Return the losses of a pair's first iterations, up to one that is not finite.

        Each is of its own batch, before the update; every pair of a size has the same batches.
        """
        return self._carried_on(self.begin(pair), iterations)[3]

    def _carried_on(
        self, branch: Branch, iterations: int
    ) -> tuple[Any, tuple[int, int], Mapping[str, float], list[float]]:
        """Train on to so many iterations in all, or to a loss that is not finite.

        Returns:
            The engine's values, the place after them, the last metrics and all losses.
        """
        self.ready(branch.pair.batch_size)
        size, place = self.sizes[branch.pair.batch_size], branch.place
        values = branch.values
        if self.validation is None:
            self.engine.give_back(values)
            values = self.engine.take(fresh_metrics=True)
        metrics: Mapping[str, float] = {}
        losses: list[float] = []
        left = iterations - branch.iterations
        while left and all(map(math.isfinite, losses[-1:])):
            window, loaded = size.window_at(place)
            start = place[1] - window.first_iteration_index
            count = min(window.iterations - start, left)
            values, pending = size.engine.run(values, loaded, start, start + count)
            result = pending.wait()
            left -= count
            metrics = result.metrics
            losses += result.losses
            closes = window.closes_epoch and start + count == window.iterations
            place = (place[0] + 1, 0) if closes else (place[0], place[1] + count)
        return values, place, metrics, losses

    def feed_of(self, batch_size: int) -> ArrayFeed:
        """Return the samples in batches of another size, whole batches only."""
        samples = self.feed.plan.samples
        plan = Plan(samples=samples, batch_size=batch_size, epochs=1, remainder="drop")
        return replace(self.feed, plan=plan)

    def _engine(self, microbatch_size: int | None) -> tuple[Engine[Any, Any], Probe[Any, Any]]:
        """Return the engine for such microbatches with its probe, whose programs it keeps."""
        if microbatch_size not in self._made:
            engine = self.engines(microbatch_size)
            self._made[microbatch_size] = engine, self.probe(engine)
        return self._made[microbatch_size]

    def _find_microbatch(self, batch_size: int) -> None:
        """Make a size ready with the largest microbatches that fit."""
        largest_batch(
            lambda microbatch_size: self._make_ready(batch_size, microbatch_size),
            samples=batch_size,
            start=max(1, batch_size // 2),
            ceiling=max(1, batch_size // 2),
        )

    def _make_ready(self, batch_size: int, microbatch_size: int | None) -> Tried:
        """Compile a size, look at its memory, run and time it; see `SizeTrial`.

        All samples of an array have one shape, so any of them are the longest.

        Raises:
            MemoryError: or another that `is_out_of_memory` knows: it does not fit.
        """
        since = self.clock()
        engine, probe = self._engine(microbatch_size)
        size = ReadySize(
            engine=engine,
            feed=self.feed_of(batch_size),
            microbatch_size=microbatch_size,
        )
        window = size.feed.window(0, 0)
        size.engine.prepare([window], [])
        size.memory = _checked_memory(probe, window)
        size.some_window()  # on the device before memory is watched
        seconds, size.rise_bytes = probe.watched(lambda: self._warmed_up(size))
        self.sizes[batch_size] = size
        self._keep_round({batch_size: seconds})
        for _ in range(TIMED_ROUNDS):
            self.time_in_turn()
        size.ready_seconds = self.clock() - since
        return Tried(
            batch_size=microbatch_size or batch_size,
            fits=True,
            iterations=LEAST_ITERATIONS,
            memory_bytes=size.memory_bytes,
        )

    def time_in_turn(self, most_seconds: float = MOST_TIMED_SECONDS) -> None:
        """Time a segment at each size that is ready, if all of them do not take too long.

        Args:
            most_seconds: that they may take together [s].
        """
        counts = {size: self._timed_iterations(size) for size in self.sizes}
        cost = sum(count * self.timings[size].seconds for size, count in counts.items())
        if cost <= most_seconds:
            self._keep_round(
                {size: self._timed(self.sizes[size], count) for size, count in counts.items()}
            )

    def _timed_iterations(self, batch_size: int) -> int:
        """Iterations of a timed segment."""
        wanted = round(TIMED_SECONDS / self.timings[batch_size].seconds)
        return max(1, min(wanted, self.sizes[batch_size].some_window()[0].iterations))

    def _keep_round(self, measured: dict[int, float]) -> None:
        """Add what was measured, and tell the times anew."""
        self.rounds.append(measured)
        self.timings = timings(self.rounds)

    def _warmed_up(self, size: ReadySize) -> float:
        """Seconds an iteration once segments are long enough to be timed [s].

        Two segments hold two iterations or more, where an epoch does and they do not take
        too long: what an iteration leaves behind while the next one runs is part of the
        memory that training takes, and libraries take more the second time.
        """
        began, most = self.clock(), size.some_window()[0].iterations
        made, count = 0, 1
        while True:
            time.sleep(FREED_SECONDS)
            seconds = self._timed(size, count)
            made += count
            out_of_time = self.clock() - began >= MOST_TIMED_SECONDS
            long_enough = count == most or seconds * count >= TIMED_SECONDS / 2
            enough = made > 2 * LEAST_ITERATIONS and long_enough
            if made >= LEAST_ITERATIONS and (enough or out_of_time):
                return seconds
            wanted = max(LEAST_ITERATIONS, round(TIMED_SECONDS / max(seconds, 1e-9)))
            count = min(wanted, most, 8 * made)

    def _timed(self, size: ReadySize, count: int) -> float:
        """Seconds an iteration of so many, from the weights that the model had [s]."""
        _, loaded = size.some_window()
        since = self.clock()
        _, pending = size.engine.run(self._start, loaded, 0, count)
        pending.wait()
        return (self.clock() - since) / count

    def _with_rate(self, values: Any, rate: float | None) -> Any:
        """Return the values with a learning rate in them."""
        if rate is None:
            return values
        self.engine.give_back(values)
        self.engine.set_learning_rate(rate)
        return self.engine.take()

    def _value_at_start(self, batch_size: int) -> float:
        """The metric before any training; of a batch where the training's own is watched."""
        if self.validation is not None:
            return self._look(self._start, {})
        self.ready(batch_size)
        size = self.sizes[batch_size]
        _, loaded = size.some_window()
        self.engine.give_back(self._start)
        _, pending = size.engine.run(self.engine.take(fresh_metrics=True), loaded, 0, 1)
        return self._look(self._start, pending.wait().metrics)

    def _look(self, values: Any, metrics: Mapping[str, float]) -> float:
        """The metric now, turned so that lower is better.

        Raises:
            PlanError: the model has no such metric.
        """
        if self.validation is not None:
            since = self.clock()
            self.engine.give_back(values)
            [evaluated] = loop.evaluate(
                self.engine,
                self.validation,
                batches=self.validation_batches,
                epoch_index=0,
                position=START,
            )
            assert isinstance(evaluated, Evaluated)
            self.look_seconds = self.clock() - since - evaluated.compile_seconds
            metrics = {f"val_{name}": value for name, value in evaluated.metrics.items()}
        if self.watched.metric not in metrics:
            raise PlanError(
                f"There is no metric {self.watched.metric!r}; there are "
                f"{', '.join(sorted(metrics))}.",
                f"name one of these, such as {min(metrics)}, or compile the model with it.",
            )
        return self.watched.turned(metrics[self.watched.metric])


def _checked_memory(probe: Probe[Any, Any], window: Window) -> ProgramMemory | None:
    """Tell what training on such windows takes, by the compiler's analysis.

    Raises:
        TooLargeError: more than there is room for.
    """
    memory, room = probe.memory(window), probe.room()
    if memory is not None and room is not None and memory.extra > room:
        raise TooLargeError(
            f"a batch of {window.batch_size} takes {amount(memory.extra)}, and "
            f"{amount(room)} may be taken"
        )
    return memory


@dataclass(slots=True, kw_only=True, eq=False)
class ReadySize:
    """A batch size that was compiled, run and timed.

    Args:
        engine: runs it.
        feed: the samples in such batches.
        microbatch_size: what goes through the network at once; `None` for all.
        memory: by the compiler's analysis.
        rise_bytes: how far memory really rose when it was run, libraries' own included
            [bytes]; `None` where nobody tells.
        ready_seconds: what making it ready took [s].
    """

    engine: Engine[Any, Any]
    feed: ArrayFeed
    microbatch_size: int | None
    memory: ProgramMemory | None = None
    rise_bytes: int | None = None
    ready_seconds: float = 0.0
    _there: tuple[Window, Any] | None = None

    @property
    def memory_bytes(self) -> int | None:
        """What training takes: what is held, and the larger of analysis and rise."""
        if self.memory is None:
            return None
        return self.memory.held + max(self.memory.extra, self.rise_bytes or 0)

    def some_window(self) -> tuple[Window, Any]:
        """Return the window that is on the device, or the first one."""
        return self._there or self.window_at((0, 0))

    def window_at(self, place: tuple[int, int]) -> tuple[Window, Any]:
        """Return the window of a place, on the device; the last one asked for stays there."""
        epoch, iteration = place
        if self._there is not None:
            window = self._there[0]
            inside = window.first_iteration_index <= iteration < window.end_iteration_index
            if window.epoch_index == epoch and inside:
                return self._there
        window = self.feed.window(epoch, iteration)
        self._there = window, self.engine.load(window)
        return self._there
