"""Event files that TensorBoard reads, written beside the record as a run goes on.

A file is a row of frames, each a length, its checksum, a message and its checksum, as
TensorFlow's `TFRecord` has it; a message is a protocol buffer `tensorboard.Event`. Only
scalars are written, all of them against iterations, so that every curve has one axis.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from epochwise.events import EpochDone, Evaluated, Event, IterationsDone, RunBegun
from epochwise.storage.folder import RunFolder

FOLDER = "tensorboard"
"""Where the files lie in a run's folder; what TensorBoard's `--logdir` names."""

_VERSION = b"brain.Event:2"

_VARINT_BYTES = 10
"""Steps are written as long as they can be, so that all frames of a curve are one size."""

_MASK_DELTA = 0xA282EAD8

Bytes = npt.NDArray[np.uint8]


class EventFiles:
    """A listener that writes scalars to a new event file in the run's folder.

    A run that goes on gets a file of its own, which begins by saying from which iteration:
    TensorBoard then forgets what an older file holds of later ones.

    Args:
        folder: the run's.
        clock: the time of day, seconds since 1970 [s].
    """

    def __init__(self, folder: RunFolder, *, clock: Callable[[], float] = time.time) -> None:
        """Write nothing yet."""
        self._folder = folder
        self._clock = clock
        self._name = ""

    def on_event(self, event: Event) -> None:
        """See `Listener.on_event`."""
        done = event.position.iterations_done
        match event:
            case RunBegun():
                self._begin(done)
            case IterationsDone():
                self._write_iterations(event)
            case Evaluated():
                self._write(done, {f"{k}/validation": v for k, v in event.metrics.items()})
            case EpochDone():
                means = {
                    f"{name}/epoch": value
                    for name, value in event.metrics.items()
                    if not name.startswith("val_")
                }
                self._write(done, means)
            case _:
                pass

    def _begin(self, done: int) -> None:
        """Start a file; names sort in the order in which the files were begun."""
        older = len(self._folder.names(FOLDER))
        now = self._clock()
        self._name = f"{FOLDER}/events.out.tfevents.{int(now):010d}.{older:04d}.epochwise"
        self._append(_event(now, 0, _field(3, _VERSION)))
        if done:
            started = _field(7, b"\x08\x01")  # SessionLog.START
            self._append(_event(now, done + 1, started))

    def _write_iterations(self, event: IterationsDone) -> None:
        done, count = event.position.iterations_done, len(event.losses)
        steps = np.arange(done - count + 1, done + 1)
        losses = np.asarray(event.losses, np.float32)
        self._append(scalars("loss/iteration", steps, losses, self._clock()))
        told = {}
        if event.learning_rate is not None:
            told["learning_rate"] = event.learning_rate
        if event.seconds > 0:
            told["samples_per_second"] = sum(event.samples) / event.seconds
        self._write(done, told)
        for iteration, sizes in event.update_sizes.items():
            self._write(iteration, {f"update_size/{k}": v for k, v in sizes.items()})

    def _write(self, step: int, values: Mapping[str, float]) -> None:
        for tag, value in values.items():
            self._append(scalars(tag, [step], [value], self._clock()))

    def _append(self, data: bytes) -> None:
        self._folder.append(self._name, data)


def scalars(
    tag: str,
    steps: Sequence[int] | npt.NDArray[np.integer],
    values: Sequence[float] | npt.NDArray[np.floating],
    at: float,
) -> bytes:
    """Return the frames of one curve, made side by side.

    Args:
        tag: what TensorBoard calls the curve; parts before a `/` group it.
        steps: iterations, shape `(n,)`, each below 2**63.
        values: as many.
        at: the time of day, seconds since 1970 [s].

    Example:
        >>> len(scalars("loss", [1, 2, 3], [0.5, 0.25, 0.125], 0.0)) % 3
        0
    """
    value = np.asarray(values, "<f4")
    if not value.size:
        return b""
    summary = _field(1, _field(1, tag.encode(errors="replace")) + b"\x15" + bytes(4))
    message = _event(at, 0, _field(5, summary), framed=False)
    table = np.repeat(np.frombuffer(message, np.uint8)[None], value.size, axis=0)
    table[:, 10 : 10 + _VARINT_BYTES] = _varints(np.asarray(steps, np.int64))
    table[:, -4:] = value.view(np.uint8).reshape(-1, 4)
    return _framed(table)


def _event(at: float, step: int, rest: bytes, *, framed: bool = True) -> bytes:
    """An `Event`: when, at which step, and what; in a frame unless told otherwise."""
    steps = _varints(np.array([step])).tobytes()
    message = b"\x09" + struct.pack("<d", at) + b"\x10" + steps + rest
    if not framed:
        return message
    return _framed(np.frombuffer(message, np.uint8)[None])


def _field(number: int, content: bytes) -> bytes:
    """A field of a message that holds bytes."""
    length = len(content)
    size = b""
    while length > 0x7F:
        size += bytes([length & 0x7F | 0x80])
        length >>= 7
    return bytes([number << 3 | 2]) + size + bytes([length]) + content


def _varints(numbers: npt.NDArray[np.integer]) -> Bytes:
    """Numbers in groups of seven bits, all in ten bytes, shape `(n, 10)`."""
    shifts = np.arange(0, 7 * _VARINT_BYTES, 7)
    wide = numbers.astype(np.uint64)[:, None]
    groups = np.where(shifts < 64, wide >> np.minimum(shifts, 63).astype(np.uint64), 0)
    found = (groups & np.uint64(0x7F)).astype(np.uint8)
    found[:, :-1] |= 0x80
    return found


def _framed(messages: Bytes) -> bytes:
    """Messages of one length, shape `(n, length)`, each in its frame."""
    count, length = messages.shape
    size = np.frombuffer(struct.pack("<Q", length), np.uint8)[None]
    head = np.concatenate([size, _masked(size)], axis=1)
    heads = np.repeat(head, count, axis=0)
    return np.concatenate([heads, messages, _masked(messages)], axis=1).tobytes()


def _masked(rows: Bytes) -> Bytes:
    """The masked CRC-32C of each row, as four bytes."""
    crc = np.full(rows.shape[0], 0xFFFFFFFF, np.uint32)
    for column in range(rows.shape[1]):
        crc = _TABLE[(crc ^ rows[:, column]) & 0xFF] ^ (crc >> 8)
    crc = ~crc
    masked = ((crc >> 15) | (crc << 17)) + np.uint32(_MASK_DELTA)
    return masked.astype("<u4").view(np.uint8).reshape(-1, 4)


def _crc_table() -> npt.NDArray[np.uint32]:
    """CRC-32C of each byte: Castagnoli's polynomial, bits reversed."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0x82F63B78), table >> 1)
    return table.astype(np.uint32)


_TABLE = _crc_table()
