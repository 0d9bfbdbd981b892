"""A training that never happened: the events of one, made up from its plan alone.

For tests of whoever listens: recorder, progress, commands. The numbers are arbitrary
but fixed, the order and the positions are those that the loop promises.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import numpy as np

from epochwise.counting.plan import Plan
from epochwise.data.samples import Array
from epochwise.events import (
    EngineDescription,
    EpochBegun,
    EpochDone,
    Evaluated,
    EvaluationBegun,
    Event,
    IterationsDone,
    RunBegun,
    Stopped,
    StopReason,
)
from epochwise.record import Header

ENGINE = EngineDescription(
    engine="jax",
    backend="jax 0.10.1",
    device="cpu",
    execution="scan",
    reason="Nothing in the program is slower inside a loop.",
)


class FakeClock:
    """A clock that moves only when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def loss_of(iteration: int) -> float:
    """Return the made-up loss of an iteration, counted from one; exact as float32."""
    return float(np.float32(1.0 / iteration))


def events_of(
    plan: Plan,
    *,
    segment: int = 3,
    evaluates: bool = True,
    stop: StopReason | None = None,
    at_iteration: int | None = None,
    updates: dict[str, int] | None = None,
    seconds: float = 0.5,
    knows_length: bool = True,
) -> Iterator[Event]:
    """Yield what the loop would, segments of at most `segment` iterations.

    With `at_iteration` the run ends there for the reason `stop`. Without `knows_length`
    it is told as data whose length the first pass finds out.
    """
    last = plan.iterations if at_iteration is None else at_iteration
    per_epoch = plan.iterations_per_epoch
    place = plan.position(0)
    yield RunBegun(
        plan=plan if knows_length else None,
        epochs=math.ceil(plan.epochs),
        position=place,
        engine=ENGINE,
    )
    while place.iterations_done < last:
        epoch_index, done = divmod(place.iterations_done, per_epoch)
        told = per_epoch if knows_length or epoch_index else None
        yield EpochBegun(epoch_index=epoch_index, position=place, iterations_per_epoch=told)
        metrics: dict[str, float] = {}
        epoch_end = min(last, (epoch_index + 1) * per_epoch)
        while place.iterations_done < epoch_end:
            begin = place.iterations_done
            place = plan.position(min(epoch_end, begin + segment))
            done = place.iterations_done
            losses = [loss_of(i + 1) for i in range(begin, done)]
            sizes = [plan.batch_size_of(i) for i in range(begin, done)]
            everything = [
                (loss_of(i + 1), plan.batch_size_of(i))
                for i in range(epoch_index * per_epoch, done)
            ]
            mean = sum(x * n for x, n in everything) / sum(n for _, n in everything)
            metrics = {"loss": mean, "accuracy": 1.0 - mean / 2}
            yield IterationsDone(
                epoch_index=epoch_index,
                position=place,
                losses=tuple(losses),
                samples=tuple(sizes),
                metrics=metrics,
                learning_rate=0.001,
                seconds=seconds,
                compile_seconds=0.25 if begin == 0 else 0.0,
                epoch_goes_on=done < (epoch_index + 1) * per_epoch,
            )
        if evaluates:
            yield EvaluationBegun(epoch_index=epoch_index, position=place)
            seen = {"loss": 0.5 / (epoch_index + 1), "accuracy": 0.75}
            yield Evaluated(
                epoch_index=epoch_index,
                position=place,
                metrics=seen,
                samples=10,
                seconds=0.125,
                compile_seconds=0.0,
            )
            metrics = metrics | {f"val_{name}": value for name, value in seen.items()}
        yield EpochDone(
            epoch_index=epoch_index,
            position=place,
            metrics=metrics,
            whole=done == (epoch_index + 1) * per_epoch,
        )
    planned = StopReason(rule="plan", sentence="All planned iterations are done.")
    yield Stopped(position=place, reason=stop or planned, updates=updates or {})


def with_loss(events: Iterator[Event], value: float) -> Iterator[Event]:
    """Yield the same events with every loss of an epoch replaced."""
    for event in events:
        if isinstance(event, EpochDone):
            yield replace(event, metrics={**event.metrics, "loss": value})
        else:
            yield event


def header_of(plan: Plan | None) -> Header:
    """Return a header as a small training would have it."""
    return Header(
        began=datetime(2026, 11, 23, 14, 25, 1, tzinfo=timezone(timedelta(hours=1))),
        data_name="digits",
        data={"sha256": "0" * 64, "samples": 10, "classes": ["0", "1"]},
        split=None,
        order={"seed": 0, "shuffle": True},
        model_name="mlp",
        model={"parameters": 12, "loss": "sparse_categorical_crossentropy"},
        plan=plan,
        versions={"python": "3.11.0"},
        machine={"cores": 2},
        arguments=["train", "digits"],
    )


def weights() -> list[tuple[str, Array]]:
    """Return two named weights."""
    return [
        ("mlp/dense/kernel", np.arange(6, dtype=np.float32).reshape(2, 3)),
        ("mlp/dense/bias", np.array([0.5, -0.0, np.nan], np.float32)),
    ]
