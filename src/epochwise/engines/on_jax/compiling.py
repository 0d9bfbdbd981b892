"""Compiling programs one after the other, beside whatever else is done.

The first iterations need one program; the others are compiled while these run. One at a
time: XLA uses all processors for one already, and a compilation takes tens of megabytes
that a second one would take beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from epochwise.engines.memory import give_back_freed_memory

Program = Any
"""A compiled program, `jax.stages.Compiled`."""

Lower = Callable[[], Any]
"""Traces and lowers a program; what it returns has a method `compile`."""


class Compiler:
    """Compiles each program once and counts.

    Example:
        >>> class Lowered:
        ...     def compile(self):
        ...         return abs
        >>> compiler = Compiler()
        >>> compiler.begin("abs", Lowered)
        >>> compiler.program("abs", Lowered)(-3), compiler.count
        (3, 1)
    """

    def __init__(self) -> None:
        """Compile nothing yet."""
        self.seconds = 0.0
        self._programs: dict[object, Future[Program]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="epochwise-compiling")

    @property
    def count(self) -> int:
        """Programs compiled so far, or being compiled."""
        return len(self._programs)

    def begin(self, key: object, lower: Lower) -> None:
        """Trace a program and have it compiled, unless that was begun before.

        Args:
            key: equal for equal programs.
            lower: called here, by the caller's thread.
        """
        if key not in self._programs:
            began = time.perf_counter()
            self._programs[key] = self._pool.submit(_compiled, lower())
            self.seconds += time.perf_counter() - began

    def program(self, key: object, lower: Lower) -> Program:
        """Return a program, once it is there; what was waited counts as compiling."""
        self.begin(key, lower)
        compiled = self._programs[key]
        if compiled.done():
            return compiled.result()
        began = time.perf_counter()
        try:
            return compiled.result()
        finally:
            self.seconds += time.perf_counter() - began


def _compiled(lowered: Any) -> Program:
    """Compile; the compiler's own memory, tens of megabytes, is given back at once."""
    try:
        return lowered.compile()
    finally:
        give_back_freed_memory()
