"""Programs are compiled once, one at a time, beside the thread that wants them."""

from __future__ import annotations

import threading
import time

import pytest

from epochwise.engines.on_jax.compiling import Compiler


class Lowered:
    """A program that takes as long to compile as it is told to."""

    running = 0
    most = 0

    def __init__(self, name: str, until: threading.Event | None = None) -> None:
        self._name = name
        self._until = until

    def compile(self) -> object:
        Lowered.running += 1
        Lowered.most = max(Lowered.most, Lowered.running)
        if self._until is not None:
            assert self._until.wait(10)
        Lowered.running -= 1
        if self._name == "bad":
            raise MemoryError("too large")
        return lambda: self._name


def test_the_first_program_is_there_before_the_others_are() -> None:
    """What is compiled behind it is waited for only when it is wanted."""
    compiler, go = Compiler(), threading.Event()
    compiler.begin("first", lambda: Lowered("first"))
    compiler.begin("second", lambda: Lowered("second", go))

    assert compiler.program("first", lambda: Lowered("never"))() == "first"
    assert compiler.count == 2
    go.set()
    assert compiler.program("second", lambda: Lowered("never"))() == "second"
    assert compiler.count == 2
    assert Lowered.most == 1


def test_only_what_was_waited_counts_as_compiling() -> None:
    """A program that was ready when it was wanted took none of the caller's time."""
    compiler = Compiler()
    compiler.begin("one", lambda: Lowered("one"))
    while not compiler._programs["one"].done():
        time.sleep(0.001)
    before = compiler.seconds

    compiler.program("one", lambda: Lowered("never"))

    assert compiler.seconds == before > 0


def test_what_fails_to_compile_fails_where_it_is_wanted() -> None:
    """The error comes to the caller, each time, and other programs are not touched."""
    compiler = Compiler()
    compiler.begin("bad", lambda: Lowered("bad"))

    for _ in range(2):
        with pytest.raises(MemoryError, match="too large"):
            compiler.program("bad", lambda: Lowered("never"))
    assert compiler.program("good", lambda: Lowered("good"))() == "good"
