"""The contract between the loop and whatever runs the iterations.

An engine runs a segment: iterations `start` to `stop - 1` of a window. The values that
training changes (weights, optimizer, metrics, random counters) are handed in and out;
the engine holds none of them. `take` reads them from the model, `give_back` writes them
to it, and the loop does both around every event, so that whoever listens sees the
current model and may change it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from epochwise.counting.averages import LogMean
from epochwise.data.feed import Window
from epochwise.data.samples import Array
from epochwise.events import EngineDescription

Values = TypeVar("Values")
Loaded = TypeVar("Loaded")


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentResult:
    """What a segment tells, as host numbers.

    Args:
        losses: the loss of each iteration's own batch, in order.
        metrics: running means since the metrics were last reset, `loss` among them.
        logs: of a step of the user's, the means of what it logged for each batch; where no
            metric says it, `metrics` has that of the last batch.
        learning_rate: what the last iteration's update used; `None` in evaluation.
        weights_finite: whether every trainable weight is a finite number afterwards.
        update_sizes: by place in the window, for each layer by its name, the length of that
            iteration's update relative to that of the weights before it.
    """

    losses: tuple[float, ...]
    metrics: Mapping[str, float]
    logs: Mapping[str, LogMean] = field(default_factory=dict)
    learning_rate: float | None = None
    weights_finite: bool = True
    update_sizes: Mapping[int, Mapping[str, float]] = field(default_factory=dict)


class Pending(Protocol):
    """A result that may still be under way on the device."""

    def wait(self) -> SegmentResult:
        """Wait for the segment to end and return what it tells."""


class Engine(Protocol[Values, Loaded]):
    """Runs iterations and evaluations of one compiled Keras model."""

    @property
    def description(self) -> EngineDescription:
        """How the iterations are executed."""

    @property
    def compilations(self) -> int:
        """Programs compiled so far."""

    @property
    def compile_seconds(self) -> float:
        """Wall time spent tracing and compiling so far [s]."""

    def take(self, *, fresh_metrics: bool = False) -> Values:
        """Return the values that the model holds now.

        Args:
            fresh_metrics: whether metrics are as at the start of an epoch instead.
        """

    def give_back(self, values: Values) -> None:
        """Put the values into the model, where any reader finds them."""

    def to_host(self, values: Values) -> dict[str, Array]:
        """Return the values as arrays of the host, by name, in the model's order.

        The names are `trainable/0`, `non_trainable/2`, `optimizer/5`, `metrics/1`: the
        model's own lists and the place in each. The arrays stay as they are whatever is
        trained afterwards; `give_back` takes values made `from_host`.
        """

    def from_host(self, values: Values, arrays: Mapping[str, Array]) -> Values:
        """Return the values with those replaced that `arrays` names, as `to_host` does."""

    def prepare(
        self,
        training: Sequence[Window],
        evaluating: Sequence[Window],
        *,
        measuring: bool = False,
    ) -> None:
        """Compile whatever such windows need, ahead of time and once.

        Where `measuring`, the sizes of updates will be asked for as well.
        """

    def load(self, window: Window, *, evaluating: bool = False) -> Loaded:
        """Bring a window to the device; may return before the copy is complete."""

    def run(
        self,
        values: Values,
        loaded: Loaded,
        start: int,
        stop: int,
        *,
        measured: Sequence[int] = (),
    ) -> tuple[Values, Pending]:
        """Train on iterations `start` to `stop - 1` of the window, in order.

        `start` and `stop` count from the window's first iteration. The values handed in
        stay valid: if the segment fails, they are what the model still holds. Of the
        `measured` iterations the size of the update is wished for; an engine that cannot
        tell it leaves it out, and the weights are the same either way.
        """

    def evaluate(
        self, values: Values, loaded: Loaded, start: int, stop: int
    ) -> tuple[Values, Pending]:
        """Evaluate batches `start` to `stop - 1` of the window.

        What the batches before have changed counts: metrics, and the random counters of
        layers that draw numbers in an evaluation too. The model stays as it is.
        """

    def final_metrics(self, values: Values) -> Mapping[str, float]:
        """Return what the metrics say at the end of an epoch or an evaluation.

        Those are left out that say just what the last segment told.
        """

    def per_sample(self, loaded: Loaded, start: int, stop: int) -> dict[str, Array]:
        """Return the loss and the metrics of each sample of batches `start` to `stop - 1`.

        By the names of the history, shape `(samples,)` each, at the weights that the model
        holds. What is no mean over samples is left out.
        """

    def learning_rate(self) -> float:
        """Return the optimizer's learning rate.

        Raises:
            ModelError: it follows a schedule, so that nobody else can set it.
        """

    def set_learning_rate(self, rate: float) -> None:
        """Let the values that are taken next train at this rate."""

    def updates(self) -> Mapping[str, int]:
        """Weight updates that each optimizer of the model has counted, by its name."""
