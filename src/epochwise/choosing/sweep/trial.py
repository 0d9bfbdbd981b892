"""What a sweep compares: settings, each tried with every seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is compared.

    Args:
        batch_size: samples per weight update [samples / iteration].
        learning_rate: of the optimizer; `None` for its own.
    """

    batch_size: int
    learning_rate: float | None = None

    @property
    def name(self) -> str:
        """A name for people and folders.

        Example:
            >>> Setting(batch_size=32, learning_rate=0.004).name
            'b32-r0.004'
        """
        rate = "" if self.learning_rate is None else f"-r{self.learning_rate:g}"
        return f"b{self.batch_size}{rate}"

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name."""
        return {"batch_size": self.batch_size, "learning_rate": self.learning_rate}


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One run of a sweep.

    Args:
        setting: what it is trained with.
        seed: of its weights, order and split.
    """

    setting: Setting
    seed: int

    @property
    def name(self) -> str:
        """A name for people and folders."""
        return f"{self.setting.name}-s{self.seed}"


def trials(
    batch_sizes: Sequence[int],
    learning_rates: Sequence[float | None],
    seeds: Sequence[int],
) -> list[Trial]:
    """Return every setting with every seed, the runs of one batch size side by side.

    Example:
        >>> [trial.name for trial in trials([32], [0.001, 0.01], [0])]
        ['b32-r0.001-s0', 'b32-r0.01-s0']
    """
    return [
        Trial(setting=Setting(batch_size=batch_size, learning_rate=rate), seed=seed)
        for batch_size, rate, seed in product(batch_sizes, learning_rates, seeds)
    ]
