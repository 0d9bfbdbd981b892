"""Is any network slower than with `model.fit` on JAX?

Networks of several kinds at batch size 64, ours and `model.fit` in turn, each in a process
of its own; seconds an iteration, the median of several turns after one of warm-up. The CNN
with max pooling also against a PyTorch loop of the same network.

    python benchmarks/networks.py mnist.npz text.txt [--peers PYTHON] [--rounds N]
                                  [--only TASK] [--write]
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path

from tasks import TASKS
from turns import Peer, Row, has, in_turn, ratio, report, text_of

BATCH_SIZE = 64
POOLED = "mnist cnn, max pooling"


def rows_of(name: str, data: dict[str, str], peers_python: str, rounds: int) -> list[Row]:
    """One network against `model.fit`, and where it has one against its PyTorch loop."""
    peers = {way: Peer(way=way, task=name) for way in ("epochwise", "keras-jax")}
    if name == POOLED:
        if has(peers_python, "torch"):
            peers["torch"] = Peer(way="torch", task=name, python=peers_python)
        else:
            print(f"torch is left out: {peers_python} has none")
    x, _ = TASKS[name].arrays(**data)
    iterations = -(-len(x) // BATCH_SIZE)
    seconds = in_turn(peers, rounds=rounds, batch_size=BATCH_SIZE, data=data)
    ours = seconds.pop("epochwise")
    named = {"keras-jax": ("model.fit on JAX", 0.5 if name == POOLED else 1.0)}
    named["torch"] = ("a PyTorch loop", 1.0)
    rows = []
    for way, theirs in seconds.items():
        whom, bar = named[way]
        rows.append(
            Row(
                figure=f"{name}, against {whom}",
                value=ratio(ours, theirs),
                bar=bar,
                ours=text_of(ours, iterations, "ms"),
                theirs=text_of(theirs, iterations, "ms"),
            )
        )
    return rows


def main() -> None:
    """Print the table; with `--write` keep it in dated files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("mnist", help="an .npz with x_train and y_train")
    parser.add_argument("text", help="a text file")
    parser.add_argument("--peers", default=sys.executable, help="interpreter of the peers")
    parser.add_argument("--rounds", type=int, default=9, help="turns timed of each")
    parser.add_argument("--only", choices=TASKS, action="append", help="some networks only")
    parser.add_argument("--write", action="store_true", help="keep the table")
    asked = parser.parse_args()
    data = {name: str(Path(getattr(asked, name)).resolve()) for name in ("mnist", "text")}
    rows = []
    for name in asked.only or TASKS:
        rows += rows_of(name, data, asked.peers, asked.rounds)
        print(f"{name} done", flush=True)
    against = [row.value for row in rows if "model.fit" in row.figure]
    rows.append(
        Row(figure="median over the networks", value=statistics.median(against), bar=0.6)
    )
    report(
        "networks", "Is any network slower than with model.fit on JAX?", rows, write=asked.write
    )


if __name__ == "__main__":
    main()
