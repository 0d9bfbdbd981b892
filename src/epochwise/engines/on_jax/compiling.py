"""Compiling programs one after the other, beside whatever else is done.

The first iterations need one program; the others are compiled while these run. One at a
time: XLA uses all processors for one already, and a compilation takes tens of megabytes
that a second one would take beside it. Who trains again, the same model or another of its
kind, gets the programs that this process has: each is known by its text, so whatever was
changed in between makes another one.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax

from epochwise.engines.memory import give_back_freed_memory

Program = Any
"""A compiled program, `jax.stages.Compiled`."""

Lower = Callable[[], jax.stages.Lowered]
"""Traces and lowers a program, which keeps the arguments that it does not use."""

MOST_KEPT = 32
"""Programs that a process keeps for whoever needs the same again: of eight trainings."""


class Programs:
    """Compiles, unless the same program was compiled of late.

    Example:
        >>> programs = Programs(most=1)
        >>> def compiled(function):
        ...     lowered = jax.jit(function).lower(1.0)
        ...     return programs.compiled(lowered, identity(lowered))
        >>> double = compiled(lambda x: 2 * x)
        >>> double is compiled(lambda x: 2 * x), double is compiled(lambda x: x / 2)
        (True, False)
    """

    def __init__(self, most: int = MOST_KEPT) -> None:
        """Keep at most so many programs, those that were asked for last."""
        self._most = most
        self._programs: OrderedDict[Hashable, Program] = OrderedDict()
        self._lock = threading.Lock()

    def compiled(self, lowered: jax.stages.Lowered, key: Hashable | None) -> Program:
        """Return the compiled program; what the compiler took is given back at once.

        Args:
            lowered: what to compile.
            key: its `identity`; `None` for one that is nobody else's.
        """
        with self._lock:
            if key in self._programs:
                self._programs.move_to_end(key)
                return self._programs[key]
        try:
            program = lowered.compile()
        finally:
            give_back_freed_memory()
        if key is not None:
            with self._lock:
                self._programs[key] = program
                if len(self._programs) > self._most:
                    self._programs.popitem(last=False)
        return program


def identity(lowered: jax.stages.Lowered) -> Hashable | None:
    """Return what is equal for equal programs; `None` where the text does not tell all.

    Of a call back into Python it has only a number. To be asked by the thread that lowered
    the program, whose settings of JAX count.
    """
    text = lowered.as_text()
    if "callback" in text:
        return None
    digest = hashlib.blake2b(text.encode(), digest_size=32).digest()
    device = jax.device_put(0).device
    return digest, lowered.in_tree, lowered.out_tree, device, repr(jax.config.values)


_PROGRAMS = Programs()


class Compiler:
    """Has each program of a training compiled once, and counts.

    Example:
        >>> compiler, lower = Compiler(), lambda: jax.jit(abs).lower(1)
        >>> compiler.begin("abs", lower)
        >>> int(compiler.program("abs", lower)(-3)), compiler.count
        (3, 1)
    """

    def __init__(self, programs: Programs = _PROGRAMS) -> None:
        """Compile nothing yet."""
        self.seconds = 0.0
        self._compiled = programs.compiled
        self._programs: dict[object, Future[Program]] = {}
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="epochwise-compiling")

    @property
    def count(self) -> int:
        """Programs that are compiled, or being compiled."""
        return len(self._programs)

    def begin(self, key: object, lower: Lower) -> None:
        """Trace a program and have it compiled, unless that was begun before.

        Args:
            key: equal for equal programs.
            lower: called here, by the caller's thread.
        """
        if key not in self._programs:
            began = time.perf_counter()
            lowered = lower()
            self._programs[key] = self._pool.submit(self._compiled, lowered, identity(lowered))
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
