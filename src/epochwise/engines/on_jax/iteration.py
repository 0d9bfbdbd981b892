"""What one iteration and one evaluation batch compute, as pure functions for JAX.

Keras's own training step is traced, so layers, losses, metrics, optimizers and mixed
precision mean what they mean in `model.fit`. Ours are the batch's own loss, which Keras
folds into a running mean at once, and microbatches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras
from keras.src.backend.common.stateless_scope import StatelessScope

from epochwise.engines.microbatches import Weigh, check_microbatches, microbatch_weight
from epochwise.engines.own_step import (
    OwnMetric,
    is_plain_mean,
    mean_after,
    metrics_of,
    other_after,
    own_logs,
    own_loss,
)
from epochwise.engines.rates import has_one_rate
from epochwise.engines.values import (
    Batch,
    Values,
    as_keras_data,
    has_own_step,
    logs_beside_metrics,
)


class Trained(NamedTuple):
    """What one iteration leaves: the new values, its own loss, and what it logged.

    `logs` and `own` are empty where the metrics' variables tell everything afterwards:
    see `logs_beside_metrics`.

    Args:
        values: the new ones.
        loss: of the batch alone.
        logs: what the step logged, as the epoch so far has it.
        own: with a step of the user's, what it logged of the batch alone, and of each log
            whether a metric says it: `alone, tracked`.
    """

    values: Values
    loss: jax.Array
    logs: dict[str, jax.Array]
    own: tuple[dict[str, jax.Array], ...] = ()


class Evaluated(NamedTuple):
    """What one evaluated batch leaves; see `Trained`."""

    values: Values
    logs: dict[str, jax.Array]
    own: tuple[dict[str, jax.Array], ...] = ()


Iteration = Callable[[Values, Any, jax.Array], Trained]
"""`(values, data, rows) -> Trained`: one batch forward, backward, one update."""


def gather(data: Batch, rows: jax.Array, divisor: float | None) -> Batch:
    """Return the samples at `rows`, shape `(B,)`; features divided as float32."""
    batch: Batch = jax.tree.map(lambda leaf: jnp.take(leaf, rows, axis=0, mode="clip"), data)
    if divisor is None:
        return batch
    scaled = jax.tree.map(lambda leaf: leaf.astype(jnp.float32) / divisor, batch.x)
    return batch._replace(x=scaled)


def training_iteration(
    model: keras.Model,
    divisor: float | None,
    microbatch_size: int | None,
    *,
    compiled: bool = True,
) -> Iteration:
    """Return the function that one iteration of this model is.

    Args:
        model: compiled and built.
        divisor: see `Samples.divisor`.
        microbatch_size: samples that go through the network at once, `None` for all.
        compiled: whether it will be compiled; else it is called as it is.

    Raises:
        ModelError: microbatches were asked for and the model's loss cannot be put
            together from parts.
    """
    check_microbatches(model, microbatch_size)
    if has_own_step(model, "train_step"):
        return _own_step_iteration(model, divisor)
    if microbatch_size is None:
        return _whole_batch_iteration(model, divisor)
    weigh = microbatch_weight(model)
    return _microbatched_iteration(model, divisor, microbatch_size, weigh, compiled)


def _whole_batch_iteration(model: keras.Model, divisor: float | None) -> Iteration:
    """The batch goes through the network at once."""
    keeps_logs = logs_beside_metrics(model, "train_step")
    gradient = jax.value_and_grad(model.compute_loss_and_updates, has_aux=True)

    def iteration(values: Values, data: Batch, rows: jax.Array) -> Trained:
        x, y, weight = gather(data, rows, divisor)
        (_, (loss, predicted, non_trainable, metrics)), gradients = gradient(
            values.trainable,
            values.non_trainable,
            values.metrics,
            x,
            y,
            weight,
            training=True,
            optimizer_variables=values.optimizer,
        )
        trainable, optimizer = model.optimizer.stateless_apply(
            values.optimizer, gradients, values.trainable
        )
        logs, metrics = model._update_metrics_variables(metrics, loss, x, y, predicted, weight)
        after = Values(trainable, non_trainable, optimizer, metrics)
        return Trained(after, loss, dict(logs) if keeps_logs else {})

    return iteration


def _microbatched_iteration(
    model: keras.Model,
    divisor: float | None,
    microbatch_size: int,
    weigh: Weigh,
    compiled: bool,
) -> Iteration:
    """The batch goes through in parts; gradients are weighted by what each part holds.

    With microbatches of weight w_i (their samples, or the sum of their sample weights),
    loss L_i and gradient g_i, the update uses Σ w_i g_i / Σ w_i, divided last, and the
    loss is Σ w_i L_i / Σ w_i: those of the whole batch, up to the order of additions.
    """
    keeps_logs = logs_beside_metrics(model, "train_step")
    gradient = jax.value_and_grad(model.compute_loss_and_updates, has_aux=True)

    def iteration(values: Values, data: Batch, rows: jax.Array) -> Trained:
        def part(carry: tuple[Any, ...], part_rows: jax.Array) -> tuple[tuple[Any, ...], Any]:
            non_trainable, metrics, sums, loss_sum, weight_sum = carry
            batch = gather(data, part_rows, divisor)
            (_, (loss, predicted, non_trainable, metrics)), gradients = gradient(
                values.trainable,
                non_trainable,
                metrics,
                *batch,
                training=True,
                optimizer_variables=values.optimizer,
            )
            x, y, weight = batch
            logs, metrics = model._update_metrics_variables(
                metrics, loss, x, y, predicted, weight
            )
            share = weigh(batch)
            sums = [
                total + share.astype(total.dtype) * gradient_part
                for total, gradient_part in zip(sums, gradients, strict=True)
            ]
            loss_sum = loss_sum + share * loss.astype(jnp.float32)
            carry = (non_trainable, metrics, sums, loss_sum, weight_sum + share)
            return carry, dict(logs) if keeps_logs else {}

        size = rows.shape[0]
        full = size // microbatch_size
        zeros = [jnp.zeros_like(leaf) for leaf in values.trainable]
        zero = jnp.zeros((), jnp.float32)
        carry = (values.non_trainable, values.metrics, zeros, zero, zero)
        parts = rows[: full * microbatch_size].reshape(full, microbatch_size)
        if full and compiled:
            carry, logs = jax.lax.scan(part, carry, parts)
            logs = jax.tree.map(lambda of_parts: of_parts[-1], logs)
        elif full:
            for part_rows in parts:
                carry, logs = part(carry, part_rows)
        if size % microbatch_size:
            carry, logs = part(carry, rows[full * microbatch_size :])
        non_trainable, metrics, sums, loss_sum, weight_sum = carry
        gradients = [total / weight_sum.astype(total.dtype) for total in sums]
        trainable, optimizer = model.optimizer.stateless_apply(
            values.optimizer, gradients, values.trainable
        )
        after = Values(trainable, non_trainable, optimizer, metrics)
        return Trained(after, loss_sum / weight_sum, logs)

    return iteration


def _own_step_iteration(model: keras.Model, divisor: float | None) -> Iteration:
    """The user's `train_step(state, data)`."""
    metrics = _places(model)

    def iteration(values: Values, data: Batch, rows: jax.Array) -> Trained:
        state = values._replace(metrics=_cleared(metrics, values.metrics))
        logs, after = model.train_step(tuple(state), as_keras_data(gather(data, rows, divisor)))
        after = Values(*(list(part) for part in after))
        said = _added_back(model, metrics, values.metrics, after.metrics)
        loss = own_loss(model, said, logs, "train_step")
        so_far, *own = own_logs(said, logs)
        return Trained(after, loss, so_far, tuple(own))

    return iteration


def evaluation(
    model: keras.Model, divisor: float | None
) -> Callable[[Values, Any, jax.Array], Evaluated]:
    """Return the function that evaluates one batch."""
    is_own = has_own_step(model, "test_step")
    keeps_logs = logs_beside_metrics(model, "test_step")
    metrics = _places(model) if is_own else []

    def evaluate(values: Values, data: Batch, rows: jax.Array) -> Evaluated:
        cleared = _cleared(metrics, values.metrics)
        state = (values.trainable, values.non_trainable, cleared)
        logs, after = model.test_step(state, as_keras_data(gather(data, rows, divisor)))
        trainable, non_trainable, after_metrics = (list(part) for part in after)
        after = Values(trainable, non_trainable, values.optimizer, after_metrics)
        if not is_own:
            return Evaluated(after, dict(logs) if keeps_logs else {})
        said = _added_back(model, metrics, values.metrics, after_metrics)
        so_far, *own = own_logs(said, logs)
        return Evaluated(after, so_far, tuple(own))

    return evaluate


class _Places(NamedTuple):
    """Where a metric's variables stand among those of all; a mean's are its total and count."""

    metric: keras.metrics.Metric
    places: list[int]


def _places(model: keras.Model) -> list[_Places]:
    """Where the variables of the model's metrics stand."""
    places = {id(variable): place for place, variable in enumerate(model.metrics_variables)}
    return [
        _Places(metric, [places[id(variable)] for variable in _of(metric)])
        for metric in metrics_of(model)
    ]


def _of(metric: keras.metrics.Metric) -> list[Any]:
    """A metric's variables; of a plain mean, its total and count."""
    return [metric.total, metric.count] if is_plain_mean(metric) else list(metric.variables)


def _cleared(metrics: Sequence[_Places], values: Sequence[jax.Array]) -> list[jax.Array]:
    """The values of the metrics' variables with every plain mean set to zero."""
    cleared = list(values)
    for metric, places in metrics:
        if is_plain_mean(metric):
            for place in places:
                cleared[place] = jnp.zeros_like(cleared[place])
    return cleared


def _added_back(
    model: keras.Model,
    metrics: Sequence[_Places],
    before: Sequence[jax.Array],
    after: list[jax.Array],
) -> list[OwnMetric]:
    """Add to each plain mean what it held before a step; return what all metrics say."""
    said = []
    for metric, places in metrics:
        was, now = ([values[place] for place in places] for values in (before, after))
        if is_plain_mean(metric):
            so_far = [old + new for old, new in zip(was, now, strict=True)]
            said.append(mean_after(metric, now, so_far))
            for place, value in zip(places, so_far, strict=True):
                after[place] = value
            continue
        mapping = list(zip(model.metrics_variables, after, strict=True))
        with StatelessScope(state_mapping=mapping):
            said.append(other_after(metric, was, now))
    return said


def metrics_result(model: keras.Model, metrics: list[jax.Array]) -> Mapping[str, jax.Array]:
    """Return what the metrics say at these values of their variables."""
    mapping = list(zip(model.metrics_variables, metrics, strict=True))
    with StatelessScope(state_mapping=mapping):
        result: Mapping[str, jax.Array] = model.get_metrics_result()
    return result


def learning_rate(model: keras.Model, optimizer: list[jax.Array]) -> jax.Array | None:
    """Return the rate that the next update would use at these optimizer values.

    `None` where there is no one rate for all weights.
    """
    if not has_one_rate(model):
        return None
    mapping = list(zip(model.optimizer.variables, optimizer, strict=True))
    with StatelessScope(state_mapping=mapping):
        return jnp.asarray(model.optimizer.learning_rate, jnp.float32)
