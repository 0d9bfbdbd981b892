"""One iteration and one evaluation batch in a model's own variables.

For the backends whose variables are changed in place. Keras's own loss, metrics and
optimizers are called, so they mean what they mean in `model.fit`. Ours are the batch's
own loss, which Keras folds into a running mean at once, and microbatches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import keras
from keras import ops

from epochwise.data.samples import leaves, map_leaves
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
    as_keras_data,
    has_own_step,
    logs_beside_metrics,
)


class Trained(NamedTuple):
    """What one iteration tells; see `on_jax.iteration.Trained`."""

    loss: Any
    logs: dict[str, Any]
    own: tuple[dict[str, Any], ...] = ()


class Evaluated(NamedTuple):
    """What one evaluated batch tells."""

    logs: dict[str, Any]
    own: tuple[dict[str, Any], ...] = ()


Iteration = Callable[[Batch, Any], Trained]
"""`(data, rows) -> Trained`: one batch forward, backward, one update."""


class Learned(NamedTuple):
    """What a pass through the network gives.

    Args:
        loss: unscaled, of these samples alone.
        predicted: the network's outputs.
        gradients: of the loss as the optimizer scales it, one a trainable variable;
            `None` where the loss does not depend on it.
        logs: what a `compute_metrics` of the user's returned.
    """

    loss: Any
    predicted: Any
    gradients: list[Any]
    logs: dict[str, Any] = {}  # noqa: RUF012


class Tools(Protocol):
    """What an iteration needs from its backend."""

    def gather(self, leaf: Any, rows: Any) -> Any:
        """Return the rows of a tensor."""

    def learn(self, forward: Callable[[], tuple[Any, Any]]) -> Learned:
        """Call `forward`, which returns loss and predictions, and differentiate it."""

    def update(self, gradients: list[Any]) -> None:
        """Let the optimizer update the weights once."""

    def fold(self, body: Callable[[Any, Any], Any], carry: Any, first: int, end: int) -> Any:
        """Return what `carry = body(index, carry)` leads to, for each index in turn."""


def gather(tools: Tools, data: Batch, rows: Any, divisor: float | None) -> Batch:
    """Return the samples at `rows`, shape `(B,)`; features divided as float32."""
    batch = Batch(*(map_leaves(lambda leaf: tools.gather(leaf, rows), tree) for tree in data))
    if divisor is None:
        return batch
    scaled = map_leaves(lambda leaf: ops.cast(leaf, "float32") / divisor, batch.x)
    return batch._replace(x=scaled)


def training_iteration(
    model: keras.Model, tools: Tools, divisor: float | None, microbatch_size: int | None
) -> Iteration:
    """Return the function that one iteration of this model is.

    Args:
        model: compiled and built.
        tools: those of its backend.
        divisor: see `Samples.divisor`.
        microbatch_size: samples that go through the network at once, `None` for all.

    Raises:
        ModelError: microbatches were asked for and the model's loss cannot be put
            together from parts.
    """
    check_microbatches(model, microbatch_size)
    if has_own_step(model, "train_step"):
        return _own_step_iteration(model, tools, divisor)
    if microbatch_size is None:
        return _whole_batch_iteration(model, tools, divisor)
    weigh = microbatch_weight(model)
    return _microbatched_iteration(model, tools, divisor, microbatch_size, weigh)


def _whole_batch_iteration(
    model: keras.Model, tools: Tools, divisor: float | None
) -> Iteration:
    """The batch goes through the network at once."""

    def iteration(data: Batch, rows: Any) -> Trained:
        learned = _learn(model, tools, gather(tools, data, rows, divisor))
        tools.update(learned.gradients)
        return Trained(learned.loss, learned.logs)

    return iteration


def _microbatched_iteration(
    model: keras.Model,
    tools: Tools,
    divisor: float | None,
    microbatch_size: int,
    weigh: Weigh,
) -> Iteration:
    """The batch goes through in parts; gradients are weighted by what each part holds.

    With microbatches of weight w_i, loss L_i and gradient g_i, the update uses
    Σ w_i g_i / Σ w_i, divided last, and the loss is Σ w_i L_i / Σ w_i.
    """

    def part(data: Batch, rows: Any) -> tuple[Any, ...]:
        batch = gather(tools, data, rows, divisor)
        learned = _learn(model, tools, batch)
        weight = weigh(batch)
        weighted = {
            place: ops.convert_to_tensor(gradient) * ops.cast(weight, gradient.dtype)
            for place, gradient in enumerate(learned.gradients)
            if gradient is not None
        }
        return weight, weight * ops.cast(learned.loss, "float32"), weighted, learned.logs

    def iteration(data: Batch, rows: Any) -> Trained:
        size = int(rows.shape[0])
        full = size // microbatch_size

        if full:
            parts = ops.reshape(rows[: full * microbatch_size], (full, microbatch_size))
            sums = part(data, parts[0])
            sums = tools.fold(
                lambda index, sums: _added(sums, part(data, parts[index])), sums, 1, full
            )
            if size % microbatch_size:
                sums = _added(sums, part(data, rows[full * microbatch_size :]))
        else:
            sums = part(data, rows)
        weight, loss, weighted, logs = sums
        gradients: list[Any] = [None] * len(model.trainable_variables)
        for place, total in weighted.items():
            gradients[place] = total / ops.cast(weight, total.dtype)
        tools.update(gradients)
        return Trained(loss / weight, logs)

    return iteration


def _added(sums: Any, more: Any) -> Any:
    """Add up two parts of a batch; the logs are those of the last."""
    weighted = {place: total + more[2][place] for place, total in sums[2].items()}
    return sums[0] + more[0], sums[1] + more[1], weighted, more[3]


def _learn(model: keras.Model, tools: Tools, batch: Batch) -> Learned:
    """Pass samples through the network and take them up in the metrics."""
    options = {"training": True} if model._call_has_training_arg else {}

    def forward() -> tuple[Any, Any]:
        predicted = model(batch.x, **options)
        loss = model._compute_loss(
            x=batch.x,
            y=batch.y,
            y_pred=predicted,
            sample_weight=batch.weight,
            training=True,
        )
        return loss, predicted

    learned = tools.learn(forward)
    model._loss_tracker.update_state(
        learned.loss, sample_weight=int(leaves(batch.x)[0].shape[0])
    )
    if logs_beside_metrics(model, "train_step"):
        logs = model.compute_metrics(
            batch.x, batch.y, learned.predicted, sample_weight=batch.weight
        )
        return learned._replace(logs=dict(logs))
    if model._compile_metrics is not None:
        # The same without the results, which nobody reads before the segment ends.
        model._compile_metrics.update_state(batch.y, learned.predicted, batch.weight)
    return learned


def _own_step_iteration(model: keras.Model, tools: Tools, divisor: float | None) -> Iteration:
    """The user's `train_step(data)`."""

    def iteration(data: Batch, rows: Any) -> Trained:
        batch = gather(tools, data, rows, divisor)
        said, logs = _cleared_around(model, lambda: model.train_step(as_keras_data(batch)))
        loss = own_loss(model, said, logs, "train_step")
        so_far, *own = own_logs(said, logs)
        return Trained(loss, so_far, tuple(own))

    return iteration


def evaluation(
    model: keras.Model, tools: Tools, divisor: float | None
) -> Callable[[Batch, Any], Evaluated]:
    """Return the function that evaluates one batch."""
    is_own = has_own_step(model, "test_step")

    def evaluate(data: Batch, rows: Any) -> Evaluated:
        batch = as_keras_data(gather(tools, data, rows, divisor))
        if not is_own:
            return Evaluated(dict(model.test_step(batch)))
        said, logs = _cleared_around(model, lambda: model.test_step(batch))
        so_far, *own = own_logs(said, logs)
        return Evaluated(so_far, tuple(own))

    return evaluate


def _cleared_around(
    model: keras.Model, step: Callable[[], dict[str, Any]]
) -> tuple[list[OwnMetric], dict[str, Any]]:
    """Call a step with every plain mean set to zero, and add back what they held.

    Returns:
        What all metrics say afterwards, and the step's logs.
    """
    before = {
        id(variable): ops.copy(variable.value)
        for metric in metrics_of(model)
        for variable in metric.variables
    }
    for metric in metrics_of(model):
        if is_plain_mean(metric):
            metric.reset_state()
    logs = step()
    said = []
    for metric in metrics_of(model):  # the step may have built some
        if is_plain_mean(metric):
            held = metric.total, metric.count
            own = [ops.copy(variable.value) for variable in held]
            for variable in held:
                if id(variable) in before:
                    variable.assign_add(before[id(variable)])
            said.append(mean_after(metric, own, [variable.value for variable in held]))
        else:
            now = [variable.value for variable in metric.variables]
            was = [
                before.get(id(variable), ops.zeros_like(variable.value))
                for variable in metric.variables
            ]
            said.append(other_after(metric, was, now))
    return said, logs


def learning_rate(model: keras.Model) -> Any:
    """Return the rate that the next update will use, a copy; `None` without one for all."""
    if not has_one_rate(model):
        return None
    return ops.copy(ops.cast(model.optimizer.learning_rate, "float32"))


def all_finite(model: keras.Model) -> Any:
    """Tell whether every trainable weight is a finite number, a scalar."""
    finite = [ops.all(ops.isfinite(variable.value)) for variable in model.trainable_variables]
    return ops.all(ops.stack(finite)) if finite else True


def stacked(owns: Sequence[tuple[dict[str, Any], ...]]) -> tuple[dict[str, Any], ...]:
    """Return what a step logged of some batches as arrays over them.

    What it did not log of all of them is left out.
    """
    parts: list[dict[str, Any]] = []
    for of_batches in zip(*owns, strict=True):
        names = [name for name in of_batches[0] if all(name in part for part in of_batches)]
        parts.append({name: ops.stack([part[name] for part in of_batches]) for name in names})
    return tuple(parts)
