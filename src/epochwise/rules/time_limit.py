"""Stop when the time is over."""

from __future__ import annotations

import math
from dataclasses import dataclass

from epochwise.counting.numbers import real_number
from epochwise.errors import PlanError
from epochwise.events import StopReason
from epochwise.rules.base import NoMemory, Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeLimit:
    """Stop at the first boundary at which so much wall time is spent.

    Time counts since the run first began: what it took before a resume is in it, the
    time in between is not. The parts add up.

    Args:
        hours: zero or more [h].
        minutes: zero or more [min].
        seconds: zero or more [s].

    Raises:
        PlanError: the parts are no time above zero.

    Example:
        >>> TimeLimit(minutes=1, seconds=30).limit_seconds
        90
    """

    hours: float = 0
    minutes: float = 0
    seconds: float = 0

    def __post_init__(self) -> None:
        """Check the settings once."""
        units = ("hours", "minutes", "seconds")
        parts = {unit: real_number(getattr(self, unit)) for unit in units}
        told = [part for part in parts.values() if part is not None and 0 <= part < math.inf]
        if len(told) < len(units) or not any(told):
            raise PlanError(
                f"hours={self.hours}, minutes={self.minutes}, seconds={self.seconds} is no "
                "time to train for.",
                "use TimeLimit(minutes=10).",
            )
        for unit, part in parts.items():
            object.__setattr__(self, unit, part)

    @property
    def name(self) -> str:
        """See `StopRule.name`."""
        return "time_limit"

    @property
    def metrics(self) -> tuple[str, ...]:
        """See `StopRule.metrics`: none."""
        return ()

    @property
    def limit_seconds(self) -> float:
        """The limit as a whole [s], more than 0."""
        return 3600 * self.hours + 60 * self.minutes + self.seconds

    def start(self) -> NoMemory:
        """See `StopRule.start`."""
        return NoMemory()

    def update(self, memory: NoMemory, seen: Seen) -> tuple[NoMemory, StopReason | None]:
        """See `StopRule.update`."""
        if seen.seconds < self.limit_seconds:
            return memory, None
        return memory, StopReason(
            rule=self.name,
            sentence=f"The time limit of {_shown(self.limit_seconds)} is over after "
            f"{_shown(seen.seconds)}, at {seen.place}.",
        )


def _shown(seconds: float) -> str:
    """Return a time as people say it, exact to the tenth of a second.

    Example:
        >>> _shown(90), _shown(3725.25)
        ('1 min 30 s', '1 h 2 min 5.2 s')
    """
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = [
        f"{hours} h" if hours else "",
        f"{minutes} min" if minutes else "",
        f"{rest:.1f}".removesuffix(".0") + " s" if rest or not (hours or minutes) else "",
    ]
    return " ".join(filter(None, parts))
