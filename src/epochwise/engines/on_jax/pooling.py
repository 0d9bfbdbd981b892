"""Max pooling written for CPUs, put into an iteration's program in place of Keras's.

Keras pools with `reduce_window`, whose gradient (select-and-scatter) takes most of a small
CNN's time on a CPU. Where windows do not overlap, the maximum is over the axes of a
reshaped array, and the gradient goes to the first element that equals it: the same
choice, the same bits, for a fraction of the time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var

from epochwise.engines.on_jax.execution import inner_programs, operations

REPLACED = {"reduce_window_max", "select_and_scatter_add"}
INLINED = {"jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call"}


def rewrite_pooling(program: ClosedJaxpr, platform: str) -> ClosedJaxpr:
    """Return the program with its non-overlapping max pooling rewritten for a CPU.

    On other platforms, or without such pooling, the program comes back as it is.
    """
    if platform != "cpu" or not operations(program.jaxpr) & REPLACED:
        return program

    def run(*arguments: jax.Array) -> list[jax.Array]:
        return _evaluate(program.jaxpr, program.consts, arguments)

    return jax.make_jaxpr(run)(*program.in_avals)


def _evaluate(
    program: Jaxpr, consts: Sequence[Any], arguments: Sequence[jax.Array]
) -> list[jax.Array]:
    """Compute the program's results, operation by operation, with ours where one fits."""
    known: dict[Var, Any] = {}

    def read(atom: Var | Literal) -> Any:
        return atom.val if isinstance(atom, Literal) else known[atom]

    known.update(zip(program.constvars, consts, strict=True))
    known.update(zip(program.invars, arguments, strict=True))
    for equation in program.eqns:
        values = [read(atom) for atom in equation.invars]
        results = _apply(equation, values)
        known.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in program.outvars]


def _apply(equation: JaxprEqn, values: Sequence[Any]) -> Sequence[Any]:
    """Compute one operation's results."""
    name = equation.primitive.name
    if name == "reduce_window_max" and _tiles(equation.params, values[0]):
        return [_maximum(values[0], equation.params)]
    if (
        name == "select_and_scatter_add"
        and equation.params["select_prim"].name == "ge"
        and _tiles(equation.params, values[1])
    ):
        return [_scatter_to_first_maximum(values[0], values[1], equation.params)]
    if name in INLINED:
        inner = next(
            inner
            for value in equation.params.values()
            for inner in ([value] if isinstance(value, (ClosedJaxpr, Jaxpr)) else [])
        )
        if operations(next(inner_programs(inner))) & REPLACED:
            jaxpr = inner.jaxpr if isinstance(inner, ClosedJaxpr) else inner
            consts = inner.consts if isinstance(inner, ClosedJaxpr) else ()
            return _evaluate(jaxpr, consts, values)
    bound = equation.primitive.get_bind_params(equation.params)
    # Newer versions of JAX return the parameters alone.
    subfuns, params = bound if isinstance(bound, tuple) and len(bound) == 2 else ((), bound)
    results = equation.primitive.bind(*subfuns, *values, **params)
    return results if equation.primitive.multiple_results else [results]


def _tiles(params: dict[str, Any], operand: jax.Array) -> bool:
    """Tell whether the windows lie side by side without overlap or dilation."""
    ones = (1,) * operand.ndim
    return (
        tuple(params["window_dimensions"]) == tuple(params["window_strides"])
        and tuple(params.get("base_dilation") or ones) == ones
        and tuple(params.get("window_dilation") or ones) == ones
        and jnp.issubdtype(operand.dtype, jnp.floating)
    )


def _tiled(operand: jax.Array, params: dict[str, Any]) -> tuple[jax.Array, list[int]]:
    """Return the operand with each axis cut into (windows, window), and the window axes.

    Positions that only padding fills hold -inf; what no window covers is cut off.
    """
    windows = []
    configuration = []
    for size, window, (low, high) in zip(
        operand.shape, params["window_dimensions"], params["padding"], strict=True
    ):
        count = (size + low + high) // window
        windows.append((count, window))
        configuration.append((low, count * window - size - low, 0))
    lowest = np.array(-np.inf, operand.dtype)
    padded = lax.pad(operand, lowest, configuration)
    tiled = padded.reshape([length for pair in windows for length in pair])
    axes = [2 * axis + 1 for axis, (_, window) in enumerate(windows) if window > 1]
    return tiled, axes


def _maximum(operand: jax.Array, params: dict[str, Any]) -> jax.Array:
    """Return the largest element of each window."""
    tiled, axes = _tiled(operand, params)
    shape = tiled.shape[0::2]
    parts = _window_parts(tiled, axes)
    largest = parts[0]
    for part in parts[1:]:
        largest = lax.max(largest, part)
    return largest.reshape(shape)


def _window_parts(tiled: jax.Array, axes: Sequence[int]) -> list[jax.Array]:
    """Return one array for each place in a window, in row-major order of the places."""
    parts = []
    for place in np.ndindex(*(tiled.shape[axis] for axis in axes)):
        part = tiled
        for axis, index in zip(axes, place, strict=True):
            part = lax.slice_in_dim(part, index, index + 1, axis=axis)
        parts.append(part)
    return parts


def _scatter_to_first_maximum(
    source: jax.Array, operand: jax.Array, params: dict[str, Any]
) -> jax.Array:
    """Return, at each window's first largest element, its value of `source`; 0 elsewhere."""
    tiled, axes = _tiled(operand, params)
    pairs = [length for count in source.shape for length in (count, 1)]
    spread = source.reshape(pairs)
    parts = _window_parts(tiled, axes)
    largest = parts[0]
    for part in parts[1:]:
        largest = lax.max(largest, part)
    taken = jnp.zeros(largest.shape, bool)
    zero = jnp.zeros((), source.dtype)
    placed = []
    for part in parts:
        here = (part == largest) & ~taken
        taken = taken | here
        placed.append(jnp.where(here, spread, zero))
    tiles = _interleave(placed, tiled.shape, axes)
    flat = tiles.reshape(
        [a * b for a, b in zip(tiled.shape[0::2], tiled.shape[1::2], strict=True)]
    )
    configuration = []
    for size, covered, (low, _) in zip(
        operand.shape, flat.shape, params["padding"], strict=True
    ):
        configuration.append((-low, size + low - covered, 0))
    return lax.pad(flat, zero, configuration)


def _interleave(
    parts: Sequence[jax.Array], shape: Sequence[int], axes: Sequence[int]
) -> jax.Array:
    """Put the arrays of `_window_parts` back into one of `shape`."""
    lengths = [shape[axis] for axis in axes]
    grid = list(parts)
    for axis, length in zip(reversed(axes), reversed(lengths), strict=True):
        grid = [
            lax.concatenate(grid[first : first + length], axis)
            for first in range(0, len(grid), length)
        ]
    assert math.prod(grid[0].shape) == math.prod(shape)
    return grid[0]
