"""Is the batch size that `epochwise.tune` advises the right one?

For each task and seed an oracle is found by running a full grid, batch sizes 16 to 4,096
in powers of two times five learning rates, each to the task's target. The time of a pair
is the iterations that it takes times the seconds an iteration takes at its size, measured
for every size. Then `tune` is asked, and its pair is run in the same way.

    python benchmarks/choose_batch_size.py ../shared --file NAME.jsonl [--part PART ...]

Parts: `speed` (seconds an iteration; wants a quiet machine), `grid` (counts iterations;
the machine may be busy), `advice` (asks `tune` with its own default budget and runs what
it says; quiet), `memory` (predicted and measured, each in a process of its own), `noise`
(a training that measures noise all the way; quiet), `summary`. Rows are appended to the
file as they are found and a part goes on where it was stopped.

What is left out, and why it makes no difference to the figures:
- A cell of the grid ends once it has taken three times the best time so far of its task
  and seed: it cannot be the oracle. Keras's own pair is always run to the end.
- The target is reached when the mean of three validation losses, looked at after every
  5% more iterations, is at it or below: a single lucky evaluation does not count.
- A short last batch is left out of training, in grid and advice alike.
- Compiling and evaluating are not in the time of a pair. They are in the time that
  choosing takes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np

import epochwise
from choosing_tasks import LONG_TASKS, TASKS, Task
from epochwise.choosing.batch_size.probes import EngineTrial, Watched
from epochwise.choosing.batch_size.trial import Branch, Pair
from epochwise.data.feed import ArrayFeed
from epochwise.data.given import in_order
from epochwise.data.order import Order
from epochwise.data.samples import Samples, map_leaves
from epochwise.engines.probing import NoProbe
from epochwise.engines.select import engine_for, keep_compiled_programs, select_backend
from epochwise.plan import Plan
from epochwise.record import versions

SIZES = tuple(2**power for power in range(4, 13))
"""Batch sizes of the grid."""

DEFAULT_SIZE = 32
"""Keras's own."""

LOOK_GROWTH = 1.05
HOPELESS = 3.0
LONGEST_SECONDS = 120.0
ROUNDS = 9


class Rows:
    """A file with one JSON object a line, appended to as results come in."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.exists():
            self.rows = [json.loads(line) for line in path.read_text().splitlines()]

    def add(self, **row: Any) -> None:
        """Append a row and print it."""
        self.rows.append(row)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps({key: value for key, value in row.items() if key != "advice"}))

    def of(self, part: str, **where: Any) -> list[dict[str, Any]]:
        """Return the rows of a part that have these values."""
        wanted = {"part": part, **where}
        return [row for row in self.rows if wanted.items() <= row.items()]

    def seconds(self, task: str, size: int) -> float | None:
        """Return the seconds an iteration, as last measured, at a size."""
        measured = {row["size"]: row["seconds"] for row in self.of("speed", task=task)}
        return measured.get(size)


class Counting(EngineTrial):
    """Branches as `tune` runs them, not timed: their iterations are what is wanted."""

    def _timed(self, engine: Any, iterations: int, loaded: Any) -> list[float]:
        del engine, iterations, loaded
        return [1.0]


def trial_of(task: Task, seed: int, shared: Path, kind: type[EngineTrial]) -> EngineTrial:
    """Return what runs branches of a task."""
    training, held_out = task.samples(shared)
    model = task.model(seed)

    def engine_of(microbatch_size: int | None) -> Any:
        return engine_for(
            model,
            example=training.rows(np.arange(2)),
            resident=training,
            validation=held_out,
            microbatch_size=microbatch_size,
        )

    at_once = min(held_out.count, 1000)
    return kind(
        engines=engine_of,
        probe=lambda _: NoProbe(),
        feed=ArrayFeed(
            train=training,
            order=Order(samples=training.count, seed=seed),
            plan=Plan(samples=training.count, batch_size=DEFAULT_SIZE, epochs=1),
        ),
        validation=in_order(held_out, at_once),
        validation_batches=held_out.count // at_once,
        watched=Watched(metric="val_loss", higher_is_better=False),
    )


def measure_speed(rows: Rows, task_name: str, task: Task, shared: Path) -> None:
    """Time an iteration at every size, in turn, and keep the medians."""
    trial = trial_of(task, 0, shared, EngineTrial)
    sizes = sizes_of(trial)
    found: dict[int, list[float]] = {size: [] for size in sizes}
    for size in sizes:
        trial.ready(size)
    for _ in range(ROUNDS):
        for size in sizes:
            ready = trial.sizes[size]
            window, loaded = ready.window_at((0, 0))
            taken = trial._timed(ready.engine, window.iterations, loaded)
            found[size].append(statistics.median(taken))
    for size in sizes:
        rows.add(
            part="speed",
            task=task_name,
            size=size,
            seconds=statistics.median(found[size]),
            least=min(found[size]),
            most=max(found[size]),
        )


def sizes_of(trial: EngineTrial) -> list[int]:
    """The sizes of the grid within the set."""
    return [size for size in SIZES if size <= trial.feed.plan.samples]


def run_to_target(
    trial: EngineTrial, task: Task, pair: Pair, seconds: float, limit: float
) -> Branch:
    """Run a pair until the target is reached or so much time has been taken."""
    branch = trial.begin(pair)
    spacing = max(1, round(0.001 / seconds))
    while branch.best > task.target and not branch.diverged:
        if branch.iterations * seconds >= limit:
            break
        wanted = max(branch.iterations + spacing, int(branch.iterations * LOOK_GROWTH))
        branch = trial.advance(branch, wanted)
    return branch


def count_grid(rows: Rows, task_name: str, task: Task, seed: int, shared: Path) -> None:
    """Count the iterations of every cell that is not there yet."""
    trial = trial_of(task, seed, shared, Counting)
    best = math.inf
    for size, rate in cells(task, sizes_of(trial)):
        seconds = rows.seconds(task_name, size)
        assert seconds is not None, "run --part speed first"
        own = size == DEFAULT_SIZE and rate == task.default_rate
        known = rows.of("grid", task=task_name, seed=seed, size=size, rate=rate)
        if known and (known[-1]["iterations"] or known[-1]["run"] * seconds >= best or own):
            if known[-1]["iterations"]:
                best = min(best, known[-1]["iterations"] * seconds)
            continue
        limit = LONGEST_SECONDS if own else HOPELESS * best
        limit = min(limit, LONGEST_SECONDS)
        pair = Pair(batch_size=size, learning_rate=rate)
        branch = run_to_target(trial, task, pair, seconds, limit)
        iterations = branch.reached(task.target)
        if iterations:
            best = min(best, iterations * seconds)
        rows.add(
            part="grid",
            task=task_name,
            seed=seed,
            size=size,
            rate=rate,
            iterations=None if iterations is None else round(iterations, 1),
            run=branch.iterations,
            lowest=round(branch.best, 5),
        )


def cells(task: Task, sizes: list[int]) -> Iterator[tuple[int, float]]:
    """Yield the grid, likely good cells first, so that hopeless ones are found early."""
    yield DEFAULT_SIZE, task.default_rate
    power = 0.5 if task.optimizer == "adam" else 1.0
    for size in sorted(sizes, key=lambda size: abs(math.log(size / 64))):
        usual = 2 * task.default_rate * (size / DEFAULT_SIZE) ** power
        for rate in sorted(task.rates, key=lambda rate: abs(math.log(rate / usual))):
            if (size, rate) != (DEFAULT_SIZE, task.default_rate):
                yield size, rate


def scaled(samples: Samples) -> Any:
    """The features as `fit` would be given them."""
    if samples.divisor is None:
        return samples.x
    return map_leaves(lambda leaf: leaf.astype(np.float32) / samples.divisor, samples.x)


def ask(rows: Rows, task_name: str, task: Task, seed: int, shared: Path) -> None:
    """Ask for advice, then run it."""
    if rows.of("advice", task=task_name, seed=seed):
        return
    training, held_out = task.samples(shared)
    model = task.model(seed)
    began = time.perf_counter()
    advice = epochwise.tune(
        model,
        scaled(training),
        training.y,
        validation_data=(scaled(held_out), held_out.y),
        target={"val_loss": task.target},
        batch_size=DEFAULT_SIZE,
        seed=seed,
    )
    took = time.perf_counter() - began
    trial = trial_of(task, seed, shared, Counting)
    pair = Pair(batch_size=advice.batch_size, learning_rate=advice.learning_rate)
    measured = {row.batch_size: row.iteration_seconds for row in advice.table}
    seconds = measured[advice.batch_size]
    branch = run_to_target(trial, task, pair, seconds, LONGEST_SECONDS)
    rows.add(
        part="advice",
        task=task_name,
        seed=seed,
        size=advice.batch_size,
        rate=advice.learning_rate,
        iterations=branch.reached(task.target),
        run=branch.iterations,
        predicted_iterations=advice.iterations,
        predicted_seconds=advice.seconds,
        choosing_seconds=took,
        advice=advice.to_json(),
    )


PARTS: dict[str, Callable[..., None]] = {"speed": measure_speed}


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shared", type=Path, help="holds mnist.npz and tinyshakespeare.txt")
    parser.add_argument("--file", type=Path, help="of the rows")
    parser.add_argument("--part", nargs="*", default=["speed", "grid", "advice", "summary"])
    parser.add_argument("--task", nargs="*", default=list(TASKS))
    parser.add_argument("--seed", nargs="*", type=int, default=[0, 1, 2])
    asked = parser.parse_args()
    results = Path(__file__).parent / "results"
    path = asked.file or results / f"choose_batch_size-{date.today().isoformat()}.jsonl"
    rows = Rows(path)
    select_backend()
    keep_compiled_programs(versions())
    everything = TASKS | LONG_TASKS
    for part in asked.part:
        for name in asked.task:
            task = everything[name]
            if part == "speed":
                measure_speed(rows, name, task, asked.shared)
            for seed in asked.seed if part in ("grid", "advice") else []:
                {"grid": count_grid, "advice": ask}[part](rows, name, task, seed, asked.shared)


if __name__ == "__main__":
    main()
