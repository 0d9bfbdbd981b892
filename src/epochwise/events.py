"""What a training tells while it runs: one event for each thing that happened.

The loop yields these in order; the progress line, the recorder, Keras callbacks and
whatever a user plugs in read them and nothing else. A plug-in has one method,
`on_event(event)`. Events hold host numbers only, never a framework's arrays.

The order, as the loop yields it:

    RunBegun
      Boundary                       where nothing is done yet
      EpochBegun                     before the first iteration of each epoch
        IterationsDone  (1 or more)  after each segment
        EvaluationBegun, Evaluated   where the plan evaluates, with BatchEvaluated between
                                     them where a listener looks at batches
        CheckpointCommitted          where one that was being written is in place now,
                                     or CheckpointFailed
      EpochDone                      its metrics, validation included
      Branched                       where it goes on from earlier values
      Boundary                       after each segment: a checkpoint may be taken
    Stopped                          always the last, whatever ended the run

Between an event and the next the model holds the current values of all its variables:
a reader may look at them and may change them, and the next iteration starts from what
it finds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from epochwise.counting.plan import Plan
from epochwise.counting.position import Position


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingState:
    """Everything that the next iteration depends on, as the host holds it.

    What is in it is saved; what is not does not exist. Whoever needs memory (an engine, a
    stopping rule) is handed it and hands it back.

    Args:
        position: how much is done.
        arrays: NumPy arrays by name, `trainable/0` or `optimizer/3`: weights, optimizer,
            metrics so far and random counters, and the best weights. Nobody changes
            them while the state is in use.
        memories: what the rules remember, by name: strings, numbers (NaN and infinity
            among them), true, false, `None`, and lists and mappings of these. `best`
            tells by its `iterations_done` where the best weights are, and is `None` where
            nobody counts.
    """

    position: Position
    arrays: Mapping[str, Any]
    memories: Mapping[str, Any]


KEPT_ELSEWHERE = {"recorded": False}
"""Of a field that no row of a record holds: the plan is in its header, losses in its series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopReason:
    """Why a run ended.

    Args:
        rule: a short name that programs can compare: `plan`, `callback`, `interrupt`.
        sentence: the same for people, with the numbers.
        at_once: whether the run is cut off, without a last evaluation; one that is
            resumed goes on from there.
    """

    rule: str
    sentence: str
    at_once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineDescription:
    """How the iterations are executed, as the record keeps it.

    Args:
        engine: `jax` (compiled segments) or `keras` (any backend, in the model's own
            variables).
        backend: Keras's backend with its version, `jax 0.10.1`.
        device: kind and count of devices, `cpu` or `gpu (NVIDIA H100)`.
        execution: `scan` (a segment is one compiled loop), `single` (a compiled
            iteration is dispatched for each) or `eager` (each operation by itself).
        reason: why this engine and this execution were chosen, one sentence.
    """

    engine: str
    backend: str
    device: str
    execution: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunBegun:
    """The plan is checked and the engine ready; nothing has been trained yet.

    Args:
        plan: what will happen; `None` for data of unknown length.
        epochs: epochs asked for, rounded up; `None` where only iterations were told
            for data of unknown length.
        position: where it starts; not `START` when a run goes on.
        engine: how the iterations are executed.
        compile_seconds: wall time spent compiling ahead of the first iteration [s].
        iterations: asked for in all, beside or instead of epochs; `None` where the
            epochs tell [iterations].
    """

    plan: Plan | None = field(default=None, metadata=KEPT_ELSEWHERE)
    epochs: int | None
    position: Position
    engine: EngineDescription
    compile_seconds: float = 0.0
    iterations: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochBegun:
    """An epoch begins, or goes on from a position inside it.

    Args:
        epoch_index: zero-based.
        iterations_per_epoch: its planned length; `None` while that is unknown.
    """

    epoch_index: int
    position: Position
    iterations_per_epoch: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IterationsDone:
    """A segment of iterations was run.

    Args:
        epoch_index: zero-based epoch that all of them belong to.
        position: what is done now, these iterations included.
        losses: the loss of each iteration's own batch, in order.
        samples: samples in each of them, in order [samples].
        metrics: running means over the samples of this epoch so far, `loss` first.
        learning_rate: of the last iteration's update.
        seconds: wall time since the previous segment ended, compiling left out [s].
        compile_seconds: wall time spent compiling for it [s].
        epoch_goes_on: whether the plan has another iteration in this epoch.
        update_sizes: by iteration, counted from 1, and by the name of each layer: how far
            that iteration moved its weights, relative to their length before. Measured for
            few iterations, where a record is kept.
        learning_rates: of other updates of these, by iteration, counted from 1: where the
            rate was highest and lowest, so far as it was seen.
    """

    epoch_index: int
    position: Position
    losses: tuple[float, ...] = field(default=(), metadata=KEPT_ELSEWHERE)
    samples: tuple[int, ...] = field(default=(), metadata=KEPT_ELSEWHERE)
    metrics: Mapping[str, float]
    learning_rate: float | None
    seconds: float
    compile_seconds: float
    epoch_goes_on: bool
    update_sizes: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    learning_rates: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationBegun:
    """The validation part is about to be evaluated."""

    epoch_index: int
    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEvaluated:
    """A batch of the validation part was evaluated, for listeners that look at batches.

    Args:
        batch_index: zero-based in this evaluation.
        metrics: running means over the samples evaluated so far, without a `val_` prefix.
        goes_on: whether another batch follows.
    """

    epoch_index: int
    position: Position
    batch_index: int
    metrics: Mapping[str, float]
    goes_on: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """The validation part was evaluated.

    Args:
        metrics: means over its samples, without a `val_` prefix.
        samples: how many samples were evaluated [samples]; `None` if not known.
        seconds: wall time, compiling left out [s].
        compile_seconds: wall time spent compiling for it [s].
    """

    epoch_index: int
    position: Position
    metrics: Mapping[str, float]
    samples: int | None
    seconds: float
    compile_seconds: float

    @property
    def named(self) -> dict[str, float]:
        """The metrics as the history names them, each with `val_` before it."""
        return {f"val_{name}": value for name, value in self.metrics.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochDone:
    """An epoch is over; or the run ends inside it (`whole` is false).

    Args:
        metrics: means over the epoch's samples, then `val_` ones if evaluated.
        whole: whether every iteration of the epoch was run.
    """

    epoch_index: int
    position: Position
    metrics: Mapping[str, float]
    whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """A place between two iterations where all is complete: look, save or stop here.

    Args:
        reason: why the run ends here; `None` where it goes on.
        is_best: whether the evaluation made here is the best so far.
        snapshot: gives everything that the next iteration depends on, for as long as
            the event is being handled.
    """

    epoch_index: int
    position: Position
    reason: StopReason | None
    is_best: bool
    snapshot: Callable[[], TrainingState]


@dataclass(frozen=True, slots=True, kw_only=True)
class Branched:
    """The run goes on from values that it had before, at a falling learning rate.

    Counts go on: the iterations in between were made, though their values are gone.

    Args:
        sentence: why, from where, and over how many iterations the rate falls.
    """

    epoch_index: int
    position: Position
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointCommitted:
    """A checkpoint is complete on the disk.

    Args:
        position: where it was taken, which may lie behind.
        name: its folder's.
    """

    position: Position
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointFailed:
    """A checkpoint could not be written; training goes on, and the next is tried.

    Args:
        position: where it was taken.
        sentence: what went wrong, and what to do.
    """

    position: Position
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BestEvaluation:
    """The best evaluation of a run.

    Args:
        metric: as the history names it.
        value: of the metric.
        epochs_done: whole epochs done there [epochs].
        iterations_done: weight updates made there [iterations].
    """

    metric: str
    value: float
    epochs_done: int
    iterations_done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """The run is over.

    Args:
        updates: weight updates that the optimizer itself counted in this run, by the
            optimizer's name; `None` where it keeps no count. Fewer than the iterations
            where a loss scale skipped non-finite gradients.
        best: the best evaluation; `None` where nobody counted or nothing was evaluated.
        restored: whether the model holds the weights of the best evaluation now, not
            the last ones.
        notes: what a stopping rule came upon and the user should know, in sentences.
    """

    position: Position
    reason: StopReason
    updates: Mapping[str, int] = field(default_factory=dict)
    best: BestEvaluation | None = None
    restored: bool = False
    notes: tuple[str, ...] = ()


Event: TypeAlias = (
    RunBegun
    | EpochBegun
    | IterationsDone
    | EvaluationBegun
    | BatchEvaluated
    | Evaluated
    | EpochDone
    | Branched
    | Boundary
    | CheckpointCommitted
    | CheckpointFailed
    | Stopped
)


class Listener(Protocol):
    """A plug-in: anything that wants to know what happens."""

    def on_event(self, event: Event) -> None:
        """Take note of an event. What it raises ends the run, weights kept."""
