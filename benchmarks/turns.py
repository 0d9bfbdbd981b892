"""Peers that take turns: each in a process of its own, one epoch at a time.

Whatever else the machine does then hits all of them alike. Threads of some peers go on
spinning for a moment after their turn, so there is a pause before each, and every other
round goes backwards: nobody always comes after the same one. Of each round the ratio of
two peers is taken, and of the rounds the median; the first round warms up.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results"

PAUSE = 0.3
"""Before each turn, while the peer before comes to rest [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One way to train one task.

    Args:
        way: a key of `worker.WAYS`.
        task: a key of `tasks.TASKS`.
        python: the interpreter that runs it.
    """

    way: str
    task: str
    python: str = sys.executable


class Worker:
    """A peer's process, waiting for its turn."""

    def __init__(self, peer: Peer, *, batch_size: int, turns: int, data: Mapping[str, str]):
        """Start it; it reads its data while the others start."""
        paths = [part for name, path in data.items() for part in (f"--{name}", path)]
        self._peer = peer
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by `close`
        self._process = subprocess.Popen(
            [
                *(peer.python, str(HERE / "worker.py"), peer.way, peer.task, *paths),
                *("--batch-size", str(batch_size), "--turns", str(turns)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        )

    def turn(self) -> float:
        """Let it train one epoch and return what that took [s]."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("turn "):
                return float(line.split()[1])
        status = self._process.wait()
        self._errors.seek(0)
        raise RuntimeError(f"{self._peer} ended with {status}:\n{self._errors.read()[-2000:]}")

    def close(self) -> None:
        """Let it end."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._errors.close()


def in_turn(
    peers: Mapping[str, Peer], *, rounds: int, batch_size: int, data: Mapping[str, str]
) -> dict[str, list[float]]:
    """Return the seconds of each peer's epochs, round by round [s].

    Args:
        peers: by name.
        rounds: epochs timed of each, after one that is not.
        batch_size: samples per weight update [samples / iteration].
        data: the paths of `mnist` and `text`.
    """
    options = {"batch_size": batch_size, "turns": rounds + 1, "data": data}
    workers = {name: Worker(peer, **options) for name, peer in peers.items()}  # type: ignore[arg-type]
    seconds: dict[str, list[float]] = {name: [] for name in workers}
    try:
        for round_index in range(rounds + 1):
            names = list(workers)
            for name in names if round_index % 2 else reversed(names):
                time.sleep(PAUSE)
                took = workers[name].turn()
                if round_index:
                    seconds[name].append(took)
    finally:
        for worker in workers.values():
            worker.close()
    return seconds


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median over rounds of ours against theirs [1]."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table: a figure, what was measured, and what was promised.

    Args:
        figure: what it is.
        value: the measured figure.
        bar: what it may be at most, or at least; `None` where nothing was promised.
        ours: our own time or size behind it, with its unit.
        theirs: the peer's.
        at_least: whether the bar is a lower one.
    """

    figure: str
    value: float
    bar: float | None = None
    ours: str = ""
    theirs: str = ""
    at_least: bool = False

    @property
    def holds(self) -> bool | None:
        """Whether the promise is kept; `None` where there is none."""
        if self.bar is None:
            return None
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    def to_json(self) -> dict[str, object]:
        """The row as the file keeps it."""
        bar = {} if self.bar is None else {"least" if self.at_least else "most": self.bar}
        shown = {"figure": self.figure, "value": round(self.value, 4), **bar}
        return shown | {"ours": self.ours, "theirs": self.theirs, "holds": self.holds}


def text_of(seconds: Sequence[float], per: int = 1, unit: str = "s") -> str:
    """The median with the fastest and the slowest, each divided by `per`."""
    scale = {"s": 1.0, "ms": 1e3}[unit] / per
    low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
    return f"{middle * scale:.3g} {unit} ({low * scale:.3g} to {high * scale:.3g})"


def table(rows: Iterable[Row]) -> str:
    """The rows as Markdown."""
    lines = ["| figure | measured | promised | ours | theirs |", "|---|---|---|---|---|"]
    for row in rows:
        sign = ">=" if row.at_least else "<="
        promised = "" if row.bar is None else f"{sign} {row.bar:g}"
        missed = "" if row.holds in (True, None) else " **missed**"
        lines.append(
            f"| {row.figure} | {row.value:.3g}{missed} | {promised} | {row.ours} | "
            f"{row.theirs} |"
        )
    return "\n".join(lines)


def report(name: str, question: str, rows: Sequence[Row], *, write: bool) -> None:
    """Print the table and, where asked, keep it as dated JSON and Markdown.

    Args:
        name: of the benchmark, for the files' names.
        question: what it answers.
        rows: the table.
        write: whether to keep it.
    """
    print(table(rows))
    if not write:
        return
    today = date.today().isoformat()
    found = {
        "question": question,
        "date": today,
        "machine": machine(),
        "versions": versions(),
        "rows": [row.to_json() for row in rows],
    }
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(found, indent=1) + "\n"
    (RESULTS / f"{name}-{today}.json").write_text(text, encoding="utf-8")
    head = f"# {question}\n\n{today}, {machine()}, {versions()}\n\n"
    (RESULTS / f"{name}-{today}.md").write_text(head + table(rows) + "\n", encoding="utf-8")
    print(f"kept in benchmarks/results/{name}-{today}.json and .md")


def machine() -> str:
    """Processor and cores."""
    model = platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return f"{model}, {os.cpu_count()} cores"


def versions() -> dict[str, str]:
    """Python's and the packages' that the figures depend on."""
    modules = ("jax", "jaxlib", "keras", "numpy", "sklearn", "tensorflow", "torch")
    owners = metadata.packages_distributions()
    found = {
        owners[name][0]: metadata.version(owners[name][0]) for name in modules if name in owners
    }
    return {"python": platform.python_version(), **found}


def has(python: str, module: str) -> bool:
    """Tell whether an interpreter can import a module."""
    asked = [
        python,
        "-c",
        f"import importlib.util as u,sys;sys.exit(not u.find_spec({module!r}))",
    ]
    return subprocess.run(asked, check=False).returncode == 0
