"""What a record says of the split is what was trained and what was held out."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epochwise.api import Settings, Source, train
from epochwise.data.split import split
from epochwise.engines.on_jax.engine import JaxEngine
from epochwise.terminal.progress import SilentProgress

SAMPLES = 43


def test_d02_the_rule_in_the_record_gives_the_indices_that_were_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D02: rule and digest of the record are those of the rows trained and held out."""
    labels = [f"class {number % 3}" for number in range(SAMPLES)]
    rows = [f"{number},{label}" for number, label in enumerate(labels)]
    table = tmp_path / "numbered.csv"
    table.write_text("\n".join(["number,label", *rows]) + "\n")
    used: dict[bool, set[int]] = {False: set(), True: set()}
    load = JaxEngine.load

    def noting(self: JaxEngine, window: Any, *, evaluating: bool = False) -> Any:
        loaded = load(self, window, evaluating=evaluating)
        numbers = np.asarray(loaded.data.x)[:, 0]
        used[evaluating] |= {int(numbers[row]) for row in window.rows[: window.iterations].flat}
        return loaded

    monkeypatch.setattr(JaxEngine, "load", noting)
    run_dir = tmp_path / "run"
    train(
        Source(data=str(table), label="label"),
        Settings(batch_size=5, epochs=Fraction(1), seed=11),
        validation_split=0.25,
        run_dir=run_dir,
        progress=SilentProgress(),
    )

    recorded = json.loads((run_dir / "run.json").read_text())["split"]
    expected = split(SAMPLES, 0.25, labels=labels, seed=11)
    other = split(SAMPLES, 0.25, labels=labels, seed=12)
    assert used == {False: set(expected.train.tolist()), True: set(expected.held_out.tolist())}
    assert (recorded["rule"], recorded["sha256"]) == (expected.rule, expected.digest)
    assert recorded["sha256"] != other.digest
