"""The noise measured all the way through a training."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import epochwise
from epochwise.choosing.batch_size.watching import POOL, NoiseWatch

L = keras.layers
RNG = np.random.default_rng(0)
X = RNG.normal(size=(96, 4)).astype(np.float32)
Y = RNG.normal(size=(96, 1)).astype(np.float32)


class FakeClock:
    """A clock that moves a fixed step each time it is read."""

    def __init__(self, step: float) -> None:
        self.now, self.step = 0.0, step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def network() -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), L.Dense(8), L.Dropout(0.5), L.Dense(1)])
    model.compile("adam", "mean_squared_error")
    return model


def test_a_watched_training_has_the_same_bits() -> None:
    """Measuring changes neither the weights nor the optimizer nor the random counters."""
    watched, alone = network(), network()
    watch = NoiseWatch(watched, X, Y, share=1e9, clock=FakeClock(1e-9))

    epochwise.fit(watched, X, Y, batch_size=8, epochs=3, verbose=0, listeners=[watch])
    epochwise.fit(alone, X, Y, batch_size=8, epochs=3, verbose=0)

    assert len(watch.draws) > 2
    for ours, theirs in zip(
        [*watched.variables, *watched.optimizer.variables],
        [*alone.variables, *alone.optimizer.variables],
        strict=True,
    ):
        assert np.asarray(ours.value).tobytes() == np.asarray(theirs.value).tobytes()


def test_its_share_of_the_time_is_kept() -> None:
    """Where a measurement takes an hour, only the first two are made."""
    model = network()
    watch = NoiseWatch(model, X, Y, share=0.01, clock=FakeClock(3600.0))

    epochwise.fit(model, X, Y, batch_size=8, epochs=6, verbose=0, listeners=[watch])

    assert len(watch.draws) == 2


def test_the_noise_of_late_is_told() -> None:
    """The latest draws make a noise scale; with none there is none to tell."""
    model = network()
    watch = NoiseWatch(model, X, Y, share=1e9, clock=FakeClock(1e-9))
    with pytest.raises(ValueError, match="no interval"):
        watch.noise()

    epochwise.fit(model, X, Y, batch_size=8, epochs=3, verbose=0, listeners=[watch])

    assert watch.noise(last=3).draws == 3
    assert watch.noise().trace.value > 0
    places = [iterations for iterations, _ in watch.draws]
    assert places == sorted(places)


def test_a_large_set_is_drawn_from() -> None:
    """Of more samples than the pool holds, a random part is kept."""
    x = np.zeros((POOL + 10, 4), np.float32)

    watch = NoiseWatch(network(), x, np.zeros((POOL + 10, 1), np.float32))

    assert watch._feed.plan.samples == POOL
