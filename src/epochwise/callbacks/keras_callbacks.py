"""Keras callbacks as a listener: each hook called when and with what Keras would.

Callbacks that look at epochs cost nothing. One that looks at batches makes every
segment one iteration long; one that looks at the batches of an evaluation cuts that.
Whatever a callback does to weights or learning rate takes effect at the next iteration;
`model.stop_training` is honoured at the next boundary.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
from keras.src.utils import is_default

from epochwise.errors import ModelError
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
        callbacks: the user's, `listed`; a `History` is added, as `fit` does.
        epochs: the epochs planned, for `params`.
        iterations_per_epoch: the same, `None` if not known.
        verbose: as `fit` was given it, for `params`; the callbacks show nothing of ours.
    """

    def __init__(
        self,
        model: keras.Model,
        callbacks: Sequence[keras.callbacks.Callback],
        *,
        epochs: int | None,
        iterations_per_epoch: int | None,
        verbose: object = "auto",
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
            verbose=verbose,
            epochs=epochs,
            steps=iterations_per_epoch,
        )
        self.params: dict[str, Any] = dict(self._list.params)
        asked = self._list.callbacks
        self.looks_at_iterations = any(_looks_at_batches(one) for one in asked)
        self.looks_at_evaluation = any(_has_hook(one, TEST_BATCH_HOOKS) for one in asked)

    def completed(self, history: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
        """Return a history with what callbacks have added to the logs of each epoch."""
        epochs = max(map(len, history.values()), default=0)
        added = {
            name: values
            for name, values in self._model.history.history.items()
            if name not in history and len(values) == epochs
        }
        return {**history, **added}

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


def listed(
    callbacks: Iterable[keras.callbacks.Callback] | keras.callbacks.Callback | None,
) -> list[keras.callbacks.Callback]:
    """Return callbacks as a list: none, one, or several, as `model.fit` takes them.

    Raises:
        ModelError: one would begin again at epochs that are not there.
    """
    if isinstance(callbacks, keras.callbacks.CallbackList):
        callbacks = callbacks.callbacks
    elif isinstance(callbacks, keras.callbacks.Callback) or not isinstance(callbacks, Iterable):
        callbacks = () if callbacks is None else [callbacks]
    several = list(callbacks)
    for each in several:
        if not isinstance(each, keras.callbacks.Callback):
            raise ModelError(
                f"{each!r} among callbacks is not a Keras callback.",
                f"make one: callbacks=[{each.__name__}(...)]."
                if isinstance(each, type)
                else "give objects of a class made from keras.callbacks.Callback, in a list.",
            )
    if any(isinstance(each, keras.callbacks.BackupAndRestore) for each in several):
        raise ModelError(
            "BackupAndRestore cannot tell epochwise where a run was cut off: its second call "
            "would train all epochs again.",
            "leave it out and give run_dir=FOLDER; epochwise.resume(FOLDER, ...) then goes on "
            "at the very next iteration.",
        )
    return several


def _looks_at_batches(callback: keras.callbacks.Callback) -> bool:
    """Tell whether any batch hook of a callback does something."""
    if isinstance(callback, keras.callbacks.ModelCheckpoint):
        return bool(callback.save_freq != "epoch")
    if isinstance(callback, keras.callbacks.ProgbarLogger):
        return False
    return _has_hook(callback, BATCH_HOOKS)


def _has_hook(callback: keras.callbacks.Callback, hooks: Iterable[str]) -> bool:
    """Tell whether any of these hooks of a callback does something."""
    return not all(is_default(getattr(callback, hook)) for hook in hooks)
