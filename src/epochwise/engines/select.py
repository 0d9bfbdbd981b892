"""Which backend, and which engine for a model.

The one place, besides the command line, that reads the environment: Keras reads its
backend from there, once, when it is first imported.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from epochwise.data.samples import Samples
from epochwise.engines.importing import NOT_FOR_TRAINING, postponed
from epochwise.engines.memory import give_back_freed_memory, parts_that_fit
from epochwise.engines.probing import NoProbe
from epochwise.errors import BackendError, EpochwiseError, ModelError

if TYPE_CHECKING:
    from epochwise.engines.base import Engine
    from epochwise.engines.probing import Probe

BACKENDS = ("jax", "tensorflow", "torch")

SLOWER = {
    "tensorflow": "On JAX the same model would be compiled whole, and faster.",
    "torch": "PyTorch is told each operation from Python; JAX would compile whole segments.",
}
"""Why another backend would be faster, as the first line of a run says."""

UNSAFE_JAXLIB = {
    "0.10.2": "it computes wrong matrix-vector products and sums on CPUs (jax issue 39103)"
}
"""Versions that miscompile; `tests/engines/test_jaxlib.py` holds the reproducer."""


def select_backend() -> str:
    """Choose Keras's backend if the user has not, before Keras is imported.

    What the user has said counts: `KERAS_BACKEND`, then the `backend` in Keras's own
    configuration file, then Keras already imported. Else JAX where it is installed.

    Returns:
        The backend's name: one of `jax`, `tensorflow`, `torch`.

    Raises:
        BackendError: no backend is installed, or the version of JAX is unsafe.
    """
    chosen = _chosen_backend()
    if chosen is None:
        installed = [name for name in BACKENDS if importlib.util.find_spec(name) is not None]
        if not installed:
            raise BackendError(
                "No backend for Keras is installed: jax, tensorflow and torch are all missing.",
                "pip install jax",
            )
        chosen = installed[0]
        os.environ["KERAS_BACKEND"] = chosen
    if chosen == "jax":
        _check_jaxlib()
    return chosen


def keep_compiled_programs(versions: Mapping[str, str]) -> None:
    """Let JAX keep every compiled program in a folder named by the versions.

    Without versions in its name a cache could hand out a program that an unsafe compiler
    made. What the user has set in the environment counts. To be called before JAX is
    imported, which reads its settings then.

    Args:
        versions: of `jax` and `keras`, by name.
    """
    name = "-".join(f"{part}{versions[part]}" for part in ("jax", "keras") if part in versions)
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    settings = {
        "JAX_COMPILATION_CACHE_DIR": str(Path(home) / "epochwise" / name),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
        # Of each program read back on a CPU, XLA complains of tuning hints that it put
        # there itself ("+prefer-no-gather is not supported on the host machine").
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    for setting, value in settings.items():
        os.environ.setdefault(setting, value)


def _chosen_backend() -> str | None:
    """What the user has chosen, `None` if nothing."""
    if "keras" in sys.modules:
        return str(sys.modules["keras"].config.backend())
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"]
    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")
    try:
        configured = json.loads((home / "keras.json").read_text(encoding="utf-8"))
        backend = configured.get("backend")
    except (OSError, ValueError, AttributeError):
        return None
    # Keras writes this file itself, with TensorFlow in it, when it is first imported.
    if backend not in BACKENDS or importlib.util.find_spec(backend) is None:
        return None
    return str(backend)


def _check_jaxlib() -> None:
    """Refuse the versions that compute wrong results."""
    try:
        version = metadata.version("jaxlib")
    except metadata.PackageNotFoundError:
        return
    if version in UNSAFE_JAXLIB:
        raise BackendError(
            f"jaxlib {version} is not safe to train with: {UNSAFE_JAXLIB[version]}.",
            "pip install 'jax!=0.10.2' 'jaxlib!=0.10.2'",
        )


def import_framework() -> None:
    """Import Keras and what an engine needs, which takes a while; may run in a thread."""
    with postponed(NOT_FOR_TRAINING):
        import keras

        if keras.config.backend() == "jax":
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
    try:
        engine.trace(example)
    except EpochwiseError:
        raise
    except Exception as error:
        if not engine.has_own_step:
            raise
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

    if keras.config.backend() == "jax":
        from epochwise.engines.on_jax import free_device_bytes

        build(model, example)
    else:
        from epochwise.engines.on_keras import free_device_bytes

    return parts_that_fit(
        parts, weight_bytes=weight_bytes(model), free_bytes=free_device_bytes()
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
        )
