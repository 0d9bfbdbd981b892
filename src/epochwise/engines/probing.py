"""What an engine may be able to tell besides training: memory, and gradients apart.

The contract between whoever chooses a batch size and an engine. An engine that can tell
neither has `NoProbe`, so that nobody has to ask twice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from epochwise.data.feed import Window
from epochwise.errors import ModelError

Values_contra = TypeVar("Values_contra", contravariant=True)
Loaded_contra = TypeVar("Loaded_contra", contravariant=True)

Result = TypeVar("Result")

HOST_SHARE = 0.6
"""The part of a computer's free memory that a training may take: it must never swap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramMemory:
    """Memory of one compiled iteration, by the compiler's own analysis.

    Args:
        held: what is there before it runs: the data set, weights, optimizer [bytes].
        extra: what running it takes on top: activations, gradients, results [bytes].
    """

    held: int
    extra: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Squares:
    """Squared norms of gradients of microbatches, and of their mean.

    Args:
        parts: |gᵢ|² of each microbatch's mean gradient.
        mean: |ḡ|² of the mean over all of them.
    """

    parts: tuple[float, ...]
    mean: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradients:
    """Gradients of microbatches of one size at the same weights.

    Args:
        size: samples in each microbatch [samples].
        plain: squared lengths as they are.
        preconditioned: squared lengths gᵀPg, where P is what the optimizer multiplies
            the gradient with, 1/(√v̂ + ε) for Adam; `None` where it has no such P, or
            has not seen a gradient yet.
    """

    size: int
    plain: Squares
    preconditioned: Squares | None


class Probe(Protocol[Values_contra, Loaded_contra]):
    """Measures; changes neither the values handed in nor the model."""

    def memory(self, window: Window) -> ProgramMemory | None:
        """Tell what training on such windows takes; compiles it where needed."""

    def room(self) -> int | None:
        """Tell what running may take on top of what is held [bytes]; `None` if nobody can."""

    def watched(self, run: Callable[[], Result]) -> tuple[Result, int | None]:
        """Run something; tell what it took on top where it computes, if that is told."""

    def gradients(
        self, values: Values_contra, loaded: Loaded_contra, start: int, stop: int
    ) -> Gradients:
        """Tell the gradients of batches `start` to `stop - 1` of the window, apart.

        Raises:
            ModelError: the model's gradients cannot be had apart.
        """


class NoProbe:
    """For engines that can tell nothing besides."""

    def memory(self, window: Window) -> ProgramMemory | None:
        """See `Probe.memory`."""
        del window
        return None

    def room(self) -> int | None:
        """See `Probe.room`."""
        return None

    def watched(self, run: Callable[[], Result]) -> tuple[Result, int | None]:
        """See `Probe.watched`."""
        return run(), None

    def gradients(self, values: Any, loaded: Any, start: int, stop: int) -> Gradients:
        """See `Probe.gradients`."""
        del values, loaded, start, stop
        raise ModelError(
            "This engine cannot tell the gradients of microbatches apart.",
            'use the JAX backend (KERAS_BACKEND="jax") with a model that Keras can compile.',
        )
