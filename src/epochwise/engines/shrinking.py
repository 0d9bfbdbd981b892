"""An engine that goes on when memory runs out: the same batches, in smaller microbatches.

The segment that failed is run again from the values it began with, which stay valid
whatever becomes of it. So no iteration is lost or made twice, and the batch, which is
what counts, stays as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from epochwise.data.feed import Window
from epochwise.data.samples import Array
from epochwise.engines.base import Engine, Pending, SegmentResult
from epochwise.engines.memory import is_out_of_memory
from epochwise.errors import ModelError
from epochwise.events import EngineDescription


@dataclass(slots=True, eq=False)
class _Promised:
    """Values of a segment that may still fail; those of its repetition, once it has."""

    values: Any


@dataclass(frozen=True, slots=True, eq=False)
class _Held:
    """A window with what the engine at work made of it."""

    window: Window
    loaded: Any
    evaluating: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Watched:
    """See `Pending`; a segment that runs out of memory is run again, smaller."""

    engine: ShrinkingEngine
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
                self.engine.shrink(error)
            self.promised.values, pending = self.again()


class ShrinkingEngine:
    """See `Engine`.

    Args:
        engine: what runs as long as memory lasts.
        make: `microbatch_size -> engine`, for when it does not.
        microbatch_size: what goes through the network at once now; `None` for a batch.
        told: is handed a sentence for the user each time memory has run out.
    """

    def __init__(
        self,
        engine: Engine[Any, Any],
        make: Callable[[int], Engine[Any, Any]],
        *,
        microbatch_size: int | None,
        told: Callable[[str], None],
    ) -> None:
        """Begin with the engine there is."""
        self._engine = engine
        self._make = make
        self._told = told
        self._microbatch_size = microbatch_size
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
        while True:
            try:
                return self._engine.prepare(training, evaluating, measuring=measuring)
            except Exception as error:
                self.shrink(error)

    def load(self, window: Window, *, evaluating: bool = False) -> _Held:
        """See `Engine.load`."""
        loaded = self._engine.load(window, evaluating=evaluating)
        return _Held(window, loaded, evaluating)

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
        before, first, current = _plain(values), self._engine, loaded.loaded

        def again() -> tuple[Any, Pending]:
            while True:
                engine = self._engine
                here = current if engine is first else engine.load(loaded.window)
                try:
                    return engine.run(before, here, start, stop, measured=measured)
                except Exception as error:
                    self.shrink(error)

        after, pending = again()
        promised = _Promised(after)
        return promised, _Watched(self, pending, promised, again)

    def evaluate(
        self, values: Any, loaded: _Held, start: int, stop: int
    ) -> tuple[Any, Pending]:
        """See `Engine.evaluate`."""
        return self._engine.evaluate(_plain(values), loaded.loaded, start, stop)

    def per_sample(self, loaded: _Held, start: int, stop: int) -> dict[str, Array]:
        """See `Engine.per_sample`."""
        return self._engine.per_sample(loaded.loaded, start, stop)

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
        if not is_out_of_memory(error):
            raise error
        size = self._microbatch_size or self._batch_size
        if size == 1:
            raise ModelError(
                "Not even 1 sample at a time fits in memory: "
                f"{str(error).splitlines()[0] if str(error) else type(error).__name__}",
                "use a smaller model or smaller samples, or free memory.",
            ) from error
        smaller = size // 2
        self._compiled_before = self.compilations, self.compile_seconds
        self._engine = self._make(smaller)
        self._microbatch_size = smaller
        self._told(
            f"Memory ran out with {size:,} samples at a time; each batch goes on in "
            f"microbatches of {smaller:,}, counted as before."
        )


def _plain(values: Any) -> Any:
    """The engine's own values."""
    return values.values if isinstance(values, _Promised) else values
