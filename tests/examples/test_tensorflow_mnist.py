"""The TensorFlow script, run as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from epochwise.record import read_run
from programs import ROOT, environment, require

SCRIPT = ROOT / "examples" / "tensorflow_mnist.py"


def test_it_tells_and_records_exact_counts(tmp_path: Path) -> None:
    """200 images at 64: 4 iterations an epoch, 20 in all, 20 weight updates."""
    require("tensorflow")
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "small.npz",
        x_train=rng.integers(0, 255, (200, 28, 28), np.uint8),
        y_train=rng.integers(0, 10, 200, np.uint8),
        x_test=rng.integers(0, 255, (20, 28, 28), np.uint8),
        y_test=rng.integers(0, 10, 20, np.uint8),
    )

    done = subprocess.run(
        [sys.executable, str(SCRIPT), "small.npz"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment("tensorflow"),
    )

    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if line.startswith("epochwise: ")]
    assert told[0].endswith(
        "200 samples at 64: 4 iterations an epoch (the last of 8), 20 in all"
    )
    assert "Warning: The last batch of each epoch holds 8 samples" in told[1]
    assert told[2] == (
        "epochwise: 4 iterations an epoch, 20 in all, 20 weight updates, 1,000 samples: "
        "as planned"
    )
    [folder] = (tmp_path / "runs").iterdir()
    run = read_run(folder).run
    assert run.position.iterations_done == 20
    assert run.updates == {"adam": 20}
    assert len(run.history["accuracy"]) == 5


def test_it_is_the_usual_script_with_one_callback() -> None:
    """Without Epochwise's two lines it is plain Keras."""
    lines = SCRIPT.read_text(encoding="utf-8").splitlines()
    ours = [line.strip() for line in lines if "epochwise" in line]

    assert ours == [
        "import epochwise",
        "callbacks=[epochwise.EpochCounter(samples=len(x_train), batch_size=64)],",
    ]
