"""Data that do not fit on the device train to the bits of data that do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import epochwise
from epochwise.data import feed as feed_module
from epochwise.engines.on_jax import engine as engine_module
from epochwise.engines.on_jax import placing

L = keras.layers
RNG = np.random.default_rng(2)
X = RNG.normal(size=(150, 4)).astype(np.float32)
Y = RNG.integers(0, 3, 150).astype(np.int32)


def trained(**options: Any) -> tuple[list[bytes], Any]:
    """The weights' bytes and the history of one training."""
    keras.utils.set_random_seed(5)
    model = keras.Sequential(
        [
            keras.Input((4,)),
            L.Dense(8, "relu"),
            L.BatchNormalization(),
            L.Dropout(0.3),
            L.Dense(3, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    options = {"x": X, "y": Y, "batch_size": 8, "epochs": 3, "verbose": 0} | options
    run = epochwise.fit(model, **options)
    return [np.asarray(value).tobytes() for value in model.get_weights()], run.history


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of samples in each copy to the device."""
    counts: list[int] = []
    to_device = engine_module.to_device

    def noting(samples: Any) -> Any:
        counts.append(samples.count)
        return to_device(samples)

    monkeypatch.setattr(engine_module, "to_device", noting)
    return counts


@pytest.mark.parametrize("held_out", [{"validation_split": 0.2}, {"validation_data": (X, Y)}])
def test_a_small_device_gets_windows_and_changes_no_bit(
    monkeypatch: pytest.MonkeyPatch, copied: list[int], held_out: dict[str, Any]
) -> None:
    """With too little free memory no copy holds the set, and no bit of the result differs."""
    expected = trained(**held_out)
    resident = list(copied)
    copied.clear()
    monkeypatch.setattr(placing, "free_host_bytes", lambda: 4_000)
    monkeypatch.setattr(feed_module, "GATHERED_BYTES", 700)

    found = trained(**held_out)

    assert found == expected
    assert max(resident) == 150
    assert max(copied) <= 32


def test_a_set_that_fits_alone_leaves_validation_to_be_gathered(
    monkeypatch: pytest.MonkeyPatch, copied: list[int]
) -> None:
    """The training set goes first; validation data that fit no longer come in windows."""
    expected = trained(validation_data=(X, Y))
    copied.clear()
    monkeypatch.setattr(placing, "free_host_bytes", lambda: 8_000)
    monkeypatch.setattr(feed_module, "GATHERED_BYTES", 700)

    assert trained(validation_data=(X, Y)) == expected
    assert copied.count(150) == 1


def test_both_parts_of_a_split_share_one_copy(copied: list[int]) -> None:
    """Splitting copies nothing: training and validation count in the same samples."""
    trained(validation_split=0.2)

    assert copied == [150]


def test_a_memory_map_with_a_split_is_never_read_as_a_whole(
    tmp_path: Path, copied: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mapped set trains window by window, held-out part included, to the same bits."""
    expected = trained(validation_split=0.2)
    copied.clear()
    np.save(tmp_path / "x.npy", X)
    monkeypatch.setattr(feed_module, "GATHERED_BYTES", 700)

    found = trained(x=np.load(tmp_path / "x.npy", mmap_mode="r"), validation_split=0.2)

    assert found == expected
    assert max(copied) <= 32


def test_one_other_sample_in_a_window_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison can fail: a window gathered from the wrong rows changes the weights."""
    monkeypatch.setattr(placing, "free_host_bytes", lambda: 4_000)
    expected = trained()
    gather = feed_module._gather

    def wrong(train: Any, rows: Any, capacity: int, rooms: Any) -> Any:
        return gather(train, np.roll(rows, 1), capacity, rooms)

    monkeypatch.setattr(feed_module, "_gather", wrong)

    assert trained() != expected
