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


@pytest.fixture(scope="session", autouse=True)
def _compiled_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let JAX compile the same program of two tests only once."""
    if keras.config.backend() == "jax":
        import jax

        jax.config.update("jax_compilation_cache_dir", str(tmp_path_factory.mktemp("cache")))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


@pytest.fixture(params=WAYS[keras.config.backend()].items(), ids=lambda way: way[0])
def way(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What `compile` is told, so that the model is executed in one of the ways."""
    options: dict[str, Any] = request.param[1]
    return options
