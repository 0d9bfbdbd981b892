"""What was measured about the batch size before a run, read from its folder.

`epochwise tune --save` and `epochwise train --batch-size auto` leave it there as JSON. A
number that is missing or is none is passed over; a file that cannot be read is no evidence.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epochwise.record import RunFolder
from epochwise.record.jsontext import number
from epochwise.report.phrases import Fact

ADVICE_FILE = "advice.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What is known of one batch size; `None` for what is not.

    Args:
        batch_size: [samples / iteration].
        learning_rate: the best that was run at it.
        iteration_seconds: median, measured [s / iteration].
        memory_bytes: that training takes [bytes].
        iterations: that the level compared by took [iterations].
        seconds: that the level took [s].
        expected_seconds: to the target, by the curve through what was measured [s].
    """

    batch_size: int
    learning_rate: float | None
    iteration_seconds: float | None
    memory_bytes: int | None
    iterations: float | None
    seconds: float | None
    expected_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The advice and what it stands on.

    Args:
        batch_size: that was advised [samples / iteration].
        reason: why, as it was worded then.
        sizes: every size that was run, ascending.
        numbers: single numbers by the names of the page's facts; only those that are known.
        target: the metric of what was to be reached, and its value.
    """

    batch_size: int
    reason: str
    sizes: Sequence[Size]
    numbers: Mapping[str, float]
    target: tuple[str, float]


def read_evidence(folder: Path) -> Evidence | None:
    """Return the evidence in a run's folder; `None` where there is none.

    Args:
        folder: the run's.

    Raises:
        RunError: a file is there and cannot be opened.
    """
    data = RunFolder(folder).read(ADVICE_FILE)
    if data is None:
        return None
    try:
        told = json.loads(data)
        sizes = sorted((_size(row) for row in told["table"]), key=lambda size: size.batch_size)
        return Evidence(
            batch_size=_count(told["batch_size"]),
            reason=str(told["reason"]),
            sizes=sizes,
            numbers=_numbers(told),
            target=(str(told["target"]["metric"]), number(told["target"]["value"])),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def evidence_facts(evidence: Evidence | None) -> dict[str, Fact]:
    """Return what sentences may state of the evidence; nothing where there is none.

    Args:
        evidence: of the run's folder.
    """
    if evidence is None:
        return {}
    metric, target = evidence.target
    counts = {"advice.iterations", "advice.own_batch_size"}
    facts: dict[str, Fact] = {
        name: round(value) if name in counts else value
        for name, value in evidence.numbers.items()
    }
    for name in ("advice.noise", "advice.noise_low", "advice.noise_high", "advice.knee"):
        if name in evidence.numbers:
            facts[name] = round(evidence.numbers[name])
    return facts | {
        "advice.batch_size": evidence.batch_size,
        "advice.metric": metric,
        "advice.target": target,
    }


def _size(row: Mapping[str, Any]) -> Size:
    memory = _finite(row.get("memory_bytes"))
    return Size(
        batch_size=_count(row["batch_size"]),
        learning_rate=_finite(row.get("learning_rate")),
        iteration_seconds=_finite(row.get("iteration_seconds")),
        memory_bytes=None if memory is None else round(memory),
        iterations=_finite(row.get("iterations")),
        seconds=_finite(row.get("seconds")),
        expected_seconds=_finite(row.get("expected_seconds")),
    )


def _numbers(told: Mapping[str, Any]) -> dict[str, float]:
    """The single numbers that sentences state."""
    own, speed, noise = (told.get(name) or {} for name in ("own", "speed", "noise"))
    last = noise[-1] if isinstance(noise, list) and noise else {}
    seen = last.get("preconditioned") or last.get("plain") or {}
    scale = seen.get("scale") or (None, None, None)
    found = {
        "advice.learning_rate": told.get("learning_rate"),
        "advice.iterations": told.get("iterations"),
        "advice.seconds": told.get("seconds"),
        "advice.spent": told.get("spent_seconds"),
        "advice.own_batch_size": own.get("batch_size"),
        "advice.own_seconds": own.get("seconds"),
        "advice.knee": speed.get("knee"),
        "advice.noise": scale[0],
        "advice.noise_low": scale[1],
        "advice.noise_high": scale[2],
    }
    read = {name: _finite(value) for name, value in found.items()}
    return {name: value for name, value in read.items() if value is not None}


def _finite(value: object) -> float | None:
    """A finite number; `None` for anything else."""
    try:
        found = number(value)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def _count(value: object) -> int:
    """A size.

    Raises:
        ValueError: it is none.
    """
    if type(value) is not int or value < 1:
        raise ValueError(f"{value!r} is no batch size")
    return value
