"""`epochs="auto"`: the run finds its own length, and is a run like any other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import epochwise
from epochwise.api import resume
from epochwise.api.settings import Settings, stopping_settings
from epochwise.errors import ModelError, PlanError
from epochwise.events import Branched, Event, IterationsDone
from epochwise.record import Run, read_run
from epochwise.rules import AnyOf, NonFinite, Target, TimeLimit
from epochwise.rules.pacing import AutoEpochs
from newcomer import run_as_newcomer

RNG = np.random.default_rng(2)
X, X_VAL = (RNG.random((count, 6)).astype("float32") for count in (200, 100))
Y, Y_VAL = (
    (x[:, 0] + 0.8 * RNG.standard_normal(len(x)) > 0.5).astype("int32") for x in (X, X_VAL)
)
DATA = {"validation_data": (X_VAL, Y_VAL), "batch_size": 24, "verbose": 0}
RATE = 0.02


def network(learning_rate: Any = RATE) -> keras.Model:
    """A network that over-fits these samples within a few epochs."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(64, "relu", name="hidden"),
            layers.Dropout(0.1, name="dropout"),
            layers.Dense(2, "softmax", name="last"),
        ],
        name="network",
    )
    optimizer = keras.optimizers.Adam(learning_rate, name="adam")
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


class Heard:
    """Keeps what happened, and fails once so many iterations are done."""

    def __init__(self, model: keras.Model, *, fails_at: int | None = None) -> None:
        self.events: list[Event] = []
        self.weights: dict[int, list[bytes]] = {}
        self.branched: list[bytes] = []
        self._model, self._fails_at = model, fails_at

    def on_event(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, IterationsDone):
            done = event.position.iterations_done
            self.weights[done] = weights(self._model)
            if self._fails_at is not None and done >= self._fails_at:
                raise RuntimeError("the power is gone")
        if isinstance(event, Branched):
            self.branched = weights(self._model)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def weights(model: keras.Model) -> list[bytes]:
    return [np.asarray(value).tobytes() for value in model.get_weights()]


@dataclass
class Whole:
    """A run from its beginning to its end, and what it left."""

    run: Run
    heard: Heard
    model: keras.Model
    folder: Path


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    model, folder = network(), tmp_path_factory.mktemp("runs") / "whole"
    heard = Heard(model)
    run = epochwise.fit(model, X, Y, epochs="auto", listeners=[heard], run_dir=folder, **DATA)
    return Whole(run, heard, model, folder)


def test_it_stops_where_training_no_longer_pays(whole: Whole) -> None:
    """Long before the bound, with the better weights, every iteration counted."""
    run = whole.run

    assert run.stop is not None
    assert run.stop.rule == "auto"
    assert run.position.iterations_done < 0.5 * 100 * 9
    assert run.best is not None
    assert run.best.value == run.evaluations[-1].metrics["loss"]
    assert not run.restored
    loss, _ = whole.model.evaluate(X_VAL, Y_VAL, verbose=0)
    assert loss == pytest.approx(run.best.value, abs=1e-6)
    assert run.updates == {"adam": run.position.iterations_done}


def test_the_rate_rises_stays_and_goes_down(whole: Whole) -> None:
    """In the warm-up and the cooldown as the pacing says; afterwards it is the user's."""
    rates = [event.learning_rate for event in whole.heard.of(IterationsDone)]
    (branched,) = whole.heard.of(Branched)
    turned = branched.position.iterations_done
    cooldown = [
        event.learning_rate
        for event in whole.heard.of(IterationsDone)
        if event.position.iterations_done > turned
    ]

    assert rates[0] < RATE
    assert max(rates) == pytest.approx(RATE)
    assert cooldown == sorted(cooldown, reverse=True)
    assert cooldown[-1] < 0.15 * RATE
    assert float(whole.model.optimizer.learning_rate) == pytest.approx(RATE)
    assert whole.run.branched == (branched,)


def test_the_cooldown_goes_on_from_the_marked_weights(whole: Whole) -> None:
    """Right after the branch the model holds weights that it had before, bit for bit."""
    heard = whole.heard
    (branched,) = heard.of(Branched)

    origins = [done for done, held in heard.weights.items() if held == heard.branched]

    assert len(origins) == 1
    assert origins[0] < branched.position.iterations_done
    assert f"weights after {origins[0]} iterations" in branched.sentence


def test_the_record_tells_where_it_branched(whole: Whole) -> None:
    """Read back, the run is the run, its sentence among it."""
    stored = read_run(whole.folder).run

    assert stored.branched == whole.run.branched
    assert stored.stop == whole.run.stop
    assert len(stored.branched) == 1


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.02, 0.4, 0.75, 0.95])
def test_a_killed_run_goes_on_to_the_same_weights(
    whole: Whole, tmp_path: Path, share: float
) -> None:
    """In the warm-up, at the constant rate, after the low and in the cooldown."""
    at = max(1, int(share * whole.run.position.iterations_done))
    model = network()
    with pytest.raises(RuntimeError, match="power"):
        epochwise.fit(
            model,
            X,
            Y,
            epochs="auto",
            run_dir=tmp_path / "run",
            checkpoint_every="5it",
            listeners=[Heard(model, fails_at=at)],
            **DATA,
        )

    resumed = resume(
        tmp_path / "run", network(), X, Y, validation_data=(X_VAL, Y_VAL), verbose=0
    )

    assert resumed.weights_sha256 == whole.run.weights_sha256
    assert resumed.history == whole.run.history
    assert resumed.stop == whole.run.stop
    assert resumed.updates == whole.run.updates
    assert resumed.branched == whole.run.branched


def test_a_finished_run_is_not_trained_further(whole: Whole) -> None:
    """E16: resuming makes no update."""
    again = resume(whole.folder, network(), X, Y, validation_data=(X_VAL, Y_VAL), verbose=0)

    assert again.position == whole.run.position


@pytest.mark.parametrize(
    ("bound", "most"),
    [({"max_epochs": 4}, 36), ({"iterations": 20}, 20), ({"max_epochs": 1}, 9)],
)
def test_there_is_always_a_bound(bound: dict[str, int], most: int) -> None:
    """In epochs or iterations; the cooldown ends by it."""
    model = network(0.001)
    heard = Heard(model)

    run = epochwise.fit(model, X, Y, epochs="auto", listeners=[heard], **bound, **DATA)

    assert run.position.iterations_done <= most
    assert len(heard.of(Branched)) == 1
    assert heard.of(IterationsDone)[-1].learning_rate < 0.001


def test_time_is_a_bound() -> None:
    """A time limit that is over at once still leaves a cooldown or ends the run."""
    run = epochwise.fit(
        network(0.0001), X, Y, epochs="auto", stop=TimeLimit(minutes=1e-6), **DATA
    )

    assert run.stop is not None
    assert run.stop.rule in ("auto", "time_limit")
    assert run.position.epochs_done < 2


@pytest.mark.parametrize(
    ("stop", "seconds"),
    [
        (TimeLimit(hours=1), 3600),
        (TimeLimit(seconds=30), 30),
        (TimeLimit(hours=1, minutes=0.001), 3600.06),
        ([TimeLimit(minutes=2), TimeLimit(seconds=90)], 90),
        (AnyOf((AnyOf((TimeLimit(hours=2), NonFinite())),)), 7200),
        (Target("val_loss", 0.1), None),
    ],
)
def test_a_time_limit_bounds_in_whatever_unit_it_is_given(
    stop: Any, seconds: float | None
) -> None:
    """L16: hours, minutes and seconds add up; the least of several counts, also nested."""
    asked = stopping_settings(stop, best_metric=None, keep=None, auto_epochs=True)
    settings = Settings(auto_epochs=True, **asked)

    pacing = settings.pacing(settings.plan(100))

    assert isinstance(pacing, AutoEpochs)
    assert pacing.most_seconds == seconds


def test_a_newcomer_bounds_an_auto_run_by_hours_or_seconds() -> None:
    """L16: an hour leaves the number of epochs to the data, however it is written."""
    done = run_as_newcomer("""
        import epochwise
        import keras
        import numpy as np

        x = np.random.default_rng(0).random((60, 4)).astype("float32")

        def epochs_with(stop):
            keras.utils.set_random_seed(0)
            model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
            model.compile("sgd", "mse")
            run = epochwise.fit(
                model, x, x.sum(axis=1), epochs="auto", max_epochs=10, batch_size=20,
                validation_split=0.2, stop=stop, verbose=0,
            )
            return run.stop.rule, run.position.epochs_done, run.position.iterations_done

        told = {
            epochs_with(stop)
            for stop in (
                None,
                epochwise.TimeLimit(hours=1),
                epochwise.TimeLimit(seconds=36000),
                epochwise.TimeLimit(hours=1, minutes=0.001),
            )
        }
        print(*told)
    """)

    assert done.stdout == "('auto', 10, 30)\n"


def test_evaluation_by_iterations_needs_no_whole_epoch() -> None:
    """On data too long for a second epoch, evaluations inside one are what is counted."""
    x, y = np.tile(X, (20, 1)), np.tile(Y, 20)

    run = epochwise.fit(
        network(), x, y, epochs="auto", max_epochs=1, evaluate_every="10it", **DATA
    )

    assert run.stop is not None
    assert run.stop.rule == "auto"
    assert run.position.epochs_done == 0


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"epochs": "auto", "validation_data": None}, "no validation part"),
        ({"epochs": "automatic"}, "'automatic' is no number"),
        ({"epochs": 3, "max_epochs": 5}, "max_epochs=5 bounds a run"),
    ],
)
def test_what_cannot_be_is_refused(asked: dict[str, Any], said: str) -> None:
    """Before anything is trained, with what to type instead."""
    with pytest.raises(PlanError, match=said):
        epochwise.fit(network(), X, Y, **{**DATA, **asked})


def test_a_schedule_of_the_users_own_is_refused() -> None:
    """Two cannot set the learning rate."""
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 100)

    with pytest.raises(ModelError, match="follows CosineDecay"):
        epochwise.fit(network(schedule), X, Y, epochs="auto", **DATA)
