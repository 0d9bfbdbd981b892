"""The loops of one's own, run as a user runs them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from programs import ROOT, environment, require

EXAMPLES = ROOT / "examples"

ENVIRONMENT = {**environment(), "OMP_NUM_THREADS": "1"}
"""One thread: these networks are so small that more only wait for each other."""


def run(script: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLES / script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=ENVIRONMENT,
    )


def weights_of(done: subprocess.CompletedProcess[str]) -> str:
    """Return the digest that a finished run prints."""
    assert done.returncode == 0, done.stderr
    found = re.search(r"([\d,]+) iterations done, weights (\w{64})", done.stdout)
    assert found, done.stdout
    return found.group()


def test_jax_makes_every_iteration() -> None:
    """1,797 digits at 64: 29 iterations an epoch, 145 in all."""
    require("jax")
    done = run("jax_loop.py", EXAMPLES)

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split(", loss")[0] for line in lines[:5]] == [
        f"epoch {n}, iteration {29 * n}" for n in range(1, 6)
    ]
    assert lines[5] == "145 of 145 iterations = weight updates"
    assert float(lines[4].split()[-1]) < 0.5


def whole_and_resumed(script: str, folder: Path) -> tuple[str, str]:
    """Return the digests of one long run, and of one that was stopped in an epoch."""
    whole = run(script, folder, "--checkpoint", "whole.pt")
    stopped = run(script, folder, "--stop-after", "41", "--workers", "2")
    assert "stopped after iteration 41" in stopped.stderr
    resumed = run(script, folder)
    assert "epoch 2, iteration 58" in resumed.stdout
    return weights_of(whole), weights_of(resumed)


def test_f01_torch_goes_on_in_the_middle_of_an_epoch_bit_for_bit(tmp_path: Path) -> None:
    """F01: stopped after iteration 41 of 145, then on: the weights of one long run."""
    require("torch")
    whole, resumed = whole_and_resumed("torch_loop.py", tmp_path)

    assert resumed == whole
    assert weights_of(run("torch_loop.py", tmp_path)) == whole  # nothing is left to do


def test_f10_without_the_seed_of_the_iteration_the_weights_differ(tmp_path: Path) -> None:
    """F10: dropout that is drawn from a generator that moves on is not what it was."""
    require("torch")
    script = (EXAMPLES / "torch_loop.py").read_text(encoding="utf-8")
    line = '    torch.manual_seed(batch.random_seed("dropout"))\n'
    assert line in script
    changed = tmp_path / "changed.py"
    changed.write_text(script.replace(line, ""), encoding="utf-8")

    whole, resumed = whole_and_resumed(str(changed), tmp_path)

    assert resumed != whole


def test_f03_torch_goes_on_after_a_kill(tmp_path: Path) -> None:
    """F03: killed at any moment, a new process goes on from the last checkpoint."""
    require("torch")
    epochs = ("--epochs", "20")
    whole = weights_of(run("torch_loop.py", tmp_path, *epochs, "--checkpoint", "whole.pt"))
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "torch_loop.py"), *epochs],
        stdout=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=ENVIRONMENT,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("epoch 2,"):
            process.kill()
            break
    process.stdout.close()

    assert process.wait(timeout=300) == -9
    assert (tmp_path / "torch_loop.pt").exists()
    resumed = run("torch_loop.py", tmp_path, *epochs)
    assert "epoch 1," not in resumed.stdout
    assert weights_of(resumed) == whole
