"""What all tests share.

No test fails for being slow on a busy machine: properties have no deadline. A third of the
time went to compiling the same small networks again, so each process that runs tests, and
those that it starts, keep their programs in a folder of its own.
"""

import importlib.util
import os
import shutil
import tempfile

import pytest
from hypothesis import settings

import epochwise  # noqa: F401  # chooses Keras's backend, as for every user

settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# Examples in docstrings are looked for by importing; a backend that is not installed has none.
collect_ignore = [
    f"src/epochwise/engines/on_keras/with_{backend}.py"
    for backend in ("tensorflow", "torch")
    if importlib.util.find_spec(backend) is None
]

_PROGRAMS = pytest.StashKey[str]()


def pytest_configure(config: pytest.Config) -> None:
    """Have JAX, which reads its settings when it is imported, keep every program."""
    config.stash[_PROGRAMS] = folder = tempfile.mkdtemp(prefix="epochwise-programs-")
    os.environ |= {
        "JAX_COMPILATION_CACHE_DIR": folder,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


def pytest_unconfigure(config: pytest.Config) -> None:
    """Throw the programs away."""
    shutil.rmtree(config.stash[_PROGRAMS], ignore_errors=True)
