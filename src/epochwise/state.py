"""What a training remembers between two iterations, all of it in one value.

What is in the state is saved; what is not does not exist. Whoever needs memory (an
engine, a stopping rule) is handed it and hands it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from epochwise.position import Position

Values = TypeVar("Values")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingState(Generic[Values]):
    """Everything that the next iteration depends on.

    Args:
        position: how much is done.
        values: the engine's: weights, optimizer, metrics so far and random counters.
    """

    position: Position
    values: Values
