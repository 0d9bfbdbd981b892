"""THE training loop: a generator of events. Nothing else trains."""

from epochwise.loop.course import Course
from epochwise.loop.evaluation import evaluate
from epochwise.loop.training import train

__all__ = ["Course", "evaluate", "train"]
