"""How much memory a file may claim, decided before anything is allocated.

Owns the two bounds every reader of a file checks a header against. A compressed file can
hold far more than its size, so a few bytes changed in a header could ask for terabytes;
these bounds depend on the size of the file alone, so that the same file is taken or
refused on every machine.

References:
    Gailly and Adler, "zlib technical details": the deflate format cannot shrink data by
    more than 1032 to 1.
"""

from __future__ import annotations

from epochwise.errors import DataError

DEFLATE_RATIO = 1032
"""The most bytes that one byte of a deflate stream can stand for (a symbol of at least
two bits, one for the length and one for the distance, copies at most 258 bytes)."""

FILE_FACTOR = 4
"""Arrays may take this many times the bytes of the file they come from."""

BASE_BYTES = 56_000_000
"""What the arrays of even the smallest file may take [bytes]; with the readers' own
buffers (below 8 MB) this keeps a load within four times the file plus 64 MB."""

CHUNK_BYTES = 1 << 18
"""What is read, converted and checked at a time [bytes]; stays in a core's cache."""


def deflate_can_hold(compressed_bytes: int, claimed_bytes: int) -> bool:
    """Tell whether a deflate stream of this size can hold as much as is claimed.

    Args:
        compressed_bytes: size of the stream [bytes].
        claimed_bytes: what a header says it inflates to [bytes].

    Example:
        >>> deflate_can_hold(1_000, 1_000_000), deflate_can_hold(1_000, 2_000_000)
        (True, False)
    """
    return claimed_bytes <= compressed_bytes * DEFLATE_RATIO


def check_memory(
    needed_bytes: int,
    file_bytes: int,
    *,
    place: str,
    remedy: str,
    factor: int = FILE_FACTOR,
) -> None:
    """Refuse a file whose arrays would outgrow it beyond all reason.

    Args:
        needed_bytes: what the arrays will take at their peak [bytes].
        file_bytes: size of the file, or of all files together [bytes].
        place: the file, for the message.
        remedy: what the user can do instead, a full sentence.
        factor: how many times the file the arrays may take, beside `BASE_BYTES`.

    Raises:
        DataError: `needed_bytes` is more than `factor * file_bytes + BASE_BYTES`.

    Example:
        >>> check_memory(50_000_000, 1_000, place="a.npz", remedy="save it uncompressed.")
    """
    allowed = factor * file_bytes + BASE_BYTES
    if needed_bytes > allowed:
        raise DataError(
            f"{place}: the header claims data that would take {needed_bytes:,} bytes of "
            f"memory, but a file of {file_bytes:,} bytes may take at most {allowed:,} "
            f"({factor} times its size and {BASE_BYTES:,}).",
            remedy,
        )
