"""An engine that goes on when memory runs out: the same batches, in smaller microbatches.

The segment that failed is run again from the values it began with, which stay valid
whatever becomes of it. So no iteration is lost or made twice, and the batch, which is
what counts, stays as it was. An evaluation is made in smaller parts as well, whose size
is its own: it needs less memory than training does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from epochwise.counting.averages import LogMean, merged_logs
from epochwise.data.feed import Window
from epochwise.data.samples import Array
from epochwise.engines.base import Engine, Pending, SegmentResult
from epochwise.engines.memory import is_out_of_memory
from epochwise.errors import ModelError
from epochwise.events import EngineDescription

Result = TypeVar("Result")


@dataclass(slots=True, eq=False)
class _Promised:
    """Values of a segment that may still fail; those of its repetition, once it has."""

    values: Any


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """A window with what the engine at work made of it."""

    window: Window
    loaded: Any
    engine: Engine[Any, Any]

    def by(self, engine: Engine[Any, Any], *, evaluating: bool = False) -> Any:
        """Return what this engine made of it; it is loaded again for another one."""
        if engine is self.engine:
            return self.loaded
        return engine.load(self.window, evaluating=evaluating)


@dataclass(frozen=True, slots=True, eq=False)
class _Watched:
    """See `Pending`; a segment that runs out of memory is run again, smaller."""

    shrink: Callable[[Exception], None]
    pending: Pending
    promised: _Promised
    again: Callable[[], tuple[Any, Pending]]

    def wait(self) -> SegmentResult:
        """See `Pending.wait`."""
        pending = self.pending
        while True:
            try:
                return pending.wait()
            except Exception as error:
                self.shrink(error)
            self.promised.values, pending = self.again()


@dataclass(frozen=True, slots=True, eq=False)
class _Parts:
    """See `Pending`; of an evaluation that was made in parts, one after the other."""

    parts: Sequence[Pending]

    def wait(self) -> SegmentResult:
        """See `Pending.wait`."""
        results = [part.wait() for part in self.parts]
        logs: dict[str, LogMean] = {}
        for result in results:
            logs = merged_logs(logs, result.logs)
        return replace(results[-1], logs=logs)


class ShrinkingEngine:
    """See `Engine`.

    Args:
        engine: what runs as long as memory lasts.
        make: `microbatch_size -> engine`, for when it does not.
        microbatch_size: what goes through the network at once now; `None` for a batch.
        told: is handed a sentence for the user each time memory has run out.
        check_parts: raises `ModelError` where parts of a batch do not have the batch's
            metrics.
    """

    def __init__(
        self,
        engine: Engine[Any, Any],
        make: Callable[[int], Engine[Any, Any]],
        *,
        microbatch_size: int | None,
        told: Callable[[str], None],
        check_parts: Callable[[], None] = lambda: None,
    ) -> None:
        """Begin with the engine there is."""
        self._engine = engine
        self._make = make
        self._told = told
        self._check_parts = check_parts
        self._microbatch_size = microbatch_size
        self._evaluated_at_once: int | None = None
        self._batch_size = 1
        self._compiled_before = (0, 0.0)

    @property
    def description(self) -> EngineDescription:
        """See `Engine.description`."""
        return self._engine.description

    @property
    def compilations(self) -> int:
        """See `Engine.compilations`."""
        return self._compiled_before[0] + self._engine.compilations

    @property
    def compile_seconds(self) -> float:
        """See `Engine.compile_seconds`."""
        return self._compiled_before[1] + self._engine.compile_seconds

    def take(self, *, fresh_metrics: bool = False) -> Any:
        """See `Engine.take`."""
        return self._engine.take(fresh_metrics=fresh_metrics)

    def give_back(self, values: Any) -> None:
        """See `Engine.give_back`."""
        self._engine.give_back(_plain(values))

    def to_host(self, values: Any) -> dict[str, Array]:
        """See `Engine.to_host`."""
        return self._engine.to_host(_plain(values))

    def from_host(self, values: Any, arrays: Mapping[str, Array]) -> Any:
        """See `Engine.from_host`."""
        return self._engine.from_host(_plain(values), arrays)

    def prepare(
        self,
        training: Sequence[Window],
        evaluating: Sequence[Window],
        *,
        measuring: bool = False,
    ) -> None:
        """See `Engine.prepare`."""
        self._batch_size = max((window.batch_size for window in training), default=1)

        def once() -> None:
            try:
                self._engine.prepare(training, evaluating, measuring=measuring)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                # If it was for the evaluation, that is made in parts when it comes.
                self._engine.prepare(training, (), measuring=measuring)

        _until_it_fits(once, self.shrink)

    def load(self, window: Window, *, evaluating: bool = False) -> _Held:
        """See `Engine.load`."""
        loaded = self._engine.load(window, evaluating=evaluating)
        return _Held(window, loaded, self._engine)

    def run(
        self,
        values: Any,
        loaded: _Held,
        start: int,
        stop: int,
        *,
        measured: Sequence[int] = (),
    ) -> tuple[Any, Pending]:
        """See `Engine.run`."""
        self._batch_size = max(self._batch_size, loaded.window.batch_size)
        before = _plain(values)

        def once() -> tuple[Any, Pending]:
            here = loaded.by(self._engine)
            return self._engine.run(before, here, start, stop, measured=measured)

        def again() -> tuple[Any, Pending]:
            return _until_it_fits(once, self.shrink)

        after, pending = again()
        promised = _Promised(after)
        return promised, _Watched(self.shrink, pending, promised, again)

    def evaluate(
        self, values: Any, loaded: _Held, start: int, stop: int
    ) -> tuple[Any, Pending]:
        """See `Engine.evaluate`."""
        before = _plain(values)
        shrink = partial(self._shrink_evaluation, loaded.window.batch_size)

        def once() -> tuple[Any, Pending]:
            after, parts = before, []
            for here, first, end in self._parts(loaded, start, stop):
                after, pending = self._engine.evaluate(after, here, first, end)
                parts.append(pending)
            return after, _Parts(parts)

        def again() -> tuple[Any, Pending]:
            return _until_it_fits(once, shrink)

        after, pending = again()
        promised = _Promised(after)
        return promised, _Watched(shrink, pending, promised, again)

    def final_metrics(self, values: Any) -> Mapping[str, float]:
        """See `Engine.final_metrics`."""
        return self._engine.final_metrics(_plain(values))

    def per_sample(self, loaded: _Held, start: int, stop: int) -> dict[str, Array]:
        """See `Engine.per_sample`."""

        def once() -> dict[str, Array]:
            parts = [
                self._engine.per_sample(here, first, end)
                for here, first, end in self._parts(loaded, start, stop)
            ]
            return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

        return _until_it_fits(once, partial(self._shrink_evaluation, loaded.window.batch_size))

    def _parts(self, held: _Held, start: int, stop: int) -> Iterator[tuple[Any, int, int]]:
        """Yield loaded windows with what to evaluate of them: batches `start` to `stop - 1`.

        One, as long as its batches fit in memory; else the samples in their order, as many
        at once as fit, and what is left.
        """
        size, window = self._evaluated_at_once, held.window
        if size is None or size >= window.batch_size:
            yield held.by(self._engine, evaluating=True), start, stop
            return
        samples = window.rows[start:stop].reshape(-1)
        full = len(samples) // size
        for rows in (samples[: full * size].reshape(full, size), samples[None, full * size :]):
            if rows.size:
                part = replace(window, rows=rows, iterations=len(rows))
                yield self._engine.load(part, evaluating=True), 0, len(rows)

    def learning_rate(self) -> float:
        """See `Engine.learning_rate`."""
        return self._engine.learning_rate()

    def set_learning_rate(self, rate: float) -> None:
        """See `Engine.set_learning_rate`."""
        self._engine.set_learning_rate(rate)

    def updates(self) -> Mapping[str, int]:
        """See `Engine.updates`."""
        return self._engine.updates()

    def shrink(self, error: Exception) -> None:
        """Halve the microbatches after an error that means "out of memory".

        Raises:
            ModelError: not even one sample fits, or the model takes no microbatches.
            Exception: the error itself, where it means something else.
        """
        size = self._microbatch_size or self._batch_size
        smaller = _half(size, error)
        self._compiled_before = self.compilations, self.compile_seconds
        self._engine = self._make(smaller)
        self._microbatch_size = smaller
        self._told(
            f"Memory ran out with {size:,} samples at a time; each batch goes on in "
            f"microbatches of {smaller:,}, counted as before."
        )

    def _shrink_evaluation(self, batch_size: int, error: Exception) -> None:
        """Halve what is evaluated at once after an error that means "out of memory".

        Raises:
            ModelError: not even one sample fits, or parts do not have the batch's metrics.
            Exception: the error itself, where it means something else.
        """
        size = min(self._evaluated_at_once or batch_size, batch_size)
        smaller = _half(size, error)
        self._check_parts()
        self._evaluated_at_once = smaller
        self._told(
            f"Memory ran out in an evaluation with {size:,} samples at a time; it goes on "
            f"with {smaller:,}, and its metrics are means over the same samples."
        )


def _half(size: int, error: Exception) -> int:
    """Return half of what did not fit in memory [samples].

    Raises:
        ModelError: it was one sample.
        Exception: the error itself, where it means something else.
    """
    if not is_out_of_memory(error):
        raise error
    if size == 1:
        raise ModelError(
            "Not even 1 sample at a time fits in memory: "
            f"{str(error).splitlines()[0] if str(error) else type(error).__name__}",
            "use a smaller model or smaller samples, or free memory.",
        ) from error
    return size // 2


def _until_it_fits(once: Callable[[], Result], shrink: Callable[[Exception], None]) -> Result:
    """Return what a call returns that is made again, smaller, while it fails."""
    while True:
        try:
            return once()
        except Exception as error:
            shrink(error)


def _plain(values: Any) -> Any:
    """The engine's own values."""
    return values.values if isinstance(values, _Promised) else values
