"""Every error that a user can mend.

    EpochwiseError          a problem, the values that caused it, and a remedy to type
    ├── PlanError           the counts asked for cannot be
    ├── DataError           a file or an array is not what training needs
    ├── ModelError          a model, or a part of it, cannot be trained as asked
    ├── BackendError        a framework is missing or its version is unsafe
    ├── RunError            a run folder is missing, taken or unreadable
    └── TrainingError       a training that began could not go on

The command line prints the problems with their remedies and exits with 2. Any
other exception is a bug of ours and shows its traceback.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


def near(word: str, names: Iterable[str], *, most: int = 1, alike: float = 0.6) -> list[str]:
    """Return the names that somebody who typed a word may have meant, the likeliest first.

    That is what is spelled alike, what the word begins or abbreviates part by part, and
    what it holds the initials of.

    Args:
        word: what was typed.
        names: what there is.
        most: how many to return at most.
        alike: what share of the letters must agree, 0 to 1.

    Example:
        >>> near("trian", ["plan", "train"]), near("mnits", ["digits", "mnist"])
        (['train'], ['mnist'])
        >>> names = ["--learning-rate", "--validation-split", "--label"]
        >>> near("--lr", names), near("--val-split", names), near("--colour", names)
        (['--learning-rate'], ['--validation-split'], [])
    """
    typed = _parts(word)

    def likeness(name: str) -> float:
        parts = _parts(name)
        if len(typed) == 1 and len(word) > 1 and typed[0] == "".join(one[0] for one in parts):
            return 1.0
        if len(typed) <= len(parts) and all(map(str.startswith, parts, typed)):
            return 1.0
        from difflib import SequenceMatcher

        return SequenceMatcher(None, "-".join(typed), "-".join(parts)).ratio()

    ranked = sorted(((likeness(name), name) for name in names), key=lambda one: -one[0])
    return [name for how, name in ranked[:most] if typed and how >= alike]


def _parts(name: str) -> list[str]:
    """Return the words that a name is made of."""
    return [part for part in re.split(r"[-_\s]+", name.lower()) if part]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and what to type instead.

    Args:
        what: the problem with the values that caused it, a full sentence.
        remedy: what the reader can do, a full sentence; arguments as Python has them. The
            command line spells those that it has an option for as it is typed there.
        command: what a reader of the command line can do, where that is something else.
    """

    what: str
    remedy: str
    command: str | None = None

    def __str__(self) -> str:
        """Return both sentences, the remedy on a line of its own."""
        return f"{self.what}\n  Remedy: {self.remedy}"


class EpochwiseError(Exception):
    """A mistake that the user can repair; says what, with which values, and how.

    Args:
        what: the problem with its values, a full sentence; or several problems.
        remedy: what to type instead; required with a single problem.
        command: likewise on the command line, where that is something else.

    Example:
        >>> print(EpochwiseError("batch_size=0 trains nothing.", "use batch_size >= 1."))
        batch_size=0 trains nothing.
          Remedy: use batch_size >= 1.
    """

    problems: tuple[Problem, ...]

    def __init__(
        self,
        what: str | Sequence[Problem],
        remedy: str | None = None,
        command: str | None = None,
    ) -> None:
        """Hold one problem with its remedy, or several that were found together."""
        if isinstance(what, str):
            if remedy is None:
                raise TypeError("an error for users needs a remedy")
            self.problems = (Problem(what, remedy, command),)
        else:
            self.problems = tuple(what)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class PlanError(EpochwiseError, ValueError):
    """The samples, batch size, epochs and iterations asked for cannot be."""


class DataError(EpochwiseError, ValueError):
    """A file or an array is not what training needs."""


class ModelError(EpochwiseError, ValueError):
    """A model, or a part of it, cannot be trained as asked."""


class BackendError(EpochwiseError, RuntimeError):
    """A framework is missing, or its version is known to compute wrong results."""


class RunError(EpochwiseError, RuntimeError):
    """A run folder is missing, taken by another, or unreadable."""


class TrainingError(EpochwiseError, RuntimeError):
    """A training that began could not go on."""
