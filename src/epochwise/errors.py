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

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and what to type instead.

    Args:
        what: the problem with the values that caused it, a full sentence.
        remedy: what the reader can do, a full sentence.
    """

    what: str
    remedy: str

    def __str__(self) -> str:
        """Return both sentences, the remedy on a line of its own."""
        return f"{self.what}\n  Remedy: {self.remedy}"


class EpochwiseError(Exception):
    """A mistake that the user can repair; says what, with which values, and how.

    Args:
        what: the problem with its values, a full sentence; or several problems.
        remedy: what to type instead; required with a single problem.

    Example:
        >>> print(EpochwiseError("batch_size=0 trains nothing.", "use batch_size >= 1."))
        batch_size=0 trains nothing.
          Remedy: use batch_size >= 1.
    """

    problems: tuple[Problem, ...]

    def __init__(self, what: str | Sequence[Problem], remedy: str | None = None) -> None:
        """Hold one problem with its remedy, or several that were found together."""
        if isinstance(what, str):
            if remedy is None:
                raise TypeError("an error for users needs a remedy")
            self.problems = (Problem(what, remedy),)
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
