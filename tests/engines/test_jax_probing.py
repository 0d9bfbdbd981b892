"""The probe of the JAX engine: gradients apart, and the memory of a program."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from epochwise.choosing.batch_size.pilot import noise_at, probe_size
from epochwise.counting.plan import Plan
from epochwise.data.feed import ArrayFeed
from epochwise.data.order import Order
from epochwise.data.samples import Samples
from epochwise.engines.probing import NoProbe
from epochwise.engines.select import engine_for, probe_for
from epochwise.errors import ModelError

if keras.config.backend() != "jax":
    pytest.skip("the probe is of the JAX engine", allow_module_level=True)

L = keras.layers
SAMPLES = 64
RNG = np.random.default_rng(1)
X = RNG.normal(size=(SAMPLES, 5)).astype(np.float32)
Y = RNG.normal(size=(SAMPLES, 1)).astype(np.float32)
DATA = Samples(x=X, y=Y)


def linear(optimizer: str = "sgd") -> keras.Model:
    """A linear model: the gradient of half the squared error of a sample is (wx − y)x."""
    model = keras.Sequential([keras.Input((5,)), L.Dense(1, use_bias=False)])
    model.layers[0].kernel.assign(np.arange(5, dtype=np.float32)[:, None] / 5)
    model.compile(optimizer, "mean_squared_error")
    return model


def feed_of(size: int) -> ArrayFeed:
    plan = Plan(samples=SAMPLES, batch_size=size, epochs=1)
    return ArrayFeed(train=DATA, order=Order(samples=SAMPLES, seed=0, shuffle=False), plan=plan)


def per_sample(model: keras.Model) -> np.ndarray:
    """The gradient of each sample, computed by hand, shape (samples, 5)."""
    weights = np.asarray(model.layers[0].kernel.value, np.float64)
    return 2 * (X.astype(np.float64) @ weights - Y) * X


def test_the_gradients_are_those_of_the_microbatches() -> None:
    """Norms of each microbatch's gradient and of their mean are those computed by hand."""
    model = linear()
    engine = engine_for(model, example=DATA, resident=DATA, validation=None)
    window = feed_of(8).window(0, 0)

    found = probe_for(model, engine, None).gradients(engine.take(), engine.load(window), 2, 6)

    by_hand = per_sample(model)[16:48].reshape(4, 8, 5).mean(axis=1)
    assert found.size == 8
    assert found.plain.parts == pytest.approx([float(g @ g) for g in by_hand], rel=1e-5)
    mean = by_hand.mean(axis=0)
    assert found.plain.mean == pytest.approx(float(mean @ mean), rel=1e-5)
    assert found.preconditioned is None


def test_the_optimizer_sees_the_gradient_through_its_own_scale() -> None:
    """After updates of Adam, gᵀPg has P = 1/(√v̂ + ε) with v̂ corrected for its start."""
    model = linear("adam")
    engine = engine_for(model, example=DATA, resident=DATA, validation=None)
    probe = probe_for(model, engine, None)
    loaded = engine.load(feed_of(8).window(0, 0))
    assert probe.gradients(engine.take(), loaded, 0, 2).preconditioned is None

    values, pending = engine.run(engine.take(), loaded, 0, 3)
    pending.wait()
    engine.give_back(values)
    found = probe.gradients(values, loaded, 0, 4).preconditioned

    velocity = np.asarray(model.optimizer._velocities[0].value, np.float64) / (1 - 0.999**3)
    scale = 1 / (np.sqrt(velocity[:, 0]) + 1e-7)
    by_hand = per_sample(model)[:32].reshape(4, 8, 5).mean(axis=1)
    assert found is not None
    expected = [float((scale * g) @ g) for g in by_hand]
    assert found.parts == pytest.approx(expected, rel=1e-4)


def test_looking_changes_nothing() -> None:
    """Neither the values nor the model are touched, dropout's counter included."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((5,)), L.Dense(4), L.Dropout(0.5), L.Dense(1)])
    model.compile("adam", "mean_squared_error")
    engine = engine_for(model, example=DATA, resident=DATA, validation=None)
    values = engine.take()
    before = {name: array.tobytes() for name, array in engine.to_host(values).items()}

    probe = probe_for(model, engine, None)
    probe.gradients(values, engine.load(feed_of(8).window(0, 0)), 0, 4)
    probe.memory(feed_of(16).window(0, 0))

    for kept in (values, engine.take()):
        after = {name: array.tobytes() for name, array in engine.to_host(kept).items()}
        assert after == before


def test_the_noise_of_a_linear_model_is_that_of_its_samples() -> None:
    """Over many draws tr Σ and |G|² are near those of the set's own gradients."""
    model = linear()
    engine = engine_for(model, example=DATA, resident=DATA, validation=None)
    gradients = per_sample(model)
    mean = gradients.mean(axis=0)
    feed = ArrayFeed(
        train=DATA,
        order=Order(samples=SAMPLES, seed=0),
        plan=Plan(samples=SAMPLES, batch_size=probe_size(SAMPLES), epochs=1),
    )

    moment = noise_at(
        engine, probe_for(model, engine, None), feed, engine.take(), draws=60, iterations=5
    )

    # Drawn without replacement, microbatches vary about the mean of the whole set as
    # samples do; the set's variance is that with N − 1.
    trace = float(gradients.var(axis=0, ddof=1).sum())
    assert moment.plain.trace.low * 0.9 <= trace <= moment.plain.trace.high * 1.1
    assert moment.plain.square.value == pytest.approx(float(mean @ mean), rel=0.35)
    assert moment.iterations == 5
    assert moment.seen is moment.plain


def test_memory_grows_with_the_batch() -> None:
    """The compiler's analysis tells what is held, and more on top for larger batches."""
    model = keras.Sequential([keras.Input((5,)), L.Dense(256, "relu"), L.Dense(1)])
    model.compile("sgd", "mean_squared_error")
    engine = engine_for(model, example=DATA, resident=DATA, validation=None)
    probe = probe_for(model, engine, None)

    small, large = (probe.memory(feed_of(size).window(0, 0)) for size in (4, 64))

    assert small is not None
    assert large is not None
    assert large.extra > small.extra + 60 * 256 * 4
    assert small.held >= DATA.nbytes


def test_a_step_of_the_users_own_keeps_its_gradients() -> None:
    """A model with its own train_step says that its noise cannot be measured."""

    class Own(keras.Sequential):
        def train_step(self, state: object, data: object) -> object:  # type: ignore[override]
            return super().train_step(state, data)

    model = Own([keras.Input((5,)), L.Dense(1)])
    model.compile("sgd", "mean_squared_error")
    engine = engine_for(model, example=DATA, resident=DATA, validation=None)

    with pytest.raises(ModelError, match="train_step computes its gradients itself"):
        probe_for(model, engine, None).gradients(
            engine.take(), engine.load(feed_of(8).window(0, 0)), 0, 2
        )


def test_an_engine_that_can_tell_nothing_says_so() -> None:
    """Other engines have no memory to tell, and name the backend that has gradients."""
    probe = NoProbe()

    assert probe.memory(feed_of(8).window(0, 0)) is None
    assert probe.room() is None
    with pytest.raises(ModelError, match="KERAS_BACKEND"):
        probe.gradients(None, None, 0, 2)
