"""Keras callbacks as a listener: each hook called when and with what Keras would.

Callbacks that look at epochs cost nothing. One that looks at batches makes every
segment one iteration long; one that looks at the batches of an evaluation cuts that.
Whatever a callback does to weights or learning rate takes effect at the next iteration;
`model.stop_training` is honoured at the next boundary.
"""

from __future__ import annotations

from collections.abc import Iterable

import keras
from keras.src.utils import is_default

from epochwise.events import (
    BatchEvaluated,
    EpochBegun,
    EpochDone,
    Evaluated,
    EvaluationBegun,
    Event,
    IterationsDone,
    RunBegun,
    Stopped,
    StopReason,
)

BATCH_HOOKS = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
TEST_BATCH_HOOKS = ("on_test_batch_begin", "on_test_batch_end")


class KerasCallbacks:
    """Calls the hooks of Keras callbacks as the events come in.

    Args:
        model: what the callbacks act on.
        callbacks: the user's; a `History` is added, as `fit` does.
        epochs: the epochs planned, for `params`.
        iterations_per_epoch: the same, `None` if not known.
    """

    def __init__(
        self,
        model: keras.Model,
        callbacks: Iterable[keras.callbacks.Callback],
        *,
        epochs: int | None,
        iterations_per_epoch: int | None,
    ) -> None:
        """Hand the model and the plan to the callbacks."""
        self._model = model
        self._last_logs: dict[str, float] = {}
        self._batch_index = 0
        self._list = keras.callbacks.CallbackList(
            list(callbacks),
            add_history=True,
            add_progbar=False,
            model=model,
            verbose=0,
            epochs=epochs,
            steps=iterations_per_epoch,
        )
        asked = self._list.callbacks
        self.looks_at_iterations = any(_looks_at_batches(one) for one in asked)
        self.looks_at_evaluation = any(_has_hook(one, TEST_BATCH_HOOKS) for one in asked)

    @property
    def history(self) -> dict[str, list[float]]:
        """What the `History` among them has gathered."""
        history: dict[str, list[float]] = self._model.history.history
        return history

    def stop_reason(self) -> StopReason | None:
        """Return the reason if a callback has asked for the end."""
        if not self._model.stop_training:
            return None
        return StopReason(rule="callback", sentence="A callback set model.stop_training.")

    def on_event(self, event: Event) -> None:
        """See `Listener.on_event`."""
        match event:
            case RunBegun():
                self._model.stop_training = False
                self._list.on_train_begin()
            case EpochBegun():
                self._batch_index = event.position.iterations_in_epoch_done
                self._list.on_epoch_begin(event.epoch_index)
                if self.looks_at_iterations and not self._model.stop_training:
                    self._list.on_train_batch_begin(self._batch_index)
            case IterationsDone():
                self._on_iterations(event)
            case EvaluationBegun():
                self._list.on_test_begin()
                if self.looks_at_evaluation:
                    self._list.on_test_batch_begin(0)
            case BatchEvaluated():
                self._list.on_test_batch_end(event.batch_index, dict(event.metrics))
                if event.goes_on:
                    self._list.on_test_batch_begin(event.batch_index + 1)
            case Evaluated():
                self._list.on_test_end(dict(event.metrics))
            case EpochDone():
                self._last_logs = dict(event.metrics)
                self._list.on_epoch_end(event.epoch_index, dict(event.metrics))
            case Stopped():
                self._list.on_train_end(self._last_logs)

    def _on_iterations(self, event: IterationsDone) -> None:
        """Call the hooks that surround an iteration."""
        if not self.looks_at_iterations:
            return
        self._list.on_train_batch_end(self._batch_index, dict(event.metrics))
        self._batch_index += 1
        if event.epoch_goes_on and not self._model.stop_training:
            self._list.on_train_batch_begin(self._batch_index)


def _looks_at_batches(callback: keras.callbacks.Callback) -> bool:
    """Tell whether any batch hook of a callback does something."""
    if isinstance(
        callback, (keras.callbacks.ModelCheckpoint, keras.callbacks.BackupAndRestore)
    ):
        return bool(callback.save_freq != "epoch")
    if isinstance(callback, keras.callbacks.ProgbarLogger):
        return False
    return _has_hook(callback, BATCH_HOOKS)


def _has_hook(callback: keras.callbacks.Callback, hooks: Iterable[str]) -> bool:
    """Tell whether any of these hooks of a callback does something."""
    return not all(is_default(getattr(callback, hook)) for hook in hooks)
