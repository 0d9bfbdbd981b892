"""The run ends where the loss is no number, and says which iteration's."""

from __future__ import annotations

from typing import Any

import pytest

from boundaries import INF, NAN, at, boundary, stops_at
from epochwise.rules import Best, NonFinite, epochs_of, replay


def decided(losses: list[float], *, before: int = 0, **more: Any) -> str | None:
    """Return the reason for a segment with these losses, after so many iterations."""
    place = at(0, before + len(losses), per_epoch=10**6)
    stopped = stops_at(NonFinite(), [boundary(place, losses=losses, **more)])
    return None if stopped is None else stopped[1].sentence


@pytest.mark.parametrize("index", [0, 3, 6])
@pytest.mark.parametrize(
    ("value", "word"), [(NAN, "NaN"), (INF, "infinite"), (-INF, "-infinite")]
)
def test_names_the_first_iteration(index: int, value: float, word: str) -> None:
    """The first, one in the middle, the last of a segment; counted over the whole run."""
    losses = [0.5] * 7
    losses[index] = value
    assert decided(losses, before=1000) == f"The loss of iteration {1001 + index:,} is {word}."


def test_of_several_the_first_is_named() -> None:
    """What follows is the consequence."""
    assert decided([0.5, INF, NAN]) == "The loss of iteration 2 is infinite."


def test_tells_what_was_not_finite_first() -> None:
    """Where the engine looked for the cause, the sentence has it."""
    assert decided([0.5, NAN], first_non_finite="input") == (
        "The loss of iteration 2 is NaN; not finite first: input."
    )


def test_a_gradient_of_the_last_iteration_stops_as_well() -> None:
    """Its loss was finite, and the weights no longer are."""
    assert decided([0.5, 0.4], first_non_finite="gradient of dense/kernel") == (
        "After iteration 2 this is not finite: gradient of dense/kernel."
    )


def test_finite_losses_go_on() -> None:
    """However large they are."""
    assert decided([0.0, -1.0, 1.7e308]) is None


def test_a_metric_of_the_validation_part_does_not_stop() -> None:
    """E03: a NaN there says nothing of the weights, so a first one goes on."""
    history = {"loss": [1.0] * 5, "val_loss": [NAN, 1.0, 0.5, 0.4, 0.3]}
    assert replay(NonFinite(), history) == (5, None)


def test_a_run_that_goes_nan_stops_in_its_first_such_epoch() -> None:
    """E04: val .9, .8, NaN, ...: stops in epoch 3 at once, and the best is epoch 2."""
    history = {"loss": [1.0, 0.9, NAN, NAN], "val_loss": [0.9, 0.8, NAN, NAN]}
    epochs_done, reason = replay(NonFinite(), history)
    assert epochs_done == 3
    assert reason is not None
    assert reason.at_once
    best = Best(metric="val_loss")
    memory = best.start()
    for seen in list(epochs_of(history))[:epochs_done]:
        memory, _ = best.update(memory, seen)
    assert (memory.value, memory.epochs_done) == (0.8, 2)
