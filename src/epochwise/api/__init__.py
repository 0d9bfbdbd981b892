"""The verbs as Python functions: they wire the parts together and decide nothing.

Importing this imports no framework; calling a function does.
"""

from epochwise.api.fitting import fit
from epochwise.api.training import train

__all__ = ["fit", "train"]
