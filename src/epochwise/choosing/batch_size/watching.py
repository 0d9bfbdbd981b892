"""The noise of the gradients, measured all the way through a training."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from epochwise.choosing.batch_size.noise import NoiseDraw, NoiseScale, noise_scale
from epochwise.choosing.batch_size.pilot import PARTS, draw_of, probe_size
from epochwise.counting.plan import Plan
from epochwise.data.feed import ArrayFeed
from epochwise.data.given import given_samples
from epochwise.data.order import Order
from epochwise.engines.select import engine_for, probe_for
from epochwise.events import Event, IterationsDone
from epochwise.framework import select_backend

POOL = 4096
"""Samples that the gradients are drawn from, at most [samples]."""


class NoiseWatch:
    """A listener that measures the noise scale while a model is trained.

    At the end of a segment of iterations it takes the gradients of some microbatches at
    the weights of that moment, as often as its share of the time allows. It changes
    nothing: the training has the same bits with and without it.

    Args:
        model: the compiled model that is trained.
        x: features, such as those that it is trained on.
        y: targets.
        share: the most that measuring may take of the training's own time; compiling
            once comes on top.
        seed: of the samples that are drawn.
        clock: seconds of a clock that only goes forward [s].

    Example:
        >>> import epochwise, keras
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> x = np.random.default_rng(0).normal(size=(64, 4))
        >>> y = x.sum(axis=1)
        >>> watch = NoiseWatch(model, x, y, share=1.0)
        >>> run = epochwise.fit(model, x, y, epochs=40, verbose=0, listeners=[watch])
        >>> [iterations for iterations, draw in watch.draws][0] > 0
        True
    """

    def __init__(
        self,
        model: Any,
        x: Any,
        y: Any,
        *,
        share: float = 0.03,
        seed: int = 0,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Take the samples; nothing is compiled before the first measurement."""
        select_backend()
        samples = given_samples(x, y)
        if samples.count > POOL:
            rows = Order(samples=samples.count, seed=seed).indices(0, 0, POOL)
            samples = samples.rows(rows.astype(np.int64))
        self.draws: list[tuple[int, NoiseDraw]] = []
        self._share = share
        self._clock = clock
        self._trained = self._measured = 0.0
        self._last = 0.0
        size = probe_size(samples.count)
        plan = Plan(samples=samples.count, batch_size=size, epochs=1, remainder="drop")
        self._feed = ArrayFeed(
            train=samples, order=Order(samples=samples.count, seed=seed), plan=plan
        )
        self._engine = engine_for(model, example=samples, resident=samples, validation=None)
        self._probe = probe_for(model, self._engine, samples.divisor)

    def on_event(self, event: Event) -> None:
        """See `Listener.on_event`."""
        if not isinstance(event, IterationsDone):
            return
        self._trained += event.seconds
        if self._measured + self._last > self._share * self._trained:
            return
        since = self._clock()
        self.draws.append((event.position.iterations_done, self._draw()))
        took = self._clock() - since
        if len(self.draws) > 1:  # the first one compiles
            self._measured += took
            self._last = took

    def noise(self, last: int = 12) -> NoiseScale:
        """Return the noise scale by the latest draws.

        Args:
            last: how many of them, two or more.

        Raises:
            ValueError: fewer than two were made.
        """
        return noise_scale([draw for _, draw in self.draws[-last:]])

    def _draw(self) -> NoiseDraw:
        """One set of microbatches at the weights that the model holds now."""
        parts = min(PARTS, self._feed.plan.iterations_per_epoch)
        place = len(self.draws) * parts
        per_epoch = self._feed.plan.iterations_per_epoch // parts * parts
        window = self._feed.window(place // per_epoch, 0)
        start = place % per_epoch
        found = self._probe.gradients(
            self._engine.take(), self._engine.load(window), start, start + parts
        )
        return draw_of(found.size, found.preconditioned or found.plain)
