"""The engine for every Keras backend: the model's own variables are trained in place.

It takes what the compiled JAX engine cannot: TensorFlow, PyTorch, and on JAX whatever
has to run operation by operation. TensorFlow runs a segment as one graph.
"""

from __future__ import annotations

from typing import Any, Literal

import keras

from epochwise.engines.memory import free_host_bytes
from epochwise.engines.on_keras.engine import KerasEngine
from epochwise.errors import ModelError


def keras_engine(
    model: keras.Model, *, segments: Literal["scan", "single"] | None, **options: Any
) -> KerasEngine:
    """Return the engine for the backend that Keras runs on.

    Args:
        model: compiled.
        segments: how segments are executed, `None` to choose; TensorFlow only.
        options: those of `KerasEngine`.

    Raises:
        ModelError: nothing is compiled here, and `segments` asks for it.
    """
    backend = keras.config.backend()
    graphs = backend == "tensorflow" and not model.run_eagerly
    if segments is not None and not graphs:
        raise ModelError(
            f'segments="{segments}" asks for compiled iterations, which this model does not '
            f"have: {options['reason']}",
            "leave out segments.",
        )
    match backend:
        case "tensorflow":
            from epochwise.engines.on_keras.with_tensorflow import TensorFlowEngine

            return TensorFlowEngine(model, execution=segments or "scan", **options)
        case "torch":
            from epochwise.engines.on_keras.with_torch import TorchEngine

            return TorchEngine(model, **options)
        case _:
            from epochwise.engines.on_keras.with_jax import EagerJaxEngine

            return EagerJaxEngine(model, **options)


def free_device_bytes() -> int | None:
    """Return what is free on the device that computes [bytes]; `None` if nobody tells."""
    if keras.config.backend() == "torch":
        from epochwise.engines.on_keras.with_torch import free_gpu_bytes
    else:
        from epochwise.engines.on_keras.with_tensorflow import free_gpu_bytes
    on_gpu, free_bytes = free_gpu_bytes()
    return free_bytes if on_gpu else free_host_bytes()
