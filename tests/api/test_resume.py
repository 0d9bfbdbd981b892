"""What a run that ended, was cut off, or is made longer leaves behind."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from epochwise.api import fit, resume
from epochwise.data.order import Order
from epochwise.errors import DataError, PlanError, RunError
from epochwise.events import Event, IterationsDone
from epochwise.record import Run
from epochwise.rules import Patience, Target

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int32)


def network(rate: Any = 0.1, seed: int = 1) -> keras.Model:
    """A network of one layer, the same each time."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
    model.compile(
        keras.optimizers.SGD(rate), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    return model


class CtrlC:
    """Presses Ctrl-C after an iteration."""

    def __init__(self, after_iteration: int) -> None:
        self.after_iteration = after_iteration

    def on_event(self, event: Event) -> None:
        if (
            isinstance(event, IterationsDone)
            and event.position.iterations_done == self.after_iteration
        ):
            signal.raise_signal(signal.SIGINT)


def kept(folder: Path, after_iteration: int | None = None, **asked: Any) -> Run | None:
    """Train ten iterations an epoch, and keep the run; `None` after Ctrl-C."""
    settings: dict[str, Any] = {"epochs": 3, "batch_size": 4, "verbose": 0} | asked
    model = settings.pop("model", None) or network()
    listeners = [] if after_iteration is None else [CtrlC(after_iteration)]
    try:
        return fit(
            model, X, Y, run_dir=folder, checkpoint_every="1it", listeners=listeners, **settings
        )
    except KeyboardInterrupt:
        return None


def weights(model: keras.Model) -> list[bytes]:
    return [np.asarray(weight).tobytes() for weight in model.get_weights()]


def test_a_finished_run_resumed_does_nothing(tmp_path: Path) -> None:
    """E16, F26: no update, the same report, whatever ended it; more epochs are asked for."""
    first = kept(tmp_path / "plan")
    stopped = kept(
        tmp_path / "patience",
        validation_data=(X, 1 - Y),  # gets worse with every epoch
        stop=Patience(metric="val_loss", epochs=1),
    )
    assert first is not None
    assert stopped is not None
    assert stopped.stop is not None

    for folder, run in ((tmp_path / "plan", first), (tmp_path / "patience", stopped)):
        lines = (folder / "events.jsonl").read_bytes()
        again = resume(folder, network(), X, Y, validation_data=(X, 1 - Y), verbose=0)
        assert again.to_json() == run.to_json()
        assert (folder / "events.jsonl").read_bytes() == lines

    assert (stopped.stop.rule, stopped.position.epochs_done) == ("patience", 2)


def test_the_best_weights_come_back_whatever_ended_the_run(tmp_path: Path) -> None:
    """E01: after the last epoch, another rule, the time, and Ctrl-C."""
    best_after_one = network()
    fit(best_after_one, X, Y, batch_size=4, epochs=1, verbose=0)
    asked: dict[str, Any] = {"validation_data": (X, 1 - Y), "keep": "best"}
    ends: dict[str, dict[str, Any]] = {
        "plan": {},
        "target": {"stop": Target("val_accuracy", 0.0), "epochs": 1},
        "patience": {"stop": Patience(metric="val_loss", epochs=1)},
        "interrupt": {"after_iteration": 25},
    }

    for name, end in ends.items():
        model = network()
        kept(tmp_path / name, model=model, **asked, **end)
        assert weights(model) == weights(best_after_one), name


def test_a_second_fit_runs_after_one_that_stopped_early() -> None:
    """E10: the wish to stop does not outlive the run."""
    model = network()
    rule = Patience(metric="val_loss", epochs=1)
    first = fit(
        model, X, Y, batch_size=4, epochs=9, validation_data=(X, 1 - Y), stop=rule, verbose=0
    )
    second = fit(model, X, Y, batch_size=4, epochs=2, verbose=0)

    assert first.position.epochs_done == 2
    assert second.position.iterations_done == 20


@pytest.mark.parametrize("place", [2, 10, 11, 20, 29])
def test_the_samples_after_a_resume_are_those_that_were_to_come(
    tmp_path: Path, place: int
) -> None:
    """F01, F03, F05, F08, F09, F18: 30 updates in all, each epoch each sample once."""
    whole, model = network(), network()
    run = fit(whole, X, Y, batch_size=4, epochs=3, verbose=0)
    kept(tmp_path / "run", place)
    resumed = resume(tmp_path / "run", model, X, Y, verbose=0)

    assert resumed.position == run.position
    assert list(resumed.updates.values()) == [30]
    assert resumed.losses.tolist() == run.losses.tolist()
    assert weights(model) == weights(whole)


def test_a_run_is_made_longer_by_exactly_the_epochs_asked_for(tmp_path: Path) -> None:
    """F02, F04, F17, F22: 3 epochs and 3 more are 6; the history has six entries."""
    whole, model = network(), network()
    run = fit(whole, X, Y, batch_size=4, epochs=6, verbose=0)
    kept(tmp_path / "run")
    longer = resume(tmp_path / "run", model, X, Y, extend_to_epochs=6, verbose=0)

    assert longer.position.iterations_done == 60
    assert longer.plan is not None
    assert longer.plan.iterations == 60
    assert longer.history == run.history
    assert weights(model) == weights(whole)


@pytest.mark.parametrize("epochs", [3, 2, 0])
def test_fewer_epochs_than_are_planned_extend_nothing(tmp_path: Path, epochs: int) -> None:
    """F26: told with both numbers, and nothing is trained."""
    kept(tmp_path / "run")

    with pytest.raises(PlanError, match=f"extend_to_epochs={epochs}, and 3 epochs are planned"):
        resume(tmp_path / "run", network(), X, Y, extend_to_epochs=epochs, verbose=0)


class Rates:
    """Notes the learning rate of each iteration."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_event(self, event: Event) -> None:
        if isinstance(event, IterationsDone) and event.learning_rate is not None:
            self.seen.append(event.learning_rate)


def test_a_schedule_goes_on_where_it_was(tmp_path: Path) -> None:
    """F23, F24, F25, I01, I02: one value an update, the same with and without a break."""
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 30)
    whole, resumed = Rates(), Rates()
    each = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    fit(
        network(schedule), X, Y, batch_size=4, epochs=3, verbose=0,
        callbacks=[each], listeners=[whole],
    )  # fmt: skip
    kept(tmp_path / "run", 10, model=network(schedule))
    resume(
        tmp_path / "run", network(schedule), X, Y, verbose=0,
        callbacks=[each], listeners=[resumed],
    )  # fmt: skip

    assert len(set(whole.seen)) == 30
    assert resumed.seen == whole.seen[10:]


def test_a_longer_run_says_what_becomes_of_its_schedule(tmp_path: Path) -> None:
    """I07: the choice is asked for; kept, the curve goes on; rescaled, it is stretched."""
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 30)
    each = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    for name in ("keep", "rescale"):
        kept(tmp_path / name, model=network(schedule))
    with pytest.raises(PlanError, match="CosineDecay, made for 30 iterations, and 60"):
        resume(tmp_path / "keep", network(schedule), X, Y, extend_to_epochs=6, verbose=0)

    seen = {}
    for name in ("keep", "rescale"):
        noted = Rates()
        resume(
            tmp_path / name, network(schedule), X, Y, extend_to_epochs=6, verbose=0,
            schedule=name, callbacks=[each], listeners=[noted],
        )  # fmt: skip
        seen[name] = noted.seen

    stretched = keras.optimizers.schedules.CosineDecay(0.1, 60)
    assert seen["keep"] == [0.0] * 30
    assert seen["rescale"] == pytest.approx(
        [float(stretched(i)) for i in range(30, 60)], rel=1e-5
    )


def test_other_data_labels_or_settings_are_refused_by_name(tmp_path: Path) -> None:
    """One changed value, label or order is found; the model is left as it was."""
    kept(tmp_path / "run", 15)
    changed, labels = X.copy(), Y.copy()
    changed[3, 1] = np.nextafter(changed[3, 1], np.float32(9))
    labels[5] = 1 - labels[5]

    for x, y in ((changed, Y), (X, labels), (X[::-1], Y), (X[:-1], Y[:-1])):
        model = network()
        before = weights(model)
        with pytest.raises(RunError, match="is not what it was"):
            resume(tmp_path / "run", model, x, y, verbose=0)
        assert weights(model) == before


def test_another_model_or_optimizer_is_refused_by_name(tmp_path: Path) -> None:
    """What has no place for the saved numbers is refused before any is handed out."""
    kept(tmp_path / "run", 15)
    wider = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="softmax")])
    wider.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    adam = network()
    adam.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

    with pytest.raises(RunError, match="variables"):
        resume(tmp_path / "run", wider, X, Y, verbose=0)
    with pytest.raises(RunError, match="optimizer was SGD and is Adam"):
        resume(tmp_path / "run", adam, X, Y, verbose=0)


def test_a_changed_optimizer_asks_for_the_flag_and_is_recorded(tmp_path: Path) -> None:
    """Another setting goes on where asked, and the record says so."""
    kept(tmp_path / "run", 15)
    other = network()
    other.compile(
        keras.optimizers.SGD(0.1, nesterov=True),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )

    with pytest.raises(RunError, match="optimizer_settings nesterov"):
        resume(tmp_path / "run", other, X, Y, verbose=0)
    with pytest.raises(RunError, match="accept_changed_model=True"):
        resume(tmp_path / "run", other, X, Y, verbose=0, in_order=True)
    run = resume(tmp_path / "run", other, X, Y, verbose=0, accept_changed_model=True)

    assert run.position.iterations_done == 30
    assert "nesterov" in (tmp_path / "run" / "run.json").read_text()


def test_a_run_of_fit_is_built_anew_from_its_record(tmp_path: Path) -> None:
    """The model need not be handed over; the data must be, and the error says how."""
    whole = network()
    fit(whole, X, Y, batch_size=4, epochs=3, verbose=0)
    kept(tmp_path / "run", 15)

    with pytest.raises(DataError, match=r"epochwise.resume\(run_dir, model, x, y\)"):
        resume(tmp_path / "run", verbose=0)
    run = resume(tmp_path / "run", x=X, y=Y, verbose=0)

    model = network()
    kept(tmp_path / "again", model=model)
    assert run.weights_sha256 is not None
    assert weights(model) == weights(whole)


def test_without_periodic_saves_there_are_only_the_first_and_the_last(tmp_path: Path) -> None:
    """F19: `never` saves nothing on the way; F20: `16it` saves after 16, 32, 48."""
    fit(
        network(), X, Y, batch_size=4, epochs=6, verbose=0,
        run_dir=tmp_path / "never", checkpoint_every="never",
    )  # fmt: skip
    fit(
        network(), X, Y, batch_size=4, epochs=6, verbose=0,
        run_dir=tmp_path / "some", checkpoint_every="16it",
    )  # fmt: skip

    def saved(folder: Path) -> list[str]:
        rows = (folder / "events.jsonl").read_text().splitlines()
        return [row.split('"name": "')[1][:12] for row in rows if "checkpoint_committed" in row]

    assert saved(tmp_path / "never") == ["000000000000", "000000000060"]
    assert saved(tmp_path / "some") == [f"{done:012d}" for done in (0, 16, 32, 48, 60)]


def test_microbatches_count_as_one_iteration_after_a_resume(tmp_path: Path) -> None:
    """B11, F14, F15: cut off between updates only; the plan keeps its total."""
    whole, model = network(), network()
    fit(whole, X, Y, batch_size=4, microbatch_size=1, epochs=3, verbose=0)
    kept(tmp_path / "run", 10, microbatch_size=1)
    run = resume(tmp_path / "run", model, X, Y, verbose=0)

    assert run.position.iterations_done == 30
    assert weights(model) == weights(whole)


def test_orders_of_the_epochs_after_a_resume_are_new_permutations() -> None:
    """F09, D04: three jobs of an epoch and one of three have the same three orders."""
    order = Order(samples=40, seed=0)
    epochs = [order.indices(epoch, 0, 40).tolist() for epoch in range(3)]

    assert all(sorted(epoch) == list(range(40)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3
