"""Does `epochs="auto"` find as good a model as the best fixed number of epochs would give?

For each task and seed the network is trained for 50 epochs at its constant rate, and the
accuracy on the test part is noted after each: the best of the 50, found with hindsight,
is the oracle. Then the same network is trained with `epochs="auto"`, which sees the
validation part alone.

    python benchmarks/choose_epochs.py ../shared/data --file NAME.jsonl [--part PART ...]

Parts: `fixed` and `auto` (counts and accuracies; the machine may be busy), `sweep`
(seconds; wants a quiet machine), `summary`. Rows are appended to the file as they are
found, and a part goes on where it was stopped. `--write` keeps the summary in a dated
file of `results/`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent))

import jax
import jax.numpy as jnp
import keras
import numpy as np

import epochwise
from epoch_tasks import TASKS, WRONG_LABELS, Arrays, Task
from epochwise.events import EpochDone, Event
from epochwise.record import versions
from epochwise.rules.curve import forecast

EPOCHS = 50
SEEDS = (0, 1, 2)
ORIGINS = (5, 10, 20, 40)
"""After how many epochs the validation loss is extrapolated, five epochs ahead."""

AHEAD = 5

ROUNDS = 3
"""Of each comparison of seconds; the median counts."""


class Rows:
    """A file with one JSON object a line, appended to as results come in."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rows: list[dict[str, Any]] = []
        if path.exists():
            self.rows = [json.loads(line) for line in path.read_text().splitlines()]

    def add(self, **row: Any) -> None:
        """Keep a row."""
        self.rows.append(row)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def of(self, part: str, **wanted: Any) -> list[dict[str, Any]]:
        """Return the rows of a part that have these values."""
        return [
            row
            for row in self.rows
            if row["part"] == part and all(row[name] == value for name, value in wanted.items())
        ]


def accuracy_on(model: keras.Model, part: Arrays) -> Callable[[], float]:
    """Return a function that gives the share of right answers at the weights of now."""
    x, y = map(jnp.asarray, part)

    @jax.jit
    def right(trainable: list[Any], non_trainable: list[Any]) -> jax.Array:
        answers, _ = model.stateless_call(trainable, non_trainable, x, training=False)
        return (answers.argmax(-1) == y).mean()

    def accuracy() -> float:
        groups = (model.trainable_variables, model.non_trainable_variables)
        return float(right(*([variable.value for variable in group] for group in groups)))

    return accuracy


class TestAfterEpochs:
    """A listener that notes the accuracy on the test part after each epoch."""

    def __init__(self, accuracy: Callable[[], float]) -> None:
        self.found: list[float] = []
        self._accuracy = accuracy

    def on_event(self, event: Event) -> None:
        """Note it."""
        if isinstance(event, EpochDone):
            self.found.append(self._accuracy())


def trained(task: Task, seed: int, shared: Path, **how: Any) -> tuple[Any, list[float], float]:
    """Train a task's network; return the run, the test accuracies, and that at the end."""
    parts, model = task.parts(shared, seed), task.model(seed)
    accuracy = accuracy_on(model, parts.test)
    noted = TestAfterEpochs(accuracy)
    run = epochwise.fit(
        model,
        *parts.train,
        batch_size=task.batch_size,
        validation_data=parts.validation,
        seed=seed,
        listeners=[noted],
        verbose=0,
        **how,
    )
    return run, noted.found, accuracy()


def run_fixed(rows: Rows, shared: Path, name: str, seed: int) -> None:
    """50 epochs at the constant rate."""
    if rows.of("fixed", task=name, seed=seed):
        return
    run, test, _ = trained(TASKS[name], seed, shared, epochs=EPOCHS)
    ledger = epochwise.worth(run)
    began = ledger.over_fitting_index
    rows.add(
        part="fixed",
        task=name,
        seed=seed,
        iterations=run.position.iterations_done,
        val_loss=run.history["val_loss"],
        val_accuracy=run.history["val_accuracy"],
        test_accuracy=test,
        over_fitting_began=None if began is None else began + 1,
    )
    print("fixed", name, seed, f"oracle {max(test):.4f}", flush=True)


def run_auto(rows: Rows, shared: Path, name: str, seed: int) -> None:
    """As many epochs as it finds."""
    if rows.of("auto", task=name, seed=seed):
        return
    run, _, test = trained(TASKS[name], seed, shared, epochs="auto")
    rows.add(
        part="auto",
        task=name,
        seed=seed,
        iterations=run.position.iterations_done,
        val_loss=run.history["val_loss"],
        test_accuracy=test,
        best_iterations=run.best.iterations_done,
        turned=run.branched[0].position.iterations_done,
        sentence=run.branched[0].sentence,
    )
    print("auto", name, seed, f"{test:.4f} in {run.position.epochs_done} epochs", flush=True)


def pairs(rows: Rows) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Yield the rows of `fixed` and `auto` that belong together."""
    for auto in rows.of("auto"):
        for fixed in rows.of("fixed", task=auto["task"], seed=auto["seed"]):
            yield fixed, auto


def extrapolations(rows: Rows) -> list[bool]:
    """Tell for each curve and origin whether the interval held what came."""
    held = []
    for row in rows.of("fixed"):
        losses = row["val_loss"]
        for origin in ORIGINS:
            found = forecast(losses[:origin], AHEAD)
            assert found is not None
            held.append(found.low <= losses[origin + AHEAD - 1] <= found.high)
    return held


def summary(rows: Rows) -> dict[str, Any]:
    """Return the figures, each beside its bar."""
    lost, against_50, spent, table = [], [], [], []
    for fixed, auto in pairs(rows):
        oracle = max(fixed["test_accuracy"])
        best = int(np.argmin(fixed["val_loss"]))
        lost.append(100 * (oracle - auto["test_accuracy"]))
        against_50.append(100 * (fixed["test_accuracy"][best] - auto["test_accuracy"]))
        spent.append(auto["iterations"] / fixed["iterations"])
        table.append(
            {
                "task": fixed["task"],
                "seed": fixed["seed"],
                "oracle": round(oracle, 4),
                "oracle_epoch": int(np.argmax(fixed["test_accuracy"])) + 1,
                "best_of_50_by_validation": round(fixed["test_accuracy"][best], 4),
                "auto": round(auto["test_accuracy"], 4),
                "points_lost": round(lost[-1], 2),
                "iterations_share": round(spent[-1], 3),
                "over_fitting_began": fixed["over_fitting_began"],
            }
        )
    wrong = [row for row in table if row["task"] == WRONG_LABELS]
    found = [
        row["over_fitting_began"] is not None
        and abs(row["over_fitting_began"] - row["oracle_epoch"]) <= 2
        for row in wrong
    ]
    held = extrapolations(rows)
    figures = {
        "points lost to the oracle, mean": [statistics.fmean(lost), "at most 0.15"],
        "points lost to the oracle, worst": [max(lost), "at most 0.6"],
        "points lost to 50 epochs with the best validation weights, mean": [
            statistics.fmean(against_50),
            "at most 0.1",
        ],
        "iterations against 50 epochs, median": [statistics.median(spent), "at most 0.35"],
        "wrong labels: over-fitting found within two epochs": [
            f"{sum(found)} of {len(found)}",
            "3 of 3",
        ],
        "validation loss 5 epochs on inside its 80% interval": [
            f"{statistics.fmean(held):.3f} of {len(held)}",
            "0.65 to 0.95 of 60",
        ],
    }
    figures |= sweep_figures(rows)
    return {
        "question": "is epochs=auto as good as the best fixed number of epochs?",
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": versions(),
        "figures": {
            name: {
                "measured": round(value, 4) if isinstance(value, float) else value,
                "bar": bar,
            }
            for name, (value, bar) in figures.items()
        },
        "table": table,
    }


def run_sweeps(rows: Rows, shared: Path) -> None:
    """Seconds of a sweep against its runs one after the other, and with halving."""
    task = TASKS["digits"]
    parts = task.parts(shared, 0)
    rates, seeds = [1e-3, 2e-3, 4e-3], range(4)
    compared = {"epochs": 20, "validation_data": parts.validation}
    for round_index in range(len(rows.of("sweep")), ROUNDS):
        began = time.perf_counter()
        for rate, seed in product(rates, seeds):
            model = task.model(seed)
            model.optimizer.learning_rate = rate
            epochwise.fit(
                model,
                *parts.train,
                batch_size=32,
                seed=seed,
                keep="best",
                verbose=0,
                **compared,
            )
        one_by_one = time.perf_counter() - began
        found = epochwise.sweep(
            lambda: compiled(task.network()),
            *parts.train,
            batch_sizes=[32],
            learning_rates=rates,
            seeds=seeds,
            halving=False,
            **compared,
        )
        rows.add(part="sweep", round=round_index, one_by_one=one_by_one, together=found.seconds)
        print("sweep", round_index, f"{found.seconds / one_by_one:.3f}", flush=True)

    task = TASKS["mnist-10000"]
    parts = task.parts(shared, 0)
    for round_index in range(len(rows.of("halving")), ROUNDS):
        row: dict[str, Any] = {"part": "halving", "round": round_index}
        for name, halving in (("full", False), ("halved", True)):
            found = epochwise.sweep(
                lambda: compiled(TASKS["mnist-10000"].network()),
                *parts.train,
                batch_sizes=[32, 128, 512],
                learning_rates=[1e-3, 4e-3],
                seeds=3,
                epochs=20,
                validation_data=parts.validation,
                halving=halving,
            )
            row[name] = found.seconds
            row[f"{name}_best"] = found.best.to_json()
        rows.add(**row)
        print("halving", round_index, f"{row['halved'] / row['full']:.3f}", flush=True)


def compiled(model: keras.Model) -> keras.Model:
    """Return the network, ready to be trained."""
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def sweep_figures(rows: Rows) -> dict[str, list[Any]]:
    """Return the figures of the sweeps, as far as they were run."""
    together = [row["together"] / row["one_by_one"] for row in rows.of("sweep")]
    halved = [row["halved"] / row["full"] for row in rows.of("halving")]
    figures: dict[str, list[Any]] = {}
    if together:
        figures["sweep of 12 runs, seconds against one after the other"] = [
            statistics.median(together),
            "at most 0.4",
        ]
    if halved:
        best = [rows.of("halving")[0][name] for name in ("full_best", "halved_best")]
        figures["sweep with halving, seconds against the full one"] = [
            statistics.median(halved),
            "at most 0.5",
        ]
        figures["sweep with halving, best found: val_loss (full, halved)"] = [
            ", ".join(
                f"{row['value']:.4f} ± {row['error']:.4f} (batch size {row['batch_size']}, "
                f"rate {row['learning_rate']:g})"
                for row in best
            ),
            "the same or within noise",
        ]
    return figures


def main() -> None:
    """Run the parts asked for and print the summary."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("shared", type=Path, help="the folder with mnist.npz and the text")
    parser.add_argument("--file", type=Path, required=True, help="rows, appended to")
    parser.add_argument(
        "--part", action="append", choices=["fixed", "auto", "sweep", "summary"]
    )
    parser.add_argument("--task", action="append", choices=list(TASKS))
    parser.add_argument("--seed", action="append", type=int)
    parser.add_argument("--write", action="store_true", help="keep the summary")
    asked = parser.parse_args()
    parts = asked.part or ["fixed", "auto", "sweep", "summary"]
    rows = Rows(asked.file)
    began = time.perf_counter()
    for seed in asked.seed or SEEDS:
        for name in asked.task or TASKS:
            if "fixed" in parts:
                run_fixed(rows, asked.shared, name, seed)
            if "auto" in parts:
                run_auto(rows, asked.shared, name, seed)
    if "sweep" in parts:
        run_sweeps(rows, asked.shared)
    print(f"{time.perf_counter() - began:.0f} seconds")
    if "summary" not in parts:
        return
    told = json.dumps(summary(rows), indent=1)
    print(told)
    if asked.write:
        path = Path(__file__).parent / "results" / f"choose_epochs-{date.today()}.json"
        path.write_text(told + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
