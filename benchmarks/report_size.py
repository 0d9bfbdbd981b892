"""How large is a page, how long does it take to make and to draw, and how much memory?

Records of made-up trainings are written, with a peak and a drop planted in the loss, and a
page is made of each in a process of its own, through the command line. Then a headless
Chromium, where there is one, opens the page and tells after how long it was drawn.

    python benchmarks/report_size.py [--iterations 4690 1000000] [--out FILE.json]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from epochwise.counting.plan import Plan
from epochwise.events import (
    EngineDescription,
    EpochBegun,
    EpochDone,
    Evaluated,
    Event,
    IterationsDone,
    RunBegun,
    Stopped,
    StopReason,
)
from epochwise.record import Header, Recorder, RunFolder, Tally

BATCH = 64
PEAK, DROP = 50.0, 1e-6
BARS = {
    4_690: {"bytes": 1_500_000, "drawn_seconds": 1.0},
    1_000_000: {"bytes": 5_000_000, "seconds": 10.0, "memory_bytes": 500_000_000},
}
"""By iterations: most that a page may take."""

MEASURED = """
import resource, sys, time
began = time.perf_counter()
from epochwise import cli
try:
    cli.app(["report", *sys.argv[1:]])
finally:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"measured {time.perf_counter() - began} {peak}", file=sys.stderr)
"""


def losses_of(plan: Plan) -> np.ndarray:
    """Return a noisy curve that falls, with one peak and one drop in it."""
    random = np.random.default_rng(0)
    falling = 0.05 + 2.2 * np.exp(-np.arange(plan.iterations) * 8 / plan.iterations)
    losses = falling * random.lognormal(0, 0.3, plan.iterations)
    losses[[plan.iterations * 3 // 7, plan.iterations * 5 // 7]] = PEAK, DROP
    return losses.astype(np.float32)


def events_of(plan: Plan, losses: np.ndarray, segment: int) -> Iterator[Event]:
    """Yield what the loop would tell of such a training."""
    engine = EngineDescription(
        engine="jax", backend="jax", device="cpu", execution="scan", reason="made up"
    )
    place = plan.position(0)
    yield RunBegun(plan=plan, epochs=int(plan.epochs), position=place, engine=engine)
    per_epoch = plan.iterations_per_epoch
    layers = [f"block_{number}" for number in range(12)]
    for epoch_index in range(int(plan.epochs)):
        yield EpochBegun(
            epoch_index=epoch_index, position=place, iterations_per_epoch=per_epoch
        )
        begin = epoch_index * per_epoch
        for start in range(begin, begin + per_epoch, segment):
            stop = min(start + segment, begin + per_epoch)
            place = plan.position(stop)
            yield IterationsDone(
                epoch_index=epoch_index,
                position=place,
                losses=tuple(losses[start:stop].tolist()),
                samples=(BATCH,) * (stop - start),
                metrics={"loss": float(losses[begin:stop].mean()), "accuracy": 0.9},
                learning_rate=1e-3 * (1 - start / plan.iterations),
                seconds=0.25,
                compile_seconds=0.0,
                epoch_goes_on=stop < begin + per_epoch,
                update_sizes={start + 1: dict.fromkeys(layers, 1e-3)},
            )
        metrics = {"loss": float(losses[begin:stop].mean()), "accuracy": 0.9}
        seen = {"loss": 0.1 + 1 / (1 + epoch_index), "accuracy": 1 - 0.5 / (1 + epoch_index)}
        yield Evaluated(
            epoch_index=epoch_index,
            position=place,
            metrics=seen,
            samples=10_000,
            seconds=0.1,
            compile_seconds=0.0,
        )
        named = {f"val_{name}": value for name, value in seen.items()}
        yield EpochDone(
            epoch_index=epoch_index, position=place, metrics=metrics | named, whole=True
        )
    reason = StopReason(rule="plan", sentence="All planned iterations are done.")
    yield Stopped(position=place, reason=reason, updates={"adam": plan.iterations})


def keep(folder: Path, iterations: int, epochs: int, segment: int = 1_000) -> None:
    """Write the record of a training of so many iterations."""
    per_epoch = iterations // epochs
    plan = Plan(samples=per_epoch * BATCH, batch_size=BATCH, epochs=epochs)
    header = Header(
        began=datetime.fromisoformat("2026-01-01T00:00:00+00:00"),
        data_name="made up",
        data={"samples": plan.samples, "sha256": "0" * 64},
        split=None,
        order={"seed": 0, "shuffle": True},
        model_name="made up",
        model={"parameters": 12},
        plan=plan,
        versions={},
        machine={},
    )
    tally = Tally()
    ticks = iter(range(10**9))
    with Recorder(
        RunFolder.create(folder), header, clock=lambda: float(next(ticks))
    ) as recorder:
        for event in events_of(plan, losses_of(plan), segment):
            tally.on_event(event)
            recorder.on_event(event)
        recorder.close(tally.run())


def measure(folder: Path, output: Path) -> dict[str, Any]:
    """Make the page in a new process; return its size, the seconds and the memory."""
    made = subprocess.run(
        [sys.executable, "-c", MEASURED, str(folder), "--output", str(output)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        check=True,
        env=os.environ,
    )
    seconds, peak = re.search(r"measured (\S+) (\d+)", made.stderr).groups()  # type: ignore[union-attr]
    page = output.read_text("utf-8")
    block = re.search(r'id="page-data">(.*?)</script>', page, re.DOTALL)
    assert block is not None
    (loss,) = (c for c in json.loads(block[1])["runs"][0]["charts"] if c["id"] == "loss")
    values = next(one for one in loss["series"] if one["colour"] == "batch")["y"]
    return {
        "bytes": output.stat().st_size,
        "seconds": round(float(seconds), 2),
        "memory_bytes": int(peak),
        "losses_drawn": len(values),
        "peak_kept": PEAK in values,
        "drop_kept": float(np.float32(DROP)) in map(np.float32, values),
    }


def drawn_seconds(page: Path) -> float | None:
    """Return after how long a browser had drawn a page, the median of five openings [s].

    `None` without Chromium or without Playwright.
    """
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if chromium is None:
        return None
    found = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(5):
            tab = browser.new_page()
            tab.goto(page.as_uri())
            tab.wait_for_selector("html[data-drawn]", timeout=60_000)
            found.append(float(tab.evaluate("document.documentElement.dataset.drawn")) / 1e3)
            tab.close()
        browser.close()
    return statistics.median(found)


def main() -> None:
    """Measure each size and tell it beside its bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, nargs="+", default=[4_690, 1_000_000])
    parser.add_argument("--epochs", type=int, help="epochs of the longest; 5 for the others")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    found = []
    for iterations in asked.iterations:
        epochs = (asked.epochs or 1_000) if iterations > 100_000 else 5
        with tempfile.TemporaryDirectory() as parent:
            folder = Path(parent) / "run"
            began = time.perf_counter()
            keep(folder, iterations, epochs)
            kept = round(time.perf_counter() - began, 2)
            told = measure(folder, Path(parent) / "page.html")
            told["drawn_seconds"] = drawn_seconds(Path(parent) / "page.html")
        told |= {"iterations": iterations, "epochs": epochs, "bars": BARS.get(iterations, {})}
        found.append(told)
        print(json.dumps(told), f"(record written in {kept} s)", flush=True)
    if asked.out is not None:
        about = {
            "benchmark": "report_size",
            "date": f"{date.today():%Y-%m-%d}",
            "python": platform.python_version(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "found": found,
        }
        asked.out.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
