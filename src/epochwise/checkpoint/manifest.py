"""The file that says what a checkpoint is: `manifest.json`, written last.

It is one JSON object. Its last member, `sha256`, is the digest of all bytes that stand
before that member's line, so that a change of any byte of the file is found. Every
format ends so.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from epochwise.counting.position import Position
from epochwise.errors import RunError
from epochwise.record import json_text
from epochwise.record.jsontext import NOT_FINITE

FORMAT: Final = 1
"""The version of the checkpoint's format that this code writes."""

_NOT_FINITE: Final = "not finite"
"""The only key of the mapping that stands for NaN or infinity."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileDigest:
    """How to tell that a file is what was written.

    Args:
        size: what it holds [bytes].
        sha256: its digest, 64 hexadecimal digits.
    """

    size: int
    sha256: str

    def verify(self, data: bytes) -> None:
        """Check that data are those that were written.

        Raises:
            ValueError: they are not.
        """
        if len(data) != self.size:
            raise ValueError(f"it holds {len(data):,} bytes instead of {self.size:,}")
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise ValueError("its bytes are not those that were written (SHA-256 differs)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a checkpoint says about itself.

    Args:
        position: how much was done.
        files: size and digest of every other file in its folder.
        memories: as in `TrainingState`.
        fits: what a training must be like to go on from it (`epochwise.checkpoint.fits`).
        record_lengths: how much of each file of the record belongs to what was done,
            by the file's name [bytes].
    """

    position: Position
    files: Mapping[str, FileDigest]
    memories: Mapping[str, Any]
    fits: Mapping[str, Any]
    record_lengths: Mapping[str, int]

    def to_bytes(self) -> bytes:
        """Return the content of the file."""
        content = {
            "format": FORMAT,
            "position": self.position.to_json(),
            "files": {
                name: {"bytes": file.size, "sha256": file.sha256}
                for name, file in self.files.items()
            },
            "record_lengths": dict(self.record_lengths),
            "fits": _to_json(self.fits),
            "memories": _to_json(self.memories),
        }
        text = json_text(content, indent=2).encode().removesuffix(b"\n}")
        return text + _last_line(text)

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Read back what `to_bytes` gave.

        Raises:
            ValueError: it is something else.
            RunError: it is whole, and of a format that this code does not know.
        """
        text = data[: -len(_last_line(b""))]
        if data != text + _last_line(text):
            raise ValueError("its bytes are not those that were written")
        try:
            content = json.loads(data)
            if content["format"] != FORMAT:
                raise RunError(
                    f"The checkpoint has format {content['format']!r}; this Epochwise reads "
                    f"format {FORMAT}.",
                    "go on with the Epochwise that wrote it, or a newer one.",
                )
            return cls(
                position=Position.from_json(content["position"]),
                files={
                    name: FileDigest(size=file["bytes"], sha256=file["sha256"])
                    for name, file in content["files"].items()
                },
                record_lengths=content["record_lengths"],
                fits=_from_json(content["fits"]),
                memories=_from_json(content["memories"]),
            )
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{type(error).__name__}: {error}") from error


def _last_line(text: bytes) -> bytes:
    """Return the end of the file, which holds the digest of the text before it."""
    return f',\n  "sha256": "{hashlib.sha256(text).hexdigest()}"\n}}\n'.encode()


def _to_json(value: Any) -> Any:
    """Return a value made of what JSON has; NaN and infinity as a mapping of one word."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {_NOT_FINITE: json.loads(json_text(value))}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"keys of what is remembered are strings: {list(value)}")
        return {key: _to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(item) for item in value]
    raise TypeError(f"a {type(value).__name__} cannot be remembered: {value!r}")


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        if list(value) == [_NOT_FINITE] and value[_NOT_FINITE] in NOT_FINITE:
            return float(value[_NOT_FINITE])
        return {key: _from_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_from_json(item) for item in value]
    return value
