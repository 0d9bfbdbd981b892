"""What one iteration and one evaluation batch compute, as pure functions for JAX.

Keras's own training step is traced, so layers, losses, metrics, optimizers and mixed
precision mean what they mean in `model.fit`. Ours are the batch's own loss, which Keras
folds into a running mean at once, and microbatches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras
from keras.src.backend.common.stateless_scope import StatelessScope

from epochwise.engines.microbatches import Weigh, check_microbatches, microbatch_weight
from epochwise.engines.own_step import OwnMean, own_loss_and_logs, own_means
from epochwise.engines.rates import has_one_rate
from epochwise.engines.values import Batch, Values, as_keras_data, has_own_step


class Trained(NamedTuple):
    """What one iteration leaves: the new values, its own loss, and what it logged.

    `logs` is empty unless the model has a `train_step` of its own, whose logs cannot be
    had from the metrics' variables afterwards.
    """

    values: Values
    loss: jax.Array
    logs: dict[str, jax.Array]


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
        _, metrics = model._update_metrics_variables(metrics, loss, x, y, predicted, weight)
        return Trained(Values(trainable, non_trainable, optimizer, metrics), loss, {})

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
    gradient = jax.value_and_grad(model.compute_loss_and_updates, has_aux=True)

    def iteration(values: Values, data: Batch, rows: jax.Array) -> Trained:
        def part(carry: tuple[Any, ...], part_rows: jax.Array) -> tuple[tuple[Any, ...], None]:
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
            _, metrics = model._update_metrics_variables(metrics, loss, x, y, predicted, weight)
            share = weigh(batch)
            sums = [
                total + share.astype(total.dtype) * gradient_part
                for total, gradient_part in zip(sums, gradients, strict=True)
            ]
            loss_sum = loss_sum + share * loss.astype(jnp.float32)
            return (non_trainable, metrics, sums, loss_sum, weight_sum + share), None

        size = rows.shape[0]
        full = size // microbatch_size
        zeros = [jnp.zeros_like(leaf) for leaf in values.trainable]
        zero = jnp.zeros((), jnp.float32)
        carry = (values.non_trainable, values.metrics, zeros, zero, zero)
        parts = rows[: full * microbatch_size].reshape(full, microbatch_size)
        if full and compiled:
            carry, _ = jax.lax.scan(part, carry, parts)
        elif full:
            for part_rows in parts:
                carry, _ = part(carry, part_rows)
        if size % microbatch_size:
            carry, _ = part(carry, rows[full * microbatch_size :])
        non_trainable, metrics, sums, loss_sum, weight_sum = carry
        gradients = [total / weight_sum.astype(total.dtype) for total in sums]
        trainable, optimizer = model.optimizer.stateless_apply(
            values.optimizer, gradients, values.trainable
        )
        after = Values(trainable, non_trainable, optimizer, metrics)
        return Trained(after, loss_sum / weight_sum, {})

    return iteration


def _own_step_iteration(model: keras.Model, divisor: float | None) -> Iteration:
    """The user's `train_step(state, data)`; its loss is read from cleared means.

    Every plain mean among the metrics is set to zero before the step and added back
    after it, so that what the step logs in between is of its batch alone.
    """
    means = _places(model)

    def iteration(values: Values, data: Batch, rows: jax.Array) -> Trained:
        cleared = list(values.metrics)
        for mean in means:
            for place in (mean.total_place, mean.count_place):
                cleared[place] = jnp.zeros_like(cleared[place])
        state = (values.trainable, values.non_trainable, values.optimizer, cleared)
        logs, after = model.train_step(state, as_keras_data(gather(data, rows, divisor)))
        after = Values(*(list(part) for part in after))
        told = []
        for mean in means:
            total, count = after.metrics[mean.total_place], after.metrics[mean.count_place]
            for place in (mean.total_place, mean.count_place):
                after.metrics[place] = values.metrics[place] + after.metrics[place]
            so_far = after.metrics[mean.total_place], after.metrics[mean.count_place]
            told.append(OwnMean(mean.metric, total, count, *so_far))
        loss, logs = own_loss_and_logs(model, told, logs)
        return Trained(after, loss, logs)

    return iteration


class _Places(NamedTuple):
    """Where a mean's total and count stand among the metrics' variables."""

    metric: keras.metrics.Mean
    total_place: int
    count_place: int


def _places(model: keras.Model) -> list[_Places]:
    """Where the model's plain means stand."""
    places = {id(variable): place for place, variable in enumerate(model.metrics_variables)}
    return [
        _Places(mean, places[id(mean.total)], places[id(mean.count)])
        for mean in own_means(model)
    ]


def evaluation(
    model: keras.Model, divisor: float | None
) -> Callable[[Values, Batch, jax.Array], tuple[Values, dict[str, jax.Array]]]:
    """Return the function that evaluates one batch: new values and the logs so far."""

    def evaluate(
        values: Values, data: Batch, rows: jax.Array
    ) -> tuple[Values, dict[str, jax.Array]]:
        state = (values.trainable, values.non_trainable, values.metrics)
        logs, after = model.test_step(state, as_keras_data(gather(data, rows, divisor)))
        trainable, non_trainable, metrics = (list(part) for part in after)
        return Values(trainable, non_trainable, values.optimizer, metrics), dict(logs)

    return evaluate


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
