"""What must survive, written so that it does.

A checkpoint holds raw arrays and JSON, never a pickle, and reading one runs nothing.
"""

from epochwise.checkpoint.checkpoints import Checkpoint, Checkpoints
from epochwise.checkpoint.fits import (
    Fit,
    changes_of_data,
    circumstances,
    compare,
    not_compared,
)
from epochwise.checkpoint.keeper import Keeper
from epochwise.checkpoint.saving import Saver

__all__ = [
    "Checkpoint",
    "Checkpoints",
    "Fit",
    "Keeper",
    "Saver",
    "changes_of_data",
    "circumstances",
    "compare",
    "not_compared",
]
