"""What every verb that trains shares: walking the events, and hearing Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from epochwise.events import Event, Listener, Stopped, StopReason


def tell(events: Iterator[Event], listeners: Sequence[Listener]) -> None:
    """Hand each event to every listener, in order."""
    for event in events:
        for listener in listeners:
            listener.on_event(event)
        if isinstance(event, Stopped):
            return


@contextmanager
def interrupts() -> Iterator[Callable[[], StopReason | None]]:
    """Hear Ctrl-C as a wish to stop at the next boundary; a second one ends at once.

    Only the main thread can hear it; elsewhere nothing changes.
    """
    heard = False

    def hear(_signal: int, _frame: object) -> None:
        nonlocal heard
        heard = True
        signal.signal(signal.SIGINT, before)

    def reason() -> StopReason | None:
        if not heard:
            return None
        return StopReason(rule="interrupt", sentence="Ctrl-C was pressed.", at_once=True)

    if threading.current_thread() is not threading.main_thread():
        yield reason
        return
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, hear)
    try:
        yield reason
    finally:
        signal.signal(signal.SIGINT, before)
