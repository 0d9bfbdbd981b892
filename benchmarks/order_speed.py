"""How long does the order of an epoch take, and how does it grow with N?

The order is worked out anew for each epoch, before or while that epoch trains, so it has
to be short beside the training itself. This asks for a part of an epoch that was never
asked for before (keys and tables included), for the same part again, for the 64 samples
of one batch, and, as a yardstick, for NumPy's permutation of a whole epoch in memory.

    python benchmarks/order_speed.py            prints the table
    python benchmarks/order_speed.py --write    also keeps it under benchmarks/results/

Each figure is the median of several calls after one to warm up, in milliseconds, with the
fastest and the slowest.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from epochwise.data.order import Order
from epochwise.data.split import split

RESULTS = Path(__file__).parent / "results"
WINDOW = 60_000
CALLS = 15


def milliseconds(call: Callable[[int], object]) -> dict[str, float]:
    """Time `call(0)`, `call(1)`, ...; the first is not counted."""
    taken = []
    for number in range(CALLS + 1):
        begun = time.perf_counter()
        call(number)
        taken.append((time.perf_counter() - begun) * 1e3)
    counted = taken[1:]
    return {
        "median": round(statistics.median(counted), 4),
        "fastest": round(min(counted), 4),
        "slowest": round(max(counted), 4),
    }


def figures() -> dict[str, dict[str, float]]:
    """Measure every row of the table."""
    rows = {}
    mnist = Order(samples=60_000, seed=1)
    rows["60,000 of 60,000, new epoch"] = milliseconds(lambda e: mnist.indices(e, 0, WINDOW))
    rows["937 batches of 64 of 60,000, new epoch"] = milliseconds(
        lambda e: mnist.batches(e, 0, 937, 64)
    )
    rows["60,000 of 60,000, same epoch"] = milliseconds(lambda _: mnist.indices(0, 0, WINDOW))
    rows["one batch of 64 of 60,000"] = milliseconds(lambda i: mnist.batch(0, i, 64))
    for power in (6, 9, 12, 15):
        order = Order(samples=10**power, seed=1)
        rows[f"60,000 of 10^{power}, new epoch"] = milliseconds(
            lambda e, order=order: order.indices(e, 0, WINDOW)
        )
    small = Order(samples=1024, seed=1)
    rows["1,024 of 1,024, new epoch"] = milliseconds(lambda e: small.indices(e, 0, 1024))
    rows["NumPy, permutation(60,000)"] = milliseconds(
        lambda e: np.random.default_rng(e).permutation(60_000)
    )
    labels = np.random.default_rng(0).integers(0, 10, 60_000)
    names = np.array([f"class {number}" for number in range(10)])[labels]
    rows["stratified split, 60,000 integers"] = milliseconds(
        lambda seed: split(60_000, 0.2, labels=labels, seed=seed)
    )
    rows["stratified split, 60,000 strings"] = milliseconds(
        lambda seed: split(60_000, 0.2, labels=names, seed=seed)
    )
    return rows


def main() -> None:
    """Print the table and, if asked to, keep it with the machine and the versions."""
    parser = argparse.ArgumentParser(description="Time the order of an epoch.")
    parser.add_argument("--write", action="store_true", help="keep the table, dated")
    write = parser.parse_args().write

    rows = figures()
    print(f"{'milliseconds':40} {'median':>9} {'fastest':>9} {'slowest':>9}")
    for name, row in rows.items():
        print(f"{name:40} {row['median']:9.3f} {row['fastest']:9.3f} {row['slowest']:9.3f}")
    if write:
        today = dt.datetime.now(dt.UTC).date().isoformat()
        found = {
            "question": "How long does the order of an epoch take?",
            "date": today,
            "machine": {"processor": platform.machine(), "cores": os.cpu_count()},
            "versions": {"python": platform.python_version(), "numpy": np.__version__},
            "calls": CALLS,
            "milliseconds": rows,
        }
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"order_speed-{today}.json"
        path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n", "utf-8")
        print(f"kept in benchmarks/results/{path.name}")


if __name__ == "__main__":
    main()
