"""Which engine for a model."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from epochwise.data.samples import Samples, is_nested, named_leaves
from epochwise.engines.memory import give_back_freed_memory, parts_that_fit
from epochwise.engines.probing import NoProbe
from epochwise.errors import DataError, EpochwiseError, ModelError
from epochwise.exits import raised_by_theirs
from epochwise.framework import import_keras
from epochwise.framework.postponing import NOT_FOR_TRAINING, postponed

if TYPE_CHECKING:
    from epochwise.engines.base import Engine
    from epochwise.engines.probing import Probe

SLOWER = {
    "tensorflow": "On JAX the same model would be compiled whole, and faster.",
    "torch": "PyTorch is told each operation from Python; JAX would compile whole segments.",
}
"""Why another backend would be faster, as the first line of a run says."""


def import_framework() -> None:
    """Import Keras and the engine of its backend, which takes a while."""
    with postponed(NOT_FOR_TRAINING):
        if import_keras().config.backend() == "jax":
            import epochwise.engines.on_jax  # noqa: F401
    give_back_freed_memory()


def engine_for(
    model: Any,
    *,
    example: Samples,
    resident: Samples | None,
    validation: Samples | None,
    microbatch_size: int | None = None,
    segments: Literal["scan", "single"] | None = None,
) -> Engine[Any, Any]:
    """Return the fastest engine that can train this model as asked.

    Args:
        model: a compiled Keras model.
        example: some of the training samples, for building the model.
        resident: the data that windows without samples of their own count in.
        validation: the same for the validation part.
        microbatch_size: samples that go through the network at once, `None` for all.
        segments: how segments are executed, `None` to choose.

    Raises:
        ModelError: the model is not compiled, or is compiled so that it cannot be
            trained with exact counts.
    """
    import keras

    check_compiled(model)
    check_inputs(model, example)
    options: dict[str, Any] = {
        "example": example,
        "resident": resident,
        "validation": validation,
        "microbatch_size": microbatch_size,
    }
    backend = keras.config.backend()
    if backend == "jax" and not model.run_eagerly and model.jit_compile:
        from epochwise.engines.on_jax import JaxEngine

        engine = JaxEngine(model, segments=segments, **options)
        refused = _refused(engine, model, example)
        if refused is None:
            return engine
        reason = f"{refused}, so each operation is run by itself."
    elif model.run_eagerly:
        reason = (
            "The model was compiled with run_eagerly=True: each operation is run by itself."
        )
    elif backend == "jax":
        reason = (
            "The model was compiled with jit_compile=False, or a layer refuses it: each "
            "operation is run by itself."
        )
    else:
        reason = SLOWER[backend]
    from epochwise.engines.on_keras import keras_engine

    return keras_engine(model, reason=reason, segments=segments, **options)


def _refused(engine: Any, model: Any, example: Samples) -> str | None:
    """Return why the compiled engine cannot train with the model's own `train_step`."""
    values = engine.take()
    before = sys.exc_info()[1]
    try:
        engine.trace(example)
    except EpochwiseError:
        raise
    except Exception as error:
        if not engine.has_own_step:
            raise raised_by_theirs(error, before) or error  # noqa: B904  # it is behind it
        told = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    else:
        if all(
            variable is value
            for group, taken in zip(engine.take(), values, strict=True)
            for variable, value in zip(group, taken, strict=True)
        ):
            return None
        told = "it assigns to variables instead of returning their new values"
    engine.give_back(values)
    return f"{type(model).__name__}.train_step is no pure function ({told})"


def on_device(model: Any, example: Samples, parts: Sequence[Samples]) -> list[Samples]:
    """Return those parts of the data that an engine can hold where it computes.

    The others are gathered on the host, window by window: same order, same bits.

    Args:
        model: a compiled Keras model.
        example: some of the training samples, for building the model.
        parts: the most used one first.
    """
    import keras

    from epochwise.engines.values import build, weight_bytes

    check_inputs(model, example)
    if keras.config.backend() == "jax":
        from epochwise.engines.on_jax import free_device_bytes

        build(model, example)
    else:
        from epochwise.engines.on_keras import free_device_bytes

    return parts_that_fit(
        parts, weight_bytes=weight_bytes(model), free_bytes=free_device_bytes()
    )


def check_inputs(model: Any, example: Samples) -> None:
    """Refuse text where the backend knows numbers only, and no value for a required input.

    Args:
        model: a Keras model.
        example: some of the samples.

    Raises:
        DataError: names the array, or the input.
    """
    import keras

    backend = keras.config.backend()
    texts = [place for place, leaf in named_leaves(example.x, "x") if leaf.dtype == object]
    if texts and backend != "tensorflow":
        raise DataError(
            f"{texts[0]} is text, and on {backend} a model computes with numbers only: layers "
            "that take text (TextVectorization, StringLookup, Hashing) are TensorFlow's.",
            "set KERAS_BACKEND=tensorflow before Python starts; or call the layer first and "
            "build the model without it: x = np.asarray(layer(x)).",
        )
    inputs = getattr(model, "_inputs_struct", None)
    if inputs is None or not is_nested(example.x):
        return
    wanted = keras.tree.flatten(inputs)
    if isinstance(example.x, Mapping):
        given = {**dict.fromkeys((one.name for one in wanted), True), **example.x}
        missing = [one.name for one in wanted if given[one.name] is None]
    else:
        flat = keras.tree.flatten(example.x)
        missing = [one.name for one, part in zip(wanted, flat, strict=False) if part is None]
    required = {one.name for one in wanted if not one._keras_history.operation.optional}
    for name in missing:
        if name in required:
            raise DataError(
                f"x has None for the input {name!r}, which is not optional.",
                f"give an array for it, or build it so that it may be left out: "
                f'keras.Input(..., name="{name}", optional=True).',
            )


def probe_for(model: Any, engine: Engine[Any, Any], divisor: float | None) -> Probe[Any, Any]:
    """Return what measures memory and gradients of an engine's model.

    Args:
        model: the engine's.
        engine: made by `engine_for`.
        divisor: see `Samples.divisor`.
    """
    import keras

    if keras.config.backend() == "jax":
        from epochwise.engines.on_jax import JaxEngine, JaxProbe

        if isinstance(engine, JaxEngine):
            return JaxProbe(engine, model, divisor)
    return NoProbe()


def check_compiled(model: Any) -> None:
    """Refuse a model that cannot be trained with exact counts.

    Raises:
        ModelError: it is no compiled Keras model, or its optimizer gathers gradients
            over several iterations by itself.
    """
    if not getattr(model, "compiled", False):
        raise ModelError(
            f"The {type(model).__name__} has no optimizer and no loss: it is not compiled.",
            'call model.compile(optimizer="adam", loss=...) before fit.',
        )
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    gathered = getattr(optimizer, "gradient_accumulation_steps", None)
    if gathered is not None and gathered > 1:
        raise ModelError(
            f"The optimizer has gradient_accumulation_steps={gathered}: it would update the "
            "weights only every so many iterations, and lose what is left at the end.",
            "build the optimizer without it, and give fit batch_size= for the samples of an "
            "update and microbatch_size= for those that fit in memory.",
            command="build the optimizer without it, and use --batch-size for the samples of "
            "an update and --microbatch-size for those that fit in memory.",
        )
