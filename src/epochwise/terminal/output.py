"""The one way to standard output and standard error, which a training outlives.

A disk can be full, the reader of a pipe can leave (`| head -1`), a stream can be closed
or, as under `pythonw`, not exist. None of that is a reason to lose a training: what can
no longer be shown is dropped, one line on standard error says so, and work goes on.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import IO, Any

_REASONS = {"BrokenPipeError": "its reader has gone", "ValueError": "it is closed"}


class Output:
    """A text stream that never fails, around one that may.

    Characters that the stream cannot encode are written as escapes.

    Args:
        stream: where text goes; `None` for nowhere, as where there is no such stream.
        work_goes_on: whether there is more to do than to show, so that the loss of a
            pipe's reader is worth a line too.
        to_stderr: whether this is standard error, whose own loss nobody can be told.
    """

    def __init__(
        self, stream: IO[str] | None, *, work_goes_on: bool = True, to_stderr: bool = False
    ) -> None:
        """Write nothing yet."""
        self.work_goes_on = work_goes_on
        self.lost: Exception | None = None
        self._stream = stream
        self._to_stderr = to_stderr

    def __getattr__(self, name: str) -> Any:
        """Return what else the stream has, such as its `encoding`."""
        if name.startswith("__") or self._stream is None:
            raise AttributeError(name)
        return getattr(self._stream, name)

    @property
    def failed(self) -> bool:
        """Whether text was lost that somebody wants; a pipe's reader leaves by choice."""
        return self.lost is not None and not isinstance(self.lost, BrokenPipeError)

    def write(self, text: str) -> int:
        """Write text, or drop it; return its length [characters]."""
        if not isinstance(text, str):
            raise TypeError(f"text is a str, not {type(text).__name__}")
        if text and self.lost is None:
            try:
                if self._stream is None:
                    raise ValueError("there is no stream")  # lost like the others
                try:
                    self._stream.write(text)
                except UnicodeEncodeError as error:
                    escaped = text.encode(error.encoding, "backslashreplace")
                    self._stream.write(escaped.decode(error.encoding))
            except (OSError, ValueError) as error:
                self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Write out what is held back, or drop it."""
        if self.lost is None and self._stream is not None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._lose(error)

    def isatty(self) -> bool:
        """Whether a person looks at it."""
        try:
            return self.lost is None and self._stream is not None and self._stream.isatty()
        except ValueError:
            return False

    def _lose(self, error: Exception) -> None:
        """Write no more, drop what is held back, and say so."""
        self.lost = error
        _empty(self._stream, for_good=isinstance(error, BrokenPipeError))
        if self._to_stderr or (isinstance(error, BrokenPipeError) and not self.work_goes_on):
            return
        reason = _REASONS.get(type(error).__name__) or getattr(error, "strerror", None) or error
        then = ", and the work goes on" if self.work_goes_on else ""
        told = lasting(sys.stderr, to_stderr=True)
        told.write(f"Standard output takes no more ({reason}): nothing more is shown{then}.\n")
        told.flush()


def lasting(stream: Any, *, to_stderr: bool = False) -> Output:
    """Return a stream as one that never fails."""
    return stream if isinstance(stream, Output) else Output(stream, to_stderr=to_stderr)


def guard_standard_streams(*, work_goes_on: bool) -> Output:
    """Let this process's standard streams never fail; return standard output.

    Where the process was started without one of them (`>&-`), the null device takes its
    number, or the next file that is opened would, and be written into by any library
    that prints.

    Args:
        work_goes_on: see `Output`.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stderr = Output(sys.stderr, to_stderr=True)
    output = Output(sys.stdout, work_goes_on=work_goes_on)
    sys.stdout = output
    return output


def _empty(stream: IO[str] | None, *, for_good: bool) -> None:
    """Drop what a stream holds back, or Python would try to write it again at its exit.

    Args:
        stream: it failed.
        for_good: whether the null device stays in its place, since nobody reads it.
    """
    if stream is None:
        return
    with contextlib.suppress(OSError, ValueError):
        number = stream.fileno()
        kept, nowhere = os.dup(number), os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, number)
            stream.flush()
            if not for_good:
                os.dup2(kept, number)
        finally:
            os.close(kept)
            os.close(nowhere)
