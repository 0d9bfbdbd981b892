"""What one run is to do, and where its boundaries are: settings and arithmetic only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from epochwise.counting.plan import Plan
from epochwise.counting.position import Position
from epochwise.data.feed import Feed, Window
from epochwise.rules import AnyOf, Best, NonFinite
from epochwise.rules.pacing import Pacing, Steady

Keep = Literal["best", "last"]
"""Which weights the model holds once a run is over."""

DEFAULT_RULES = AnyOf((NonFinite(),))
"""What ends a run when nobody asks for anything."""


MEASURED_EVERY = 256
"""So seldom that measuring costs less than a hundredth of the time [iterations]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What one run is to do.

    Args:
        feed: the training samples of each iteration.
        plan: the counts; `None` while the length of the data is unknown.
        epochs: passes to make; `None` to go by iterations alone [epochs].
        iterations: weight updates to make in all; `None` to go by epochs [iterations].
        validation: what is evaluated, or `None`.
        evaluate_every_epochs: after every which epoch; `None` to go by iterations.
        evaluate_every_iterations: after every which iteration of the run; `None` to go
            by epochs. The end of the plan is evaluated as well.
        evaluate_at_epochs: after which epochs, counted from 1, instead; `None` to go by
            the others.
        validation_batches: most batches of it that are evaluated, always the first;
            `None` for all.
        test: what will be evaluated when the run has ended, by whoever asked for it; its
            programs are made while training goes on.
        evaluates_batchwise: whether each of them is told of by itself.
        cuts: a segment ends at each multiple of each of these, for whoever wants to look
            or save there [iterations].
        stop: what may end the run before the plan does.
        best: which evaluation is the best; `None` to keep no count of it.
        pacing: how the learning rate goes, and when it turns down.
        keep: whose weights the model holds at the end: the best evaluation's (the last
            ones where there was none), or the last ones.
        measures_updates: whether the sizes of updates are wished for, of every
            `MEASURED_EVERY`th iteration of each epoch from its first on.
        segment_seconds: about how long a segment may take, so that progress is seen and
            Ctrl-C is heard [s].
    """

    feed: Feed
    plan: Plan | None
    epochs: int | None
    iterations: int | None
    validation: Feed | None = None
    evaluate_every_epochs: int | None = 1
    evaluate_every_iterations: int | None = None
    evaluate_at_epochs: tuple[int, ...] | None = None
    validation_batches: int | None = None
    test: Feed | None = None
    evaluates_batchwise: bool = False
    cuts: tuple[int, ...] = ()
    stop: AnyOf = DEFAULT_RULES
    best: Best | None = None
    pacing: Pacing[Any] = field(default_factory=Steady)
    keep: Keep = "last"
    measures_updates: bool = False
    segment_seconds: float = 0.25

    def next_place(self, position: Position) -> tuple[int, int] | None:
        """Return the zero-based (epoch, iteration in it) to run next; `None` at the end."""
        if self.iterations is not None and position.iterations_done >= self.iterations:
            return None
        if self.epochs is not None and position.epochs_done >= self.epochs:
            return None
        return position.epochs_done, position.iterations_in_epoch_done

    def segment_length(
        self, window: Window, position: Position, allowed: int, next_cut: int | None = None
    ) -> int:
        """Return how many iterations to run before the next boundary.

        Args:
            window: what the next iteration is in.
            position: what is done.
            allowed: most iterations that a segment may have now.
            next_cut: iterations done at which there must be a boundary; `None` for none.
        """
        index, done = position.iterations_in_epoch_done, position.iterations_done
        bounds = [allowed, window.end_iteration_index - index]
        if self.iterations is not None:
            bounds.append(self.iterations - done)
        every = (*self.cuts, self.evaluate_every_iterations)
        bounds.extend(cut - done % cut for cut in every if cut is not None)
        if next_cut is not None:
            bounds.append(next_cut - done)
        return min(bounds)

    def measured(self, window: Window, start: int, stop: int) -> list[int]:
        """Return the iterations of a segment whose updates are measured.

        They follow from their place in the epoch alone, so that a run that was cut off and
        went on has measured the same ones.

        Args:
            window: what the segment is in.
            start: its first iteration, counted from the window's first.
            stop: the one after its last.
        """
        if not self.measures_updates:
            return []
        first = -(window.first_iteration_index + start) % MEASURED_EVERY
        return list(range(start + first, stop, MEASURED_EVERY))

    def evaluates_at(self, position: Position, *, ends: bool) -> bool:
        """Tell whether the validation part is evaluated at a boundary.

        Args:
            position: what is done there.
            ends: whether the run ends there.
        """
        if self.validation is None:
            return False
        if self.evaluate_every_iterations is not None:
            return ends or position.iterations_done % self.evaluate_every_iterations == 0
        closes = position.iterations_in_epoch_done == 0
        epochs = position.epochs_done if closes else position.epochs_done + 1
        if self.evaluate_at_epochs is not None:
            return (closes or ends) and epochs in self.evaluate_at_epochs
        if self.evaluate_every_epochs is None or not (closes or ends):
            return False
        return epochs % self.evaluate_every_epochs == 0

    def training_windows(self, position: Position) -> list[Window]:
        """Return a window of each shape that the training is known to need."""
        place = self.next_place(position)
        if place is None:
            return []
        windows = [self.feed.window(*place)]
        per_epoch = self.feed.iterations_per_epoch
        if self.feed.is_pure and per_epoch is not None:
            left = (
                None if self.iterations is None else self.iterations - position.iterations_done
            )
            if left is None or place[1] + left >= per_epoch:
                windows.append(self.feed.window(place[0], per_epoch - 1))
            if place[1] and (left is None or place[1] + left > per_epoch):
                windows.append(self.feed.window(place[0] + 1, 0))
        return windows

    def evaluation_windows(self) -> list[Window]:
        """Return a window of each shape that evaluations are known to need."""
        windows = []
        for feed, batches in ((self.validation, self.validation_batches), (self.test, None)):
            if feed is not None and feed.is_pure and feed.iterations_per_epoch is not None:
                ends = feed.iterations_per_epoch if batches is None else batches
                last = min(feed.iterations_per_epoch, ends) - 1
                windows += [feed.window(0, 0), feed.window(0, last)]
        return windows
