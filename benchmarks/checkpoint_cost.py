"""What does a checkpoint after every epoch cost the training of the first network?

MNIST, Flatten, Dense 128, Dense 10, Adam, batch size 64, a checkpoint of 1.2 MB after each
epoch of a quarter of a second: an extreme case. Three ways in turn, in one process: no
run kept; a run kept with a checkpoint at its end; one with a checkpoint after every
epoch. The first epoch of each, which compiles, is not counted; the wait for the last
checkpoint is. Medians over the rounds, of seconds an epoch and of the ratios in a round.

    python benchmarks/checkpoint_cost.py mnist.npz [--rounds N] [--epochs E] [--write]
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np

import epochwise
from epochwise.events import CheckpointCommitted, EpochDone, Event, Stopped
from turns import Row, ratio, report, text_of

MOST_COST = 1.03
"""Most that training may take with checkpoints, against the same without [1]."""

WAYS = {"no run kept": None, "a run kept": "never", "a checkpoint every epoch": "1ep"}


class Stopwatch:
    """Hears when epochs end, and how many checkpoints are in place."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.checkpoints = 0

    def on_event(self, event: Event) -> None:
        """Take the time."""
        if isinstance(event, (EpochDone, Stopped)):
            self.times.append(time.perf_counter())
        self.checkpoints += isinstance(event, CheckpointCommitted)

    @property
    def seconds(self) -> float:
        """Of an epoch, the first left out and the wait at the end included [s]."""
        *ends, stopped = self.times
        return (stopped - ends[0]) / (len(ends) - 1)


def train(x: Any, y: Any, epochs: int, checkpoint_every: str | None, folder: Path) -> Stopwatch:
    """Train the network once; `checkpoint_every=None` keeps no run."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((28, 28)),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    watch = Stopwatch()
    kept = {"run_dir": folder, "checkpoint_every": checkpoint_every}
    epochwise.fit(
        model,
        x,
        y,
        batch_size=64,
        epochs=epochs,
        verbose=0,
        listeners=[watch],
        **({} if checkpoint_every is None else kept),
    )
    return watch


def main() -> None:
    """Print the table; with `--write` keep it in dated files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("mnist", help="an .npz with x_train and y_train")
    parser.add_argument("--rounds", type=int, default=9, help="trainings timed of each way")
    parser.add_argument("--epochs", type=int, default=13, help="of each training")
    parser.add_argument("--write", action="store_true", help="keep the table")
    asked = parser.parse_args()
    with np.load(asked.mnist) as data:
        x = data["x_train"].astype(np.float32) / 255
        y = data["y_train"]
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as name:
        for _ in range(asked.rounds):
            for way, every in WAYS.items():
                folder = Path(name) / "run"
                watch = train(x, y, asked.epochs, every, folder)
                seconds[way].append(watch.seconds)
                assert every != "1ep" or watch.checkpoints > asked.epochs
                shutil.rmtree(folder, ignore_errors=True)
    without, kept, every_epoch = seconds.values()
    pairs = zip(without, kept, strict=True)
    spread = statistics.median(max(pair) / min(pair) for pair in pairs)
    rows = [
        Row(
            figure="a checkpoint every epoch, against the same run without",
            value=ratio(every_epoch, kept),
            bar=MOST_COST,
            ours=text_of(every_epoch),
            theirs=text_of(kept),
        ),
        Row(
            figure="the same, against no run kept at all",
            value=ratio(every_epoch, without),
            ours=text_of(every_epoch),
            theirs=text_of(without),
        ),
        Row(
            figure="how far the two without checkpoints lie apart",
            value=spread,
            ours=text_of(kept),
            theirs=text_of(without),
        ),
    ]
    question = "What does a checkpoint after every epoch cost the training?"
    report("checkpoint_cost", question, rows, write=asked.write)


if __name__ == "__main__":
    main()
