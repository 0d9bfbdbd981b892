"""What does measuring the sizes of updates cost a training?

The first network on made-up images, with and without measuring, an epoch each in turn in
one process; the median of the ratios of neighbours is told, and its spread.

    python benchmarks/update_sizes_cost.py [--epochs 20] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

SAMPLES, BATCH = 60_000, 64


def engine_and_course() -> tuple[Any, Any]:
    """Return the engine of the first network and a course of one epoch."""
    import keras

    from epochwise.counting.plan import Plan
    from epochwise.data.feed import ArrayFeed
    from epochwise.data.order import Order
    from epochwise.data.samples import Samples
    from epochwise.engines.select import engine_for
    from epochwise.loop import Course

    random = np.random.default_rng(0)
    images = random.integers(0, 256, (SAMPLES, 28, 28), dtype=np.uint8)
    samples = Samples(x=images, y=random.integers(0, 10, SAMPLES).astype(np.int32), divisor=255)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28)),
            layers.Flatten(),
            layers.Dense(128, "relu"),
            layers.Dense(10, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    plan = Plan(samples=SAMPLES, batch_size=BATCH, epochs=1)
    engine = engine_for(
        model, example=samples.rows(np.arange(BATCH)), resident=samples, validation=None
    )
    feed = ArrayFeed(train=samples, order=Order(samples=SAMPLES, seed=0), plan=plan)
    return engine, Course(feed=feed, plan=plan, epochs=None, iterations=plan.iterations)


def epoch_seconds(engine: Any, course: Any) -> float:
    """Return the wall time of an epoch, compiling left out [s]."""
    from epochwise.loop import train

    began, compiled = time.perf_counter(), engine.compile_seconds
    for _ in train(engine, course):
        pass
    return time.perf_counter() - began - (engine.compile_seconds - compiled)


def main() -> None:
    """Take turns and tell the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    engine, course = engine_and_course()
    measuring = replace(course, measures_updates=True)
    for each in (course, measuring):
        epoch_seconds(engine, each)
    ratios, plain = [], []
    for turn in range(asked.epochs):
        pair = {}
        for with_sizes in (turn % 2 == 0, turn % 2 == 1):
            pair[with_sizes] = epoch_seconds(engine, measuring if with_sizes else course)
        plain.append(pair[False])
        ratios.append(pair[True] / pair[False])
    low, _, high = statistics.quantiles(ratios, n=4)
    found = {
        "benchmark": "update_sizes_cost",
        "date": f"{date.today():%Y-%m-%d}",
        "epochs": asked.epochs,
        "epoch_seconds_median": round(statistics.median(plain), 4),
        "ratio_median": round(statistics.median(ratios), 4),
        "ratio_quartiles": [round(low, 4), round(high, 4)],
        "bar": 1.02,
    }
    text = json.dumps(found, indent=2)
    print(text)
    if asked.out is not None:
        asked.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
