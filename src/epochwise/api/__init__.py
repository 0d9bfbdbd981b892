"""The verbs as Python functions: they wire the parts together and decide nothing.

Importing this imports no framework; calling a function does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from epochwise.api.advising import Question as Question
    from epochwise.api.fitting import fit as fit
    from epochwise.api.material import FitData as FitData
    from epochwise.api.passes import one_pass as one_pass
    from epochwise.api.resuming import go_on as go_on
    from epochwise.api.resuming import is_finished as is_finished
    from epochwise.api.resuming import resume as resume
    from epochwise.api.settings import Settings as Settings
    from epochwise.api.sweeping import sweep as sweep
    from epochwise.api.training import Source as Source
    from epochwise.api.training import train as train
    from epochwise.api.tuning import tune as tune
    from epochwise.api.tuning import tune_source as tune_source

_HOMES = {
    "FitData": "material",
    "Question": "advising",
    "Settings": "settings",
    "Source": "training",
    "fit": "fitting",
    "go_on": "resuming",
    "is_finished": "resuming",
    "one_pass": "passes",
    "resume": "resuming",
    "sweep": "sweeping",
    "train": "training",
    "tune": "tuning",
    "tune_source": "tuning",
}

__all__ = [
    "FitData",
    "Question",
    "Settings",
    "Source",
    "fit",
    "go_on",
    "is_finished",
    "one_pass",
    "resume",
    "sweep",
    "train",
    "tune",
    "tune_source",
]


def __getattr__(name: str) -> Any:
    """Import a verb's module when it is first asked for; the others cost time too."""
    if name not in _HOMES:
        raise AttributeError(f"module 'epochwise.api' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"epochwise.api.{_HOMES[name]}"), name)
