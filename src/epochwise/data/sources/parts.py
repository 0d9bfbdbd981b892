"""The names that parts of a data set go by: training, validation and test.

Owns the spellings that all sources read, so that no part is used in one format and passed
over in another, and the sentence on what is not used.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

Part: TypeAlias = Literal["train", "validation", "test"]

SHORT: dict[Part, str] = {"train": "train", "validation": "val", "test": "test"}
"""What a key of each part ends in where we name it."""

_SPELLINGS: dict[str, Part] = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
_KEYS = [
    key
    for spelling in _SPELLINGS
    for key in (f"x_{spelling}", f"y_{spelling}", f"{spelling}_x", f"{spelling}_y")
]
_KIND_FIRST = re.compile(r"([xy])(?:[_.\- ]?([a-z]+))?")
_PART_FIRST = re.compile(r"([a-z]+)[_.\- ]?([xy])")
NAMES_TOLD = 10
"""How many unused names a note lists before it says how many more there are."""


def part_of(name: str) -> Part | None:
    """Return the part that a name means, `None` for another name.

    Example:
        >>> part_of("Valid"), part_of("t10k")
        ('validation', None)
    """
    return _SPELLINGS.get(name.lower())


def role_of_key(key: str) -> tuple[Part, str] | None:
    """Return the part that an array belongs to, and `"x"` or `"y"`; `None` if neither.

    Example:
        >>> role_of_key("x"), role_of_key("Y_valid"), role_of_key("testX"), role_of_key("ids")
        (('train', 'x'), ('validation', 'y'), ('test', 'x'), None)
    """
    name = key.lower()
    if found := _KIND_FIRST.fullmatch(name):
        kind, spelling = found.groups()
    elif found := _PART_FIRST.fullmatch(name):
        spelling, kind = found.groups()
    else:
        return None
    part = "train" if spelling is None else part_of(spelling)
    return None if part is None else (part, kind)


def misspelled_key(key: str) -> str | None:
    """Return the key that a name no reader knows comes close to, if any.

    Example:
        >>> misspelled_key("x_vla"), misspelled_key("sample_weight")
        ('x_val', None)
    """
    near = difflib.get_close_matches(key.lower(), _KEYS, n=1, cutoff=0.75)
    return near[0] if near else None


def unused_note(names: Sequence[str]) -> tuple[str, ...]:
    """Return the note on what a source holds and nobody reads; none where there is nothing."""
    if not names:
        return ()
    told = ", ".join(repr(name) for name in names[:NAMES_TOLD])
    more = f" and {len(names) - NAMES_TOLD:,} more" if len(names) > NAMES_TOLD else ""
    return (f"Not used: {told}{more}.",)
