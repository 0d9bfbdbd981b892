"""Over how many threads a backend parts one operation on the CPU.

Sums are cut by it, so a run that goes on must use as many as before to end in the same bits.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from epochwise.framework import import_keras, select_backend

THREADS_VARIABLES = {"jax": "NPROC", "tensorflow": "TF_NUM_INTRAOP_THREADS"}
"""What tells a backend in the environment, before it computes anything."""


def threads(cores: int) -> int:
    """Return over how many threads Keras's backend parts one operation on the CPU.

    Sums are cut by it, so it changes the last digits. Keras is imported.

    Args:
        cores: that this process may use: as many as there are threads, unless told.
    """
    backend, told = import_keras().config.backend(), 0
    if backend == "torch":
        import torch

        told = torch.get_num_threads()
    if backend == "tensorflow":
        import tensorflow as tf

        told = tf.config.threading.get_intra_op_parallelism_threads()
    return int(told) or _told_threads(THREADS_VARIABLES.get(backend, "")) or cores


def use_threads(wanted: int) -> None:
    """Let the backend part operations over so many threads, where it can still be told.

    JAX and TensorFlow keep the number with which they computed first; `threads` tells it.

    Args:
        wanted: what `threads` told when the run began, at least 1.
    """
    backend = select_backend()
    if backend == "torch":
        import torch

        torch.set_num_threads(wanted)
    elif backend == "tensorflow":
        import tensorflow as tf

        with suppress(RuntimeError):  # it has computed already
            tf.config.threading.set_intra_op_parallelism_threads(wanted)
    elif not _jax_computes_already():
        os.environ[THREADS_VARIABLES["jax"]] = str(wanted)


def _told_threads(variable: str) -> int:
    """Return the threads that the environment tells; 0 where it tells none."""
    try:
        return max(1, int(os.environ[variable]))
    except (KeyError, ValueError):
        return 0


def _jax_computes_already() -> bool:
    """Tell whether JAX has made its threads; where that cannot be told, it has."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    if bridge is None:
        return False
    asked = getattr(bridge, "backends_are_initialized", None)
    return asked is None or bool(asked())
