"""The ledger of epochs, on runs whose worth is known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import epochwise
from epochwise.choosing.worth import Ledger
from epochwise.counting.position import Position
from epochwise.errors import RunError
from epochwise.events import Branched
from epochwise.record import Evaluation, Run, Seconds, json_text


def run_of(
    losses: Sequence[float],
    accuracies: Sequence[float] | None = None,
    *,
    samples: int | None = 1000,
    iterations_per_epoch: int | None = 10,
    evaluations_per_epoch: int = 1,
) -> Run:
    """A run with these validation results, two seconds of training before each."""
    assert iterations_per_epoch is None or iterations_per_epoch % evaluations_per_epoch == 0
    every = (iterations_per_epoch or 10) // evaluations_per_epoch
    evaluations = []
    for number, loss in enumerate(losses, start=1):
        epochs, inside = divmod(number, evaluations_per_epoch)
        metrics = {"loss": loss}
        if accuracies is not None:
            metrics["accuracy"] = accuracies[number - 1]
        evaluations.append(
            Evaluation(
                position=Position(
                    epochs_done=epochs,
                    iterations_done=number * every,
                    iterations_in_epoch_done=inside * every,
                ),
                metrics=metrics,
                samples=samples,
                training_seconds=2.0 * number,
            )
        )
    return Run(
        plan=None,
        position=evaluations[-1].position if evaluations else Position(),
        history={},
        losses=np.zeros(0, np.float32),
        stop=None,
        seconds=Seconds(),
        engine=None,
        iterations_per_epoch=iterations_per_epoch,
        evaluations=evaluations,
    )


def wobbling(values: Sequence[float], size: float, *, seed: int = 0) -> list[float]:
    """The values with a fixed noise of about this deviation."""
    rng = np.random.default_rng(seed)
    return [float(value) for value in values + size * rng.standard_normal(len(values))]


def after(ledger: Ledger, index: int | None) -> Fraction | None:
    return None if index is None else ledger.entries[index].epochs_done


def test_gains_are_differences_with_their_errors() -> None:
    """Losses that fall and accuracies that rise are gains, each against the line before."""
    ledger = epochwise.worth(run_of([1.0, 0.5, 0.6, 0.4], [0.5, 0.8, 0.75, 0.9], samples=400))

    first, second, third, _ = ledger.entries
    assert first.loss_gain is None
    assert first.accuracy_gain is None
    assert second.loss_gain is not None
    assert second.loss_gain.value == pytest.approx(0.5)
    assert second.accuracy_gain is not None
    assert second.accuracy_gain.value == pytest.approx(0.3)
    assert second.accuracy_gain.error == pytest.approx((0.25 / 400 + 0.16 / 400) ** 0.5)
    assert second.accuracy_gain.is_significant
    assert third.accuracy_gain is not None
    assert not third.accuracy_gain.is_significant
    assert [entry.seconds for entry in ledger.entries] == [2.0, 2.0, 2.0, 2.0]
    assert second.seconds_per_point == pytest.approx(2.0 / 30)
    assert third.seconds_per_point is None


def test_one_epoch_was_enough_where_nothing_came_after() -> None:
    """Four flat curves of five say so; one that falls slowly all the way does not."""
    flat = [
        epochwise.worth(run_of(wobbling(np.full(15, 0.3), 0.01, seed=seed))).one_epoch_is_enough
        for seed in range(100)
    ]
    falling = epochwise.worth(run_of(wobbling(1.0 - 0.02 * np.arange(20), 0.002)))

    assert sum(map(bool, flat)) >= 80
    assert falling.one_epoch_is_enough is False
    assert after(falling, falling.enough_index) == 20


def test_accuracy_counts_as_well_as_loss() -> None:
    """Where the loss over-fits and the accuracy still rises, epochs still gain."""
    losses = wobbling(0.3 + 0.05 * np.maximum(np.abs(np.arange(20) - 4), 1), 0.002)
    rising = epochwise.worth(run_of(losses, list(np.linspace(0.5, 0.99, 20))))
    still = epochwise.worth(run_of(losses, [0.9] * 20))

    assert after(rising, rising.enough_index) == 20
    assert after(still, still.enough_index) == 4


def test_over_fitting_begins_where_the_loss_turns() -> None:
    """The epoch of the lowest loss, when what follows is higher beyond the noise."""
    turning = epochwise.worth(run_of(wobbling(0.3 + 0.05 * np.abs(np.arange(20) - 6), 0.002)))
    flat = epochwise.worth(run_of(wobbling(np.full(20, 0.3), 0.01)))

    assert after(turning, turning.over_fitting_index) == 7
    assert flat.over_fitting_index is None


def test_over_fitting_is_between_the_turns_of_loss_and_accuracy() -> None:
    """The loss turns after epoch 4, the accuracy after epoch 8: it began after epoch 6."""
    epochs = np.arange(1, 31)
    losses = wobbling(0.3 + 0.02 * np.abs(epochs - 4), 0.002)
    accuracies = wobbling(0.9 - 0.005 * np.abs(epochs - 8), 0.0005, seed=1)

    both = epochwise.worth(run_of(losses, accuracies))
    steady = epochwise.worth(run_of(losses, wobbling(np.full(30, 0.9), 0.002)))

    assert after(both, both.loss_turned_index) == 4
    assert after(both, both.accuracy_turned_index) == 8
    assert after(both, both.over_fitting_index) == 6
    assert steady.accuracy_turned_index is None
    assert after(steady, steady.over_fitting_index) == 4


def test_more_epochs_are_told_with_an_interval() -> None:
    """One, two and five more, from the last value on; the further, the wider."""
    losses = wobbling(0.1 + 1.0 / np.arange(1, 21), 0.002)
    ledger = epochwise.worth(run_of(losses))

    assert [more.epochs for more in ledger.more] == [1, 2, 5]
    assert ledger.refusal is None
    for more in ledger.more:
        assert more.low < more.loss < more.high
        assert more.gain == pytest.approx(losses[-1] - more.loss)
        assert (more.gain_low, more.gain_high) == pytest.approx(
            (losses[-1] - more.high, losses[-1] - more.low)
        )
    widths = [more.high - more.low for more in ledger.more]
    assert widths == sorted(widths)


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (run_of([3.0, 2.0, 1.0]), "has 3 epochs, and below 5"),
        (run_of([1.0] * 12, evaluations_per_epoch=2), "not one evaluation after each whole"),
        (run_of(wobbling(np.full(12, 0.3), 0.05)), "too noisy"),
        (
            replace(
                run_of([1 / epoch for epoch in range(1, 13)]),
                branched=[Branched(epoch_index=8, position=Position(), sentence="It did.")],
            ),
            "learning rate went down",
        ),
    ],
)
def test_a_curve_that_does_not_tell_is_refused(run: Run, said: str) -> None:
    """Too short, not by whole epochs, or noisier than all that it changed."""
    ledger = epochwise.worth(run)

    assert ledger.more == ()
    assert ledger.refusal is not None
    assert said in ledger.refusal


def test_a_ledger_inside_an_epoch_counts_its_parts() -> None:
    """Evaluations by iterations have lines of their own."""
    ledger = epochwise.worth(run_of([4.0, 3.0, 2.0, 1.0], evaluations_per_epoch=2))

    assert [entry.epochs_done for entry in ledger.entries] == [
        Fraction(1, 2), 1, Fraction(3, 2), 2,
    ]  # fmt: skip
    assert ledger.to_json()["entries"][0]["epochs_done"] == "1/2"


def test_a_run_without_evaluations_is_refused() -> None:
    """With what to type instead."""
    with pytest.raises(RunError, match="no evaluations") as caught:
        epochwise.worth(run_of([]))
    assert "validation_split=0.2" in str(caught.value)


def test_a_loss_that_is_not_finite_is_refused() -> None:
    """The evaluation is named by its number."""
    with pytest.raises(RunError, match="Evaluation 2 of 3 has the loss nan"):
        epochwise.worth(run_of([1.0, float("nan"), 0.5]))


def test_the_json_object_is_strict_json() -> None:
    """Every part of a ledger, read back from its text."""
    ledger = epochwise.worth(run_of(wobbling(1.0 / np.arange(1, 9), 0.001), [0.9] * 8))

    told = json.loads(json_text(ledger.to_json()))

    assert set(told) == {
        "validation_samples", "loss_error", "entries", "best", "enough",
        "over_fitting_began", "loss_turned", "accuracy_turned", "one_epoch_is_enough",
        "more", "refusal",
    }  # fmt: skip
    assert told["validation_samples"] == 1000
    assert told["best"] == {"epochs_done": 8, "iterations_done": 80}
    assert told["entries"][1]["loss_gain"]["significant"] is True
    assert [more["epochs"] for more in told["more"]] == [1, 2, 5]


def test_a_run_of_fit_has_a_ledger() -> None:
    """What `fit` evaluated is what the ledger tells, with samples and positions."""
    import keras

    rng = np.random.default_rng(0)
    x, y = rng.random((100, 4)), rng.integers(0, 2, 100)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

    run = epochwise.fit(model, x, y, batch_size=20, epochs=4, validation_split=0.2, verbose=0)
    ledger = epochwise.worth(run)

    assert ledger.validation_samples == 20
    assert [entry.loss for entry in ledger.entries] == run.history["val_loss"]
    assert [entry.accuracy for entry in ledger.entries] == run.history["val_accuracy"]
    assert [entry.iterations_done for entry in ledger.entries] == [4, 8, 12, 16]
    assert sum(entry.seconds for entry in ledger.entries) == pytest.approx(run.seconds.training)
