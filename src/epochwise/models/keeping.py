"""A model's architecture in a run's folder, as JSON: enough to build it anew.

Weights are not in it; those are in the checkpoints.
"""

from __future__ import annotations

import json
from typing import Any

from epochwise.errors import ModelError


def model_to_json(model: Any) -> str | None:
    """Return how to build and compile a model, as JSON; `None` where it cannot be told.

    Args:
        model: a compiled Keras model.
    """
    import keras

    try:
        return json.dumps(keras.saving.serialize_keras_object(model))
    except Exception:  # whatever a user's layer raises: such a model is handed over again
        return None


def model_from_json(text: str) -> Any:
    """Return the model that `model_to_json` told of, compiled, with fresh weights.

    It is read in Keras's safe mode: nothing but Keras's own layers, and those that the
    user has registered, are made.

    Raises:
        ModelError: it holds something else.
    """
    import keras

    try:
        model = keras.saving.deserialize_keras_object(json.loads(text), safe_mode=True)
    except Exception as error:
        raise ModelError(
            f"The model of the run cannot be built from its record ({error}).",
            "build it as you did before, and hand it over: epochwise.resume(run_dir, model).",
        ) from error
    if not getattr(model, "compiled", False):
        raise ModelError(
            "The model of the run is not compiled as its record has it.",
            "build it as you did before, and hand it over: epochwise.resume(run_dir, model).",
        )
    return model
