"""When a run ends, and which of its evaluations is the best; pure, standard library only."""

from __future__ import annotations

from epochwise.stopping.base import AnyOf, NoMemory, PerSample, Seen, StopRule
from epochwise.stopping.best import Best, BestMemory
from epochwise.stopping.memory import from_json, to_json
from epochwise.stopping.metrics import Better, better_of, check_metric
from epochwise.stopping.non_finite import NonFinite
from epochwise.stopping.patience import Patience, PatienceMemory
from epochwise.stopping.prechelt import GeneralizationLoss, ProgressQuotient, SuccessiveRises
from epochwise.stopping.replay import epochs_of, notes, replay
from epochwise.stopping.settings import rule_from_json, rule_to_json
from epochwise.stopping.target import Target, parse_target
from epochwise.stopping.time_limit import TimeLimit

__all__ = [
    "AnyOf",
    "Best",
    "BestMemory",
    "Better",
    "GeneralizationLoss",
    "NoMemory",
    "NonFinite",
    "Patience",
    "PatienceMemory",
    "PerSample",
    "ProgressQuotient",
    "Seen",
    "StopRule",
    "SuccessiveRises",
    "Target",
    "TimeLimit",
    "better_of",
    "check_metric",
    "epochs_of",
    "from_json",
    "notes",
    "parse_target",
    "replay",
    "rule_from_json",
    "rule_to_json",
    "to_json",
]
