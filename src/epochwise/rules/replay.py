"""What a rule would have decided on a history that is there already."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from epochwise.counting.position import Position
from epochwise.events import StopReason
from epochwise.rules.base import AnyOf, Memory, Seen, StopRule
from epochwise.rules.metrics import Looks


def epochs_of(history: Mapping[str, Sequence[float]]) -> Iterator[Seen]:
    """Yield what a rule sees of a history: one boundary an epoch, evaluated each time.

    An epoch counts as one iteration, as a history tells no more.

    Args:
        history: one value for each epoch, by the metric's name.

    Example:
        >>> [seen.metrics["val_loss"] for seen in epochs_of({"val_loss": [1.0, 0.9]})]
        [1.0, 0.9]
    """
    rows = zip(*history.values(), strict=True)
    for epoch, row in enumerate(rows, start=1):
        metrics = dict(zip(history, row, strict=True))
        yield Seen(
            position=Position(epochs_done=epoch, iterations_done=epoch),
            closes_epoch=True,
            evaluated=True,
            metrics=metrics,
            losses=(metrics["loss"],) if "loss" in metrics else (),
        )


def replay(
    rule: StopRule[Memory], history: Mapping[str, Sequence[float]]
) -> tuple[int, StopReason | None]:
    """Tell after how many epochs a rule would have ended a run with this history.

    Args:
        rule: any stopping rule.
        history: one value for each epoch, by the metric's name, as `run.history` is.

    Returns:
        The epochs done and the reason; all of them and `None` if it never stops.

    Raises:
        TrainingError: the history has not the metric that the rule looks at.

    Example:
        >>> from epochwise.rules import Patience
        >>> patience = Patience(metric="val_loss", epochs=1)
        >>> replay(patience, {"val_loss": [1.0, 1.1, 0.5]})[0]
        2
    """
    memory, epochs_done = rule.start(), 0
    for seen in epochs_of(history):
        epochs_done = seen.epochs_done
        memory, reason = rule.update(memory, seen)
        if reason is not None:
            return epochs_done, reason
    return epochs_done, None


def notes(rule: StopRule[Memory], memory: Memory) -> tuple[str, ...]:
    """Return what the user should be told though it ended nothing, in sentences.

    Evaluations without the metric, and those in which it was not finite.

    Args:
        rule: a rule, or several as `AnyOf`.
        memory: what it remembers.

    Example:
        >>> from epochwise.rules import Patience
        >>> rule = Patience(metric="val_loss", epochs=3)
        >>> memory = rule.start()
        >>> for seen in epochs_of({"val_loss": [float("nan"), 1.0]}):
        ...     memory, _ = rule.update(memory, seen)
        >>> notes(rule, memory)
        ('val_loss was not finite in 1 evaluation; that is never an improvement.',)
    """
    if isinstance(rule, AnyOf):
        assert isinstance(memory, tuple)
        pairs = zip(rule.rules, memory, strict=True)
        return tuple(dict.fromkeys(note for part, held in pairs for note in notes(part, held)))
    looks = getattr(memory, "looks", None)
    return looks.notes(rule.metrics[0]) if isinstance(looks, Looks) else ()
