"""Damaged files of every format, ten thousand each; and readers that are wrong on purpose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import epochwise

PROGRAM = Path(__file__).with_name("source_fuzzing.py")
INPUTS = 10_000
SEED = 2026


def fuzz(name: str, inputs: int, *options: str) -> tuple[int, dict[str, Any], str]:
    """Run the program in a process of its own; return its exit code, result and errors."""
    package = str(Path(epochwise.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-W", "error", str(PROGRAM), name, str(inputs), str(SEED), *options],
        env={**os.environ, "PYTHONPATH": package, "ARROW_DEFAULT_MEMORY_POOL": "system"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    lines = done.stdout.splitlines()
    return done.returncode, json.loads(lines[-1]) if lines else {}, done.stderr


@pytest.mark.parametrize("name", ["npz", "idx", "idx_gz", "csv", "parquet", "images"])
def test_damaged_files_end_in_a_data_set_or_a_data_error(name: str) -> None:
    """Of 10,000 inputs none ends otherwise, hangs, warns or takes more than its memory."""
    code, told, errors = fuzz(name, INPUTS)

    assert code == 0, errors[-2000:]
    assert told["failures"] == []
    counts = told["counts"]
    assert counts["dataset"] + counts["error"] == INPUTS
    assert min(counts["dataset"], counts["error"]) > INPUTS // 50


@pytest.mark.parametrize(
    ("name", "options", "told_of"),
    [
        ("bad_raises", (), "ValueError"),
        ("bad_returns", (), "returned None"),
        ("bad_unsound", (), "class numbers 0 to 10 of 10 classes"),
        ("bad_hangs", ("0.2",), "hang"),
        ("bad_claims", (), "asked for more memory than allowed"),
        ("bad_grows", (), "MemoryError"),
        ("bad_grows", ("20", "unlimited"), "the process grew by"),
        ("bad_leaves_open", (), "left open"),
    ],
)
def test_a_reader_that_is_wrong_is_found_out(
    name: str, options: tuple[str, ...], told_of: str
) -> None:
    """The same program finds the fault of a reader made wrong on purpose."""
    code, told, errors = fuzz(name, 40, *options)

    assert code == 0, errors[-2000:]
    assert told["counts"]["failure"] > 0
    assert told_of in told["failures"][0]


def test_a_reader_that_crashes_is_found_out() -> None:
    """A process that dies leaves an exit code that is not 0 and no result."""
    code, told, _ = fuzz("bad_crashes", 40)

    assert code != 0
    assert told == {}
