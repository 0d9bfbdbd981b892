"""The noise of gradients at one moment of a training, measured on its way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from epochwise.choosing.batch_size.noise import (
    NoiseDraw,
    NoiseScale,
    from_microbatches,
    noise_scale,
)
from epochwise.data.feed import ArrayFeed
from epochwise.engines.base import Engine
from epochwise.engines.probing import Gradients, Probe, Squares

MICROBATCH = 32
"""Samples in a microbatch of the probe, where the set has enough of them [samples]."""

PARTS = 8
"""Microbatches in a draw."""

EPOCH_APART = 1 << 20
"""The probe draws its samples in the order of epochs from here on, which no training
comes to, so that they are not those just trained on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """The noise after some iterations.

    Args:
        iterations: of the pilot training [iterations].
        batch_size: its batch size [samples].
        plain: of the gradient itself.
        preconditioned: as the optimizer sees it, gᵀPg for |g|²; `None` where it does
            not precondition, or has not begun.
    """

    iterations: int
    batch_size: int
    plain: NoiseScale
    preconditioned: NoiseScale | None

    @property
    def seen(self) -> NoiseScale:
        """What the optimizer sees."""
        return self.plain if self.preconditioned is None else self.preconditioned

    def to_json(self) -> dict[str, object]:
        """Return the moment by name."""
        return {
            "iterations": self.iterations,
            "batch_size": self.batch_size,
            "plain": self.plain.to_json(),
            "preconditioned": None
            if self.preconditioned is None
            else self.preconditioned.to_json(),
        }


def probe_size(samples: int) -> int:
    """Return the samples of a microbatch: few enough that the set holds several draws.

    Example:
        >>> probe_size(60_000), probe_size(100), probe_size(3)
        (32, 6, 1)
    """
    return max(1, min(MICROBATCH, samples // (2 * PARTS)))


def noise_at(
    engine: Engine[Any, Any],
    probe: Probe[Any, Any],
    feed: ArrayFeed,
    values: Any,
    *,
    draws: int,
    iterations: int = 0,
    batch_size: int = 0,
) -> Moment:
    """Measure the noise of the gradients at the values.

    Args:
        engine: loads the samples.
        probe: computes the gradients.
        feed: the training samples in batches of `probe_size`.
        values: the engine's, as the pilot has them.
        draws: sets of `PARTS` microbatches, two or more.
        iterations: that the pilot has done, for the record.
        batch_size: the pilot's, for the record.

    Raises:
        ModelError: the gradients cannot be had apart.
    """
    found: list[Gradients] = []
    epoch = EPOCH_APART
    while len(found) < draws:
        window = feed.window(epoch, 0)
        loaded = engine.load(window)
        parts = min(PARTS, window.iterations)
        for start in range(0, window.iterations - parts + 1, parts):
            found.append(probe.gradients(values, loaded, start, start + parts))
            if len(found) == draws:
                break
        epoch += 1
    seen = [
        draw_of(one.size, one.preconditioned) for one in found if one.preconditioned is not None
    ]
    return Moment(
        iterations=iterations,
        batch_size=batch_size,
        plain=noise_scale([draw_of(one.size, one.plain) for one in found]),
        preconditioned=noise_scale(seen) if seen else None,
    )


def draw_of(size: int, squares: Squares) -> NoiseDraw:
    """Return the estimate from one set of microbatches.

    Args:
        size: samples in each of them [samples].
        squares: their squared lengths.
    """
    return from_microbatches([size] * len(squares.parts), squares.parts, squares.mean)
