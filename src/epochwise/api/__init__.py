"""The verbs as Python functions: they wire the parts together and decide nothing.

Importing this imports no framework; calling a function does.
"""

from epochwise.api.advising import Question
from epochwise.api.fitting import fit
from epochwise.api.material import Given
from epochwise.api.passes import one_pass
from epochwise.api.resuming import go_on, is_finished, resume
from epochwise.api.settings import Settings
from epochwise.api.sweeping import sweep
from epochwise.api.training import Source, train
from epochwise.api.tuning import tune, tune_source

__all__ = [
    "Given",
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
