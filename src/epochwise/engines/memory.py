"""How much memory is free, whether the data fit beside the model, and when there is none.

Whether a data set is copied to the device as a whole changes where samples are gathered,
never their order or a bit of the result. Which errors say that memory ran out is told by
the classes of the frameworks, without importing one.
"""

from __future__ import annotations

import ctypes
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from epochwise.data.samples import Samples, leaves
from epochwise.data.sparse import SparseRows

Result = TypeVar("Result")

DATA_SHARE = 0.5
"""The most of a device's free memory that data may take; the rest is for the model's
activations, which are not known before it is compiled."""

COPIES_OF_WEIGHTS = 5
"""What training takes beside the weights, in their size: gradients, two moments of the
optimizer, new values, and the best or last ones kept [1]."""


def parts_that_fit(
    parts: Sequence[Samples], *, weight_bytes: int, free_bytes: int | None
) -> list[Samples]:
    """Return those parts of the data that can lie on the device as a whole, beside the model.

    Args:
        parts: the most used one first.
        weight_bytes: size of the model's trainable weights [bytes].
        free_bytes: what is free on the device [bytes]; `None` where nobody can tell,
            which counts as enough.

    Returns:
        The parts that fit beside those before them; never arrays that are mapped from a
        file, since whoever maps them does not want them in memory, nor sparse ones.

    Example:
        >>> parts = [Samples(x=np.zeros((n, 100), np.uint8)) for n in (10, 20, 5)]
        >>> [part.count for part in parts_that_fit(parts, weight_bytes=100, free_bytes=3_500)]
        [10, 5]
    """
    room = math.inf
    if free_bytes is not None:
        room = DATA_SHARE * (free_bytes - COPIES_OF_WEIGHTS * weight_bytes)
    fitting = []
    for part in parts:
        trees = (part.x, part.y, part.weight)
        apart = any(
            isinstance(leaf, np.memmap | SparseRows) for tree in trees for leaf in leaves(tree)
        )
        if not apart and part.nbytes <= room:
            room -= part.nbytes
            fitting.append(part)
    return fitting


def free_host_bytes(
    meminfo: Path = Path("/proc/meminfo"),
    groups: Path = Path("/sys/fs/cgroup"),
    membership: Path = Path("/proc/self/cgroup"),
) -> int | None:
    """Return what this process may still take without the system swapping [bytes].

    The smaller of what the system calls available and what is left of the limits of the
    control groups that the process is in; `None` where the system does not tell.

    Args:
        meminfo: where Linux tells what is available.
        groups: the root of its control groups.
        membership: where it tells the process's own group.
    """
    found = [_available(meminfo), *_left_in_groups(groups, membership)]
    return min((bytes_ for bytes_ in found if bytes_ is not None), default=None)


def _available(meminfo: Path) -> int | None:
    """MemAvailable of the whole system [bytes]."""
    for line in _text(meminfo).splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _left_in_groups(groups: Path, membership: Path) -> list[int]:
    """What each limit of the process's control groups leaves [bytes]."""
    left = []
    inside = _text(membership).rpartition("::")[2].strip().strip("/")
    folder = groups / inside
    for group in (folder, *folder.parents):
        limit, used = _text(group / "memory.max").strip(), _text(group / "memory.current")
        if limit.isdecimal() and used.strip().isdecimal():
            left.append(max(0, int(limit) - int(used)))
        if group == groups:
            break
    return left


def _text(path: Path) -> str:
    """A small file of the system; empty where there is none."""
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""


def run_watching_peak(run: Callable[[], Result]) -> tuple[Result, int | None]:
    """Run something and return how far this process's memory rose above what it was.

    What was freed before is given back to the system first, so that using it again counts,
    and the high-water mark is put down to the present, so it must not be in use by anybody
    else of this process.

    Args:
        run: what is run.

    Returns:
        What `run` returned, and the rise [bytes], `None` where the system does not tell.
    """
    give_back_freed_memory()
    before = _status_bytes("VmRSS")
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return run(), None
    result = run()
    peak = _status_bytes("VmHWM")
    return result, None if before is None or peak is None else max(0, peak - before)


def give_back_freed_memory() -> None:
    """Have the C library return what was freed to the system, where it can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def _status_bytes(name: str) -> int | None:
    """A line of the process's status [bytes]."""
    for line in _text(Path("/proc/self/status")).splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an exception says that memory ran out, and nothing else.

    Recognised are Python's `MemoryError` with NumPy's, JAX's runtime error whose status
    is RESOURCE_EXHAUSTED, TensorFlow's `ResourceExhaustedError`, and PyTorch's
    `OutOfMemoryError` with the plain `RuntimeError` of its allocators for CPU and MPS.
    No framework is imported: they are told apart by their classes' names.

    Example:
        >>> is_out_of_memory(MemoryError()), is_out_of_memory(ValueError("out of memory"))
        (True, False)
    """
    if isinstance(error, MemoryError):
        return True
    kinds = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(error).__mro__}
    said = str(error)
    if kinds & _OUT_OF_MEMORY_KINDS:
        return True
    if kinds & _JAX_RUNTIME_KINDS:
        # Where it happened in a layer that runs by itself, Keras puts its own words before.
        return said.rpartition("\x1b[1m")[2].startswith("RESOURCE_EXHAUSTED")
    return type(error) is RuntimeError and any(words in said for words in _ALLOCATORS_WORDS)


_OUT_OF_MEMORY_KINDS = {("tensorflow", "ResourceExhaustedError"), ("torch", "OutOfMemoryError")}

_JAX_RUNTIME_KINDS = {("jax", "JaxRuntimeError"), ("jaxlib", "XlaRuntimeError")}

_ALLOCATORS_WORDS = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "MPS backend out of memory",
)
