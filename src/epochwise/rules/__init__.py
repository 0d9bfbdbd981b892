"""When a run ends, and which of its evaluations is the best; pure, standard library only."""

from __future__ import annotations

from epochwise.rules.base import AnyOf, NoMemory, PerSample, Seen, StopRule
from epochwise.rules.best import Best, BestMemory
from epochwise.rules.memory import from_json, to_json
from epochwise.rules.metrics import Better, better_of, check_metric
from epochwise.rules.non_finite import NonFinite
from epochwise.rules.patience import Patience, PatienceMemory
from epochwise.rules.prechelt import GeneralizationLoss, ProgressQuotient, SuccessiveRises
from epochwise.rules.replay import epochs_of, notes, replay
from epochwise.rules.settings import rule_from_json, rule_to_json
from epochwise.rules.target import Target, parse_target
from epochwise.rules.time_limit import TimeLimit

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
