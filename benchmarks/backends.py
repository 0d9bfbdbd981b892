"""Is `epochwise.fit` no slower than `model.fit` on any backend?

On each backend the two take turns, epoch by epoch, each in a process of its own, after one
epoch of warm-up; medians of the ratios. The networks are MNIST's perceptron and its CNN
with max pooling, at batch size 64.

    python benchmarks/backends.py mnist.npz [--python PYTHON] [--rounds N] [--write]

PYTHON is an interpreter that has the backends (`make backends` makes one); those that are
not installed are left out and said to be.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from turns import Peer, Row, has, in_turn, ratio, report, text_of

BARS = {"jax": 0.33, "tensorflow": 0.6, "torch": 1.0}
"""What an epoch may take at most, against `model.fit` on the same backend."""

TASKS = {"mnist mlp": BARS, "mnist cnn, max pooling": dict.fromkeys(BARS, 1.0)}


def rows_of(backends: Sequence[str], mnist: str, python: str, rounds: int) -> list[Row]:
    """One row for each network on each backend."""
    rows = []
    for task, bars in TASKS.items():
        for backend in backends:
            peers = {
                way: Peer(way=f"{way}-{backend}", task=task, python=python)
                for way in ("epochwise", "keras")
            }
            seconds = in_turn(peers, rounds=rounds, batch_size=64, data={"mnist": mnist})
            ours, theirs = seconds["epochwise"], seconds["keras"]
            rows.append(
                Row(
                    figure=f"{task} on {backend}: an epoch, against model.fit",
                    value=ratio(ours, theirs),
                    bar=bars[backend],
                    ours=text_of(ours),
                    theirs=text_of(theirs),
                )
            )
    return rows


def main() -> None:
    """Print the table; with `--write` keep it in dated files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("mnist", help="an .npz with x_train and y_train")
    parser.add_argument("--python", default=sys.executable, help="interpreter with backends")
    parser.add_argument("--backends", nargs="+", default=list(BARS), choices=BARS)
    parser.add_argument("--rounds", type=int, default=7, help="epochs timed of each")
    parser.add_argument("--write", action="store_true", help="keep the table")
    asked = parser.parse_args()
    installed = [name for name in asked.backends if has(asked.python, name)]
    for name in sorted(set(asked.backends) - set(installed)):
        print(f"{name} is left out: {asked.python} does not have it")
    mnist = str(Path(asked.mnist).resolve())
    report(
        "backends",
        "Is epochwise.fit no slower than model.fit on any backend?",
        rows_of(installed, mnist, asked.python, asked.rounds),
        write=asked.write,
    )


if __name__ == "__main__":
    main()
