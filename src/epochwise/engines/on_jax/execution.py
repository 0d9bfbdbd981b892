"""How a segment is executed: scanned in one compiled loop, or one iteration a dispatch.

The choice follows from the operations in the iteration's own program and from the
device, never from a stopwatch: the two may differ in the last bits, and bits must not
depend on timing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from jax.extend.core import ClosedJaxpr, Jaxpr

Execution = Literal["scan", "single"]

SLOW_IN_A_LOOP_ON_CPU = {"conv_general_dilated": "convolution"}
"""Operations that XLA's CPU compiler runs many times slower inside a loop than outside.

A small CNN takes 14 ms an iteration by itself and 192 ms in a scan (two cores, batch
size 64): outside a loop a convolution calls a threaded library routine.
"""


def inner_programs(value: object) -> Iterator[Jaxpr]:
    """Yield the programs that an operation's parameter holds."""
    if isinstance(value, ClosedJaxpr):
        yield value.jaxpr
    elif isinstance(value, Jaxpr):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from inner_programs(item)


def operations(program: Jaxpr) -> set[str]:
    """Return the names of all operations of a program, inner programs included."""
    names = set()
    for equation in program.eqns:
        names.add(equation.primitive.name)
        for value in equation.params.values():
            for inner in inner_programs(value):
                names |= operations(inner)
    return names


def choose(program: Jaxpr, platform: str, told: Execution | None) -> tuple[Execution, str]:
    """Return how to execute an iteration's program on this platform, and why.

    Args:
        program: what one iteration computes.
        platform: JAX's name of it: `cpu`, `gpu`, `tpu`.
        told: what the user asked for, or `None`.
    """
    if told is not None:
        return told, f'segments="{told}" was asked for.'
    if platform == "cpu":
        slow = sorted(SLOW_IN_A_LOOP_ON_CPU.keys() & operations(program))
        if slow:
            return "single", (
                f"it has a {SLOW_IN_A_LOOP_ON_CPU[slow[0]]}, which a CPU runs slowly inside a "
                "compiled loop; each iteration is dispatched by itself."
            )
    return "scan", "all its operations are as fast inside a compiled loop."
