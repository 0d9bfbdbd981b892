"""What a training remembers between two iterations, all of it in one value.

What is in the state is saved; what is not does not exist. Whoever needs memory (an
engine, a stopping rule) is handed it and hands it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from epochwise.position import Position


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingState:
    """Everything that the next iteration depends on, as the host holds it.

    Args:
        position: how much is done.
        arrays: NumPy arrays by name, `trainable/0` or `optimizer/3`: weights, optimizer,
            metrics so far and random counters, and the best weights. Nobody changes
            them while the state is in use.
        memories: what the rules remember, by name: strings, numbers (NaN and infinity
            among them), true, false, `None`, and lists and mappings of these. `best`
            tells by its `iterations_done` where the best weights are, and is `None` where
            nobody counts.
    """

    position: Position
    arrays: Mapping[str, Any]
    memories: Mapping[str, Any]
