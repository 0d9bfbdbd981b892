"""How long or how often, with its unit: `1ep`, `500it`, `30s`, `5min`.

A bare number is refused: 500 epochs and 500 iterations are both likely meant.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from epochwise.counting.numbers import hold_whole_numbers, real_number
from epochwise.errors import PlanError

SECONDS_PER_MINUTE = 60.0

_REMEDY = 'write "1ep" (epochs), "500it" (iterations), "30s" or "5min".'

_WRITTEN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ep|it|s|min)\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """A number of epochs, of iterations or of seconds; one of the three.

    Args:
        epochs: at least 1 [epochs].
        iterations: at least 1 [iterations].
        seconds: above 0 [s].

    Raises:
        PlanError: not one of them is given, or it is none that can be.

    Example:
        >>> Duration.parse("500it"), str(Duration(epochs=2))
        (Duration(epochs=None, iterations=500, seconds=None), '2ep')
    """

    epochs: int | None = None
    iterations: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        """Refuse what is no duration."""
        given = [
            amount
            for amount in (self.epochs, self.iterations, self.seconds)
            if amount is not None
        ]
        if len(given) != 1:
            raise _refused(
                f"epochs={self.epochs}, iterations={self.iterations}, {self.seconds} s"
            )
        hold_whole_numbers(self, "epochs", "iterations", remedy=_REMEDY)
        if self.seconds is not None:
            seconds = real_number(self.seconds)
            if seconds is None or not 0 < seconds < math.inf:
                raise _refused(f"{self.seconds}s")
            object.__setattr__(self, "seconds", seconds)

    def __str__(self) -> str:
        """Return it as people write it, and `parse` reads it."""
        if self.epochs is not None:
            return f"{self.epochs}ep"
        if self.iterations is not None:
            return f"{self.iterations}it"
        return f"{self.seconds:f}".rstrip("0").rstrip(".") + "s"

    @classmethod
    def parse(cls, written: object) -> Duration:
        """Read a duration with its unit: `ep`, `it`, `s` or `min`.

        Args:
            written: the text; a `Duration` is returned as it is.

        Raises:
            PlanError: there is no unit, another one, or a number that cannot be.

        Example:
            >>> Duration.parse("5min").seconds
            300.0
        """
        if isinstance(written, Duration):
            return written
        match = _WRITTEN.fullmatch(written) if isinstance(written, str) else None
        if match is None:
            raise _refused(repr(written))
        number, unit = match[1], match[2]
        if unit == "s":
            return cls(seconds=float(number))
        if unit == "min":
            return cls(seconds=float(number) * SECONDS_PER_MINUTE)
        if "." in number:
            raise _refused(repr(written))
        return cls(epochs=int(number)) if unit == "ep" else cls(iterations=int(number))


def _refused(written: str) -> PlanError:
    return PlanError(
        f"{written} is no duration: it needs a number of at least 1 with its unit.",
        _REMEDY,
    )
