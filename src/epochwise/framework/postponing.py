"""Importing a framework without the parts that training does not need.

Half of the time of `import keras`, and more than a third of its memory, goes to what it
brings for other uses: wrappers for scikit-learn, which import all of that library,
attention kernels and compiler dialects for other devices, SciPy's sparse solvers, ready
networks, a second copy of its public names, and h5py for one of its file formats. These
modules are there as always; each is filled the first time that anybody looks into it.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

_TPU_KERNELS = "jax.experimental.pallas.ops.tpu.splash_attention"

NOT_FOR_TRAINING = frozenset(
    {
        "h5py",
        "jaxlib.mosaic.python.mosaic_gpu",
        "jaxlib.mosaic.python.tpu",
        "keras._tf_keras",
        "keras.applications",
        "keras.wrappers",
        "scipy.sparse",
        "scipy.sparse.linalg",
        "jax.extend.pallas",
        "jax.experimental.pallas",
        "jax.experimental.pallas.ops",
        "jax.experimental.pallas.ops.tpu",
        _TPU_KERNELS,
        f"{_TPU_KERNELS}.splash_attention_kernel",
        f"{_TPU_KERNELS}.splash_attention_mask",
    }
)
"""Modules that are imported with Keras and that training does not look into."""

_filling = threading.RLock()


@contextmanager
def postponed(names: frozenset[str]) -> Iterator[None]:
    """Let modules that are imported meanwhile be filled when they are first looked into.

    Args:
        names: the modules; those that were imported before stay as they are. A module
            inside a package of these is asked of the package without filling it.

    Example:
        >>> _ = sys.modules.pop("colorsys", None)
        >>> with postponed(frozenset({"colorsys"})):
        ...     import colorsys
        >>> type(colorsys).__name__, colorsys.rgb_to_hsv(0, 0, 1), type(colorsys).__name__
        ('PostponedModule', (0.6666666666666666, 1.0, 1), 'module')
    """
    finder = _Finder(names)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class PostponedModule(ModuleType):
    """A module that was found and not run; a missing attribute makes it run."""

    def __getattr__(self, name: str) -> Any:
        """Return a postponed module inside this one, or run this one and look again."""
        if name in _ASKED_BY_THE_IMPORT_SYSTEM:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        inner = f"{self.__name__}.{name}"
        if inner in _loader(self).names:
            return importlib.import_module(inner)
        _loader(self).fill(self)
        return object.__getattribute__(self, name)


_ASKED_BY_THE_IMPORT_SYSTEM = {"__path__", "__file__", "__cached__", "__warningregistry__"}


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the named modules as the import system does, to be filled later."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder.find_spec`."""
        if fullname not in self._names:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._names)
        return spec


class _Loader(importlib.abc.Loader):
    """Makes a module without running it."""

    def __init__(self, inner: importlib.abc.Loader, names: frozenset[str]) -> None:
        self._inner = inner
        self._runs = False
        self.names = names

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        """See `importlib.abc.Loader.create_module`."""
        return PostponedModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module as it is."""

    def fill(self, module: ModuleType) -> None:
        """Run the module once, whoever asks first, and its package before it."""
        with _filling:
            package = sys.modules.get(module.__name__.rpartition(".")[0])
            if isinstance(package, PostponedModule):
                _loader(package).fill(package)
            if isinstance(module, PostponedModule) and not self._runs:
                self._runs = True
                self._inner.exec_module(module)
                assert module.__spec__ is not None
                module.__spec__.loader = module.__loader__ = self._inner
                module.__class__ = ModuleType  # type: ignore[assignment]


def _loader(module: PostponedModule) -> _Loader:
    """Return what can run a postponed module."""
    assert module.__spec__ is not None
    assert isinstance(module.__spec__.loader, _Loader)
    return module.__spec__.loader
