"""The package as a newcomer's process sees it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import epochwise


def test_importing_it_imports_no_framework() -> None:
    """Neither NumPy nor any framework is imported with the package."""
    heavy = ["numpy", "jax", "keras", "sklearn", "rich", "typer"]
    code = f"import epochwise, sys; print([m for m in {heavy} if m in sys.modules])"

    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert found.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    """What `__all__` names can be had, and nothing else is answered."""
    assert [
        getattr(epochwise, name).__name__ for name in epochwise.__all__
    ] == epochwise.__all__
    with pytest.raises(AttributeError, match="fitt"):
        _ = epochwise.fitt


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """60,000 + 100 made-up images in the form of MNIST."""
    rng = np.random.default_rng(0)
    y_train, y_test = rng.integers(0, 10, 60_000), rng.integers(0, 10, 100)
    y_train[:10] = range(10)
    arrays = {}
    for part, labels in (("train", y_train), ("test", y_test)):
        x = np.zeros((len(labels), 28, 28), np.uint8)
        x[np.arange(len(labels)), labels, :] = 200
        arrays[f"x_{part}"], arrays[f"y_{part}"] = x, labels.astype(np.uint8)
    np.savez(tmp_path / "images.npz", **arrays)
    return tmp_path / "images.npz"


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "epochwise", *map(str, arguments)]


def test_60000_samples_at_64_are_4690_iterations_twice_to_the_same_bit(images: Path) -> None:
    """The classic counts, in two processes with equal weights; `runs show` says the same."""
    folders = [images.parent / "one", images.parent / "two"]
    told = []
    for folder in folders:
        arguments = ("train", images, "--run-dir", folder, "--json", "--quiet")
        done = subprocess.run(command(*arguments), capture_output=True, text=True, check=True)
        told.append(json.loads(done.stdout.splitlines()[-1]))
    shown = subprocess.run(
        command("runs", "show", folders[0], "--json"),
        capture_output=True,
        text=True,
        check=True,
    )

    assert told[0]["done"] == {"epochs": 5, "iterations": 4690, "samples": 300_000}
    assert told[0]["plan"]["iterations_per_epoch"] == 938
    assert told[0]["test"]["accuracy"] == 1.0
    assert told[0]["weights_sha256"] == told[1]["weights_sha256"]
    assert json.loads(shown.stdout) == told[0]


def test_ctrl_c_closes_the_record_and_exits_with_130(images: Path) -> None:
    """The run that was interrupted says so, with the iterations that were done."""
    folder = images.parent / "interrupted"
    arguments = ("train", images, "--epochs", 10_000, "--run-dir", folder, "--json")
    process = subprocess.Popen(
        command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for _ in range(6000):
        if (folder / "events.jsonl").exists() and "epoch_done" in (
            folder / "events.jsonl"
        ).read_text(encoding="utf-8"):
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=300)

    told = json.loads(out.splitlines()[-1])
    assert process.returncode == 130
    assert told["stop"]["rule"] == "interrupt"
    assert told["done"]["iterations"] > 0
    assert told["weights_sha256"] is not None


def test_a_mistake_ends_with_2_and_a_remedy(tmp_path: Path) -> None:
    """No traceback, whatever the user typed."""
    done = subprocess.run(
        command("train", tmp_path / "nothing.npz"), capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert "Remedy" in done.stderr
    assert "Traceback" not in done.stderr
