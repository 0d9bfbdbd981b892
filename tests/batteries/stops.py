"""Is a run that was stopped anywhere, and went on in a new process, the uninterrupted run?

A run of 3 epochs, 186 iterations (dropout, batch normalisation, Adam, a schedule, a short
last batch, an evaluation each epoch), is stopped by SIGTERM after an iteration and goes
on: after every one of them; in chains that stop every 1, 2, 3 and 7 iterations; and 30
times at one place with nothing trained between. Weights, history and losses must be
those of the uninterrupted run, and the checkpoint must not grow.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from survivor import ITERATIONS, Training, import_everything, in_new_process

COMPARED = ("digest", "history", "losses", "iterations", "updates", "best")


FIRST_EVALUATION = 62
"""From there on a checkpoint holds the best weights as well [iterations]."""


def state_bytes(folder: Path) -> int:
    """Return the size of the newest checkpoint's arrays [bytes]."""
    newest = max((folder / "checkpoints").iterdir(), key=lambda path: path.name)
    return (newest / "state.safetensors").stat().st_size


def stopped_after(root: Path, places: Iterable[int], whole: dict[str, Any]) -> list[int]:
    """Stop once at each place and go on; return the places where something differs."""
    differing = []
    for place in places:
        folder = str(root / f"stop-{place}")
        first = Training(folder=folder, checkpoint_every=f"{place}it", stop_at=place)
        first_exit, _ = in_new_process(first)
        _, told = in_new_process(Training(folder=folder, goes_on=True))
        same = all(told.get(name) == whole[name] for name in COMPARED)
        if not same or first_exit != -15:
            differing.append(place)
    return differing


def chained(root: Path, every: int, whole: dict[str, Any], end: int = ITERATIONS) -> list[str]:
    """Stop every so many iterations until the end; return what differs."""
    folder, place = root / f"chain-{every}", every
    in_new_process(Training(folder=str(folder), stop_at=place))
    sizes = []
    told: dict[str, Any] = {}
    while place < end:
        if place > FIRST_EVALUATION:
            sizes.append(state_bytes(folder))
        place += every
        asked = Training(
            folder=str(folder), goes_on=True, stop_at=place if place < end else None
        )
        _, told = in_new_process(asked)
    differs = [name for name in COMPARED if told.get(name) != whole[name]]
    return differs + (["size"] if max(sizes) != min(sizes) else [])


def idle(root: Path, times: int, whole: dict[str, Any]) -> list[str]:
    """Go on and stop again with nothing between, then to the end; return what differs."""
    folder, place = root / "idle", 70
    in_new_process(Training(folder=str(folder), stop_at=place))
    before = state_bytes(folder)
    for _ in range(times):
        asked = Training(folder=str(folder), goes_on=True, stop_at=0)
        in_new_process(asked)
    grown = state_bytes(folder) != before
    _, told = in_new_process(Training(folder=str(folder), goes_on=True))
    differs = [name for name in COMPARED if told.get(name) != whole[name]]
    return differs + (["size"] if grown else [])


def main(arguments: list[str] | None = None) -> int:
    """Run the battery; return how much of it differed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--places", type=int, nargs="*", default=range(1, ITERATIONS + 1))
    parser.add_argument("--chains", type=int, nargs="*", default=[1, 2, 3, 7])
    parser.add_argument("--idle", type=int, default=30)
    asked = parser.parse_args(arguments)
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        import_everything(root / "cache")
        _, whole = in_new_process(Training(folder=str(root / "whole")))
        differing = stopped_after(root, asked.places, whole)
        print(f"{len(asked.places)} stops, {len(differing)} differ {differing}", flush=True)
        failures += len(differing)
        for every in asked.chains:
            differs = chained(root, every, whole)
            print(f"a stop every {every} iterations: {differs or 'identical'}", flush=True)
            failures += len(differs)
        if asked.idle:
            differs = idle(root, asked.idle, whole)
            print(f"{asked.idle} stops with nothing between: {differs or 'identical'}")
            failures += len(differs)
    return failures


if __name__ == "__main__":
    sys.exit(min(1, main()))
