"""Does a run survive being killed, or asked to end, at any time?

A training that saves after every epoch and every 20 iterations gets SIGKILL at a random
time, goes on, is killed again, until it ends. No committed checkpoint may be lost, the
final weights, history and losses must be those of the run that nobody touched, and the
record must hold each row once. With SIGTERM the process must end by itself within ten
seconds, with a checkpoint committed where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from survivor import Training, ended, import_everything, in_new_process, started

COMPARED = ("digest", "history", "losses", "iterations", "updates", "best")
MOST_KILLS = 4
"""After so many a run is left to end."""


def rows(folder: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a record."""
    path = folder / "events.jsonl"
    if not path.exists():
        return []
    *lines, _cut = path.read_bytes().split(b"\n")
    return [json.loads(line) for line in lines]


def committed(folder: Path) -> int:
    """Return the iterations of the newest checkpoint that the record calls committed."""
    named = [row for row in rows(folder) if row["event"] == "checkpoint_committed"]
    return max((row["position"]["iterations_done"] for row in named), default=0)


def starts(folder: Path) -> list[dict[str, Any]]:
    """Return the rows that tell where each process of a run began."""
    return [row for row in rows(folder) if row["event"] == "run_begun"]


def told_once(folder: Path, whole: Path) -> bool:
    """Tell whether a record has each row of the uninterrupted run's, once."""
    kinds = ("epoch_begun", "evaluation_begun", "evaluated", "epoch_done", "stopped")

    def told(path: Path) -> list[Any]:
        return [
            [row["event"], row["position"], row.get("metrics")]
            for row in rows(path)
            if row["event"] in kinds
        ]

    names = [row["name"] for row in rows(folder) if row["event"] == "checkpoint_committed"]
    return told(folder) == told(whole) and len(names) == len(set(names))


def killed(root: Path, number: int, rng: random.Random, seconds: float) -> tuple[int, bool]:
    """Kill a run at random times until it ends; return the losses, and whether it is whole."""
    folder, lost, kills = root / f"kill-{number}", 0, 0
    while True:
        before = committed(folder)
        asked = Training(
            folder=str(folder), checkpoint_every="20it", goes_on=(folder / "run.json").exists()
        )
        begun = starts(folder)
        pid, pipe = started(asked)
        if kills < MOST_KILLS:
            time.sleep(rng.uniform(0, seconds))
            os.kill(pid, signal.SIGKILL)
        kills += 1
        status, told = ended(pid, pipe)
        now = starts(folder)
        # A run killed after its last row has ended: resumed, it starts nothing.
        if now != begun and now:
            lost += now[-1]["position"]["iterations_done"] < before
        if status == 0:
            whole = json.loads((root / "whole.json").read_text())
            same = all(told[name] == whole[name] for name in COMPARED)
            return lost, same and told_once(folder, root / "whole")
        if status != -signal.SIGKILL:
            return lost, False


def terminated(root: Path, number: int, rng: random.Random, seconds: float) -> bool:
    """Ask a run to end at a random time; tell whether it saved in time and goes on whole."""
    folder = root / f"term-{number}"
    pid, pipe = started(Training(folder=str(folder), checkpoint_every="never"))
    while not rows(folder):
        time.sleep(0.01)
    time.sleep(rng.uniform(0, seconds))
    asked_at = time.monotonic()
    os.kill(pid, signal.SIGTERM)
    status, told = ended(pid, pipe)
    in_time = time.monotonic() - asked_at < 10
    if status != 0:
        stop = rows(folder)[-1]
        in_time &= stop["event"] == "stopped"
        in_time &= committed(folder) == stop["position"]["iterations_done"]
        _, told = in_new_process(Training(folder=str(folder), goes_on=True))
    whole = json.loads((root / "whole.json").read_text())
    same = all(told.get(name) == whole[name] for name in COMPARED)
    return status in (0, -signal.SIGTERM) and in_time and same


def main(arguments: list[str] | None = None) -> int:
    """Run the battery; return how much was lost or differed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--terms", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        import_everything(root / "cache")
        for folder in ("warm", "whole"):  # the second finds its programs compiled
            began = time.monotonic()
            training = Training(folder=str(root / folder), checkpoint_every="20it")
            _, whole = in_new_process(training)
        seconds = time.monotonic() - began
        (root / "whole.json").write_text(json.dumps(whole))
        killed_runs = [killed(root, number, rng, seconds) for number in range(asked.kills)]
        lost = sum(found for found, _ in killed_runs)
        differ = sum(not same for _, same in killed_runs)
        print(f"{asked.kills} killed runs: {lost} commits lost, {differ} differ", flush=True)
        bad = sum(not terminated(root, n, rng, seconds) for n in range(asked.terms))
        print(f"{asked.terms} runs asked to end: {bad} late or different")
    return lost + differ + bad


if __name__ == "__main__":
    sys.exit(min(1, main()))
