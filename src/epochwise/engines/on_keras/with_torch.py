"""PyTorch: each operation is called from Python, on tensors that stay on the device."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import torch
from keras import ops
from keras.src.backend.torch.core import get_device, to_torch_dtype

from epochwise.data.feed import Window
from epochwise.data.samples import Array
from epochwise.engines.on_keras.engine import KerasEngine, LoadedWindow, Told
from epochwise.engines.on_keras.iteration import (
    Learned,
    all_finite,
    evaluation,
    learning_rate,
    stacked,
    training_iteration,
)
from epochwise.engines.values import Values, logs_beside_metrics


class TorchTools:
    """See `Tools`."""

    def __init__(self, model: keras.Model) -> None:
        """Hold the model whose weights are differentiated and updated."""
        self._model = model

    def gather(self, leaf: Any, rows: Any) -> Any:
        """See `Tools.gather`."""
        return torch.index_select(leaf, 0, rows)

    def learn(self, forward: Callable[[], tuple[Any, Any]]) -> Learned:
        """See `Tools.learn`."""
        loss, predicted = forward()
        scaled = self._model.optimizer.scale_loss(loss)
        weights = [variable.value for variable in self._model.trainable_variables]
        gradients = torch.autograd.grad(scaled, weights, allow_unused=True) if weights else ()
        return Learned(loss.detach(), predicted, list(gradients))

    def update(self, gradients: list[Any]) -> None:
        """See `Tools.update`."""
        with torch.no_grad():
            self._model.optimizer.apply(gradients, self._model.trainable_variables)

    def fold(self, body: Callable[[Any, Any], Any], carry: Any, first: int, end: int) -> Any:
        """See `Tools.fold`."""
        for index in range(first, end):
            carry = body(index, carry)
        return carry


class GlobalRandomness:
    """The state of PyTorch's own generator on a device, in the form of a variable.

    Layers without a seed of their own draw from it, so it is one of the values.
    """

    def __init__(self, device: torch.device) -> None:
        """Hold the device."""
        self._module: Any = torch.cuda if device.type == "cuda" else torch.random

    @property
    def _value(self) -> Any:
        return self._module.get_rng_state()

    def assign(self, value: Any) -> None:
        """Put the generator into a state that it was in."""
        state = value if isinstance(value, torch.Tensor) else torch.tensor(np.array(value))
        self._module.set_rng_state(state.cpu())


class TorchEngine(KerasEngine):
    """Trains one iteration after the other, as fast as Python tells PyTorch what to do.

    The data set lies on the device; on a CPU it is the user's own memory. Nothing is read
    back before a segment ends, and gradients are handed from the loss to the optimizer
    without being gathered in the weights.
    """

    def __init__(
        self, model: keras.Model, *, microbatch_size: int | None = None, **options: Any
    ) -> None:
        """See `KerasEngine`."""
        super().__init__(model, **options)
        self._randomness = GlobalRandomness(torch.device(get_device()))
        tools = TorchTools(model)
        self._iteration = training_iteration(model, tools, self._divisor, microbatch_size)
        self._evaluation = evaluation(model, tools, self._divisor)
        if model.jit_compile:
            self._iteration = torch.compile(self._iteration)
            self._evaluation = torch.compile(self._evaluation)

    def prepare(
        self,
        training: Sequence[Window],
        evaluating: Sequence[Window],
        *,
        measuring: bool = False,
    ) -> None:
        """See `Engine.prepare`. Nothing is compiled ahead."""

    def _backend(self) -> str:
        return f"torch {torch.__version__}"

    def _device(self) -> str:
        device = torch.device(get_device())
        if device.type != "cuda":
            return device.type
        return f"gpu ({torch.cuda.get_device_name(device)})"

    def _groups(self) -> Values:
        groups = super()._groups()
        return groups._replace(non_trainable=[*groups.non_trainable, self._randomness])

    def _tensor(self, array: Array) -> Any:
        array = np.ascontiguousarray(array)
        with warnings.catch_warnings():
            # It is read only, and nothing writes to it here.
            warnings.filterwarnings("ignore", "The given NumPy array is not writable")
            tensor = torch.as_tensor(array)
        return tensor.to(device=get_device(), dtype=to_torch_dtype(array.dtype.name))

    def _copies(self, variables: Sequence[Any]) -> list[Any]:
        return [variable._value.detach().clone() for variable in variables]

    def _train(self, loaded: LoadedWindow, start: int, stop: int) -> Told:
        model = self._model
        mode = model.training
        model.train()
        try:
            losses, owns = [], []
            for place in range(start, stop):
                if place == stop - 1:
                    rate = learning_rate(model)
                loss, logs, own = self._iteration(loaded.data, loaded.rows[place])
                losses.append(loss.detach())
                owns.append(_detached(own))
        finally:
            model.train(mode)
        if not logs_beside_metrics(model, "train_step"):
            logs = model.get_metrics_result()
        return Told(
            losses=torch.stack(losses),
            metrics=_copied(logs),
            own=stacked(owns),
            rate=rate,
            finite=all_finite(model),
        )

    def _test(self, loaded: LoadedWindow, start: int, stop: int) -> Told:
        model = self._model
        mode = model.training
        model.eval()
        try:
            owns = []
            with torch.no_grad():
                for place in range(start, stop):
                    logs, own = self._evaluation(loaded.data, loaded.rows[place])
                    owns.append(own)
        finally:
            model.train(mode)
        return Told(losses=(), metrics=_copied(logs), own=stacked(owns))


def _copied(logs: Mapping[str, Any]) -> dict[str, Any]:
    """Scalars that no longer share memory with a metric's variables."""
    return {
        name: ops.copy(ops.convert_to_tensor(value)).detach() for name, value in logs.items()
    }


def _detached(own: tuple[Mapping[str, Any], ...]) -> tuple[dict[str, Any], ...]:
    """What a step logged, without what it was computed from."""
    return tuple({name: value.detach() for name, value in part.items()} for part in own)


def free_gpu_bytes() -> tuple[bool, int | None]:
    """Tell whether a GPU computes, and what is free on it [bytes]."""
    device = torch.device(get_device())
    if device.type != "cuda":
        return device.type != "cpu", None
    return True, int(torch.cuda.mem_get_info(device)[0])
