"""The gradient of max pooling written for CPUs, in place of Keras's in an iteration's program.

Keras pools with `reduce_window`, whose gradient (select-and-scatter) takes most of a small
CNN's time on a CPU. Where windows do not overlap, the gradient goes to the first element
of each window that equals its maximum: the same choice, the same bits, for a fraction of
the time. One gradient stays as Keras has it: what comes straight from a normalization,
since XLA then rounds what is around it otherwise than around its own operation.
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

REPLACED = {"select_and_scatter_add"}
DELICATE = {"rsqrt"}
"""Operations of the layers whose gradients are left to Keras's own pooling."""

PRODUCTS = {"dot_general", "conv_general_dilated"}
"""Operations whose results are in memory of their own: what is before them does not count."""

INLINED = {"jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call"}


def rewrite_pooling(program: ClosedJaxpr, platform: str) -> ClosedJaxpr:
    """Return the program with its gradient of max pooling rewritten for a CPU.

    On other platforms, or without such pooling, the program comes back as it is.
    """
    if platform != "cpu" or not operations(program.jaxpr) & REPLACED:
        return program

    def run(*arguments: jax.Array) -> list[jax.Array]:
        plain = [False] * len(arguments)
        return _evaluate(program.jaxpr, program.consts, arguments, plain)[0]

    return jax.make_jaxpr(run)(*program.in_avals)


def _evaluate(
    program: Jaxpr,
    consts: Sequence[Any],
    arguments: Sequence[jax.Array],
    delicate_arguments: Sequence[bool],
) -> tuple[list[jax.Array], list[bool]]:
    """Compute the program's results, operation by operation, with ours where one fits.

    Returns:
        The results, and of each whether it comes from one of `DELICATE` without a product
        in between.
    """
    known: dict[Var, Any] = {}
    delicate: dict[Var, bool] = {}

    def read(atom: Var | Literal) -> Any:
        return atom.val if isinstance(atom, Literal) else known[atom]

    def is_delicate(atom: Var | Literal) -> bool:
        return not isinstance(atom, Literal) and delicate.get(atom, False)

    known.update(zip(program.constvars, consts, strict=True))
    known.update(zip(program.invars, arguments, strict=True))
    delicate.update(zip(program.invars, delicate_arguments, strict=True))
    for equation in program.eqns:
        values = [read(atom) for atom in equation.invars]
        flags = [is_delicate(atom) for atom in equation.invars]
        results, told = _apply(equation, values, flags)
        known.update(zip(equation.outvars, results, strict=True))
        delicate.update(zip(equation.outvars, told, strict=True))
    outvars = program.outvars
    return [read(atom) for atom in outvars], [is_delicate(atom) for atom in outvars]


def _apply(
    equation: JaxprEqn, values: Sequence[Any], flags: Sequence[bool]
) -> tuple[Sequence[Any], Sequence[bool]]:
    """Compute one operation's results; `flags` and what is returned as in `_evaluate`."""
    name = equation.primitive.name
    if (
        name == "select_and_scatter_add"
        and equation.params["select_prim"].name == "ge"
        and not flags[0]
        and _tiles(equation.params, values[1])
    ):
        placed = _scatter_to_first_maximum(values[0], values[1], equation.params)
        return [placed], [False]
    inner = [
        part for part in equation.params.values() if isinstance(part, (ClosedJaxpr, Jaxpr))
    ]
    if name in INLINED and operations(next(inner_programs(inner[0]))) & REPLACED:
        jaxpr = inner[0].jaxpr if isinstance(inner[0], ClosedJaxpr) else inner[0]
        consts = inner[0].consts if isinstance(inner[0], ClosedJaxpr) else ()
        return _evaluate(jaxpr, consts, values, flags)
    bound = equation.primitive.get_bind_params(equation.params)
    # Newer versions of JAX return the parameters alone.
    subfuns, params = bound if isinstance(bound, tuple) and len(bound) == 2 else ((), bound)
    results = equation.primitive.bind(*subfuns, *values, **params)
    results = results if equation.primitive.multiple_results else [results]
    made = {name}.union(*(operations(next(inner_programs(part))) for part in inner))
    told = bool(made & DELICATE) or (any(flags) and not made & PRODUCTS)
    return results, [told] * len(results)


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
