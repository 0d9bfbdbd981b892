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

from epochwise.errors import ModelError


class Values(NamedTuple):
    """All that training changes, in the order of the model's own lists."""

    trainable: list[jax.Array]
    non_trainable: list[jax.Array]
    optimizer: list[jax.Array]
    metrics: list[jax.Array]


class Batch(NamedTuple):
    """Features, targets and weights of some samples; trees of arrays or `None`."""

    x: Any
    y: Any
    weight: Any


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


def has_own_step(model: keras.Model, name: str) -> bool:
    """Tell whether the user's class overrides `train_step` or `test_step`."""
    return getattr(type(model), name) is not getattr(keras.Model, name)


def training_iteration(
    model: keras.Model, divisor: float | None, microbatch_size: int | None
) -> Iteration:
    """Return the function that one iteration of this model is.

    Args:
        model: compiled and built.
        divisor: see `Samples.divisor`.
        microbatch_size: samples that go through the network at once, `None` for all.

    Raises:
        ModelError: microbatches were asked for and the model's loss cannot be put
            together from parts.
    """
    if has_own_step(model, "train_step"):
        if microbatch_size is not None:
            raise ModelError(
                f"microbatch_size={microbatch_size} cannot be used with "
                f"{type(model).__name__}.train_step, which updates the weights itself.",
                "leave out microbatch_size, or remove the train_step of your own.",
            )
        return _own_step_iteration(model, divisor)
    if microbatch_size is None:
        return _whole_batch_iteration(model, divisor)
    weigh = _microbatch_weight(model)
    return _microbatched_iteration(model, divisor, microbatch_size, weigh)


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
    weigh: Callable[[Batch], jax.Array],
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
        if full:
            carry, _ = jax.lax.scan(
                part, carry, rows[: full * microbatch_size].reshape(full, microbatch_size)
            )
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


def _microbatch_weight(model: keras.Model) -> Callable[[Batch], jax.Array]:
    """Return what a microbatch weighs, so that parts add up to the batch's own loss.

    Keras divides a loss by the number of samples (`sum_over_batch_size`) or by the sum
    of their weights (`mean_with_sample_weight`); a part weighs what it was divided by.

    Raises:
        ModelError: the loss is a plain sum, outputs carry masks, or outputs are divided
            by different things: no one weight is right then.
    """
    flat = getattr(model._compile_loss, "_flat_losses", None) or ()
    reductions = {getattr(loss, "reduction", "sum_over_batch_size") for _, loss, _, _ in flat}
    masked = [
        output.name
        for output in keras.tree.flatten(getattr(model, "outputs", None) or [])
        if getattr(output, "_keras_mask", None) is not None
    ]
    if masked:
        raise ModelError(
            f"microbatch_size cannot be used: output {masked[0]!r} carries a mask, so the "
            "samples of a batch do not weigh the same.",
            "leave out microbatch_size, or hand the mask over as sample_weight.",
        )
    by_count = {"sum_over_batch_size", "mean"}
    if reductions <= by_count:
        return _count_weight
    if reductions == {"mean_with_sample_weight"}:
        return _sum_weight
    named = ", ".join(sorted(str(reduction) for reduction in reductions))
    raise ModelError(
        f"microbatch_size cannot be used with the loss reduction {named}: its parts do not "
        "add up to the batch's loss.",
        'leave out microbatch_size, or use reduction="sum_over_batch_size".',
    )


def _count_weight(batch: Batch) -> jax.Array:
    """The number of samples."""
    return jnp.float32(jax.tree.leaves(batch.x)[0].shape[0])


def _sum_weight(batch: Batch) -> jax.Array:
    """The sum of the sample weights; the number of samples where they have none."""
    weights = jax.tree.leaves(batch.weight)
    if not weights:
        return _count_weight(batch)
    return jnp.sum(weights[0].astype(jnp.float32))


def _own_step_iteration(model: keras.Model, divisor: float | None) -> Iteration:
    """The user's `train_step(state, data)`; its loss is read from a cleared tracker.

    Whatever loss tracker of Keras's it updates is set to zero before the step and added
    back after it, so that what it holds in between is the batch's own loss.
    """
    tracked = _tracker_places(model)

    def iteration(values: Values, data: Batch, rows: jax.Array) -> Trained:
        cleared = list(values.metrics)
        for place in tracked:
            cleared[place] = jnp.zeros_like(cleared[place])
        state = (values.trainable, values.non_trainable, values.optimizer, cleared)
        logs, after = model.train_step(state, tuple(gather(data, rows, divisor)))
        after = Values(*(list(part) for part in after))
        loss = logs.get("loss", jnp.nan)
        if tracked:
            total, count = (after.metrics[place] for place in tracked)
            loss = jnp.where(count > 0, total / count, loss)
            for place in tracked:
                after.metrics[place] = values.metrics[place] + after.metrics[place]
            if "loss" in logs:
                total, count = (after.metrics[place] for place in tracked)
                logs = {**logs, "loss": jnp.where(count > 0, total / count, logs["loss"])}
        logs = {name: jnp.asarray(value, jnp.float32) for name, value in logs.items()}
        return Trained(after, jnp.asarray(loss, jnp.float32), logs)

    return iteration


def _tracker_places(model: keras.Model) -> list[int]:
    """Where the loss tracker's total and count stand among the metrics' variables."""
    if model._loss_tracker is None:
        return []
    places = {id(variable): place for place, variable in enumerate(model.metrics_variables)}
    return [places[id(variable)] for variable in model._loss_tracker.variables]


def evaluation(
    model: keras.Model, divisor: float | None
) -> Callable[[Values, Batch, jax.Array], tuple[Values, dict[str, jax.Array]]]:
    """Return the function that evaluates one batch: new values and the logs so far."""

    def evaluate(
        values: Values, data: Batch, rows: jax.Array
    ) -> tuple[Values, dict[str, jax.Array]]:
        state = (values.trainable, values.non_trainable, values.metrics)
        logs, after = model.test_step(state, tuple(gather(data, rows, divisor)))
        trainable, non_trainable, metrics = (list(part) for part in after)
        return Values(trainable, non_trainable, values.optimizer, metrics), dict(logs)

    return evaluate


def metrics_result(model: keras.Model, metrics: list[jax.Array]) -> Mapping[str, jax.Array]:
    """Return what the metrics say at these values of their variables."""
    mapping = list(zip(model.metrics_variables, metrics, strict=True))
    with StatelessScope(state_mapping=mapping):
        result: Mapping[str, jax.Array] = model.get_metrics_result()
    return result


def learning_rate(model: keras.Model, optimizer: list[jax.Array]) -> jax.Array:
    """Return the rate that the next update would use at these optimizer values."""
    mapping = list(zip(model.optimizer.variables, optimizer, strict=True))
    with StatelessScope(state_mapping=mapping):
        return jnp.asarray(model.optimizer.learning_rate, jnp.float32)
