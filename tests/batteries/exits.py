"""Does every mistake end with exit code 2 and a remedy, and never with a signal?

Each verb is started with inputs that cannot be, one process each in an empty home, several at
a time beside busy loops: a file or a run that is not there, a column, a count, a model whose
file exits or raises, data sets whose download is refused. `python tests/batteries/exits.py 500`
starts 500 of them; the named data sets among them must reach Keras's loader.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from newcomer import run_as_newcomer

REFUSING = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
"""No download succeeds, and none takes long to fail."""

FILES = {
    "table.csv": "a,b,c\n" + "".join(f"{n},{n % 7},{n % 2}\n" for n in range(40)),
    "empty.csv": "",
    "broken.npz": "no archive",
    "notes.txt": "notes",
    "exits.py": "import sys\ndef build(shape, classes):\n    sys.exit(0)\n",
    "raises.py": "def build(shape, classes):\n    raise ValueError('no')\n",
    "returns.py": "def build(shape, classes):\n    return 3\n",
    "leaves.py": "raise SystemExit\ndef build(shape, classes): ...\n",
    "narrow.py": "import keras\ndef build(shape, classes):\n    return keras.Sequential("
    "[keras.Input(shape), keras.layers.Flatten(), keras.layers.Dense(1)])\n",
    "run/run.json": "{",
    "taken/file": "",
}

MISTAKES = [
    line.split()
    for line in """
    plan --samples 0 --batch-size 64 --epochs 1
    train mnist
    resume nothing
    tune nothing.npz
    runs show nothing
    sweep digits --batch-size 0
    worth nothing
    report nothing
    watch nothing
    train fashion_mnist
    train --model exits.py:build
    plan --samples 10 --batch-size 20 --epochs 1 --remainder drop
    tune cifar10
    resume run
    train broken.npz
    sweep cifar100 --epochs 1
    train table.csv --label d
    worth run
    report run
    runs show run
    watch run
    train --model raises.py:build
    train --epochs five
    train --run-dir taken
    worth --one-pass mnist
    tune --model leaves.py:build
    plan --batch-size 64
    train --validation-split 1.5
    train --model returns.py:build
    train cifar10
    sweep --batch-size 32,64 --epochs 1 --model raises.py:build
    train notes.txt
    train --optimizer nonesuch
    tune table.csv --label d
    runs show run --in nothing
    train empty.csv --label a
    nonesuch
    train --nonesuch
    tune fashion_mnist
    train mnist --model cnn
    train --model narrow.py:build
    train --model nothing.py:build
    train --batch-size 0
    train --target nothing
    worth --one-pass fashion_mnist
    train cifar100
    """.splitlines()
    if line.strip()
]


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Keep processors busy meanwhile; each loop ends by itself after an hour at most."""
    code = "import time; end = time.time() + 3600\nwhile time.time() < end: pass"
    running = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(loops)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def named(arguments: list[str]) -> bool:
    """Tell whether a data set known by name is asked for."""
    return not {"mnist", "fashion_mnist", "cifar10", "cifar100"}.isdisjoint(arguments)


def unlike(arguments: list[str], folder: Path) -> str | None:
    """Make one mistake; return what is wrong with how it ended, `None` if nothing is."""
    done = run_as_newcomer(
        arguments, folder=folder, environment=REFUSING, check=False, timeout=600
    )
    told = f"{' '.join(arguments)}: exit code {done.returncode}\n{done.stderr}"
    if done.returncode != 2 or "Traceback" in done.stderr or "rror: " not in done.stderr:
        return told
    if named(arguments) and "not in Keras's cache" not in done.stderr:
        return told
    return None


def make(
    count: int, *, at_once: int = 2, loops: int = 0, minutes: float = 60
) -> tuple[Counter[str], list[str]]:
    """Make mistakes, so many unless time runs out; return how many of which verb, and the odd.

    Args:
        count: how many.
        at_once: processes at a time.
        loops: busy loops beside them.
        minutes: after which none is begun any more.
    """
    verbs: Counter[str] = Counter()
    wrong: list[str] = []
    until = time.monotonic() + 60 * minutes

    def one(arguments: list[str]) -> None:
        if time.monotonic() > until:
            return
        found = unlike(arguments, folder)
        verbs.update([arguments[0], *(["named data sets"] if named(arguments) else [])])
        if found is not None:
            wrong.append(found)

    with (
        tempfile.TemporaryDirectory() as name,
        busy(loops),
        ThreadPoolExecutor(at_once) as pool,
    ):
        folder = Path(name)
        for file, text in FILES.items():
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_text(text)
        list(pool.map(one, islice(cycle(MISTAKES), count)))
    return verbs, wrong


def main() -> int:
    """Run the battery; return how many ended otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=500)
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--loops", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=60)
    asked = parser.parse_args()
    verbs, wrong = make(
        asked.count, at_once=asked.at_once, loops=asked.loops, minutes=asked.minutes
    )
    made = verbs.total() - verbs["named data sets"]
    print(*wrong, sep="\n")
    print(f"{made} error exits, {made - len(wrong)} with exit code 2 and a remedy", dict(verbs))
    return len(wrong) + (made < asked.count)


if __name__ == "__main__":
    sys.exit(min(1, main()))
