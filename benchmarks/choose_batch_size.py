"""Is the batch size that `epochwise.tune` advises the right one?

For each task and seed an oracle is found by running a full grid, batch sizes 16 to 4,096
in powers of two times five learning rates, each to the task's target. The time of a pair
is the iterations that it takes times the seconds an iteration takes at its size, measured
for every size. Then `tune` is asked, and its pair is run in the same way.

    python benchmarks/choose_batch_size.py ../shared --file NAME.jsonl [--part PART ...]

Parts: `speed` (seconds an iteration; wants a quiet machine), `grid` (counts iterations;
the machine may be busy), `advice` (asks `tune` with its own default budget and runs what
it says; quiet), `memory` (predicted and measured, each in a process of its own), `noise`
(a training that measures noise all the way; quiet), `long` (a training of more than half
a minute; quiet), `summary`. Rows are appended to the
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
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np

import epochwise
from choosing_tasks import LONG_TASKS, TASKS, Task
from epochwise.choosing.batch_size.probes import EngineTrial, ReadySize, Watched
from epochwise.choosing.batch_size.trial import Branch, Pair
from epochwise.counting.plan import Plan
from epochwise.data.feed import ArrayFeed
from epochwise.data.given import in_order
from epochwise.data.order import Order
from epochwise.data.samples import Samples, map_leaves
from epochwise.engines.memory import run_watching_peak
from epochwise.engines.probing import NoProbe
from epochwise.engines.select import engine_for
from epochwise.events import IterationsDone
from epochwise.framework import keep_compiled_programs, select_backend
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

    def _timed(self, size: ReadySize, count: int) -> float:
        del size, count
        return 1.0


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
    for size in sizes:
        trial.ready(size)
    trial.rounds.clear()
    for _ in range(ROUNDS):
        trial.time_in_turn(most_seconds=math.inf)
    for size in sizes:
        found = [measured[size] for measured in trial.rounds]
        rows.add(
            part="speed",
            task=task_name,
            size=size,
            seconds=statistics.median(found),
            least=min(found),
            most=max(found),
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
    x, held_out_x = scaled(training), scaled(held_out)
    model = task.model(seed)
    began = time.perf_counter()
    advice = epochwise.tune(
        model,
        x,
        training.y,
        validation_data=(held_out_x, held_out.y),
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


MEMORY_CASES = (
    ("mnist-mlp", 4096),
    ("mnist-mlp", 20_000),
    ("mnist-cnn", 1024),
    ("mnist-cnn", 4096),
    ("characters", 4096),
    ("mnist-large-cnn", 512),
)
"""Tasks and batch sizes whose activations are more than a few megabytes."""


def compare_memory(rows: Rows, shared: Path) -> None:
    """Predict memory in one process, measure it in a training in another."""
    for name, size in MEMORY_CASES:
        told = {
            how: json.loads(
                subprocess.run(
                    [sys.executable, __file__, str(shared), f"--{how}", name, str(size)],
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout.splitlines()[-1]
            )
            for how in ("predict", "measure")
        }
        rows.add(
            part="memory",
            task=name,
            size=size,
            predicted=told["predict"],
            measured=told["measure"],
        )


def predict_memory(name: str, size: int, shared: Path) -> int:
    """What `tune` says that training at a size takes [bytes]."""
    task = (TASKS | LONG_TASKS)[name]
    training, held_out = task.samples(shared)
    advice = epochwise.tune(
        task.model(0),
        scaled(training),
        training.y,
        validation_data=(scaled(held_out), held_out.y),
        sizes=[size],
        batch_size=size,
        seconds=5,
    )
    [row] = advice.table
    assert row.memory_bytes is not None
    return row.memory_bytes


def measure_memory(name: str, size: int, shared: Path) -> int:
    """What a training of three iterations really takes [bytes].

    Counted are the data on the device with the rows of the epoch, weights and optimizer,
    which are there before, and how far the process's memory rises above that while
    iterations run.
    """
    task = (TASKS | LONG_TASKS)[name]
    training, _ = task.samples(shared)
    x, y = scaled(training), training.y
    data = Samples(x=x, y=y)
    model = task.model(0)
    engine = engine_for(model, example=data.rows(np.arange(2)), resident=data, validation=None)
    plan = Plan(samples=data.count, batch_size=size, epochs=1, remainder="drop")
    feed = ArrayFeed(train=data, order=Order(samples=data.count, seed=0), plan=plan)
    window = feed.window(0, 0)
    engine.prepare([window], [])
    loaded = engine.load(window)
    values = engine.take()
    held = data.nbytes + window.rows.nbytes
    held += sum(array.nbytes for array in engine.to_host(values).values())

    def run() -> None:
        _, pending = engine.run(values, loaded, 0, min(3, window.iterations))
        pending.wait()

    _, rise = run_watching_peak(run)
    assert rise is not None
    return held + rise


class Clock:
    """Adds up what the segments of a training took, listeners included."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def on_event(self, event: object) -> None:
        """Count a segment's time."""
        if isinstance(event, IterationsDone):
            self.seconds += event.seconds


def watch_noise(rows: Rows, task_name: str, task: Task, shared: Path) -> None:
    """Time epochs of training with and without measuring the noise, in turn."""
    training, _ = task.samples(shared)
    x, y = scaled(training), training.y
    model = task.model(0)
    watch = epochwise.NoiseWatch(model, x, y)
    took: dict[bool, list[float]] = {True: [], False: []}
    epochs = 1
    for place in range(-2, 2 * ROUNDS):
        watched = place % 2 == 0
        began = time.perf_counter()
        epochwise.fit(
            model, x, y, batch_size=64, epochs=epochs, verbose=0,
            listeners=[watch] if watched else [],
        )  # fmt: skip
        if place < 0:  # compiles, and tells how many epochs take about two seconds
            epochs = max(1, round(2.0 / (time.perf_counter() - began)))
        else:
            took[watched].append(time.perf_counter() - began)
    pairs = zip(took[True], took[False], strict=True)
    rows.add(
        part="noise",
        task=task_name,
        slowdown=statistics.median(with_it / without for with_it, without in pairs),
        seconds=statistics.median(took[False]),
        draws=len(watch.draws),
        scale=watch.noise().scale.value,
    )


def summarise(rows: Rows, seeds: list[int]) -> dict[str, Any]:
    """Return the figures of the issue from the rows, and those of every task."""
    ratios, against_own, factors, shares, tasks = [], [], [], [], {}
    for name in TASKS:
        found = []
        for seed in seeds:
            told = rows.of("advice", task=name, seed=seed)
            grid = {
                (row["size"], row["rate"]): row["iterations"] * seconds_of(rows, row)
                for row in rows.of("grid", task=name, seed=seed)
                if row["iterations"]
            }
            if not told or not grid:
                continue
            advice = told[-1]
            best = min(grid, key=lambda cell: grid[cell])
            own = grid.get((DEFAULT_SIZE, TASKS[name].default_rate))
            taken = (
                math.inf
                if advice["iterations"] is None
                else advice["iterations"] * seconds_of(rows, advice)
            )
            ratios.append(taken / grid[best])
            against_own.append(0.0 if own is None else taken / own)
            if advice["predicted_iterations"] and advice["iterations"]:
                factor = advice["predicted_iterations"] / advice["iterations"]
                factors.append(max(factor, 1 / factor))
            if grid[best] >= LONG_SECONDS:
                shares.append(advice["choosing_seconds"] / grid[best])
            found.append(
                {
                    "seed": seed,
                    "oracle": {"size": best[0], "rate": best[1], "seconds": grid[best]},
                    "advice": {
                        "size": advice["size"], "rate": advice["rate"], "seconds": taken
                    },
                    "own_seconds": own,
                    "ratio": taken / grid[best],
                    "choosing_seconds": advice["choosing_seconds"],
                }
            )  # fmt: skip
        if found:
            tasks[name] = found
    memory = [
        max(row["predicted"] / row["measured"], row["measured"] / row["predicted"])
        for row in rows.of("memory")
    ]
    slowdowns = {row["task"]: row["slowdown"] for row in rows.of("noise")}.values()
    long = [
        row["choosing_seconds"] / row["best_seconds"]
        for row in rows.of("long")
        if row["best_seconds"] >= LONG_SECONDS
    ]
    return {
        "date": date.today().isoformat(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": versions(),
        "advice_against_oracle_median": _median(ratios),
        "advice_against_oracle_worst": max(ratios, default=None),
        "advice_against_oracle_worst_task": max(
            (statistics.median(row["ratio"] for row in found) for found in tasks.values()),
            default=None,
        ),
        "advice_against_own_median": _median(against_own),
        "choosing_against_oracle": max(shares + long, default=None),
        "iterations_factor_median": _median(factors),
        "memory_factor_worst": max(memory, default=None),
        "noise_slowdown_worst": max(slowdowns, default=None),
        "tasks": tasks,
    }


def seconds_of(rows: Rows, row: dict[str, Any]) -> float:
    """Seconds an iteration at the size of a row, as last measured for its task."""
    found = rows.seconds(row["task"], row["size"])
    assert found is not None, f"the speed of {row['task']} at {row['size']} was not measured"
    return found


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def run_long(rows: Rows, task_name: str, task: Task, shared: Path) -> None:
    """Ask about a training of more than half a minute, and run it with its neighbours.

    The oracle is the best of the advice, Keras's own pair, and pairs a factor of two
    and four around the advice: a full grid would take hours.
    """
    ask(rows, task_name, task, 0, shared)
    [advice] = rows.of("advice", task=task_name, seed=0)
    trial = trial_of(task, 0, shared, EngineTrial)
    size, rate = advice["size"], advice["rate"]
    pairs = [(size, rate), (DEFAULT_SIZE, task.default_rate)]
    pairs += [(size, rate * 2), (size, rate / 2), (size * 2, rate * 2**0.5)]
    pairs += [(max(1, size // 2), rate / 2**0.5), (size * 2, rate), (max(1, size // 2), rate)]
    best = math.inf
    for place, (near, near_rate) in enumerate(pairs):
        seconds = trial.ready(near).seconds
        known = rows.of("long-cell", task=task_name, size=near, rate=near_rate)
        if known:
            best = min(best, known[-1]["seconds"] or math.inf)
            continue
        reached = advice["iterations"]
        if place:
            pair = Pair(batch_size=near, learning_rate=near_rate)
            limit = LONGEST_SECONDS if place == 1 else best
            branch = run_to_target(trial, task, pair, seconds, limit)
            reached = branch.reached(task.target)
        taken = math.inf if reached is None else reached * trial.ready(near).seconds
        best = min(best, taken)
        rows.add(
            part="long-cell",
            task=task_name,
            size=near,
            rate=near_rate,
            iterations=reached,
            seconds=None if math.isinf(taken) else taken,
        )
    rows.add(
        part="long",
        task=task_name,
        choosing_seconds=advice["choosing_seconds"],
        best_seconds=best,
    )


LONG_SECONDS = 30.0
"""A training is long from here on: choosing must be short beside it [s]."""


def main() -> None:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shared", type=Path, help="holds mnist.npz and tinyshakespeare.txt")
    parser.add_argument("--file", type=Path, help="of the rows")
    parser.add_argument("--part", nargs="*", default=["speed", "grid", "advice", "summary"])
    parser.add_argument("--task", nargs="*", default=list(TASKS))
    parser.add_argument("--seed", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--predict", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    select_backend()
    for how, memory in (("predict", predict_memory), ("measure", measure_memory)):
        if getattr(asked, how) is not None:
            name, size = getattr(asked, how)
            print(memory(name, int(size), asked.shared))
            return
    results = Path(__file__).parent / "results"
    path = asked.file or results / f"choose_batch_size-{date.today().isoformat()}.jsonl"
    rows = Rows(path)
    keep_compiled_programs(versions())
    tasks = {name: (TASKS | LONG_TASKS)[name] for name in asked.task}
    for part in asked.part:
        if part == "memory":
            compare_memory(rows, asked.shared)
        if part == "summary":
            text = json.dumps(summarise(rows, asked.seed), indent=1)
            path.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
            print(text)
        for name, task in tasks.items():
            if part in ("speed", "noise", "long"):
                once = {"speed": measure_speed, "noise": watch_noise, "long": run_long}
                once[part](rows, name, task, asked.shared)
            if part in ("grid", "advice"):
                each = {"grid": count_grid, "advice": ask}
                for seed in asked.seed:
                    each[part](rows, name, task, seed, asked.shared)


if __name__ == "__main__":
    main()
