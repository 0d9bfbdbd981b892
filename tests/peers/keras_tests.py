"""Run Keras's own tests twice, with Keras's `fit` and with ours, and compare how each ends.

    python tests/peers/keras_tests.py --backend jax

The tests are those of the installed Keras, from its source distribution (pip downloads it) or
from the folder that `--source` names. Only tests that reach `fit` are run a second time, with
`adapter.py` loaded first. Where the outcomes differ, the difference stands in
`differences.toml` with the reason and the sentence of the page that tells users about it; the
exit code is 1 for any other, and for one that is listed but no longer there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tarfile
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WORK = ROOT / "build" / "keras-tests"

SHARED = ("trainers/trainer_test.py", "callbacks", "models/model_test.py")
"""What is run on every backend, below `keras/src`."""

ON_JAX = (
    "models/functional_test.py",
    "models/sequential_test.py",
    "optimizers",
    "losses",
    "metrics",
    "layers/activations/softmax_test.py",
    "layers/attention/multi_head_attention_test.py",
    "layers/convolutional/separable_conv_test.py",
    "layers/core",
    "layers/layer_test.py",
    "layers/normalization",
    "layers/preprocessing/image_preprocessing/random_zoom_test.py",
    "layers/regularization",
    "layers/reshaping/reshape_test.py",
    "layers/rnn/bidirectional_test.py",
    "layers/rnn/gru_test.py",
    "layers/rnn/lstm_test.py",
    "layers/rnn/time_distributed_test.py",
)
"""What is run on JAX as well: the rest of what trains, and a sample of the layers."""

PACKAGES = ("jax", "jaxlib", "keras", "numpy", "tensorflow-cpu", "torch")

Outcomes = dict[str, dict[str, Any]]
"""By test: `outcome`, `fits` (its calls of `fit`) and, if it failed, `why`; see outcomes.py."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One way in which ours differs on purpose.

    Args:
        tests: patterns of the tests that show it; `*` is any text.
        told: what the failure of each of them has one of.
        reason: why ours is better.
        page: where users read of it, from the project's root.
        sentence: what they read there.
        backends: where it is seen.
    """

    tests: list[str]
    told: list[str]
    reason: str
    page: str
    sentence: str
    backends: Sequence[str] = ("jax", "tensorflow", "torch")

    def covers(self, test: str, why: str) -> bool:
        """Tell whether this is why a test ended otherwise."""
        return any(one in why for one in self.told) and any(
            fnmatch(test, pattern) for pattern in self.tests
        )


def differences() -> list[Difference]:
    """Return the list of deliberate differences."""
    listed = tomllib.loads((HERE / "differences.toml").read_text(encoding="utf-8"))
    return [Difference(**one) for one in listed["difference"]]


def downloaded(version: str) -> Path:
    """Return the folder of Keras's source distribution; pip fetches it once."""
    folder = WORK / f"keras-{version}"
    if not folder.is_dir():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        options = ["--no-binary", "keras", "--dest", str(WORK), f"keras=={version}"]
        subprocess.run([*pip, *options], check=True)
        with tarfile.open(WORK / f"keras-{version}.tar.gz") as archive:
            archive.extractall(WORK, filter="data")
    return folder


def that_train(source: Path, paths: Iterable[str]) -> list[str]:
    """Return the test files among files and folders below `keras/src` that may reach `fit`."""
    found = []
    for path in paths:
        place = source / "keras" / "src" / path
        files = sorted(place.rglob("*_test.py")) if place.is_dir() else [place]
        for file in files:
            text = file.read_text(encoding="utf-8")
            if ".fit" in text or "run_layer_test(" in text:
                found.append(file.relative_to(source).as_posix())
    return found


def run(source: Path, backend: str, fit: str, files: list[str], only: list[str]) -> Outcomes:
    """Run tests in a process of their own and return how each ended.

    Args:
        source: the folder that holds `keras`.
        backend: Keras's.
        fit: `keras` or `epochwise`, whose `fit` trains.
        files: of tests, from `source`.
        only: the tests to run; empty for all.
    """
    written, chosen, log = (
        WORK / f"{backend}-{fit}{end}" for end in (".json", ".only", ".log")
    )
    written.unlink(missing_ok=True)
    chosen.write_text(json.dumps(only), encoding="utf-8")
    home = WORK / "home"
    home.mkdir(exist_ok=True)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "KERAS_BACKEND": backend,
        "PYTHONPATH": f"{source}{os.pathsep}{HERE}",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "OUTCOMES": str(written),
        "ONLY": str(chosen),
    }
    plugins = ["outcomes", "adapter"] if fit == "epochwise" else ["outcomes"]
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-o", "addopts="]
    command += ["-p", "no:cacheprovider", *(word for name in plugins for word in ("-p", name))]
    with log.open("w") as output:
        ended = subprocess.run(
            [*command, *files],
            cwd=source,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if ended.returncode not in (0, 1):
        sys.exit(f"pytest ended with exit code {ended.returncode}: see {log}")
    return json.loads(written.read_text(encoding="utf-8"))


def compare(
    theirs: Outcomes, ours: Outcomes, listed: list[Difference]
) -> tuple[Counter[str], list[str]]:
    """Return how many tests ended alike or otherwise, and what should not be.

    Args:
        theirs: of the tests that reach `fit`, with Keras's.
        ours: of the same, with ours.
        listed: the differences on purpose.
    """
    counts = Counter(same=0, deliberate=0, faults=0)
    faults = []
    for test, told in theirs.items():
        mine = ours.get(test, {"outcome": "not run"})
        if mine["outcome"] == told["outcome"]:
            counts["same"] += 1
        elif any(one.covers(test, mine.get("why", "")) for one in listed):
            counts["deliberate"] += 1
        else:
            counts["faults"] += 1
            last = mine.get("why", "").strip().rpartition("\n")[2]
            faults.append(f"{test}: {told['outcome']}, ours {mine['outcome']}: {last}")
    return counts, faults


def stale(theirs: Outcomes, ours: Outcomes, listed: list[Difference]) -> list[str]:
    """Return the listed differences that no test shows."""
    differ = {
        test: mine.get("why", "")
        for test, mine in ours.items()
        if mine["outcome"] != theirs[test]["outcome"]
    }
    return [
        f"listed, but no test shows it: {one.reason}"
        for one in listed
        if not any(one.covers(test, why) for test, why in differ.items())
    ]


def write(path: Path, backend: str, counts: Counter[str]) -> None:
    """Put the counts of one backend into a file that may hold those of others."""
    told = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    told |= {
        "question": "Do Keras's own tests that call fit end with ours as with Keras's?",
        "versions": {"python": sys.version.split()[0], **versions},
    }
    told.setdefault("tests", {})[backend] = {
        "date": datetime.now(UTC).date().isoformat(),
        "call_fit": counts.total(),
        **counts,
    }
    path.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Run, compare, tell."""
    parser = argparse.ArgumentParser(description="Run Keras's own tests with our fit.")
    parser.add_argument("--backend", default="jax", choices=["jax", "tensorflow", "torch"])
    parser.add_argument("--source", type=Path, help="a folder that holds Keras's source")
    parser.add_argument("--write", type=Path, help="a JSON file for the counts")
    parser.add_argument("paths", nargs="*", help="tests below keras/src instead of all")
    asked = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    source = asked.source.resolve() if asked.source else downloaded(metadata.version("keras"))
    paths = asked.paths or [*SHARED, *(ON_JAX if asked.backend == "jax" else ())]
    files = that_train(source, paths)
    everything = run(source, asked.backend, "keras", files, [])
    theirs = {test: told for test, told in everything.items() if told["fits"]}
    ours = run(source, asked.backend, "epochwise", files, list(theirs))
    listed = [one for one in differences() if asked.backend in one.backends]
    counts, faults = compare(theirs, ours, listed)
    if asked.backend == "jax" and not asked.paths:
        faults += stale(theirs, ours, listed)
    print(
        f"{asked.backend}: of {len(everything):,} tests {counts.total():,} call fit: "
        f"{counts['same']:,} end the same, {counts['deliberate']:,} differ on purpose, "
        f"{counts['faults']:,} are faults."
    )
    for fault in faults:
        print(f"  {fault}")
    if asked.write:
        write(asked.write, asked.backend, counts)
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
