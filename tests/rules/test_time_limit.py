"""A time limit ends the run at the first boundary after it."""

from __future__ import annotations

from typing import Any

import pytest

from boundaries import INF, NAN, at, boundary, stops_at
from epochwise.errors import PlanError
from epochwise.rules import TimeLimit


def test_stops_at_the_first_boundary_that_is_late_enough() -> None:
    """The clock is an argument: 59.9 s goes on, 60 s ends."""
    seen = [
        boundary(at(0, i, per_epoch=99), seconds=seconds)
        for i, seconds in enumerate([30.0, 59.9, 60.0], start=1)
    ]
    stopped = stops_at(TimeLimit(minutes=1), seen)
    assert stopped is not None
    index, reason = stopped
    assert (index, reason.rule) == (2, "time_limit")
    assert reason.sentence == "The time limit of 1 min is over after 1 min, at iteration 3."


def test_time_before_a_resume_counts() -> None:
    """What is handed in is the time since the run first began; nothing is remembered."""
    rule = TimeLimit(hours=1, minutes=2, seconds=3.5)
    assert rule.limit_seconds == 3723.5
    late = boundary(at(2), seconds=3725.25)
    _, reason = rule.update(rule.start(), late)
    assert reason is not None
    assert reason.sentence == (
        "The time limit of 1 h 2 min 3.5 s is over after 1 h 2 min 5.2 s, at epoch 2."
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"minutes": 0},
        {"seconds": -1},
        {"hours": NAN},
        {"minutes": INF},
        {"hours": -1, "minutes": 90},
    ],
)
def test_refuses_what_is_no_time(settings: dict[str, Any]) -> None:
    """Zero, less, and what never comes."""
    with pytest.raises(PlanError, match="use TimeLimit\\(minutes=10\\)"):
        TimeLimit(**settings)
