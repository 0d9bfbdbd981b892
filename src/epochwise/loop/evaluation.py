"""Evaluating a part of the data: the values that training goes on from stay as they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from epochwise.counting.averages import LogMean, averaged, merged_logs
from epochwise.counting.position import Position
from epochwise.data.feed import Feed
from epochwise.data.samples import Array
from epochwise.engines.base import Engine, Loaded, Pending, Values
from epochwise.events import BatchEvaluated, Evaluated
from epochwise.rules.metrics import VALIDATION


def evaluate(
    engine: Engine[Values, Loaded],
    feed: Feed,
    *,
    batches: int | None,
    epoch_index: int,
    position: Position,
    clock: Callable[[], float] = time.perf_counter,
    batchwise: bool = False,
) -> Iterator[BatchEvaluated | Evaluated]:
    """Yield the metrics of a feed at the weights that the model holds now.

    Args:
        engine: evaluates.
        feed: what is evaluated, from its first batch on.
        batches: most batches to evaluate; `None` for all.
        epoch_index: of the training, for the event.
        position: of the training, for the event.
        clock: seconds of some clock that only goes forward [s].
        batchwise: whether each batch is told of, too.
    """
    since, compiled = clock(), engine.compile_seconds
    values = engine.take(fresh_metrics=True)
    seen: Mapping[str, Array] = engine.to_host(values) if batchwise else {}
    logs: dict[str, LogMean] = {}
    pending: Pending | None = None
    done = samples = 0
    while True:
        window = feed.window(0, done)
        start = done - window.first_iteration_index
        stop = window.iterations
        if batches is not None:
            stop = min(stop, start + batches - done)
        if batchwise:
            stop = start + 1
        loaded = engine.load(window, evaluating=True)
        if pending is not None:
            logs = merged_logs(logs, pending.wait().logs)
        values, pending = engine.evaluate(values, loaded, start, stop)
        done += stop - start
        samples += (stop - start) * window.batch_size
        goes_on = done != batches and not (window.closes_epoch and stop == window.iterations)
        if batchwise:
            result = pending.wait()
            yield BatchEvaluated(
                epoch_index=epoch_index,
                position=position,
                batch_index=done - 1,
                metrics=averaged(result.metrics, merged_logs(logs, result.logs)),
                goes_on=goes_on,
            )
            values, seen = _with_assigned(engine, values, seen)
        if not goes_on:
            break
    result = pending.wait()
    metrics = {**result.metrics, **engine.final_metrics(values)}
    compiling = engine.compile_seconds - compiled
    yield Evaluated(
        epoch_index=epoch_index,
        position=position,
        metrics=averaged(metrics, merged_logs(logs, result.logs)),
        samples=samples,
        seconds=max(0.0, clock() - since - compiling),
        compile_seconds=compiling,
    )


def _with_assigned(
    engine: Engine[Values, Loaded], values: Values, seen: Mapping[str, Array]
) -> tuple[Values, Mapping[str, Array]]:
    """Return an evaluation's values with what a listener has assigned to the model since.

    Args:
        engine: evaluates.
        values: of the evaluation so far, which the model does not hold.
        seen: what the model held before, by name.

    Returns:
        The values, and what the model holds now.
    """
    now = engine.to_host(engine.take())
    assigned = {
        name: array
        for name, array in now.items()
        if not name.startswith("metrics/")
        and array is not seen[name]
        and not np.array_equal(array, seen[name])
    }
    return engine.from_host(values, assigned) if assigned else values, now


def per_sample(
    engine: Engine[Values, Loaded], feed: Feed, *, batches: int | None
) -> dict[str, list[float]]:
    """Return the metrics of each validation sample at the weights that the model holds now.

    By the names of the history, as far as they are means over samples, always in the same
    order of samples.

    Args:
        engine: measures.
        feed: what is evaluated; one whose windows can be had again.
        batches: most batches of it; `None` for all.
    """
    found: dict[str, list[float]] = {}
    done, closes = 0, False
    while not closes and done != batches:
        window = feed.window(0, done)
        start = done - window.first_iteration_index
        stop = window.iterations
        if batches is not None:
            stop = min(stop, start + batches - done)
        loaded = engine.load(window, evaluating=True)
        for name, values in engine.per_sample(loaded, start, stop).items():
            found.setdefault(f"{VALIDATION}{name}", []).extend(values.tolist())
        done += stop - start
        closes = window.closes_epoch and stop == window.iterations
    return found
