"""Evaluating a part of the data: the values that training goes on from stay as they are."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from epochwise.data.feed import Feed
from epochwise.engines.base import Engine, Loaded, Values
from epochwise.events import BatchEvaluated, Evaluated
from epochwise.position import Position
from epochwise.stopping.metrics import VALIDATION


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
        values, pending = engine.evaluate(values, loaded, start, stop)
        done += stop - start
        samples += (stop - start) * window.batch_size
        goes_on = done != batches and not (window.closes_epoch and stop == window.iterations)
        if batchwise:
            yield BatchEvaluated(
                epoch_index=epoch_index,
                position=position,
                batch_index=done - 1,
                metrics=pending.wait().metrics,
                goes_on=goes_on,
            )
        if not goes_on:
            break
    result = pending.wait()
    compiling = engine.compile_seconds - compiled
    yield Evaluated(
        epoch_index=epoch_index,
        position=position,
        metrics=result.metrics,
        samples=samples,
        seconds=max(0.0, clock() - since - compiling),
        compile_seconds=compiling,
    )


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
