"""How fast is the first network, against everything else that could train it?

MNIST, Flatten, Dense 128, Dense 10, Adam, batch size 64. Peers and ours in turn, epoch by
epoch, each in a process of its own, after one epoch of warm-up; medians and ratios. Then
whole processes: `epochwise train` for 5 epochs with an empty cache of programs, against
`benchmarks/plain_keras.py`, again in turn.

    python benchmarks/first_network.py mnist.npz [--peers PYTHON] [--rounds N] [--write]

PYTHON is an interpreter that has tensorflow, torch and scikit-learn; peers that are not
installed are left out and said to be.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from turns import HERE, Peer, Row, has, in_turn, ratio, report, text_of

EPOCH_BARS = {
    "keras-jax": ("seconds an epoch, against model.fit on JAX", 0.33),
    "scan": ("against a hand-written lax.scan", 1.10),
    "product": ("against its multiplications at the rate of a large product", 2.2),
    "keras-tensorflow": ("against model.fit on TensorFlow", 0.12),
    "torch": ("against a PyTorch DataLoader loop", 0.40),
    "sklearn": ("against scikit-learn's MLPClassifier", 0.40),
}
NEEDS = {"keras-tensorflow": "tensorflow", "torch": "torch", "sklearn": "sklearn"}


def epoch_rows(mnist: str, peers_python: str, rounds: int) -> list[Row]:
    """The table's figures of an epoch."""
    peers = {"epochwise": Peer(way="epochwise", task="mnist mlp")}
    for way in EPOCH_BARS:
        python = sys.executable if way not in NEEDS else peers_python
        if way in NEEDS and not has(python, NEEDS[way]):
            print(f"{way} is left out: {python} has no {NEEDS[way]}")
            continue
        peers[way] = Peer(way=way, task="mnist mlp", python=python)
    peers["epochwise-windows"] = Peer(way="epochwise-windows", task="mnist mlp")
    seconds = in_turn(peers, rounds=rounds, batch_size=64, data={"mnist": mnist})
    ours = seconds["epochwise"]
    rows = []
    for way, (figure, bar) in EPOCH_BARS.items():
        if way in seconds:
            theirs = seconds[way]
            rows.append(
                Row(
                    figure=figure,
                    value=ratio(ours, theirs),
                    bar=bar,
                    ours=text_of(ours),
                    theirs=text_of(theirs),
                )
            )
    windows = seconds["epochwise-windows"]
    rows.append(
        Row(
            figure="data gathered on the host, against data on the device",
            value=ratio(windows, ours),
            bar=1.3,
            ours=text_of(windows),
            theirs=text_of(ours),
        )
    )
    calls = {way: Peer(way=way, task="mnist mlp") for way in ("epochwise-calls", "keras-calls")}
    ours, theirs = in_turn(calls, rounds=rounds, batch_size=64, data={"mnist": mnist}).values()
    rows.append(
        Row(
            figure="one more call of `fit`, for one epoch, against one more of model.fit",
            value=ratio(ours, theirs),
            ours=text_of(ours),
            theirs=text_of(theirs),
        )
    )
    digits = {way: Peer(way=way, task="digits mlp") for way in ("epochwise", "keras-jax")}
    ours, theirs = in_turn(digits, rounds=rounds, batch_size=32, data={}).values()
    rows.append(
        Row(
            figure="digits, batch size 32, against model.fit on JAX",
            value=ratio(ours, theirs),
            bar=0.125,
            ours=text_of(ours, unit="ms"),
            theirs=text_of(theirs, unit="ms"),
        )
    )
    return rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """A process that ended: its wall time, its peak memory and what it printed last."""

    seconds: float
    peak_bytes: int
    last_line: str


def run_process(command: list[str], cache: str) -> Process:
    """Run a command and measure it as a whole; its cache of programs is told."""
    environment = os.environ | {"XDG_CACHE_HOME": cache, "KERAS_BACKEND": "jax"}
    environment["PYTHONPATH"] = str(HERE.parent / "src")
    with tempfile.TemporaryFile("w+") as out:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.DEVNULL, env=environment
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        lines = out.read().splitlines()
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return Process(seconds=seconds, peak_bytes=used.ru_maxrss * 1024, last_line=lines[-1])


def process_rows(mnist: str, rounds: int) -> list[Row]:
    """The table's figures of whole processes."""
    ours: list[Process] = []
    again: list[Process] = []
    plain: list[Process] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            command = [
                *(sys.executable, "-m", "epochwise", "train", mnist, "--batch-size", "64"),
                *("--epochs", "5", "--json", "--run-dir"),
            ]
            ours.append(run_process([*command, f"{folder}/first"], folder))
            plain.append(
                run_process([sys.executable, str(HERE / "plain_keras.py"), mnist], folder)
            )
            again.append(run_process([*command, f"{folder}/second"], folder))
    told = [json.loads(process.last_line) for process in ours]
    compiling = [run["seconds"]["compile"] for run in told]
    accuracy = statistics.median(run["test"]["accuracy"] for run in told)
    seconds = [process.seconds for process in ours]
    their_seconds = [process.seconds for process in plain]
    memory = [process.peak_bytes / 2**20 for process in ours]
    their_memory = [process.peak_bytes / 2**20 for process in plain]
    again_seconds = [process.seconds for process in again]
    return [
        Row(
            figure="whole process, 5 epochs, nothing cached, against a plain Keras script",
            value=ratio(seconds, their_seconds),
            bar=0.60,
            ours=text_of(seconds),
            theirs=text_of(their_seconds),
        ),
        Row(
            figure="the same with the programs of the run before cached",
            value=ratio(again_seconds, their_seconds),
            ours=text_of(again_seconds),
            theirs=text_of(their_seconds),
        ),
        Row(
            figure="peak memory of that process, against the plain script's",
            value=ratio(memory, their_memory),
            bar=0.60,
            ours=f"{statistics.median(memory):.0f} MiB",
            theirs=f"{statistics.median(their_memory):.0f} MiB",
        ),
        Row(
            figure="seconds to compile the first network, empty cache",
            value=statistics.median(compiling),
            bar=1.5,
            ours=text_of(compiling),
        ),
        Row(
            figure="test accuracy after 5 epochs",
            value=accuracy,
            bar=0.972,
            at_least=True,
            ours=plain[0].last_line.join(("plain script: ", "")),
        ),
        Row(
            figure="iterations in 5 epochs",
            value=float(told[0]["done"]["iterations"]),
            bar=4690,
        ),
    ]


def main() -> None:
    """Print the table; with `--write` keep it in dated files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("mnist", help="an .npz with x_train, y_train, x_test and y_test")
    parser.add_argument("--peers", default=sys.executable, help="interpreter of the peers")
    parser.add_argument("--rounds", type=int, default=7, help="epochs timed of each")
    parser.add_argument("--processes", type=int, default=5, help="processes timed of each")
    parser.add_argument("--write", action="store_true", help="keep the table")
    asked = parser.parse_args()
    mnist = str(Path(asked.mnist).resolve())
    rows = epoch_rows(mnist, asked.peers, asked.rounds) if asked.rounds else []
    rows += process_rows(mnist, asked.processes) if asked.processes else []
    report(
        "first_network",
        "How fast is the first network, against everything else that could train it?",
        rows,
        write=asked.write,
    )


if __name__ == "__main__":
    main()
