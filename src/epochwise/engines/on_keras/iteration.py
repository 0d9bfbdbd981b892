"""One iteration and one evaluation batch in a model's own variables.

For the backends whose variables are changed in place. Keras's own loss, metrics and
optimizers are called, so they mean what they mean in `model.fit`. Ours are the batch's
own loss, which Keras folds into a running mean at once, and microbatches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import keras
from keras import ops

from epochwise.data.samples import leaves, map_leaves
from epochwise.engines.microbatches import Weigh, check_microbatches, microbatch_weight
from epochwise.engines.own_step import OwnMean, own_loss_and_logs, own_means
from epochwise.engines.rates import has_one_rate
from epochwise.engines.values import Batch, as_keras_data, has_own_step

Iteration = Callable[[Batch, Any], tuple[Any, dict[str, Any]]]
"""`(data, rows) -> (own loss, logs)`: one batch forward, backward, one update.

The logs are empty unless the model has a `train_step` of its own, whose logs cannot be
had from the metrics afterwards.
"""


class Learned(NamedTuple):
    """What a pass through the network gives.

    Args:
        loss: unscaled, of these samples alone.
        predicted: the network's outputs.
        gradients: of the loss as the optimizer scales it, one a trainable variable;
            `None` where the loss does not depend on it.
    """

    loss: Any
    predicted: Any
    gradients: list[Any]


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

    def iteration(data: Batch, rows: Any) -> tuple[Any, dict[str, Any]]:
        learned = _learn(model, tools, gather(tools, data, rows, divisor))
        tools.update(learned.gradients)
        return learned.loss, {}

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

    def part(data: Batch, rows: Any) -> tuple[Any, Any, dict[int, Any]]:
        batch = gather(tools, data, rows, divisor)
        learned = _learn(model, tools, batch)
        weight = weigh(batch)
        weighted = {
            place: ops.convert_to_tensor(gradient) * ops.cast(weight, gradient.dtype)
            for place, gradient in enumerate(learned.gradients)
            if gradient is not None
        }
        return weight, weight * ops.cast(learned.loss, "float32"), weighted

    def iteration(data: Batch, rows: Any) -> tuple[Any, dict[str, Any]]:
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
        weight, loss, weighted = sums
        gradients: list[Any] = [None] * len(model.trainable_variables)
        for place, total in weighted.items():
            gradients[place] = total / ops.cast(weight, total.dtype)
        tools.update(gradients)
        return loss / weight, {}

    return iteration


def _added(sums: Any, more: Any) -> Any:
    """Add up two parts of a batch."""
    weighted = {place: total + more[2][place] for place, total in sums[2].items()}
    return sums[0] + more[0], sums[1] + more[1], weighted


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
    if type(model).compute_metrics is not keras.Model.compute_metrics:
        model.compute_metrics(batch.x, batch.y, learned.predicted, sample_weight=batch.weight)
    elif model._compile_metrics is not None:
        # The same without the results, which nobody reads before the segment ends.
        model._compile_metrics.update_state(batch.y, learned.predicted, batch.weight)
    return learned


def _own_step_iteration(model: keras.Model, tools: Tools, divisor: float | None) -> Iteration:
    """The user's `train_step(data)`; its loss is read from cleared means."""

    def iteration(data: Batch, rows: Any) -> tuple[Any, dict[str, Any]]:
        batch = gather(tools, data, rows, divisor)
        means = own_means(model)
        before = [(ops.copy(mean.total.value), ops.copy(mean.count.value)) for mean in means]
        for mean in means:
            mean.reset_state()
        logs = model.train_step(as_keras_data(batch))
        told = []
        for mean, (total, count) in zip(means, before, strict=True):
            own = ops.copy(mean.total.value), ops.copy(mean.count.value)
            mean.total.assign_add(total)
            mean.count.assign_add(count)
            told.append(OwnMean(mean, *own, mean.total.value, mean.count.value))
        return own_loss_and_logs(model, told, logs)

    return iteration


def evaluation(
    model: keras.Model, tools: Tools, divisor: float | None
) -> Callable[[Batch, Any], dict[str, Any]]:
    """Return the function that evaluates one batch and returns the logs so far."""

    def evaluate(data: Batch, rows: Any) -> dict[str, Any]:
        return dict(model.test_step(as_keras_data(gather(tools, data, rows, divisor))))

    return evaluate


def learning_rate(model: keras.Model) -> Any:
    """Return the rate that the next update will use, a copy; `None` without one for all."""
    if not has_one_rate(model):
        return None
    return ops.copy(ops.cast(model.optimizer.learning_rate, "float32"))


def all_finite(model: keras.Model) -> Any:
    """Tell whether every trainable weight is a finite number, a scalar."""
    finite = [ops.all(ops.isfinite(variable.value)) for variable in model.trainable_variables]
    return ops.all(ops.stack(finite)) if finite else True
