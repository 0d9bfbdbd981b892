"""The user's own code inside a run: where it raised, and that it cannot end it unheard.

A `sys.exit()` in a model's function, a loss, a generator or a callback would end the process
with the exit code of success and no word about the run.
"""

from __future__ import annotations

import signal
import sysconfig
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from epochwise.errors import EpochwiseError, TrainingError

_NOT_THEIRS = (
    "<frozen",
    str(Path(__file__).parent),
    *{sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")},
)
"""How the names of files begin that the user did not write, as a rule."""

_INSTALLED = frozenset({"site-packages", "dist-packages"})
"""Folders of installed packages, of this environment or of one that it is built on."""


@contextmanager
def telling_exits(
    place: str | None = None, kind: type[EpochwiseError] = TrainingError
) -> Iterator[None]:
    """Raise an error where the user's code exits, or interrupts itself; usable as a decorator.

    What a signal's handler raises, as for Ctrl-C, comes through: it is heard here first.

    Args:
        place: what of the user's is run; `None` for the function that exited.
        kind: of the error.

    Raises:
        EpochwiseError: of that kind, naming the function, its file and the line.

    Example:
        >>> import sys
        >>> with telling_exits("net.py:build"):
        ...     sys.exit(0)
        Traceback (most recent call last):
        epochwise.errors.TrainingError: net.py:build called sys.exit(0) ...
    """
    heard: list[int] = []
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            for number in signal.valid_signals():
                handler = signal.getsignal(number)
                if callable(handler):
                    _hear(number, handler, heard, stack)
        try:
            yield
        except (SystemExit, KeyboardInterrupt, GeneratorExit) as error:
            if heard:
                raise
            did = f"raised {type(error).__name__}"
            if isinstance(error, SystemExit):
                did = f"called sys.exit({'' if error.code is None else repr(error.code)})"
            name, where = place_in_their_code(error)
            raise kind(
                f"{place or name} {did} ({where}), which would have ended the process here.",
                "raise an exception that says what is wrong, or return; a callback ends a "
                "training with self.model.stop_training = True.",
            ) from error


def _hear(
    number: int,
    handler: Callable[[int, FrameType | None], object],
    heard: list[int],
    stack: ExitStack,
) -> None:
    """Take note of a signal before its handler does what it does, while the stack lasts."""

    def hear(received: int, frame: FrameType | None) -> None:
        heard.append(received)
        handler(received, frame)

    def restore() -> None:
        if signal.getsignal(number) is hear:
            signal.signal(number, handler)

    signal.signal(number, hear)
    stack.callback(restore)


def raised_by_theirs(
    error: BaseException, before: BaseException | None = None
) -> BaseException | None:
    """Return the exception that came out of the user's code; `None` where none did.

    Keras tells such an exception in words of its own, sometimes as one of another class. What
    it told of is kept behind it, and is what is returned.

    Args:
        error: caught where nothing but installed code and theirs was running.
        before: what was being handled already when that began.
    """
    found: BaseException | None = None
    while error is not before:
        if _their_frames(error):
            found = error
            if not hasattr(error, "_keras_call_info_injected"):
                break
        behind = error.__cause__ or error.__context__
        if behind is None:
            break
        error = behind
    return found


def _their_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Return where an exception went through the user's code, the innermost place last."""
    frames = traceback.extract_tb(error.__traceback__)
    return [
        frame
        for frame in frames
        if not frame.filename.startswith(_NOT_THEIRS)
        and _INSTALLED.isdisjoint(Path(frame.filename).parts)
    ]


def place_in_their_code(error: BaseException) -> tuple[str, str]:
    """Return the function of the user's that raised, and its file and line.

    It is the innermost one outside this package, the standard library and installed
    packages; where there is none, the innermost of all.
    """
    last = (_their_frames(error) or traceback.extract_tb(error.__traceback__))[-1]
    file = Path(last.filename).name
    return file if last.name == "<module>" else last.name, f"{file}, line {last.lineno}"
