"""The one place that chooses Keras's backend, and the one that imports Keras.

Beside the command line the only one that reads or sets the environment: Keras reads its
backend from there, once, when it is first imported, so `import epochwise` chooses one.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from epochwise.errors import BackendError

BACKENDS = ("jax", "tensorflow", "torch")
"""Backends that can train, the preferred one first."""

UNSAFE_JAXLIB = {
    "0.10.2": "it computes wrong matrix-vector products and sums on CPUs (jax issue 39103)"
}
"""Versions that miscompile; `tests/engines/test_jaxlib.py` holds the reproducer."""

_WRITTEN_BY_KERAS = json.dumps(
    {
        "floatx": "float32",
        "epsilon": 1e-07,
        "backend": "tensorflow",
        "image_data_format": "channels_last",
    },
    indent=4,
)
"""The configuration file that Keras writes when it is first imported, whatever its backend."""

_importing = threading.RLock()


def choose_backend() -> None:
    """Choose an installed backend for Keras, unless the user has chosen one.

    The user's choice is, in this order: that of Keras, if it is imported already;
    `KERAS_BACKEND`; and the `backend` of a configuration file that the user wrote, where it
    is installed. Else the first of `BACKENDS` that is installed is put into `KERAS_BACKEND`.
    """
    if "keras" in sys.modules:
        return
    # An import of Keras that failed leaves modules behind that remember its backend.
    for name in [name for name in sys.modules if name.startswith("keras.")]:
        del sys.modules[name]
    if os.environ.get("KERAS_BACKEND") or _configured_backend() is not None:
        return
    installed = next(filter(_is_installed, BACKENDS), None)
    if installed is not None:
        os.environ["KERAS_BACKEND"] = installed


def select_backend() -> str:
    """Return Keras's backend, chosen if need be, after making sure that it can train.

    Returns:
        The backend's name: one of `BACKENDS`.

    Raises:
        BackendError: it is not installed, cannot train, or its version is unsafe.
    """
    choose_backend()
    if "keras" in sys.modules:
        chosen = str(sys.modules["keras"].config.backend())
    else:
        chosen = os.environ.get("KERAS_BACKEND") or _configured_backend() or ""
    if not chosen:
        raise BackendError(
            "No backend for Keras is installed: jax, tensorflow and torch are all missing.",
            "pip install jax",
        )
    if chosen not in BACKENDS:
        raise BackendError(
            f"The backend {chosen!r} of Keras cannot train.",
            "set KERAS_BACKEND=jax, tensorflow or torch before Python starts, or unset it.",
        )
    if not _is_installed(chosen):
        raise BackendError(
            f"KERAS_BACKEND={chosen} is set, and {chosen} is not installed.",
            f"pip install {chosen}, or unset KERAS_BACKEND to use what is installed.",
        )
    if chosen == "jax":
        _check_jaxlib()
    return chosen


def import_keras() -> ModuleType:
    """Import Keras without the parts that training does not need; return it.

    Whoever needs Keras before a model exists calls this. Two threads that import it at the
    same time would see each other's half-imported modules, so one waits for the other.

    Raises:
        BackendError: Keras or its backend cannot be imported.
    """
    from epochwise.framework.postponing import NOT_FOR_TRAINING, postponed

    with _importing, postponed(NOT_FOR_TRAINING):
        try:
            import keras
        except ImportError as error:
            raise BackendError(
                f"Keras cannot be imported ({error}).", "pip install 'keras>=3.15.1' jax"
            ) from error
    return keras  # type: ignore[no-any-return]  # Keras brings no types


def framework_limits() -> dict[str, Any]:
    """Return the limits that Keras was told to keep, as `Settings` names them.

    By `keras.config.set_max_epochs` and `set_max_steps_per_epoch`, or in the environment.
    """
    config = getattr(sys.modules.get("keras"), "config", None)
    if config is not None:
        epochs, iterations = config.max_epochs(), config.max_steps_per_epoch()
    else:
        names = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH")
        epochs, iterations = (int(os.environ.get(name) or 0) for name in names)
    return {"most_epochs": epochs or None, "most_iterations_per_epoch": iterations or None}


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


def _configured_backend() -> str | None:
    """Return the installed backend that the user's Keras configuration names, if any."""
    try:
        home = os.environ.get("KERAS_HOME")
        if home is None:  # Keras's own rule
            base = Path.home() if os.access(Path.home(), os.W_OK) else Path("/tmp")  # noqa: S108
            home = str(base / ".keras")
        text = (Path(home) / "keras.json").read_text(encoding="utf-8")
        backend = json.loads(text).get("backend")
    except (OSError, ValueError, AttributeError, RuntimeError):  # no file, no JSON, no home
        return None
    if text == _WRITTEN_BY_KERAS or backend not in BACKENDS or not _is_installed(backend):
        return None
    return str(backend)


def _is_installed(name: str) -> bool:
    """Tell whether a module can be found, without importing it."""
    try:
        return importlib.util.find_spec(name) is not None
    except ValueError:  # it was put into `sys.modules` by hand
        return True


def _check_jaxlib() -> None:
    """Refuse the versions that compute wrong results."""
    from importlib import metadata  # half of the time of `import epochwise`, if imported above

    try:
        version = metadata.version("jaxlib")
    except metadata.PackageNotFoundError:
        return
    if version in UNSAFE_JAXLIB:
        raise BackendError(
            f"jaxlib {version} is not safe to train with: {UNSAFE_JAXLIB[version]}.",
            "pip install 'jax!=0.10.2' 'jaxlib!=0.10.2'",
        )
