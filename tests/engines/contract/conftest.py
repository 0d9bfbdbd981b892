"""The contract that every engine keeps: one suite, run in one process for each backend.

    KERAS_BACKEND=torch python -m pytest tests/engines/contract

A test that takes `way` is run once for each way in which the backend can execute a model.
"""

from __future__ import annotations

from typing import Any

import keras
import pytest

WAYS: dict[str, dict[str, dict[str, Any]]] = {
    "jax": {"compiled": {}, "eager": {"run_eagerly": True}},
    "tensorflow": {
        "graph": {},
        "xla": {"jit_compile": True},
        "eager": {"run_eagerly": True},
    },
    "torch": {"python": {}},
}
"""Options of `compile` by the name of the way, for each backend."""


@pytest.fixture(params=WAYS[keras.config.backend()].items(), ids=lambda way: way[0])
def way(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What `compile` is told, so that the model is executed in one of the ways."""
    options: dict[str, Any] = request.param[1]
    return options
