"""What does the live page cost a training that goes on in another process?

The first network is trained by the command line, in turn with the page of the run open in
a headless Chromium and with an empty page open; the seconds of training that the record
tells are compared, neighbour with neighbour.

    python benchmarks/watch_cost.py [--rounds 5] [--epochs 150] [--data FILE.npz] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

BAR = 1.02
"""Most that the live page may cost."""

EPOCHWISE = (sys.executable, "-m", "epochwise")
QUIET = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
WAIT_SECONDS = 120.0


def made_up(path: Path) -> Path:
    """Write images and labels as large as MNIST's, and return the path."""
    random = np.random.default_rng(0)
    np.savez(
        path,
        x_train=random.integers(0, 256, (60_000, 28, 28), dtype=np.uint8),
        y_train=random.integers(0, 10, 60_000, dtype=np.uint8),
        x_test=random.integers(0, 256, (10_000, 28, 28), dtype=np.uint8),
        y_test=random.integers(0, 10, 10_000, dtype=np.uint8),
    )
    return path


def train_seconds(browser: Any, data: Path, epochs: int, folder: Path, *, watched: bool) -> Any:
    """Train once; return the seconds of training, and how often the page was renewed."""
    page = browser.new_page()
    training = subprocess.Popen(
        [
            *(
                *EPOCHWISE,
                "train",
                str(data),
                "--epochs",
                str(epochs),
                "--run-dir",
                str(folder),
            ),
            *("--validation-split", "0.1", "--json", "--quiet"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=QUIET,
        text=True,
    )
    server = None
    if watched:
        begun = folder / "events.jsonl"
        until = time.monotonic() + WAIT_SECONDS
        while not begun.exists() and training.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        server = subprocess.Popen(
            [*EPOCHWISE, "watch", str(folder)], stdout=subprocess.PIPE, env=QUIET, text=True
        )
        assert server.stdout is not None
        page.goto(server.stdout.readline().strip())
    told, _ = training.communicate()
    renewed = 0
    if server is not None:
        renewed = int(page.evaluate("document.documentElement.dataset.renewed ?? '0'"))
        server.send_signal(signal.SIGINT)
        server.wait()
    page.close()
    return json.loads(told.splitlines()[-1])["seconds"]["train"], renewed


def main() -> None:
    """Take turns and tell the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        sys.exit("There is no Chromium on this machine; `apt-get install chromium` brings one.")
    ratios, plain, renewals = [], [], []
    with tempfile.TemporaryDirectory() as parent, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        data = asked.data or made_up(Path(parent) / "images.npz")
        for turn in range(asked.rounds + 1):
            pair = {}
            for watched in (turn % 2 == 0, turn % 2 == 1):
                folder = Path(parent) / f"run-{turn}-{watched}"
                pair[watched], renewed = train_seconds(
                    browser, data, asked.epochs, folder, watched=watched
                )
                renewals += [renewed] if watched else []
            print(
                f"round {turn}: {pair[True]:.3f} s watched, {pair[False]:.3f} s not", flush=True
            )
            if turn:  # the first round warms up
                ratios.append(pair[True] / pair[False])
                plain.append(pair[False])
        browser.close()
    found = {
        "benchmark": "watch_cost",
        "date": f"{date.today():%Y-%m-%d}",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "rounds": asked.rounds,
        "train_seconds_median": round(statistics.median(plain), 3),
        "page_renewals": renewals,
        "ratios": [round(ratio, 4) for ratio in ratios],
        "ratio_median": round(statistics.median(ratios), 4),
        "bar": BAR,
    }
    text = json.dumps(found, indent=2)
    print(text)
    if asked.out is not None:
        asked.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
