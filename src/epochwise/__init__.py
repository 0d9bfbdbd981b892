"""Epochwise: train neural networks with epoch, batch and iteration under exact control.

Importing it before Keras has Keras use a backend that is installed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from epochwise.framework import choose_backend as _choose_backend

if TYPE_CHECKING:
    from epochwise.api import fit as fit
    from epochwise.api import one_pass as one_pass
    from epochwise.api import resume as resume
    from epochwise.api import sweep as sweep
    from epochwise.api import tune as tune
    from epochwise.callbacks import EpochCounter as EpochCounter
    from epochwise.choosing.batch_size.watching import NoiseWatch as NoiseWatch
    from epochwise.choosing.worth import worth as worth
    from epochwise.counting.plan import Plan as Plan
    from epochwise.counting.position import Position as Position
    from epochwise.data.iterations import Iteration as Iteration
    from epochwise.data.iterations import iterate as iterate
    from epochwise.data.sampler import EpochSampler as EpochSampler
    from epochwise.errors import EpochwiseError as EpochwiseError
    from epochwise.record import Run as Run
    from epochwise.rules import GeneralizationLoss as GeneralizationLoss
    from epochwise.rules import NonFinite as NonFinite
    from epochwise.rules import Patience as Patience
    from epochwise.rules import ProgressQuotient as ProgressQuotient
    from epochwise.rules import SuccessiveRises as SuccessiveRises
    from epochwise.rules import Target as Target
    from epochwise.rules import TimeLimit as TimeLimit

_choose_backend()

_HOMES = {
    "EpochCounter": "epochwise.callbacks",
    "EpochSampler": "epochwise.data.sampler",
    "EpochwiseError": "epochwise.errors",
    "GeneralizationLoss": "epochwise.rules",
    "Iteration": "epochwise.data.iterations",
    "NonFinite": "epochwise.rules",
    "NoiseWatch": "epochwise.choosing.batch_size.watching",
    "Patience": "epochwise.rules",
    "Plan": "epochwise.counting.plan",
    "Position": "epochwise.counting.position",
    "ProgressQuotient": "epochwise.rules",
    "Run": "epochwise.record",
    "SuccessiveRises": "epochwise.rules",
    "Target": "epochwise.rules",
    "TimeLimit": "epochwise.rules",
    "fit": "epochwise.api",
    "iterate": "epochwise.data.iterations",
    "one_pass": "epochwise.api",
    "resume": "epochwise.api",
    "sweep": "epochwise.api",
    "tune": "epochwise.api",
    "worth": "epochwise.choosing.worth",
}

__all__ = [
    "EpochCounter",
    "EpochSampler",
    "EpochwiseError",
    "GeneralizationLoss",
    "Iteration",
    "NoiseWatch",
    "NonFinite",
    "Patience",
    "Plan",
    "Position",
    "ProgressQuotient",
    "Run",
    "SuccessiveRises",
    "Target",
    "TimeLimit",
    "fit",
    "iterate",
    "one_pass",
    "resume",
    "sweep",
    "tune",
    "worth",
]


def __getattr__(name: str) -> Any:
    """Import a public name's module when it is first asked for."""
    if name not in _HOMES:
        raise AttributeError(f"module 'epochwise' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
