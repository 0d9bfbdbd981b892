"""Stop where the loss stops being a number."""

from __future__ import annotations

import math
from dataclasses import dataclass

from epochwise.events import StopReason
from epochwise.rules.base import NoMemory, Seen


@dataclass(frozen=True, slots=True)
class NonFinite:
    """Stop at the first training loss that is NaN or infinite; on by default.

    A weight that is not finite never becomes finite again. Only the training itself is
    looked at: a metric of the validation part may be NaN (a precision of nothing) while
    the weights are well.

    Example:
        >>> from epochwise.counting.position import Position
        >>> seen = Seen(
        ...     position=Position(iterations_done=8, iterations_in_epoch_done=8),
        ...     closes_epoch=False,
        ...     evaluated=False,
        ...     metrics={},
        ...     losses=(0.7, 0.6, math.nan, math.nan),
        ...     first_non_finite="gradient of dense/bias",
        ... )
        >>> rule = NonFinite()
        >>> rule.update(rule.start(), seen)[1].sentence
        'The loss of iteration 7 is NaN; not finite first: gradient of dense/bias.'
    """

    @property
    def name(self) -> str:
        """See `StopRule.name`."""
        return "non_finite"

    @property
    def metrics(self) -> tuple[str, ...]:
        """See `StopRule.metrics`: none, the losses of the iterations are enough."""
        return ()

    def start(self) -> NoMemory:
        """See `StopRule.start`."""
        return NoMemory()

    def update(self, memory: NoMemory, seen: Seen) -> tuple[NoMemory, StopReason | None]:
        """See `StopRule.update`. The iteration is counted from one, over the whole run."""
        sentence = _sentence(seen)
        if sentence is None:
            return memory, None
        return memory, StopReason(rule=self.name, sentence=sentence, at_once=True)


def _sentence(seen: Seen) -> str | None:
    """Return what is not finite, in a sentence; `None` if all is well."""
    first = seen.first_non_finite
    before = seen.iterations_done - len(seen.losses)
    for index, loss in enumerate(seen.losses):
        if not math.isfinite(loss):
            what = "NaN" if math.isnan(loss) else ("infinite" if loss > 0 else "-infinite")
            cause = f"; not finite first: {first}" if first else ""
            return f"The loss of iteration {before + index + 1:,} is {what}{cause}."
    if first:
        return f"After iteration {seen.iterations_done:,} this is not finite: {first}."
    return None
