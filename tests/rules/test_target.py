"""A target is reached at the first look that is as good."""

from __future__ import annotations

import pytest

from boundaries import INF, NAN, at, boundary, stops_at
from epochwise.errors import PlanError, TrainingError
from epochwise.rules import Target, parse_target, replay


@pytest.mark.parametrize(
    ("target", "values", "epochs_done"),
    [
        (Target("val_accuracy", 0.97), [0.95, 0.97, 0.98], 2),
        (Target("val_loss", 0.1), [0.2, 0.1, 0.05], 2),
        (Target("val_loss", 0.1), [NAN, -INF, 0.05], 3),
        (Target("val_accuracy", 0.9), [NAN, INF, 0.89, 0.91], 4),
        (Target("val_gain", 2.0, better="higher"), [1.0, 3.0], 2),
    ],
)
def test_stops_at_the_first_value_as_good(
    target: Target, values: list[float], epochs_done: int
) -> None:
    """Equal is good enough; NaN and infinity reach nothing."""
    found, reason = replay(target, {target.metric: values})
    assert found == epochs_done
    assert reason is not None
    assert reason.rule == "target"


def test_one_that_is_never_reached_never_stops() -> None:
    """Close is not enough."""
    assert replay(Target("val_accuracy", 0.97), {"val_accuracy": [0.969999]}) == (1, None)


def test_the_reason_tells_where() -> None:
    """The value, the place and the target."""
    seen = [boundary(at(0, 1500, per_epoch=9999), {"val_accuracy": 0.9712})]
    stopped = stops_at(Target("val_accuracy", 0.97), seen)
    assert stopped is not None
    assert stopped[1].sentence == (
        "val_accuracy reached 0.9712 after iteration 1,500 (target 0.97)."
    )


def test_a_metric_that_never_was_there_is_an_error() -> None:
    """E07: with the names there are."""
    with pytest.raises(TrainingError, match="There is no metric 'val_acc'; there are val_loss"):
        replay(Target("val_acc", 0.9), {"val_loss": [1.0]})


@pytest.mark.parametrize("told", ["0.97", "val_accuracy", "=0.97", "val_accuracy=", "a=b", ""])
def test_refuses_what_names_no_metric_and_value(told: str) -> None:
    """The remedy can be typed."""
    with pytest.raises(PlanError, match=r"use --target val_accuracy=0\.97"):
        parse_target(told)


@pytest.mark.parametrize("told", ["val_accuracy=nan", "val_accuracy=inf"])
def test_refuses_what_cannot_be_reached(told: str) -> None:
    """A NaN or an infinity would let the run go on to its end."""
    with pytest.raises(PlanError, match="cannot be reached"):
        parse_target(told)


def test_reads_what_people_type() -> None:
    """Spaces and exponents included."""
    assert parse_target(" val_loss = 1e-3") == Target("val_loss", 0.001)
