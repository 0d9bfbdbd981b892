"""Records that version 0.1 wrote are read, and its runs go on.

`version_0_1/` holds runs of that version, and `read.json` what it read in them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

import epochwise
from epochwise.record import json_text, read_run
from epochwise.report.page import page
from epochwise.report.story import read_story

RECORDS = Path(__file__).parent / "version_0_1"
READ = json.loads((RECORDS / "read.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", sorted(READ))
def test_what_version_0_1_read_is_read(name: str) -> None:
    """Counts, history, the reason of the stop, the best evaluation and notes are the same."""
    found = json.loads(json_text(read_run(RECORDS / name).run.to_json()))

    expected = READ[name]
    seconds = expected.pop("seconds", {})
    assert {key: found[key] for key in expected} == expected
    assert {key: found["seconds"][key] for key in ("total", "train")} == {
        key: seconds[key] for key in ("total", "train")
    }


@pytest.mark.parametrize("name", sorted(READ))
def test_a_page_is_made_of_it(name: str) -> None:
    """Every record makes a page."""
    assert "</html>" in page([read_story(RECORDS / name)])


def test_a_run_of_version_0_1_goes_on(tmp_path: Path) -> None:
    """20 of 40 iterations were done and 16 saved: 24 more are made, and the record is whole."""
    shutil.copytree(RECORDS / "cut", tmp_path / "run")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(97, 4)).astype("float32")
    y = (x[:, 0] > 0).astype("int32")
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(3, "relu"), keras.layers.Dense(2, "softmax")]
    model = keras.Sequential([keras.Input((4,)), *layers], name="small")
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])

    run = epochwise.resume(tmp_path / "run", model, x, y, verbose=0, in_order=True)

    assert run.position.iterations_done == 40
    assert len(run.losses) == 40
    assert len(run.history["val_loss"]) == 4
    whole = epochwise.resume(tmp_path / "run", model, x, y, verbose=0, in_order=True)
    assert whole.weights_sha256 == run.weights_sha256
