"""Memory and gradients of a model on JAX, measured beside its training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

from epochwise.data.feed import Window
from epochwise.engines.memory import run_watching_peak
from epochwise.engines.on_jax.engine import JaxEngine, LoadedWindow
from epochwise.engines.on_jax.iteration import gather
from epochwise.engines.on_jax.placing import free_device_bytes
from epochwise.engines.probing import (
    HOST_SHARE,
    Gradients,
    ProgramMemory,
    Result,
    Squares,
)
from epochwise.engines.values import Batch, Values, has_own_step
from epochwise.errors import ModelError

Scales = list[jax.Array]
"""For each trainable variable, what the optimizer multiplies its gradient with."""

Lengths = tuple[jax.Array, jax.Array]
"""|g|² and gᵀPg of a gradient."""


class JaxProbe:
    """Measures what an engine's model takes and how noisy its gradients are.

    Args:
        engine: whose compiled programs are looked at.
        model: the engine's.
        divisor: see `Samples.divisor`.
    """

    def __init__(self, engine: JaxEngine, model: keras.Model, divisor: float | None) -> None:
        """Compile nothing yet."""
        self._engine = engine
        self._model = model
        self._preconditioner = _Preconditioner.of(model)
        part = _gradient_part(model, divisor, self._preconditioner)
        self._part = jax.jit(part, donate_argnums=6)

    def memory(self, window: Window) -> ProgramMemory | None:
        """See `Probe.memory`."""
        analysis = self._engine.training_program(window).memory_analysis()
        if analysis is None:
            return None
        held = int(analysis.argument_size_in_bytes)
        extra = analysis.output_size_in_bytes + analysis.temp_size_in_bytes
        return ProgramMemory(held=held, extra=int(extra - analysis.alias_size_in_bytes))

    def room(self) -> int | None:
        """See `Probe.room`."""
        free = free_device_bytes()
        if free is None or jax.devices()[0].platform != "cpu":
            return free
        return int(HOST_SHARE * free)

    def watched(self, run: Callable[[], Result]) -> tuple[Result, int | None]:
        """See `Probe.watched`."""
        device = jax.devices()[0]
        if device.platform == "cpu":
            return run_watching_peak(run)
        before = device.memory_stats() or {}
        result = run()
        after = device.memory_stats() or {}
        peak = after.get("peak_bytes_in_use", 0)
        if peak <= before.get("peak_bytes_in_use", 0):  # an earlier run took more
            return result, None
        return result, int(peak - before.get("bytes_in_use", 0))

    def gradients(
        self, values: Values, loaded: LoadedWindow, start: int, stop: int
    ) -> Gradients:
        """See `Probe.gradients`."""
        if has_own_step(self._model, "train_step"):
            raise ModelError(
                f"{type(self._model).__name__}.train_step computes its gradients itself, so "
                "their noise cannot be measured.",
                "leave out the train_step of your own, or go by the branches alone.",
            )
        correction = self._preconditioner.correction(values)
        non_trainable = values.non_trainable
        sums = [
            jax.device_put(np.zeros(value.shape, value.dtype)) for value in values.trainable
        ]
        parts = []
        for place in range(start, stop):
            sums, non_trainable, lengths, mean = self._part(
                values._replace(non_trainable=non_trainable),
                loaded.data,
                loaded.rows,
                np.int32(place),
                np.float32(place + 1 - start),
                correction,
                sums,
            )
            parts.append(lengths)
        told = jax.device_get((parts, mean))
        plain, scaled = (
            Squares(
                parts=tuple(float(part[kind]) for part in told[0]), mean=float(told[1][kind])
            )
            for kind in (0, 1)
        )
        return Gradients(
            size=loaded.window.batch_size,
            plain=plain,
            preconditioned=None if correction is None else scaled,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Preconditioner:
    """Where P, what an optimizer multiplies gradients with, is found in its values.

    For optimizers that keep a running mean v of squared gradients (Adam, AdamW, Nadam,
    RMSprop) P is 1/(√v̂ + ε), with v̂ corrected for its start where the optimizer does.

    Args:
        kept: places of v among the optimizer's variables; `None` for an optimizer without.
        count: place of the number of updates.
        beta: of the running mean, where its start is corrected for.
        epsilon: ε.
    """

    kept: list[int] | None = None
    count: int = 0
    beta: float | None = None
    epsilon: float = 0.0

    @classmethod
    def of(cls, model: keras.Model) -> _Preconditioner:
        """Look it up in a model's optimizer."""
        outer = model.optimizer
        optimizer = getattr(outer, "inner_optimizer", outer)
        kept = getattr(optimizer, "_velocities", None)
        trainable = model.trainable_variables
        shapes = [tuple(variable.shape) for variable in trainable]
        if not kept or [tuple(variable.shape) for variable in kept] != shapes:
            return cls()
        places = {id(variable): place for place, variable in enumerate(outer.variables)}
        beta = getattr(optimizer, "beta_2", None)
        return cls(
            kept=[places[id(variable)] for variable in kept],
            count=places[id(optimizer.iterations)],
            beta=None if beta is None else float(beta),
            epsilon=float(getattr(optimizer, "epsilon", 1e-7)),
        )

    def correction(self, values: Values) -> np.float32 | None:
        """Return what v is divided by; `None` where there is no P, or no gradient yet."""
        if self.kept is None:
            return None
        updates = int(values.optimizer[self.count])
        if not updates:
            return None
        return np.float32(1.0 if self.beta is None else 1.0 - self.beta**updates)

    def scales(self, optimizer: list[jax.Array], correction: jax.Array | None) -> Scales | None:
        """Return the diagonal of P, to be compiled."""
        if self.kept is None or correction is None:
            return None
        velocities = (optimizer[place] for place in self.kept)
        return [1 / (jnp.sqrt(one / correction) + self.epsilon) for one in velocities]


def _gradient_part(
    model: keras.Model, divisor: float | None, preconditioner: _Preconditioner
) -> Callable[..., Any]:
    """Return what is computed for one microbatch: its gradient added up, and lengths.

    Those of the mean over the microbatches so far are computed each time, and the last
    ones count: a second program for them would take longer to compile than it saves.
    """
    gradient = jax.grad(model.compute_loss_and_updates, has_aux=True)

    def part(
        values: Values,
        data: Batch,
        rows: jax.Array,
        place: jax.Array,
        parts: jax.Array,
        correction: jax.Array | None,
        sums: list[jax.Array],
    ) -> tuple[list[jax.Array], list[jax.Array], Lengths, Lengths]:
        row = jax.lax.dynamic_index_in_dim(rows, place, keepdims=False)
        x, y, weight = gather(data, row, divisor)
        found, (_, _, non_trainable, _) = gradient(
            values.trainable,
            values.non_trainable,
            values.metrics,
            x,
            y,
            weight,
            training=True,
            optimizer_variables=values.optimizer,
        )
        sums = [total + one for total, one in zip(sums, found, strict=True)]
        mean = [total.astype(jnp.float32) / parts for total in sums]
        scales = preconditioner.scales(values.optimizer, correction)
        return sums, non_trainable, _lengths(found, scales), _lengths(mean, scales)

    return part


def _lengths(gradient: list[jax.Array], scales: Scales | None) -> Lengths:
    """Return |g|² and gᵀPg; the second is 0 where there is no P."""
    squares = [jnp.square(one.astype(jnp.float32)) for one in gradient]
    plain = sum((square.sum() for square in squares), jnp.zeros(()))
    if scales is None:
        return plain, jnp.zeros(())
    pairs = zip(squares, scales, strict=True)
    return plain, sum(((square * scale).sum() for square, scale in pairs), jnp.zeros(()))
