"""Is one pass over the data enough? Repeated samples against fresh ones, and the verdict."""

from epochwise.choosing.one_pass.measuring import Measured, Planned, measure, planned
from epochwise.choosing.one_pass.value import Curve, Part, half_life, worth_of_repeats
from epochwise.choosing.one_pass.verdict import Answer, Comparison, answer

__all__ = [
    "Answer",
    "Comparison",
    "Curve",
    "Measured",
    "Part",
    "Planned",
    "answer",
    "half_life",
    "measure",
    "planned",
    "worth_of_repeats",
]
