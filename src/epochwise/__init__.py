"""Epochwise: train neural networks with epoch, batch and iteration under exact control."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from epochwise.api import fit as fit
    from epochwise.api import tune as tune
    from epochwise.choosing.worth import worth as worth
    from epochwise.counter import EpochCounter as EpochCounter
    from epochwise.data.iterations import Iteration as Iteration
    from epochwise.data.iterations import iterate as iterate
    from epochwise.data.sampler import EpochSampler as EpochSampler
    from epochwise.errors import EpochwiseError as EpochwiseError
    from epochwise.plan import Plan as Plan
    from epochwise.position import Position as Position
    from epochwise.record import Run as Run

_HOMES = {
    "EpochCounter": "epochwise.counter",
    "EpochSampler": "epochwise.data.sampler",
    "EpochwiseError": "epochwise.errors",
    "Iteration": "epochwise.data.iterations",
    "Plan": "epochwise.plan",
    "Position": "epochwise.position",
    "Run": "epochwise.record",
    "fit": "epochwise.api",
    "iterate": "epochwise.data.iterations",
    "tune": "epochwise.api",
    "worth": "epochwise.choosing.worth",
}

__all__ = [
    "EpochCounter",
    "EpochSampler",
    "EpochwiseError",
    "Iteration",
    "Plan",
    "Position",
    "Run",
    "fit",
    "iterate",
    "tune",
    "worth",
]


def __getattr__(name: str) -> Any:
    """Import a public name's module when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'epochwise' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
