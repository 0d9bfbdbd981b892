"""JAX without compilation, for what cannot be traced: one operation after the other.

A `train_step` may then read numbers, keep count in Python and assign variables itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras

from epochwise.data.feed import Window
from epochwise.data.samples import Array
from epochwise.engines.on_jax.iteration import evaluation, learning_rate, training_iteration
from epochwise.engines.on_jax.placing import device_name
from epochwise.engines.on_keras.engine import KerasEngine, LoadedWindow, Told
from epochwise.engines.on_keras.iteration import all_finite, stacked
from epochwise.engines.values import Values, logs_beside_metrics, variables


class EagerJaxEngine(KerasEngine):
    """Calls the iteration that the compiled engine would trace, as it is.

    JAX's arrays cannot change, so copies are the arrays themselves. After each iteration
    the model holds its values, so that a step that looks at its own model is not misled;
    what a step has assigned to a variable itself counts unless it returned a new value.
    """

    def __init__(
        self, model: keras.Model, *, microbatch_size: int | None = None, **options: Any
    ) -> None:
        """See `KerasEngine`."""
        super().__init__(model, **options)
        self._iteration = training_iteration(
            model, self._divisor, microbatch_size, compiled=False
        )
        self._evaluation = evaluation(model, self._divisor)

    def prepare(
        self,
        training: Sequence[Window],
        evaluating: Sequence[Window],
        *,
        measuring: bool = False,
    ) -> None:
        """See `Engine.prepare`. Nothing is compiled ahead."""

    def _backend(self) -> str:
        return f"jax {jax.__version__}"

    def _device(self) -> str:
        return device_name()

    def _tensor(self, array: Array) -> Any:
        return jax.device_put(array)

    def _copies(self, variables: Sequence[Any]) -> list[Any]:
        return [variable._value for variable in variables]

    def _train(self, loaded: LoadedWindow, start: int, stop: int) -> Told:
        model = self._model
        losses, owns = [], []
        for place in range(start, stop):
            groups = variables(model)
            before = Values(*(self._copies(group) for group in groups))
            rate = learning_rate(model, before.optimizer)
            after, loss, logs, own = self._iteration(before, loaded.data, loaded.rows[place])
            _assign_changed(groups, before, after)
            losses.append(loss)
            owns.append(own)
        if not logs_beside_metrics(model, "train_step"):
            logs = model.get_metrics_result()
        return Told(
            losses=jnp.stack(losses),
            metrics=logs,
            own=stacked(owns),
            rate=rate,
            finite=all_finite(model),
        )

    def _test(self, loaded: LoadedWindow, start: int, stop: int) -> Told:
        owns = []
        for place in range(start, stop):
            groups = variables(self._model)
            before = Values(*(self._copies(group) for group in groups))
            after, logs, own = self._evaluation(before, loaded.data, loaded.rows[place])
            _assign_changed(groups, before, after)
            owns.append(own)
        if not logs_beside_metrics(self._model, "test_step"):
            logs = self._model.get_metrics_result()
        return Told(losses=(), metrics=logs, own=stacked(owns))


def _assign_changed(groups: Values, before: Values, after: Values) -> None:
    """Assign the values that an iteration returned anew."""
    for group, old, new in zip(groups, before, after, strict=True):
        for variable, was, value in zip(group, old, new, strict=True):
            if value is not was:
                variable.assign(value)
