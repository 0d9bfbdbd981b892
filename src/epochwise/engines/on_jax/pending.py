"""A segment under way on the device: the calls it is made of, and what they will tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax

from epochwise.data.samples import Array
from epochwise.engines.base import SegmentResult
from epochwise.engines.own_step import added_up
from epochwise.engines.values import as_numbers


def calls_of(
    start: int, stop: int, measured: Sequence[int], *, single: bool
) -> Iterator[tuple[int, int]]:
    """Yield the calls that a segment is made of, each from a place to the one after its last.

    Args:
        start: the first iteration of the segment.
        stop: the one after its last.
        measured: iterations in it that need a call of their own.
        single: whether all of them do.

    Example:
        >>> list(calls_of(3, 9, [5], single=False))
        [(3, 5), (5, 6), (6, 9)]
    """
    cuts = {start, *measured, *(place + 1 for place in measured)}
    places = range(start, stop) if single else sorted(cuts - {stop})
    yield from zip(places, [*places[1:], stop], strict=True)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JaxPending:
    """A segment that may still be running.

    Args:
        batches: what single batches tell, in order: arrays of some iterations with where
            they stand there, or of one batch, with `None`. Of each a pair: `(loss,)`, which
            is empty in an evaluation, and what a step of the user's logged, see `Trained`.
        batch_size: samples in each of them.
        metrics: as of the last iteration.
        rate: of the last update.
        finite: whether the weights are finite after it.
        update_sizes: by place in the window, one number for each of the `layers`.
        layers: their names.
    """

    batches: Sequence[tuple[Any, range | None]] = ()
    batch_size: int = 0
    metrics: Mapping[str, jax.Array]
    rate: jax.Array | None = None
    finite: jax.Array | None = None
    update_sizes: Mapping[int, jax.Array | Array] = field(default_factory=dict)
    layers: Sequence[str] = ()

    def wait(self) -> SegmentResult:
        """See `Pending.wait`."""
        batches, metrics, rate, finite, sizes = jax.device_get(
            (
                [told for told, _ in self.batches],
                self.metrics,
                self.rate,
                self.finite,
                self.update_sizes,
            )
        )
        single = [
            told if places is None else jax.tree.map(lambda leaf, at=place: leaf[at], told)
            for told, (_, places) in zip(batches, self.batches, strict=True)
            for place in places or (0,)
        ]
        return SegmentResult(
            losses=tuple(float(loss) for losses, _ in single for loss in losses),
            metrics=as_numbers(metrics),
            logs=added_up([own for _, own in single if own], self.batch_size),
            learning_rate=None if rate is None else float(rate),
            weights_finite=finite is None or bool(finite),
            update_sizes={
                place: dict(zip(self.layers, map(float, found), strict=True))
                for place, found in sizes.items()
            },
        )
