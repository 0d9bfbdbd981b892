"""What every verb that trains shares: walking the events, and hearing Ctrl-C."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from epochwise.data.feed import ArrayFeed
from epochwise.data.order import Order
from epochwise.data.samples import Samples
from epochwise.events import Event, Listener, Stopped, StopReason
from epochwise.plan import Plan


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


def in_order(samples: Samples | None, batch_size: int) -> ArrayFeed | None:
    """Return the samples as batches in their own order, for evaluation."""
    if samples is None:
        return None
    order = Order(samples=samples.count, seed=0, shuffle=False)
    plan = Plan(samples=samples.count, batch_size=batch_size, epochs=1)
    return ArrayFeed(train=samples, order=order, plan=plan)
