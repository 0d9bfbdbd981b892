"""L15: a run that a rule ended is trained on, by what is said of its rules."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from epochwise.api import fit, resume
from epochwise.errors import PlanError
from epochwise.record import Run
from epochwise.rules import NonFinite, Patience, Target, TimeLimit
from newcomer import run_as_newcomer

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int32)
WORSE = (X, 1 - Y)  # gets worse with every epoch
PATIENCE = Patience(metric="val_loss", epochs=2)


def network() -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def begun(folder: Path, stop: Any = PATIENCE, **asked: Any) -> Run:
    """Train until patience ends the run after epoch 3 of 15."""
    told = {"epochs": 15} | asked
    return fit(
        network(), X, Y, batch_size=4, validation_data=WORSE, stop=stop, run_dir=folder,
        verbose=0, **told,
    )  # fmt: skip


def longer(folder: Path, **asked: Any) -> Run:
    return resume(folder, network(), X, Y, validation_data=WORSE, verbose=0, **asked)


def test_extending_a_run_that_a_rule_ended_asks_for_its_rules(tmp_path: Path) -> None:
    """The error names the rule's reason; each remedy works as typed, also a second time."""
    first = begun(tmp_path / "run")
    assert first.position.epochs_done == 3
    with pytest.raises(PlanError, match="val_loss has had no new low for 2 epochs") as caught:
        longer(tmp_path / "run", extend_to_epochs=30)
    told = " ".join(str(caught.value).split())
    assert re.findall(r'rules="(\w+)"', told) == ["anew", "keep", "drop"]

    done = [
        longer(tmp_path / "run", extend_to_epochs=30, rules=rules).position.epochs_done
        for rules in ("anew", "anew", "keep", "anew")
    ]
    dropped = longer(tmp_path / "run", extend_to_epochs=30, rules="drop")

    assert done == [6, 9, 10, 13]
    assert (dropped.position.epochs_done, dropped.stop and dropped.stop.rule) == (30, "plan")
    assert dropped.best == first.best
    whole = fit(network(), X, Y, batch_size=4, epochs=30, verbose=0)
    assert dropped.losses.tolist() == whole.losses.tolist()


@pytest.mark.parametrize(
    ("stop", "epochs"),
    [([], 12), ([NonFinite()], 12), (Patience(metric="val_loss", epochs=4), 8)],
)
def test_other_rules_begin_anew(tmp_path: Path, stop: Any, epochs: int) -> None:
    """None at all, or others; the best weights that were found stay the best."""
    first = begun(tmp_path / "run")
    run = longer(tmp_path / "run", extend_to_epochs=12, stop=stop)

    assert run.position.epochs_done == epochs
    assert run.best == first.best


def test_a_target_and_a_time_limit_are_gone_on_from(tmp_path: Path) -> None:
    """A limit that begins anew counts from where the run goes on."""
    begun(tmp_path / "target", Target("val_loss", 9.0))
    run = longer(tmp_path / "target", extend_to_epochs=5, rules="drop")
    assert run.position.epochs_done == 5

    limit = begun(tmp_path / "time", TimeLimit(seconds=1e-6))
    assert limit.position.iterations_done < 20
    run = longer(tmp_path / "time", extend_to_epochs=5, stop=[TimeLimit(hours=1)])
    assert run.position.epochs_done == 5
    begun(tmp_path / "again", TimeLimit(seconds=1e-6))
    run = longer(tmp_path / "again", extend_to_epochs=15, rules="anew")
    assert run.stop is not None
    assert run.stop.rule == "time_limit"
    assert run.position.iterations_done > limit.position.iterations_done


def test_a_run_by_iterations_is_made_longer_in_either_unit(tmp_path: Path) -> None:
    """25 iterations of 10 an epoch, then 4 epochs, then 45 iterations."""
    begun(tmp_path / "run", None, epochs=None, iterations=25)
    with pytest.raises(PlanError, match="extend_to_epochs=2, and 2 epochs are planned"):
        longer(tmp_path / "run", extend_to_epochs=2)
    with pytest.raises(PlanError, match="use extend_to_iterations=26 or more"):
        longer(tmp_path / "run", extend_to_iterations=25)

    for asked in ({"extend_to_epochs": 4}, {"extend_to_iterations": 45}):
        run = longer(tmp_path / "run", **asked)
    whole = fit(network(), X, Y, batch_size=4, iterations=45, verbose=0)

    assert run.losses.tolist() == whole.losses.tolist()


def test_a_run_may_go_on_inside_its_plan_but_not_back(tmp_path: Path) -> None:
    """Ended by a rule after epoch 3 of 15, it may go to 5; and not to 3."""
    begun(tmp_path / "run")
    with pytest.raises(PlanError, match="extend_to_epochs=3, and 3 epochs are done already"):
        longer(tmp_path / "run", extend_to_epochs=3, rules="drop")

    run = longer(tmp_path / "run", extend_to_epochs=5, rules="drop")

    assert run.position.epochs_done == 5


def test_extending_works_as_typed_on_the_command_line(tmp_path: Path) -> None:
    """L15: the question, then its answer, twice."""
    train = ["train", "digits", "--epochs", "5", "--patience", "1", "--learning-rate", "1.0"]
    run_as_newcomer([*train, "--run-dir", "run", "--quiet"], folder=tmp_path)
    extend = ["resume", "run", "--extend-to-epochs", "6"]

    asked = run_as_newcomer(extend, folder=tmp_path, check=False)
    once = run_as_newcomer([*extend, "--rules", "drop", "--quiet"], folder=tmp_path)
    twice = run_as_newcomer(
        ["resume", "run", "--extend-to-epochs", "7", "--json"], folder=tmp_path
    )

    assert (asked.returncode, once.returncode) == (2, 0)
    assert "--rules drop" in " ".join(asked.stderr.split())
    told = json.loads(twice.stdout)
    assert (told["plan"]["iterations"], told["stop"]["rule"]) == (7 * 23, "plan")
