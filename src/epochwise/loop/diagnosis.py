"""What was not finite first, and the last values that were.

A segment tells the loss of each iteration and whether the weights are finite at its end.
Where one is not, shorter parts of the same segment are run again from the values before
it: cuts are invisible, so they go through the very same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np

from epochwise.data.feed import Feed, Window
from epochwise.data.samples import leaves
from epochwise.engines.base import Engine, Loaded, SegmentResult, Values


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trouble(Generic[Values]):
    """Where a segment stopped being finite.

    Args:
        iterations: of the segment, the one that was not finite included; at least 1.
        values: the engine's, before that one.
        result: what the segment tells when it is cut after `iterations`.
        first: what was not finite first, in words.
    """

    iterations: int
    values: Values
    result: SegmentResult
    first: str


def diagnose(
    engine: Engine[Values, Loaded],
    feed: Feed,
    window: Window,
    loaded: Loaded,
    start: int,
    result: SegmentResult,
    before: Values,
) -> Trouble[Values] | None:
    """Return where the segment stopped being finite; `None` if it never did.

    Args:
        engine: ran the segment.
        feed: where the window came from.
        window: what the segment was a part of.
        loaded: the window, as the engine holds it.
        start: the segment's first iteration, counted in the window.
        result: what the segment told.
        before: the values that it began with.
    """
    count = len(result.losses)
    bad = next((i for i, loss in enumerate(result.losses) if not math.isfinite(loss)), None)
    if bad is None and result.weights_finite:
        return None

    def after(iterations: int) -> tuple[Values, SegmentResult]:
        values, pending = engine.run(before, loaded, start, start + iterations)
        return values, pending.wait()

    # Weights that are not finite never are again: find the last iteration whose are.
    finite, broken = 0, count if bad is None else bad + 1
    if bad is not None and after(broken)[1].weights_finite:
        finite = broken
    while broken - finite > 1:
        middle = (finite + broken) // 2
        if after(middle)[1].weights_finite:
            finite = middle
        else:
            broken = middle
    shows = min(finite, count if bad is None else bad) + 1
    kept = shows - 1
    values = after(kept)[0] if kept else before
    told = after(shows)[1] if shows < count else result
    first = _first(feed, window, start + kept, told.losses[kept], engine.to_host(values))
    return Trouble(iterations=shows, values=values, result=told, first=first)


def _first(
    feed: Feed, window: Window, place: int, loss: float, values: Mapping[str, Any]
) -> str:
    """Say what was not finite first in the iteration at a place of the window."""
    samples = window.samples if window.samples is not None else feed.resident
    if samples is not None:
        batch = samples.rows(window.rows[place])
        for name, tree in (("input", batch.x), ("target", batch.y), ("weight", batch.weight)):
            if not all(_is_finite(leaf) for leaf in leaves(tree)):
                return f"the {name} of its batch"
    for name, array in values.items():
        if name.startswith("trainable/") and not _is_finite(array):
            return "the weights that it began with"
    return "its loss" if not math.isfinite(loss) else "its gradient"


def _is_finite(array: Any) -> bool:
    """Tell whether an array holds neither NaN nor infinity."""
    values = np.asarray(array)
    if values.dtype.kind in "biu":
        return True
    return bool(np.isfinite(values.astype(np.float32)).all())
