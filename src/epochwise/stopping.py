"""The stopping rules by the name that they are documented under; they live in `rules`."""

from epochwise.rules import *  # noqa: F403
from epochwise.rules import __all__  # noqa: F401
