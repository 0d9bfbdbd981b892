"""EpochCounter beside real fits, on each backend that is installed.

The fits are in counted_fits.py. Those of the backend that Keras runs on here are made in
this process, one by one; another backend's all in one process of its own.
"""

from __future__ import annotations

import functools
import html
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import epochwise
from counted_fits import FITS, Numbers, counted
from epochwise.errors import PlanError
from epochwise.record import read_run
from epochwise.report.page import page
from epochwise.report.story import read_story
from programs import ROOT, run_program

BACKENDS = ("jax", "tensorflow", "torch")


@functools.cache
def told_on(backend: str) -> Mapping[str, dict[str, Any]]:
    """Return what was told on a backend, by the name of the fit."""
    if backend == keras.config.backend():
        return _Here()
    program = (ROOT / "tests" / "counted_fits.py").read_text(encoding="utf-8")
    found = run_program(program, needs=backend, backend=backend)
    assert isinstance(found, dict)
    return found


class _Here(Mapping[str, dict[str, Any]]):
    """Makes a fit in this process when it is asked for."""

    def __getitem__(self, name: str) -> dict[str, Any]:
        return counted(name)

    def __iter__(self) -> Iterator[str]:
        return iter(FITS)

    def __len__(self) -> int:
        return len(FITS)


@pytest.fixture(params=BACKENDS)
def told(request: pytest.FixtureRequest) -> Mapping[str, dict[str, Any]]:
    """What was counted on each backend, by the name of the fit."""
    return told_on(request.param)


def test_a_plain_fit_is_as_planned(told: Mapping[str, dict[str, Any]]) -> None:
    """1,000 samples at 300: 4 iterations an epoch, 12 in all, 12 updates, 3,000 samples."""
    found = told["plain"]

    assert found["iterations"] == [4, 4, 4]
    assert found["samples"] == [1000] * 3
    assert found["updates"] == {"sgd": 12}
    assert found["as_planned"]
    assert found["done"] == [12, 3000]
    assert found["stop"] == "plan"
    assert found["history"] == {"loss": 3}
    assert "4 iterations an epoch (the last of 100), 12 in all\n" in found["out"]
    assert "12 in all, 12 weight updates, 3,000 samples: as planned\n" in found["out"]


def test_mnist_is_938_an_epoch_and_4690_in_all(told: Mapping[str, dict[str, Any]]) -> None:
    """60,000 at 64 in 5 epochs: 938 iterations an epoch, 4,690 in all, 4,690 updates."""
    found = told["mnist"]

    assert found["iterations"] == [938] * 5
    assert found["samples"] == [60_000] * 5
    assert found["updates"] == {"sgd": 4690}
    assert found["done"] == [4690, 300_000]
    assert found["as_planned"]


def test_without_sizes_it_goes_by_what_keras_announces(
    told: Mapping[str, dict[str, Any]],
) -> None:
    """The counts are the same; the first line has no samples."""
    found = told["nothing told"]

    assert found["iterations"] == [4, 4, 4]
    assert found["samples"] == [1000] * 3
    assert found["as_planned"]
    assert "epochwise: 4 iterations an epoch, 12 in all\n" in found["out"]


def test_a_counted_fit_trains_the_same_weights(told: Mapping[str, dict[str, Any]]) -> None:
    """The counter changes no bit."""
    assert told["weights"]["same"]


def test_a01_short_epochs_are_told_before_and_after(told: Mapping[str, dict[str, Any]]) -> None:
    """A01: 62 of 63 steps an epoch run as 62, 1, 62, 1, 62, 1, and strict refuses them."""
    found = told["62 steps"]

    assert found["iterations"] == [62, 1, 62, 1, 62, 1]
    assert found["cautions"] == ["other epochs than one pass"]
    assert not found["as_planned"]
    assert "epoch 1 had 62 of 63 iterations" in found["differences"]
    assert "epoch 2 had 1 of 63 iterations" in found["differences"]
    assert "epoch 2 saw 26 of 2,010 samples: 1,984 left out" in found["differences"]
    assert found["stop"] == "data"
    refused = told["62 steps, strict"]
    assert (refused["error"], refused["untouched"]) == ("PlanError", True)
    assert "62" in refused["text"]
    assert "63" in refused["text"]


def test_a03_more_steps_than_batches(told: Mapping[str, dict[str, Any]]) -> None:
    """A03: 100 steps of 63 batches: 63 are run, though fit asks for 100, which is told."""
    assert told["100 steps"]["iterations"] == [63, 63]
    assert told["100 steps"]["cautions"] == ["other epochs than one pass"]
    refused = told["100 steps, strict"]
    assert (refused["error"], refused["untouched"]) == ("PlanError", True)
    assert "fit makes epochs of 100 iterations" in refused["text"]
    assert "at 32 has 63" in refused["text"]


def test_a05_a_generator_that_is_used_up(told: Mapping[str, dict[str, Any]]) -> None:
    """A05: the second epoch of a generator has fewer iterations than the first: told."""
    found = told["generator"]

    assert found["iterations"][0] == 3
    assert sum(found["iterations"]) < 6
    assert "epoch 2 had 2 of 3 iterations" in found["differences"]


def test_a12_a_last_batch_of_one_sample(told: Mapping[str, dict[str, Any]]) -> None:
    """A12: 1,001 samples at 4: warned of, and counted."""
    assert told["last of one"]["cautions"] == ["a last batch of one sample"]
    assert told["last of one"]["iterations"] == [251]
    assert told["last of one"]["samples"] == [1001]


@pytest.mark.parametrize("backend", ["jax", "tensorflow"])
def test_a15_steps_that_are_run_together(backend: str) -> None:
    """A15: six steps an epoch, four in a call: 8, 2, 8, 2, as Keras's hooks do not tell."""
    found = told_on(backend)

    assert found["6 steps together"]["iterations"] == [8, 2, 8, 2]
    assert "epoch 1 had 8 of 6 iterations" in found["6 steps together"]["differences"]
    assert found["together"]["iterations"] == [10, 10]
    assert found["together"]["as_planned"]


def test_b02_an_accumulation_that_never_fires_is_refused(
    told: Mapping[str, dict[str, Any]],
) -> None:
    """B02: three batches and k=4 would change nothing: an error, and weights untouched."""
    assert told["never fires"]["error"] == "PlanError"
    assert told["never fires"]["untouched"]
    assert "gradient_accumulation_steps=4 exceeds the 3 batches" in told["never fires"]["text"]


def test_b04_b05_b14_updates_are_counted_apart_from_batches(
    told: Mapping[str, dict[str, Any]],
) -> None:
    """B04, B05, B14: 30 batches at k=4 make 7 updates, and 24 make 6, as was told before."""
    found = told["gathers"]
    assert found["iterations"] == [10, 10, 10]
    assert found["updates"] == {"sgd": 7}
    assert found["planned"] == found["optimizer"] == 7
    assert found["cautions"] == ["accumulated gradients"]
    assert "30 batches make 7 updates" in found["out"]
    assert told["gathers evenly"]["updates"] == {"sgd": 6}
    assert told["gathers evenly"]["cautions"] == []
    assert told["twice"]["updates"] == {"sgd": 3}  # two batches were left from the first
    assert told["twice"]["as_planned"]


def test_b18_updates_that_a_loss_scale_skips_are_missed(
    told: Mapping[str, dict[str, Any]],
) -> None:
    """B18: ten batches, two of them with infinite gradients: ten iterations, 8 updates."""
    found = told["skipping"]

    assert found["iterations"] == [10]
    assert list(found["updates"].values()) == [8]
    assert not found["as_planned"]
    assert "8 weight updates, 10 were due" in found["differences"][0]


def test_data_of_ones_own_may_be_told(told: Mapping[str, dict[str, Any]]) -> None:
    """A PyDataset has a length and no sizes; with them told there is a plan."""
    assert told["dataset"]["iterations"] == told["dataset, told"]["iterations"] == [5, 5]
    assert told["dataset"]["samples"] == told["dataset, told"]["samples"] == [20, 20]
    assert "5 iterations an epoch, 10 in all" in told["dataset"]["out"]
    assert "20 samples at 4: 5 iterations an epoch, 10 in all" in told["dataset, told"]["out"]


def test_validation_neither_counts_nor_confuses(told: Mapping[str, dict[str, Any]]) -> None:
    """With a quarter held out 96 samples are trained on, whether evaluated or not."""
    found = told["validation"]

    assert found["samples"] == [96] * 4
    assert found["iterations"] == [12] * 4
    assert found["history"] == {"loss": 4, "val_loss": 2}
    assert found["as_planned"]


def test_a_callback_that_stops_the_fit_is_no_difference(
    told: Mapping[str, dict[str, Any]],
) -> None:
    """Two whole epochs, or one and a part: what ran is as planned, and why it ended is told."""
    assert told["stopped"]["iterations"] == [12, 12]
    assert told["stopped inside"]["iterations"] == [12, 5]
    assert told["stopped inside"]["samples"] == [96, 40]
    for name in ("stopped", "stopped inside"):
        assert told[name]["as_planned"]
        assert told[name]["stop"] == "callback"
        assert "A callback set model.stop_training in epoch 2" in told[name]["out"]


def test_a_fit_that_begins_later_is_planned_from_there(
    told: Mapping[str, dict[str, Any]],
) -> None:
    """`initial_epoch=3` of 4 leaves one epoch; of 3 none, which is told."""
    assert told["begins later"]["iterations"] == [12]
    assert told["begins later"]["as_planned"]
    assert told["no epoch"]["iterations"] == []
    assert told["no epoch"]["cautions"] == ["no epoch"]


def test_the_record_names_the_backend(told: Mapping[str, dict[str, Any]]) -> None:
    """Backend and device stand in the record."""
    assert told["plain"]["backend"] in BACKENDS
    assert told["plain"]["device"] in ("cpu", "gpu")


def test_b15_two_optimizers_are_counted_apart() -> None:
    """B15: ten batches with two optimizers: ten iterations, ten updates of each."""
    found = run_program(
        """
        import json, tempfile
        import keras, numpy as np, tensorflow as tf
        import epochwise

        class Pair(keras.Model):
            def __init__(self):
                super().__init__()
                self.one, self.two = keras.layers.Dense(1), keras.layers.Dense(1)
                self.first = keras.optimizers.SGD(0.01)
                self.second = keras.optimizers.SGD(0.01)
            def call(self, x):
                return self.one(x) + self.two(x)
            def train_step(self, data):
                x, y = data
                with tf.GradientTape(persistent=True) as tape:
                    loss = keras.ops.mean((self(x) - y) ** 2)
                for layer, optimizer in (self.one, self.first), (self.two, self.second):
                    weights = layer.trainable_weights
                    optimizer.apply(tape.gradient(loss, weights), weights)
                return {"loss": loss}

        model = Pair()
        model.compile(loss="mse")
        counter = epochwise.EpochCounter(
            samples=40, batch_size=4, run_dir=tempfile.mkdtemp(), verbose=0
        )
        x = np.ones((40, 3), "float32")
        model.fit(x, x[:, :1], batch_size=4, callbacks=[counter], verbose=0)
        report = counter.report
        print(json.dumps(
            [report.iterations, report.updates, report.samples, report.as_planned]
        ))
        """,
        needs="tensorflow",
        backend="tensorflow",
    )

    iterations, updates, samples, as_planned = found
    assert (iterations, samples, as_planned) == (10, 40, True)
    assert list(updates.values()) == [10, 10]


def test_a_data_loader_of_torch() -> None:
    """A09: held against a plan; with drop_last its epochs are shorter."""
    found = run_program(
        """
        import json, tempfile
        import keras, torch
        from torch.utils.data import DataLoader, TensorDataset
        import epochwise

        told = []
        for drop in (False, True):
            model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
            model.compile("sgd", "mse")
            plan = epochwise.Plan(
                samples=10, batch_size=4, epochs=2, remainder="drop" if drop else "keep"
            )
            counter = epochwise.EpochCounter(plan=plan, run_dir=tempfile.mkdtemp(), verbose=0)
            data = TensorDataset(torch.ones(10, 3), torch.ones(10, 1))
            loader = DataLoader(data, batch_size=4, drop_last=drop)
            model.fit(loader, epochs=2, callbacks=[counter], verbose=0)
            report = counter.report
            told.append([report.iterations_by_epoch, report.samples_by_epoch,
                         report.planned.plan.to_json()["remainder"], report.as_planned])
        print(json.dumps(told))
        """,
        needs="torch",
        backend="torch",
    )

    assert found == [[[3, 3], [10, 10], "keep", True], [[2, 2], [8, 8], "drop", True]]


def test_the_page_of_a_fit_of_unknown_length(tmp_path: Path) -> None:
    """Without a plan and without losses of single iterations its sums are still exact."""
    counter = epochwise.EpochCounter(run_dir=tmp_path / "run", verbose=0)
    model = small_model()
    model.compile(keras.optimizers.SGD(0.01, gradient_accumulation_steps=4), "mse")
    model.fit(Numbers(), epochs=3, callbacks=[counter], verbose=0)

    story = read_story(tmp_path / "run")
    told = text_of(page([story]))

    assert story.run.plan is None
    assert story.run.losses.size == 0
    assert story.samples_done_after(np.array([0, 5, 10, 15])).tolist() == [0, 20, 40, 60]
    assert "in 15 iterations the optimizer counted 3 updates" in told


def text_of(markup: str) -> str:
    """Return what a page says, without its markup."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", markup)).split())


def small_model() -> Any:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def test_the_record_is_in_runs_and_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a folder the record is a new one in `runs/`; `runs show` and `report` read it."""
    from epochwise.cli.report import app as report
    from epochwise.cli.runs import app

    monkeypatch.chdir(tmp_path)
    x = np.ones((10, 3), np.float32)
    counter = epochwise.EpochCounter(samples=10, batch_size=4)
    small_model().fit(x, x[:, :1], batch_size=4, epochs=2, callbacks=[counter], verbose=0)

    [folder] = (tmp_path / "runs").iterdir()
    stored = read_run(folder)
    app(["show", folder.name], standalone_mode=False)
    shown = capsys.readouterr().out
    report([str(folder)], standalone_mode=False)
    told = text_of((folder / "report.html").read_text(encoding="utf-8"))

    assert stored.header.plan == counter.report.planned.plan
    assert stored.run.position.iterations_done == 6
    assert list(stored.run.updates.values()) == [6]
    assert f"run runs/{folder.name}" in shown
    assert "6 iterations, and the optimizer itself counted 6 updates" in told
    assert "6 iterations = 6 weight updates, 20 samples seen" in shown
    assert json.loads((folder / "run.json").read_text())["data"]["name"] == "model.fit"


def test_a_folder_that_is_taken_ends_the_fit_before_it_trains(tmp_path: Path) -> None:
    """A second fit into the same folder is refused; nothing is written over."""
    x = np.ones((10, 3), np.float32)
    counter = epochwise.EpochCounter(run_dir=tmp_path / "run", verbose=0)
    model = small_model()
    model.fit(x, x[:, :1], callbacks=[counter], verbose=0)

    with pytest.raises(epochwise.EpochwiseError, match="never writes over another"):
        model.fit(x, x[:, :1], callbacks=[counter], verbose=0)
    assert int(model.optimizer.iterations) == 1
    with pytest.raises(RuntimeError, match="no fit"):
        _ = counter.report


def test_a_fit_that_is_not_found_is_planned_from_what_is_told(tmp_path: Path) -> None:
    """Where another `fit` calls the callback, the sizes told to the counter are used."""
    x = np.ones((10, 3), np.float32)
    told = {"samples": 10, "batch_size": 4}
    for number, options in enumerate(({}, told)):
        counter = epochwise.EpochCounter(run_dir=tmp_path / str(number), verbose=0, **options)
        epochwise.fit(
            small_model(), x, x[:, :1], batch_size=4, epochs=2, callbacks=[counter], verbose=0
        )
        assert counter.report.iterations_by_epoch == (3, 3)
        assert (counter.report.planned.plan is None) == (not options)
        assert counter.report.as_planned


def test_an_interrupted_fit_leaves_what_was_done(tmp_path: Path) -> None:
    """The record of a fit that an exception ended holds its whole epochs."""

    class Failing(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
            if epoch == 2:
                raise OSError("the disk is gone")

    x = np.ones((10, 3), np.float32)
    counter = epochwise.EpochCounter(run_dir=tmp_path / "run", verbose=0)
    with pytest.raises(OSError, match="the disk is gone"):
        small_model().fit(
            x, x[:, :1], batch_size=4, epochs=4, callbacks=[counter, Failing()], verbose=0
        )

    run = read_run(tmp_path / "run").run
    assert run.stop is None
    assert run.position.iterations_done == 6


def test_strict_refuses_every_caution_at_once(tmp_path: Path) -> None:
    """All of them stand in one error, each with a remedy; no folder is made."""
    x = np.ones((9, 3), np.float32)
    plan = epochwise.Plan(samples=9, batch_size=4, epochs=3)
    counter = epochwise.EpochCounter(plan=plan, run_dir=tmp_path / "run", strict=True)
    with pytest.raises(PlanError) as raised:
        small_model().fit(
            x, x[:, :1], batch_size=4, epochs=2, steps_per_epoch=2, callbacks=[counter]
        )

    assert len(raised.value.problems) == 3
    assert all(problem.remedy for problem in raised.value.problems)
    assert not (tmp_path / "run").exists()
