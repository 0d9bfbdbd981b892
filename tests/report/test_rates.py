"""What the page says of a learning rate is that of the updates, not of the notes taken; L37."""

from __future__ import annotations

import json

import pytest

from newcomer import run_as_newcomer

CODE = """
import json
from pathlib import Path
import epochwise, keras
import numpy as np
from epochwise.report import read_story
from epochwise.report.facts import facts_of

class Eager(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        return 1e-3 if int(step) < 90 else 1e-4

    def get_config(self):
        return {}

x, y = np.zeros((800, 2), "float32"), np.zeros(800, "int32")
schedules = keras.optimizers.schedules
told = []
for name, schedule, eager in (
    ("warmed", schedules.CosineDecay(1e-5, 167, warmup_target=1e-3, warmup_steps=33), False),
    ("stepped", schedules.PiecewiseConstantDecay([60, 130], [0.5, 0.25, 0.125]), False),
    ("eager", Eager(), True),
    ("constant", 0.001, False),
):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(schedule), loss, run_eagerly=eager)
    for run in ("first", "second"):
        folder = f"{name}-{run}"
        epochwise.fit(model, x, y, batch_size=8, epochs=1, run_dir=folder, verbose=0)
        facts = facts_of(read_story(Path(folder)), None)
        told.append({k: v for k, v in facts.items() if k.startswith("rate.")})
print(json.dumps(told))
"""


def test_the_extremes_of_a_schedule_are_those_of_its_updates() -> None:
    """L37: in a run's own iterations, also where the optimizer had trained before."""
    told = json.loads(run_as_newcomer(CODE).stdout)
    warmed, later, stepped, lower, eager, fallen, constant, still = told

    assert warmed["rate.highest"] == pytest.approx(1e-3)
    assert warmed["rate.highest_iteration"] == 34
    assert warmed["rate.first"] == warmed["rate.lowest"] == pytest.approx(1e-5)
    assert warmed["rate.lowest_iteration"] == 1
    assert later["rate.highest_iteration"] == 1
    assert later["rate.lowest"] == pytest.approx(0.0, abs=1e-6)
    assert (stepped["rate.highest"], stepped["rate.lowest"]) == (0.5, 0.25)
    assert (lower["rate.first"], lower["rate.last"]) == (0.25, 0.125)
    assert eager["rate.highest"] == pytest.approx(1e-3)
    assert eager["rate.lowest_iteration"] == 91
    assert fallen["rate.highest"] == fallen["rate.lowest"] == pytest.approx(1e-4)
    assert constant["rate.highest"] == constant["rate.lowest"] == still["rate.last"]
