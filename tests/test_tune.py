"""`epochwise.tune`: what it returns was run, and what it ran leaves nothing behind."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator

import keras
import numpy as np
import pytest

import epochwise
from epochwise.api import advising
from epochwise.choosing.batch_size import probes
from epochwise.choosing.batch_size.advice import Advice
from epochwise.errors import DataError, ModelError, PlanError
from epochwise.record import json_text
from epochwise.rules import Target

L = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(240, 6)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(np.int32) + (X[:, 2] > 0).astype(np.int32)


def network(rate: object = 0.01) -> keras.Model:
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [keras.Input((6,)), L.Dense(16, activation="relu"), L.Dense(3, activation="softmax")]
    )
    model.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


def weights_of(model: keras.Model) -> list[bytes]:
    return [np.asarray(value).tobytes() for value in model.get_weights()]


Advised = tuple[keras.Model, Advice, list[bytes], list[bytes]]


@pytest.fixture(scope="module", autouse=True)
def budgets_are_of_this_process() -> Iterator[None]:
    """Budgets count the seconds that a processor gave to this process: load takes none away."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "perf_counter", time.process_time)
        yield


@pytest.fixture(scope="module")
def advised(budgets_are_of_this_process: None) -> Advised:
    """One search, with the weights before and after it."""
    model = network()
    before = weights_of(model)
    advice = epochwise.tune(
        model, X, Y, target="val_loss=0.8", sizes=[8, 16, 32], batch_size=16, seconds=20
    )
    return model, advice, before, weights_of(model)


def test_h02_what_is_advised_was_run(advised: Advised) -> None:
    """H02: the size has a row with the seconds, the rate and the iterations it was run with."""
    advice = advised[1]
    rows = {row.batch_size: row for row in advice.table}
    row = rows[advice.batch_size]

    assert set(rows) <= {8, 16, 32}
    assert row.iteration_seconds > 0
    assert advice.learning_rate in row.rates
    assert row.memory_bytes is not None
    for choice in (advice.least_samples, *advice.on_devices.values()):
        assert choice.batch_size in rows
    if advice.runner_up is not None:
        assert advice.runner_up.learning_rate in rows[advice.runner_up.batch_size].rates


def test_h11_the_model_is_as_it_was(
    advised: tuple[keras.Model, Advice, object, object],
) -> None:
    """H11: a training after the search has the bits of one without it."""
    model, _, before, after = advised
    assert after == before
    other = network()

    for each in (model, other):
        epochwise.fit(each, X, Y, batch_size=16, verbose=0)

    assert weights_of(model) == weights_of(other)
    assert int(model.optimizer.iterations) == int(other.optimizer.iterations) == 15


def test_the_advice_is_json(advised: Advised) -> None:
    """The object has the keys promised first, and is strict JSON."""
    told = json.loads(json_text(advised[1].to_json()))

    assert list(told)[:10] == [
        "batch_size",
        "microbatch_size",
        "learning_rate",
        "iterations",
        "epochs",
        "seconds",
        "memory_bytes",
        "runner_up",
        "table",
        "reason",
    ]
    assert told["target"]["metric"] == "val_loss"
    assert told["reason"].count(". ") == 1


def test_a_prediction_is_what_was_run(advised: Advised) -> None:
    """Iterations, epochs and seconds to the target agree with each other."""
    advice = advised[1]
    assert advice.iterations is not None
    assert advice.epochs is not None
    assert advice.seconds is not None
    per_epoch = math.ceil(216 / advice.batch_size)
    row = {row.batch_size: row for row in advice.table}[advice.batch_size]

    assert advice.iterations == math.ceil(advice.epochs * per_epoch)
    iterations_run = advice.epochs * 216 / advice.batch_size
    assert advice.seconds == pytest.approx(iterations_run * row.iteration_seconds)


def test_the_budget_is_in_the_advice(advised: Advised) -> None:
    """What might be spent and what was are both told."""
    advice = advised[1]

    assert advice.budget_seconds == 20
    assert advice.spent_seconds > 0


def test_all_of_a_small_validation_part_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A target is about the whole part: 360 samples are not cut to one batch of 250."""
    seen = []
    monkeypatch.setattr(
        advising,
        "EngineTrial",
        lambda **given: seen.append(given) or probes.EngineTrial(**given),
    )
    held_out = np.tile(X, (2, 1))[:360], np.tile(Y, 2)[:360]

    epochwise.tune(
        network(), X, Y, validation_data=held_out, target="val_loss=0.8", sizes=[16], seconds=2
    )

    window = seen[0]["validation"].window(0, 0)
    assert window.batch_size * seen[0]["validation_batches"] == 360


def test_one_probe_measures_at_every_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has compiled is used again: a search makes one for its engine."""
    made = []
    probe_for = advising.probe_for
    monkeypatch.setattr(
        advising, "probe_for", lambda *given: made.append(given) or probe_for(*given)
    )

    advice = epochwise.tune(
        network(), X, Y, target="val_loss=0.8", sizes=[16, 32], batch_size=16, seconds=10
    )

    assert len(advice.moments) > 1
    assert len(made) == 1


def test_a_schedule_keeps_its_rate() -> None:
    """Where a schedule sets the learning rate, only the size is chosen."""
    schedule = keras.optimizers.schedules.ExponentialDecay(0.02, 100, 0.9)
    model = network(schedule)

    advice = epochwise.tune(
        model, X, Y, target={"loss": 0.9}, sizes=[32, 64], batch_size=32, seconds=3
    )

    assert advice.learning_rate is None
    assert model.optimizer._learning_rate is schedule


def test_h05_a_set_smaller_than_the_smallest_size() -> None:
    """H05: of 5 samples no batch is larger than 5, and the whole set is called so."""
    advice = epochwise.tune(network(), X[:5], np.arange(5) % 3, target={"loss": 0.9}, seconds=5)

    assert {row.batch_size for row in advice.table} <= {1, 2, 4, 5}
    whole = advice.batch_size == 5
    assert any("whole set" in note for note in advice.notes) == whole


def test_a_batch_of_one() -> None:
    """One sample at a time is a size like any other."""
    advice = epochwise.tune(
        network(), X[:20], Y[:20], target={"loss": 0.8}, sizes=[1], batch_size=1, seconds=3
    )

    assert advice.batch_size == 1


def test_one_size_alone_tells_no_line() -> None:
    """Where time is out after the user's own size, what a sample costs is not claimed."""
    advice = epochwise.tune(
        network(), X, Y, target="val_loss=0.8", sizes=[16, 64], batch_size=16, seconds=0.1
    )

    assert [row.batch_size for row in advice.table] == [16]
    assert "An iteration of 16 samples takes" in advice.reason
    assert "a sample" not in advice.reason
    assert any("no other batch size could be run" in note for note in advice.notes)


def test_a_target_that_is_reached_already() -> None:
    """A target that the untrained model is at is refused, with what it has."""
    with pytest.raises(PlanError, match="reached already: the model has val_loss"):
        epochwise.tune(network(), X, Y, target="val_loss=5", seconds=3)


def test_a_target_that_is_never_reached() -> None:
    """A target out of sight gives the pair that came furthest, and says so."""
    noise = RNG.integers(0, 3, len(X)).astype(np.int32)

    advice = epochwise.tune(
        network(), X, noise, target="val_accuracy=1.0", sizes=[32, 64], seconds=3
    )

    assert advice.iterations is None
    assert advice.seconds is None
    assert "not in sight" in advice.reason


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"target": "val_accuracy=97"}, PlanError, "1 is the most"),
        ({"target": "val_accuracy"}, PlanError, "no metric with a value"),
        ({"target": {"a": 1.0, "b": 2.0}}, PlanError, "names 2 metrics"),
        ({"target": Target("val_mystery", 0.5, "lower")}, PlanError, "no metric 'val_mystery'"),
        ({"target": "val_loss=0.5", "validation_split": 0.0}, PlanError, "validation part"),
        ({"seconds": 0}, PlanError, "no time to choose"),
        ({"sizes": []}, PlanError, "no batch size"),
        ({"sizes": [16, 0]}, PlanError, "sizes=0 is less than 1"),
        ({"sizes": [16, 1000]}, PlanError, "1000"),
        ({"y": np.zeros(240, np.int32)}, DataError, "nothing to learn"),
        ({"x": lambda: iter([])}, DataError, "batches of its own"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_what_cannot_be_is_refused(
    changes: dict[str, object], error: type[Exception], says: str
) -> None:
    """What no search can answer is told at once, with the values."""
    model = network()
    before = weights_of(model)
    asked = {"x": X, "y": Y, "seconds": 3, "sizes": [16], **changes}

    with pytest.raises(error, match=says):
        epochwise.tune(model, **asked)

    assert weights_of(model) == before


def test_a_model_without_trainable_weights() -> None:
    """Nothing to train is nothing to tune."""
    model = network()
    model.trainable = False
    model.compile("adam", "sparse_categorical_crossentropy")

    with pytest.raises(ModelError, match="no trainable weights"):
        epochwise.tune(model, X, Y, seconds=3)


def test_a_model_that_is_not_compiled() -> None:
    """Without a loss there is nothing to compare by."""
    with pytest.raises(ModelError, match="not compiled"):
        epochwise.tune(keras.Sequential([keras.Input((6,)), L.Dense(1)]), X, Y, seconds=3)


def test_a_metric_that_has_not_moved_yet_does_not_make_a_rate_unstable() -> None:
    """An accuracy that sixteen iterations did not raise says nothing of stability."""
    x = RNG.normal(size=(400, 8)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int32)
    keras.utils.set_random_seed(1)
    layers = [L.Dense(16, activation="relu"), L.Dense(2, activation="softmax")]
    model = keras.Sequential([keras.Input((8,)), *layers])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

    for target in ("accuracy=0.95", "val_accuracy=0.95"):
        advice = epochwise.tune(model, x, y, target=target, seconds=3)
        assert not any("got worse" in note for note in advice.notes)
        assert advice.learning_rate is not None
        assert advice.learning_rate >= 1e-4


def test_a_rate_at_which_the_loss_rises_is_lowered() -> None:
    """L44: a rate of hundreds makes the loss worse; the search begins at one that does not."""
    model = network()
    model.compile(keras.optimizers.SGD(500.0), "sparse_categorical_crossentropy")

    advice = epochwise.tune(model, X, Y, target="val_loss=0.9", seconds=8)

    assert any("got worse" in note for note in advice.notes)
    assert advice.learning_rate is not None
    assert advice.learning_rate < 100


def test_many_devices_take_no_longer_than_one(advised: Advised) -> None:
    """The time told for a choice on several devices is theirs: the more, the less."""
    advice = advised[1]
    choices = [choice for _, choice in sorted(advice.on_devices.items())]
    told = [advice.seconds, *(choice.seconds for choice in choices)]

    assert all(seconds is not None for seconds in told)
    assert told == sorted(told, key=lambda seconds: -(seconds or 0.0))


def test_sizes_may_be_numbers_of_numpy() -> None:
    """They come from ranges that were computed."""
    advice = epochwise.tune(network(), X, Y, sizes=np.array([16, 32]), seconds=2)

    assert {row.batch_size for row in advice.table} <= {16, 32}
