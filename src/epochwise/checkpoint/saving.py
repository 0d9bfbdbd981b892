"""Checkpoints saved in a thread of their own, while training goes on.

Hashing, writing and syncing leave the interpreter free, so the training's own thread is
held up only when it asks for the next checkpoint before the last one is on the disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

from epochwise.checkpoint.checkpoints import Checkpoint, Checkpoints
from epochwise.errors import EpochwiseError
from epochwise.events import TrainingState


class Saver:
    """Saves checkpoints behind the training's back, one at a time.

    What became of each is told in the thread that asks: by `tell` at the boundaries, by
    `save` and by `close`. Used as a context, it waits for the last one at the end. A
    process that ends without that waits for it: one that ends while another thread computes
    is aborted now and then.

    Args:
        checkpoints: where they are saved.
        committed: told of each that is on the disk, to survive the loss of power.
        failed: told of each that is not, and why; the next is tried all the same.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from epochwise.counting.position import START
        >>> from epochwise.record import RunFolder
        >>> checkpoints = Checkpoints(RunFolder(Path(tempfile.mkdtemp())))
        >>> state = TrainingState(position=START, arrays={}, memories={})
        >>> with Saver(checkpoints, committed=lambda c: print(c.name), failed=print) as saver:
        ...     saver.save(state, fits={}, record_lengths={})
        000000000000
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        *,
        committed: Callable[[Checkpoint], None],
        failed: Callable[[EpochwiseError], None],
    ) -> None:
        """Start nothing yet."""
        self._checkpoints = checkpoints
        self._committed = committed
        self._failed = failed
        self._thread: threading.Thread | None = None
        self._saved: Checkpoint | Exception | None = None

    def __enter__(self) -> Saver:
        """Return the saver itself."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Wait for the checkpoint under way, and tell of it."""
        self.close()

    def save(
        self,
        state: TrainingState,
        *,
        fits: Mapping[str, Any],
        record_lengths: Mapping[str, int],
        best: int | None = None,
    ) -> None:
        """Begin to save a state, once the one before it is saved.

        Args:
            state: nobody changes its arrays until it is told of.
            fits: see `Checkpoints.save`, as for the others.
            record_lengths: see there.
            best: see there.
        """
        self.close()

        def run() -> None:
            try:
                self._saved = self._checkpoints.save(
                    state, fits=fits, record_lengths=record_lengths, best=best
                )
            except Exception as error:  # raised again, or told, where it can be heard
                self._saved = error

        self._thread = threading.Thread(target=run, name="checkpoint")
        self._thread.start()

    def tell(self) -> None:
        """Tell what became of the checkpoint under way, if that is known by now.

        Raises:
            Exception: what went wrong was none of the disk's mistakes.
        """
        if self._thread is not None and not self._thread.is_alive():
            self.close()

    def close(self) -> None:
        """Wait for the checkpoint under way, and tell what became of it.

        Raises:
            Exception: see `tell`.
        """
        if self._thread is None:
            return
        self._thread.join()
        saved, self._thread, self._saved = self._saved, None, None
        if isinstance(saved, Checkpoint):
            self._committed(saved)
        elif isinstance(saved, EpochwiseError):
            self._failed(saved)
        elif saved is not None:
            raise saved
