"""The sizes of updates are those of the very iterations, and measuring changes no bit."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import epochwise
from epochwise.data.feed import Window
from epochwise.engines.on_jax.pending import calls_of
from epochwise.engines.on_jax.updates import groups_of, update_sizes, update_sizes_here
from epochwise.events import IterationsDone
from epochwise.loop.course import MEASURED_EVERY, Course
from epochwise.record.reading import read_run

SAMPLES, BATCH = 600, 2
RNG = np.random.default_rng(0)
X = RNG.random((SAMPLES, 4, 4, 1)).astype(np.float32)
Y = RNG.integers(0, 3, SAMPLES)


def model(kind: str) -> keras.Model:
    """A small network; one with a convolution is run one iteration at a time."""
    keras.utils.set_random_seed(0)
    first = {
        "dense": [keras.layers.Flatten(), keras.layers.Dense(5, "relu", name="hidden")],
        "convolution": [keras.layers.Conv2D(2, 2, name="filters"), keras.layers.Flatten()],
    }[kind]
    network = keras.Sequential(
        [keras.Input((4, 4, 1)), *first, keras.layers.Dense(3, "softmax", name="head")]
    )
    network.compile("adam", "sparse_categorical_crossentropy")
    return network


class Seen:
    """A listener that keeps the sizes."""

    def __init__(self) -> None:
        self.sizes: dict[int, dict[str, float]] = {}

    def on_event(self, event: object) -> None:
        if isinstance(event, IterationsDone):
            self.sizes |= {place: dict(sizes) for place, sizes in event.update_sizes.items()}


def fitted(kind: str, **options: Any) -> tuple[keras.Model, dict[int, dict[str, float]]]:
    """Return a trained model, and the sizes that were told."""
    network, seen = model(kind), Seen()
    epochwise.fit(
        network, X, Y, batch_size=BATCH, epochs=2, listeners=[seen], verbose=0, **options
    )
    return network, seen.sizes


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A run of a kind of network that was kept, and therefore measured."""

    kind: str
    network: keras.Model
    sizes: dict[int, dict[str, float]]
    folder: Path


@pytest.fixture(scope="module", params=["dense", "convolution"])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """One run of each kind."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    network, sizes = fitted(request.param, run_dir=folder)
    return Kept(kind=request.param, network=network, sizes=sizes, folder=folder)


def test_measuring_changes_no_bit(kept: Kept) -> None:
    """A run that is kept has the weights and the optimizer of one that is not (promise 6)."""
    plain, nothing = fitted(kept.kind)

    assert nothing == {}
    assert list(kept.sizes) == [1, 257, 301, 557]
    for one, other in zip(_variables(plain), _variables(kept.network), strict=True):
        assert np.array(one).tobytes() == np.array(other).tobytes()


def _variables(network: keras.Model) -> list[Any]:
    return [*network.variables, *network.optimizer.variables]


def test_a_size_is_how_far_that_iteration_moved_the_weights(kept: Kept) -> None:
    """Equal to what NumPy makes of the weights before and after it."""
    network = model(kept.kind)
    looked: list[list[np.ndarray]] = []

    class Look:
        def on_event(self, event: object) -> None:
            if isinstance(event, IterationsDone):
                looked.append([np.array(w, np.float64) for w in network.trainable_variables])

    begun = [np.array(w, np.float64) for w in network.trainable_variables]
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    epochwise.fit(
        *(network, X, Y),
        batch_size=BATCH,
        epochs=2,
        listeners=[Look()],
        callbacks=[callback],
        verbose=0,
    )
    weights = [begun, *looked]
    assert len(weights) == 601
    groups = groups_of(network)
    for iteration, told in kept.sizes.items():
        assert list(told) == list(groups)
        for layer, places in groups.items():
            before, after = (
                np.concatenate([weights[done][place].ravel() for place in places])
                for done in (iteration - 1, iteration)
            )
            expected = np.linalg.norm(after - before) / np.linalg.norm(before)
            assert told[layer] == pytest.approx(expected, rel=1e-4)


def test_the_record_keeps_every_size(kept: Kept) -> None:
    """What the listeners saw is read back, each size once."""
    seen = Seen()

    read_run(kept.folder, listeners=[seen])

    assert seen.sizes == kept.sizes
    rows = (kept.folder / "events.jsonl").read_text("utf-8").splitlines()
    written = [json.loads(row).get("update_sizes", {}) for row in rows]
    assert [int(place) for row in written for place in row] == list(kept.sizes)


def test_which_iterations_are_measured_follows_from_their_place_alone() -> None:
    """However an epoch is parted into windows and segments, the same ones are measured."""
    course = Course(
        feed=None,  # type: ignore[arg-type]
        plan=None,
        epochs=1,
        iterations=None,
        measures_updates=True,
    )
    rows = np.zeros((1_000, 1), np.int32)
    expected = list(range(0, 1_000, MEASURED_EVERY))
    for pieces in ([0, 1_000], [0, 256, 512, 1_000], [0, 1, 7, 255, 257, 258, 513, 1_000]):
        found = []
        for begin, end in pairwise(pieces):
            window = Window(
                epoch_index=0,
                first_iteration_index=begin,
                iterations=end - begin,
                rows=rows[begin:end],
                samples=None,
                closes_epoch=end == 1_000,
            )
            half = (end - begin) // 2
            for start, stop in ((0, half), (half, end - begin)):
                found += [begin + place for place in course.measured(window, start, stop)]
        assert found == expected


def test_a_measured_iteration_is_a_call_of_its_own() -> None:
    """The others stay together, each is run once and in order."""
    assert list(calls_of(0, 10, [], single=False)) == [(0, 10)]
    assert list(calls_of(0, 10, [0, 9], single=False)) == [(0, 1), (1, 9), (9, 10)]
    assert list(calls_of(4, 6, [4, 5], single=False)) == [(4, 5), (5, 6)]
    assert list(calls_of(4, 6, [], single=True)) == [(4, 5), (5, 6)]


@pytest.mark.parametrize("measure", [update_sizes, update_sizes_here])
def test_weights_that_were_all_zero_have_no_relative_size(measure: Any) -> None:
    """Nothing to compare with is NaN, not infinitely large."""
    before = [np.zeros(3, np.float32), np.ones(4, np.float32)]
    after = [np.ones(3, np.float32), np.ones(4, np.float32) * 1.5]

    sizes = np.array(measure([[0], [1], [0, 1]], before, after))

    assert sizes.dtype == np.float32
    assert np.isnan(sizes[0])
    assert sizes[1:].tolist() == pytest.approx([0.5, 1.0])


def test_layers_are_named_as_the_reader_named_them() -> None:
    """One inside another is named by both; weights of one layer belong together."""
    inner = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, name="deep")], name="encoder"
    )
    outer = keras.Sequential(
        [keras.Input((3,)), inner, keras.layers.Dense(1, name="head")], name="whole"
    )

    assert groups_of(outer) == {"encoder/deep": [0, 1], "head": [2, 3]}


def test_where_the_weights_are_does_not_change_what_is_measured() -> None:
    """The device's program and this machine's memory tell the same, also of half precision."""
    rng = np.random.default_rng(2)
    shapes = [(300, 40), (40,), (40, 3)]
    for dtype in (jnp.float32, jnp.bfloat16):
        before = [jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes]
        after = [old + jnp.asarray(1e-2, dtype) * old**2 for old in before]
        groups = [[0, 1], [2]]

        compiled = np.asarray(jax.jit(partial(update_sizes, groups))(before, after))

        np.testing.assert_allclose(update_sizes_here(groups, before, after), compiled, 1e-5)


def test_weights_that_are_not_finite_are_measured_without_a_warning() -> None:
    """A training that broke down tells so elsewhere, once."""
    broken = [np.full(3, np.inf, np.float32)]

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(update_sizes_here([[0]], broken, broken)).all()  # type: ignore[arg-type]
