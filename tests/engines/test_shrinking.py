"""H12: memory that runs out in the middle of a training costs no iteration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import pytest

from epochwise import loop
from epochwise.counting.plan import Plan
from epochwise.data.feed import ArrayFeed, Window
from epochwise.data.order import Order
from epochwise.data.samples import Samples
from epochwise.engines.base import SegmentResult
from epochwise.engines.select import engine_for
from epochwise.engines.shrinking import ShrinkingEngine
from epochwise.errors import ModelError
from epochwise.events import IterationsDone, Stopped
from epochwise.loop import Course

L = keras.layers
RNG = np.random.default_rng(2)
DATA = Samples(
    x=RNG.normal(size=(40, 4)).astype(np.float32), y=RNG.normal(size=(40, 1)).astype(np.float32)
)


class Short:
    """An engine whose memory runs out: in `run`, or only when the result is waited for.

    Args:
        engine: what runs really.
        at: the iteration, by the optimizer's count, from which on there is none.
        where: `run`, `wait` or `prepare`.
        error: what is raised.
    """

    def __init__(
        self, engine: Any, at: int, where: str, error: Callable[[], Exception]
    ) -> None:
        self._engine = engine
        self.at = at
        self.where = where
        self.error = error

    def __getattr__(self, name: str) -> Any:
        """Do all else as the engine does."""
        return getattr(self._engine, name)

    def prepare(
        self, training: Sequence[Window], evaluating: Sequence[Window], **asked: Any
    ) -> None:
        if self.where == "prepare":
            raise self.error()
        self._engine.prepare(training, evaluating, **asked)

    def run(
        self, values: Any, loaded: Any, start: int, stop: int, **asked: Any
    ) -> tuple[Any, Any]:
        short = max(self._engine.updates().values()) >= self.at
        if short and self.where == "run":
            raise self.error()
        after, pending = self._engine.run(values, loaded, start, stop, **asked)
        return after, Failing(self.error) if short else pending


class Failing:
    """A result that fails when it is waited for."""

    def __init__(self, error: Callable[[], Exception]) -> None:
        self.error = error

    def wait(self) -> SegmentResult:
        raise self.error()


def linear() -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), L.Dense(1)])
    model.compile(keras.optimizers.SGD(0.05), "mean_squared_error")
    return model


def engine_of(model: keras.Model, microbatch_size: int | None = None) -> Any:
    return engine_for(
        model, example=DATA, resident=DATA, validation=None, microbatch_size=microbatch_size
    )


def trained(model: keras.Model, engine: Any) -> list[Any]:
    """Train 3 epochs of 5 batches in segments of at most two; return the events."""
    plan = Plan(samples=40, batch_size=8, epochs=3)
    feed = ArrayFeed(train=DATA, order=Order(samples=40, seed=0), plan=plan)
    course = Course(feed=feed, plan=plan, epochs=3, iterations=plan.iterations, cuts=(2,))
    return list(loop.train(engine, course))


def shrinking(
    model: keras.Model, short: Any, told: list[str], fits: int = 4
) -> ShrinkingEngine:
    """An engine that fails as `short` does until microbatches are small enough."""

    def make(microbatch_size: int) -> Any:
        smaller = engine_of(model, microbatch_size)
        if microbatch_size <= fits:
            return smaller
        return Short(smaller, 0, "run", short.error)

    return ShrinkingEngine(short, make, microbatch_size=None, told=told.append)


@pytest.mark.parametrize("where", ["prepare", "run", "wait"])
def test_h12_the_training_goes_on_with_the_same_batches(where: str) -> None:
    """H12: out of memory at update 7: 15 updates all the same, none lost or made twice."""
    plain, model, told = linear(), linear(), list[str]()
    expected = trained(plain, engine_of(plain))
    short = Short(engine_of(model), 7, where, MemoryError)

    events = trained(model, shrinking(model, short, told))

    def losses(happened: list[Any]) -> list[float]:
        return [x for one in happened if isinstance(one, IterationsDone) for x in one.losses]

    assert losses(events) == pytest.approx(losses(expected), rel=1e-5)
    assert len(losses(events)) == 15
    assert isinstance(events[-1], Stopped)
    assert list(events[-1].updates.values()) == [15]
    for ours, theirs in zip(model.weights, plain.weights, strict=True):
        assert np.asarray(ours) == pytest.approx(np.asarray(theirs), rel=1e-4, abs=1e-6)
    assert len(told) == 1
    assert "microbatches of 4" in told[0]


def test_h12_microbatches_are_halved_until_they_fit() -> None:
    """H12: with room for one sample, 8 becomes 4, 2 and 1, each told."""
    model, told = linear(), list[str]()
    short = Short(engine_of(model), 7, "run", MemoryError)

    events = trained(model, shrinking(model, short, told, fits=1))

    assert list(events[-1].updates.values()) == [15]
    assert len(told) == 3


def test_h03_not_even_one_sample_fits() -> None:
    """H03: where one sample is too much the error says so, and the weights are kept."""
    model, told = linear(), list[str]()
    short = Short(engine_of(model), 7, "run", lambda: MemoryError("no room"))

    with pytest.raises(ModelError, match="Not even 1 sample at a time fits in memory: no room"):
        trained(model, shrinking(model, short, told, fits=0))

    assert int(model.optimizer.iterations) == 8  # of the last segment that was whole


def test_h16_another_error_is_not_taken_for_it() -> None:
    """H16: an error of another kind ends the training at once, as it is."""
    model, told = linear(), list[str]()
    short = Short(engine_of(model), 7, "wait", lambda: ValueError("out of memory"))

    with pytest.raises(ValueError, match="out of memory"):
        trained(model, shrinking(model, short, told))

    assert told == []
