"""A sweep's runs are those of `fit`, and a sweep that was cut off goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import epochwise
from epochwise.choosing.sweep import Sweep
from epochwise.engines.on_jax.engine import JaxEngine
from epochwise.errors import PlanError, RunError
from epochwise.record import json_text, read_run
from newcomer import run_as_newcomer

RNG = np.random.default_rng(0)
X = RNG.random((90, 5)).astype("float32")
Y = (X[:, 0] > X[:, 1]).astype("int32")


def build() -> keras.Model:
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(8, "relu"),
            layers.Dropout(0.2, seed=3),
            layers.Dense(2, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


ASKED: dict[str, Any] = {
    "batch_sizes": [16, 32],
    "learning_rates": [0.03, 1e-5],
    "seeds": 2,
    "epochs": 4,
}


@pytest.fixture(scope="module")
def full() -> Sweep:
    return epochwise.sweep(build, X, Y, **ASKED, halving=False)


@pytest.fixture(scope="module")
def halved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sweep, list[str]]:
    said: list[str] = []
    folder = tmp_path_factory.mktemp("sweeps") / "one"
    return epochwise.sweep(build, X, Y, **ASKED, folder=folder, tell=said.append), said


def test_each_run_is_that_of_fit(full: Sweep) -> None:
    """The losses of every iteration and the validation, bit for bit."""
    swept = next(swept for swept in full.runs if swept.trial.name == "b16-r0.03-s1")
    keras.utils.set_random_seed(1)
    model = build()
    model.optimizer.learning_rate = 0.03

    run = epochwise.fit(
        model, X, Y, batch_size=16, epochs=4, seed=1, validation_split=0.2, verbose=0
    )

    assert swept.run.losses.tobytes() == run.losses.tobytes()
    assert swept.run.history == run.history
    assert swept.run.updates.values() != {}


def test_runs_do_not_touch_each_other(full: Sweep) -> None:
    """Of eight runs no two have the same losses; the first seed is trained from fresh."""
    losses = {swept.run.losses.tobytes() for swept in full.runs}

    assert len(losses) == len(full.runs) == 8


def test_the_best_setting_comes_first(full: Sweep) -> None:
    """The rate that learns is before the one that does not; values are means over seeds."""
    assert full.best.setting.learning_rate == 0.03
    values = [row.value for row in full.rows]
    assert values == sorted(values)
    lowest = [
        min(swept.run.history["val_loss"])
        for swept in full.runs
        if swept.trial.setting == full.best.setting
    ]
    assert full.best.value == pytest.approx(sum(lowest) / 2)
    assert full.best.error == pytest.approx(abs(lowest[0] - lowest[1]) / 2)
    assert full.best.seeds == 2


def test_halving_drops_poor_settings_early(
    full: Sweep, halved: tuple[Sweep, list[str]]
) -> None:
    """The same is found best, by the very same runs, with fewer iterations in all."""
    found, said = halved

    assert found.best.setting == full.best.setting
    assert found.best.value == full.best.value
    assert sum(row.was_dropped for row in found.rows) == 2
    assert any("dropped" in sentence for sentence in said)
    spent = sum(swept.run.position.samples_done for swept in found.runs)
    assert spent < 0.7 * sum(swept.run.position.samples_done for swept in full.runs)
    reasons = {swept.run.stop.rule for swept in found.runs if swept.run.stop}
    assert reasons == {"plan", "halving"}


def test_every_run_is_kept_in_a_folder(halved: tuple[Sweep, list[str]]) -> None:
    """And is a run as any other: read back, the same history and the best weights."""
    found, _ = halved

    for swept in found.runs:
        assert swept.run.folder is not None
        stored = read_run(swept.run.folder)
        assert stored.run.history == swept.run.history
        assert stored.header.order["seed"] == swept.trial.seed
        assert stored.header.plan is not None
        assert stored.header.plan.batch_size == swept.trial.setting.batch_size
        assert stored.run.weights_sha256 == swept.run.weights_sha256


def test_what_ended_is_not_run_again(
    halved: tuple[Sweep, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole sweep asked for again trains nothing; without one run, only that one."""
    found, _ = halved
    assert found.folder is not None
    trained: list[int] = []
    run_segment = JaxEngine.run

    def counted(self: JaxEngine, *arguments: Any, **named: Any) -> Any:
        trained.append(arguments[3] - arguments[2])
        return run_segment(self, *arguments, **named)

    monkeypatch.setattr(JaxEngine, "run", counted)
    again = epochwise.sweep(build, X, Y, **ASKED, folder=found.folder)
    assert trained == []
    assert again.rows == found.rows

    missing = next(swept for swept in found.runs if not swept.was_dropped)
    assert missing.run.folder is not None
    events = missing.run.folder / "events.jsonl"
    events.write_bytes(b"".join(events.read_bytes().splitlines(keepends=True)[:-1]))
    once_more = epochwise.sweep(build, X, Y, **ASKED, folder=found.folder)

    assert sum(trained) == missing.run.position.iterations_done
    assert [row.value for row in once_more.rows] == [row.value for row in found.rows]


def test_programs_are_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight runs compile what two batch sizes need, not eight times that."""
    engines: list[JaxEngine] = []
    begin = JaxEngine.__init__

    def noted(self: JaxEngine, *arguments: Any, **named: Any) -> None:
        engines.append(self)
        begin(self, *arguments, **named)

    monkeypatch.setattr(JaxEngine, "__init__", noted)
    epochwise.sweep(build, X, Y, **(ASKED | {"epochs": 1}), halving=False)

    (engine,) = engines
    assert engine.compilations <= 8  # full and last batches, to train and evaluate, twice


def test_another_sweep_is_refused_in_the_folder(halved: tuple[Sweep, list[str]]) -> None:
    """With what differs."""
    found, _ = halved

    with pytest.raises(RunError, match=r"epochs was 4 and is 5"):
        epochwise.sweep(build, X, Y, **(ASKED | {"epochs": 5}), folder=found.folder)


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    """Nothing of the user's is touched."""
    (tmp_path / "mine.txt").write_text("keep")

    with pytest.raises(RunError, match="not empty"):
        epochwise.sweep(build, X, Y, **ASKED, folder=tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "keep"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"batch_sizes": []}, "batch_sizes"),
        ({"batch_sizes": [16, 16]}, "batch_sizes"),
        ({"seeds": 0}, "seeds"),
        ({"epochs": 0}, "epochs=0"),
        ({"batch_sizes": [0]}, "batch_sizes=0"),
    ],
)
def test_what_cannot_be_compared_is_refused(asked: dict[str, Any], said: str) -> None:
    """Before anything is trained."""
    with pytest.raises(PlanError, match=said):
        epochwise.sweep(build, X, Y, **(ASKED | asked))


def test_the_json_object_is_strict_json(halved: tuple[Sweep, list[str]]) -> None:
    """The best, the table and the runs."""
    found, _ = halved

    told = json.loads(json_text(found.to_json()))

    assert told["best"]["learning_rate"] == 0.03
    assert len(told["table"]) == 4
    assert len(told["runs"]) == 8
    assert {row["dropped"] for row in told["table"]} == {True, False}


def test_a_run_that_diverges_is_last_and_stops_nobody() -> None:
    """Its value is NaN, and the others are compared."""
    found = epochwise.sweep(
        build, X * 1e3, Y, learning_rates=[1e30, 0.01], seeds=1, epochs=2, halving=False
    )

    assert found.best.setting.learning_rate == 0.01
    assert found.rows[-1].setting.learning_rate == 1e30


def test_runs_that_ended_are_not_run_again_however_they_did() -> None:
    """L17: neither one that diverged nor one that reached its end; the one still due is."""
    done = run_as_newcomer("""
        import contextlib
        import signal
        from pathlib import Path

        import epochwise
        import keras
        import numpy as np

        x = np.random.default_rng(0).random((60, 4)).astype("float32")
        asked = dict(
            learning_rates=[1e30, 0.01, 0.02], seeds=1, epochs=3, halving=False, folder="sweep"
        )

        def build():
            model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
            model.compile("sgd", "mse")
            return model

        def told():
            rows = []
            for path in sorted(Path("sweep/runs").iterdir()):
                rows.append((path.name, (path / "events.jsonl").stat().st_mtime_ns))
            return dict(rows)

        def swept(**more):
            said = []
            def tell(sentence):
                said.append(sentence)
                if more and len(said) == 2:
                    signal.raise_signal(signal.SIGINT)
            try:
                found = epochwise.sweep(build, x * 1e3, x.sum(axis=1), **asked, tell=tell)
            except KeyboardInterrupt:
                return len(said), told()
            return len(said), told()

        print(swept(cut=True)[0])
        first = told()
        trained, second = swept()
        print(trained, sum(first.get(name) == at for name, at in second.items()))
        trained, third = swept()
        print(trained, third == second)
    """)

    assert done.stdout.split("\n") == ["2", "1 2", "0 True", ""]
