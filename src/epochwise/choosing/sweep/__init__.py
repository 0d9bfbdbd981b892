"""Several settings and seeds trained and compared, poor ones dropped early."""

from epochwise.choosing.sweep.halving import rungs, survivors
from epochwise.choosing.sweep.result import Row, Sweep, SweptRun, table
from epochwise.choosing.sweep.running import Entrant, carry_out
from epochwise.choosing.sweep.trial import Setting, Trial, trials

__all__ = [
    "Entrant",
    "Row",
    "Setting",
    "Sweep",
    "SweptRun",
    "Trial",
    "carry_out",
    "rungs",
    "survivors",
    "table",
    "trials",
]
