"""Programs are compiled once, one at a time, beside the thread that wants them."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

import epochwise
from epochwise.engines.on_jax import compiling
from epochwise.engines.on_jax.compiling import Compiler, Programs, identity


class Lowered:
    """A program that takes as long to compile as it is told to."""

    running = 0
    most = 0
    in_tree = out_tree = None

    def __init__(self, name: str, until: threading.Event | None = None) -> None:
        self._name = name
        self._until = until

    def as_text(self) -> str:
        return self._name

    def compile(self) -> object:
        Lowered.running += 1
        Lowered.most = max(Lowered.most, Lowered.running)
        if self._until is not None:
            assert self._until.wait(10)
        Lowered.running -= 1
        if self._name == "bad":
            raise MemoryError("too large")
        return lambda: self._name


def test_the_first_program_is_there_before_the_others_are() -> None:
    """What is compiled behind it is waited for only when it is wanted."""
    compiler, go = Compiler(Programs()), threading.Event()
    compiler.begin("first", lambda: Lowered("first"))
    compiler.begin("second", lambda: Lowered("second", go))

    assert compiler.program("first", lambda: Lowered("never"))() == "first"
    assert compiler.count == 2
    go.set()
    assert compiler.program("second", lambda: Lowered("never"))() == "second"
    assert compiler.count == 2
    assert Lowered.most == 1


def test_only_what_was_waited_counts_as_compiling() -> None:
    """A program that was ready when it was wanted took none of the caller's time."""
    compiler = Compiler(Programs())
    compiler.begin("one", lambda: Lowered("one"))
    while not compiler._programs["one"].done():
        time.sleep(0.001)
    before = compiler.seconds

    compiler.program("one", lambda: Lowered("never"))

    assert compiler.seconds == before > 0


def test_what_fails_to_compile_fails_where_it_is_wanted() -> None:
    """The error comes to the caller, each time, and other programs are not touched."""
    compiler = Compiler(Programs())
    compiler.begin("bad", lambda: Lowered("bad"))

    for _ in range(2):
        with pytest.raises(MemoryError, match="too large"):
            compiler.program("bad", lambda: Lowered("never"))
    assert compiler.program("good", lambda: Lowered("good"))() == "good"


def compiled(programs: Programs, function: Callable[..., Any], *arguments: Any) -> Any:
    """Compile as a training does."""
    lowered = jax.jit(function, keep_unused=True).lower(*arguments)
    return programs.compiled(lowered, identity(lowered))


def test_a_program_is_the_same_only_if_it_computes_the_same_from_the_same() -> None:
    """Constants, types, shapes, names of results, and arguments that are not used count."""
    programs, one = Programs(), np.float32(1)
    first = compiled(programs, lambda x, y: 2 * x, one, one)

    assert compiled(programs, lambda a, b: 2 * a, one, one) is first
    for function, arguments in [
        (lambda x, y: 3 * x, (one, one)),
        (lambda x, y: 2 * y, (one, one)),
        (lambda x, y: 2 * x, (np.int32(1), one)),
        (lambda x, y: 2 * x, (np.ones(2, np.float32), one)),
        (lambda x, y: {"doubled": 2 * x}, (one, one)),
        (lambda x: 2 * x["x"], ({"x": one, "y": one},)),
        (lambda x: 2 * x[0], ((one, one),)),
    ]:
        other = compiled(programs, function, *arguments)
        assert other is not first
        assert jax.tree.leaves(other(*arguments))[0].shape == np.shape(
            jax.tree.leaves(arguments)[0]
        )


def test_programs_that_call_back_into_python_are_not_shared() -> None:
    """Their texts are equal, and what they call is not."""
    programs, kind = Programs(), jax.ShapeDtypeStruct((), jnp.float32)

    def calling(number: float) -> Callable[..., Any]:
        return lambda x: jax.pure_callback(lambda x: np.float32(number), kind, x)

    found = [
        float(compiled(programs, calling(n), np.float32(0))(np.float32(0))) for n in (1, 2)
    ]

    assert found == [1.0, 2.0]


def test_programs_that_nobody_asked_for_of_late_are_forgotten() -> None:
    """As many as there is room for are kept, the last ones asked for."""
    programs, one = Programs(most=2), np.float32(1)

    def times(number: int) -> Any:
        return compiled(programs, lambda x: x * number, one)

    two, three = times(2), times(3)
    assert times(2) is two
    times(4)

    assert times(2) is two
    assert times(3) is not three


def network(rate: float = 0.5) -> keras.Model:
    """Return a small compiled network."""
    keras.utils.set_random_seed(1)
    layers = [keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dropout(rate)]
    model = keras.Sequential([*layers, keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


def trained(model: keras.Model) -> list[np.ndarray]:
    """Train ten samples by threes for two epochs and return the weights."""
    x = np.arange(30, dtype=np.float32).reshape(10, 3) / 30
    epochwise.fit(model, x, x[:, :1], batch_size=3, epochs=2, verbose=0)
    return model.get_weights()


def test_who_trains_again_compiles_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same model, another of its kind: no program is compiled; changed, all that it needs.

    And each ends with the bits that it has where nothing is kept.
    """
    compiling_of = jax.stages.Lowered.compile
    times: list[None] = []

    def counted(self: jax.stages.Lowered) -> Any:
        times.append(None)
        return compiling_of(self)

    monkeypatch.setattr(jax.stages.Lowered, "compile", counted)
    monkeypatch.setattr(compiling._PROGRAMS, "_programs", type(compiling._PROGRAMS._programs)())

    def bits_and_compilations(rate: float, change: Callable[[keras.Model], None]) -> Any:
        before = len(times)
        model = network(rate)
        change(model)
        return [part.tobytes() for part in trained(model)], len(times) - before

    def nothing(model: keras.Model) -> None:
        pass

    def freeze(model: keras.Model) -> None:
        model.layers[0].trainable = False

    def weaken(model: keras.Model) -> None:
        model.layers[1].rate = 0.2

    first = bits_and_compilations(0.5, nothing)
    assert first[1] == 2
    assert bits_and_compilations(0.5, nothing) == (first[0], 0)
    model = network()
    assert [part.tobytes() for part in trained(model)] == first[0]
    weights = [part.tobytes() for part in trained(model)]
    assert len(times) == 2

    changed = {}
    for change in (freeze, weaken):
        changed[change] = bits_and_compilations(0.5, change)
        assert changed[change][1] == 2
        assert changed[change][0] != first[0]
    assert bits_and_compilations(0.2, nothing) == (changed[weaken][0], 0)

    compiling._PROGRAMS._programs.clear()
    model = network()
    trained(model)
    assert [part.tobytes() for part in trained(model)] == weights
    compiling._PROGRAMS._programs.clear()
    assert bits_and_compilations(0.5, weaken) == changed[weaken]


def test_what_is_kept_keeps_no_model_alive() -> None:
    """A model that nobody holds any more is gone after its training."""
    model = network()
    trained(model)
    gone = weakref.ref(model)
    del model
    keras.backend.clear_session()
    gc.collect()

    assert gone() is None


@pytest.mark.parametrize("segments", ["scan", "single"])
def test_models_that_read_another_input_share_no_program(segments: str) -> None:
    """Of two inputs of one shape each model uses one; it learns from that one."""
    x = {"a": np.ones((8, 2), np.float32), "b": np.zeros((8, 2), np.float32)}
    moved = {}
    for name in x:
        keras.utils.set_random_seed(2)
        inputs = {other: keras.Input((2,), name=other) for other in x}
        model = keras.Model(inputs, keras.layers.Dense(1)(inputs[name]))
        model.compile(keras.optimizers.SGD(0.1), "mse")
        before = model.get_weights()[0]
        y = np.ones((8, 1), np.float32)
        epochwise.fit(model, x, y, batch_size=4, segments=segments, verbose=0)
        moved[name] = bool((model.get_weights()[0] != before).all())

    assert moved == {"a": True, "b": False}
