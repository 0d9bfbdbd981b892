"""What a person sees of a training while it runs, and the sum at its end.

On a terminal one line is redrawn in place, at most ten times a second, and each epoch
leaves a line behind; elsewhere there is one line an epoch and no other. Every count is
the event's own. A line never wraps: where it is too long for the terminal, its least
important parts are left out, whole, and numbers are never cut.
"""

from __future__ import annotations

import math
import shlex
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, Protocol, TypeAlias, cast

from epochwise.counting.plan import Plan
from epochwise.counting.position import START, Position
from epochwise.errors import PlanError
from epochwise.events import (
    Branched,
    EpochBegun,
    EpochDone,
    Evaluated,
    EvaluationBegun,
    Event,
    IterationsDone,
    Listener,
    RunBegun,
    Stopped,
)
from epochwise.record import Run
from epochwise.terminal.output import Output, lasting

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

Verbosity: TypeAlias = Literal["auto", 0, 1, 2]
"""As in Keras: 0 silent, 1 a live line, 2 plain lines; 1 and `"auto"` are plain lines
where there is no terminal."""

CUT_OFF = ("interrupt", "terminated")
"""By the rule that ended them: runs that were planned to be longer."""

REFRESH_SECONDS = 0.1
"""The line is redrawn no sooner [s]."""

RATE_SECONDS = 5.0
"""The iterations a second shown are those of about this long [s]."""


def resume_command(folder: Path) -> str:
    """Return what to type in a shell to go on with a run."""
    return f"epochwise resume {shlex.quote(str(_near(folder)))}"


def resume_call(folder: Path) -> str:
    """Return what to write in Python to go on with a run of `fit`, on the same data."""
    return f"epochwise.resume({str(_near(folder))!r}, model, x, y)"


def _near(folder: Path) -> Path:
    """Return a path from the working folder on, where it lies in it."""
    here = Path.cwd()
    return folder.relative_to(here) if folder.is_relative_to(here) else folder


class Progress(Listener, Protocol):
    """A listener that shows a run to a person."""

    def note(self, sentence: str) -> None:
        """Show a sentence of its own; before the run begins it waits for the first line."""

    def finish(self, run: Run, again: Callable[[Path], str] = resume_command) -> None:
        """Show the sum of a run that ended; for `again` see `summary`."""

    def close(self) -> None:
        """Leave the terminal as it should be, whatever happened. May be called twice."""


def progress(
    verbose: Verbosity = "auto",
    *,
    stream: IO[str] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> Progress:
    """Return what shows a run as asked.

    Args:
        verbose: how much, as in Keras.
        stream: where to; stdout unless told.
        clock: a clock that never goes back [s].

    Raises:
        PlanError: it is no such amount.
    """
    if not isinstance(verbose, int | str) or verbose not in ("auto", 0, 1, 2):
        raise PlanError(
            f'verbose must be 0, 1, 2 or "auto"; got {verbose!r}.',
            "use verbose=0 for silence, verbose=2 for a line an epoch.",
        )
    if verbose == 0:
        return SilentProgress()
    output = lasting(sys.stdout if stream is None else stream)
    if verbose == 2 or not output.isatty():
        return PlainProgress(output)
    from rich.console import Console

    console = Console(file=cast("IO[str]", output), highlight=False, markup=False, emoji=False)
    if not console.is_terminal or console.is_dumb_terminal:
        return PlainProgress(output)
    return LiveProgress(console, clock=clock)


class SilentProgress:
    """Shows nothing."""

    def on_event(self, event: Event) -> None:
        """See `Listener.on_event`."""

    def note(self, sentence: str) -> None:
        """See `Progress.note`."""

    def finish(self, run: Run, again: Callable[[Path], str] = resume_command) -> None:
        """See `Progress.finish`."""

    def close(self) -> None:
        """See `Progress.close`."""


class PlainProgress:
    """One line an epoch, at full length: for files, pipes and notebooks.

    Args:
        output: where the lines go.
    """

    def __init__(self, output: Output) -> None:
        """Write nothing yet."""
        self._output = output
        self._course = _Course()

    def on_event(self, event: Event) -> None:
        """See `Listener.on_event`."""
        self._course.on_event(event)
        for line in _lasting_lines(event, self._course):
            self._print(line)

    def note(self, sentence: str) -> None:
        """See `Progress.note`."""
        if self._course.accepts_note(sentence):
            self._print(sentence)

    def finish(self, run: Run, again: Callable[[Path], str] = resume_command) -> None:
        """See `Progress.finish`."""
        for line in summary(run, again):
            self._print(line)

    def close(self) -> None:
        """See `Progress.close`."""

    def _print(self, line: str) -> None:
        print(line, file=self._output, flush=True)


class LiveProgress:
    """A line that is redrawn in place, and a line left for each epoch.

    Nothing is drawn but when an event comes, so no second thread takes time from the
    training.

    Args:
        console: a terminal.
        clock: a clock that never goes back [s].
    """

    def __init__(
        self, console: Console, *, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        """Draw nothing yet."""
        self._console = console
        self._clock = clock
        self._course = _Course()
        self._live: Live | None = None
        self._drawn = -math.inf

    def on_event(self, event: Event) -> None:
        """See `Listener.on_event`."""
        self._course.on_event(event)
        for line in _lasting_lines(event, self._course, self._console.width):
            self._console.print(_styled(line) if isinstance(event, EpochDone) else line)
        if isinstance(event, Stopped):
            self.close()
        elif isinstance(event, IterationsDone):
            if self._clock() - self._drawn >= REFRESH_SECONDS or not event.epoch_goes_on:
                self._draw(fitted(_running_parts(event, self._course), self._console.width))
        elif isinstance(event, EvaluationBegun):
            self._draw(fitted(_evaluating_parts(event, self._course), self._console.width))

    def note(self, sentence: str) -> None:
        """See `Progress.note`."""
        if self._course.accepts_note(sentence):
            self._console.print(sentence)

    def finish(self, run: Run, again: Callable[[Path], str] = resume_command) -> None:
        """See `Progress.finish`."""
        self.close()
        for line in summary(run, again):
            self._console.print(line, soft_wrap=line.startswith(("run ", "go on with: ")))

    def close(self) -> None:
        """See `Progress.close`."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self, line: str) -> None:
        """Redraw the line; the first time, hide the cursor and begin one."""
        if self._live is None:
            from rich.live import Live

            self._live = Live(
                console=self._console, auto_refresh=False, transient=True, screen=False
            )
            self._live.start()
        self._live.update(_styled(line), refresh=True)
        self._drawn = self._clock()


# The text of each line, from numbers alone.


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a line.

    Args:
        text: shown whole or not at all.
        rank: 0 is always shown; of the others the highest is left out first.
    """

    text: str
    rank: int = 0


def fitted(parts: Sequence[Part], width: int | None) -> str:
    """Join the parts, leaving out the least important until the line fits.

    Args:
        parts: in the order they are shown.
        width: of the terminal [columns]; `None` for no limit.

    Example:
        >>> fitted([Part("epoch 1/5"), Part("loss 0.5", 1), Part("time left 0:02", 2)], 24)
        'epoch 1/5  loss 0.5'
    """
    kept: set[int] = set()
    for place in sorted(range(len(parts)), key=lambda place: (parts[place].rank, place)):
        longer = kept | {place}
        length = sum(len(parts[one].text) for one in longer) + 2 * (len(longer) - 1)
        if width is None or length < width or not parts[place].rank:
            kept = longer
    return "  ".join(parts[place].text for place in sorted(kept))


def number_text(value: float, *, decimals: int = 4) -> str:
    """Return a metric as people read it: some decimals, or a power of ten.

    Example:
        >>> [number_text(x) for x in (0.07312, 0.978, 1e-5, 123456.0, float("nan"))]
        ['0.0731', '0.9780', '1.00e-05', '1.23e+05', 'nan']
    """
    if not math.isfinite(value) or value == 0:
        return f"{value:g}"
    if 1e-3 <= abs(value) < 1e4:
        return f"{value:.{decimals}f}" if abs(value) < 100 else f"{value:.1f}"
    return f"{value:.2e}"


def metric_texts(metrics: Mapping[str, float]) -> list[str]:
    """Return each metric with its name, as people read them, the loss first.

    Example:
        >>> metric_texts({"accuracy": 0.5, "loss": 0.25})
        ['loss 0.2500', 'accuracy 0.5000']
    """
    return [f"{name} {number_text(value)}" for name, value in _ordered(metrics)]


def time_text(seconds: float) -> str:
    """Return a duration as a clock shows it, rounded to whole seconds.

    Example:
        >>> time_text(2.4), time_text(75), time_text(3600 * 25 + 61)
        ('0:02', '1:15', '25:01:01')
    """
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def seconds_text(seconds: float) -> str:
    """Return a duration in seconds, with as many decimals as it is worth.

    Example:
        >>> seconds_text(0.0124), seconds_text(3.14159), seconds_text(184.2)
        ('0.012 s', '3.1 s', '184 s')
    """
    if seconds < 1:
        return f"{seconds:.3f} s"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds:,.0f} s"


def plan_line(plan: Plan) -> str:
    """Return the plan in one line.

    Example:
        >>> plan_line(Plan(samples=60_000, batch_size=64, epochs=5))
        '60,000 samples at 64: 938 iterations an epoch (the last of 32), 4,690 in all'
    """
    per_epoch, last = plan.iterations_per_epoch, plan.last_batch_size
    note = f" (the last of {last:,})" if last < plan.batch_size else ""
    if plan.dropped_per_epoch:
        note = f" ({plan.dropped_per_epoch:,} samples left out)"
    line = (
        f"{plan.samples:,} {_plural('sample', plan.samples)} at {plan.batch_size:,}: "
        f"{per_epoch:,} {_plural('iteration', per_epoch)} an epoch{note}, "
        f"{plan.iterations:,} in all"
    )
    if plan.microbatch_size is not None:
        line += f", in microbatches of {plan.microbatch_size:,}"
    return line


def engine_line(event: RunBegun) -> str:
    """Return the backend, the device and how iterations are executed; why, where slower."""
    engine = event.engine
    if engine.engine == "jax":
        how = {
            "scan": "each segment one compiled loop",
            "single": "each iteration one compiled call",
        }.get(engine.execution, engine.execution)
        return f"{engine.backend} on {engine.device}, {how}"
    return f"{engine.backend} on {engine.device}. {engine.reason}"


def summary(run: Run, again: Callable[[Path], str] = resume_command) -> list[str]:
    """Return the sum of a run: what was done, how well, where the time went.

    Args:
        run: one that ended.
        again: what to type, for the folder of a run that was cut off, to go on with it.
    """
    iterations, samples = run.position.iterations_done, run.position.samples_done
    lines = []
    if run.stop is not None and run.stop.rule != "plan":
        lines.append(f"stopped ({run.stop.rule}): {run.stop.sentence}")
    lines.extend(run.notes)
    lines.append(f"{_updates_text(iterations, run.updates)}, {samples:,} samples seen")
    if run.test is not None:
        lines.append("  ".join(["test", *metric_texts(run.test)]))
    spent = run.seconds.in_hundredths()
    total = spent.pop("total", 0.0)
    parts = ", ".join(f"{name} {part:.2f}" for name, part in spent.items())
    lines.append(f"{total:.2f} seconds" + (f": {parts}" if parts else ""))
    if run.folder is not None:
        lines.append(f"run {_near(run.folder)}")
        if run.stop is not None and run.stop.rule in CUT_OFF:
            lines.append(f"go on with: {again(run.folder)}")
    return lines


def _updates_text(iterations: int, updates: Mapping[str, int]) -> str:
    """Say that iterations are weight updates; or where they were not, how many were."""
    shown = f"{iterations:,} {_plural('iteration', iterations)}"
    if set(updates.values()) <= {iterations}:
        return f"{shown} = {iterations:,} weight {_plural('update', iterations)}"
    if len(updates) == 1:
        [made] = updates.values()
        return f"{shown}, {made:,} weight updates ({_skipped_text(iterations - made)})"
    each = ", ".join(f"{name} {made:,}" for name, made in updates.items())
    return f"{shown}, weight updates by optimizer: {each}"


def _skipped_text(skipped: int) -> str:
    """Say how many updates the optimizer's own count is short of, or over."""
    if skipped < 0:
        return f"the optimizer counts {-skipped:,} more than were run"
    return f"{skipped:,} made none: gradients that are not finite, or gathered for a later one"


class _Course:
    """What the lines need from the events before: totals and speed."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.epochs: int | None = None
        self.iterations: int | None = None
        self.iterations_per_epoch: int | None = None
        self.epoch_seconds = 0.0
        self._plan: Plan | None = None
        self._start: Position = START
        self._recent: deque[tuple[int, float]] = deque()
        self._trained = 0
        self._trained_seconds = 0.0
        self._evaluation_seconds: float | None = None
        self.notes: list[str] = []
        self._begun = False
        self._seen = 0

    def on_event(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case RunBegun():
                self._begun = True
                self._plan, self.epochs = event.plan, event.epochs
                self.iterations = event.iterations
                self._seen = event.position.iterations_done
                if event.plan is not None:
                    self.iterations = event.plan.iterations
                    self.epochs = math.ceil(event.plan.epochs)
            case EpochBegun():
                self.epoch_seconds = 0.0
                self.iterations_per_epoch = event.iterations_per_epoch
                if self.iterations is None and event.iterations_per_epoch and self.epochs:
                    self.iterations = event.iterations_per_epoch * self.epochs
            case IterationsDone():
                made = event.position.iterations_done - self._seen
                self._seen = event.position.iterations_done
                self.epoch_seconds += event.seconds + event.compile_seconds
                self._trained += made
                self._trained_seconds += event.seconds
                self._recent.append((made, event.seconds))
                while len(self._recent) > 1 and self._recent_seconds > RATE_SECONDS:
                    self._recent.popleft()
            case Evaluated():
                self.epoch_seconds += event.seconds + event.compile_seconds
                self._evaluation_seconds = event.seconds
            case _:
                pass

    def accepts_note(self, sentence: str) -> bool:
        """Tell whether a note can be shown now; else keep it for after the first line."""
        if not self._begun:
            self.notes.append(sentence)
        return self._begun

    @property
    def _recent_seconds(self) -> float:
        return sum(seconds for _, seconds in self._recent)

    @property
    def iterations_per_second(self) -> float | None:
        """The speed of late, compiling and evaluating left out; `None` if not known."""
        seconds = self._recent_seconds
        return sum(made for made, _ in self._recent) / seconds if seconds > 0 else None

    def seconds_left(self, position: Position) -> float | None:
        """What the rest of the plan may take, evaluations included; `None` if not known."""
        if self.iterations is None or not self._trained or self._trained_seconds <= 0:
            return None
        left = self.iterations - position.iterations_done
        seconds = left * self._trained_seconds / self._trained
        if self._evaluation_seconds is not None and self.epochs is not None:
            seconds += self._evaluation_seconds * (self.epochs - position.epochs_done)
        return seconds


def _lasting_lines(event: Event, course: _Course, width: int | None = None) -> list[str]:
    """Return the lines that an event leaves behind."""
    if isinstance(event, RunBegun):
        lines = [engine_line(event)]
        if event.plan is not None:
            lines.append(plan_line(event.plan))
        else:
            lines.append("the length of an epoch is not known before its first pass")
        return lines + course.notes
    if isinstance(event, EpochDone):
        return [fitted(_epoch_parts(event, course), width)]
    if isinstance(event, Branched):
        return [event.sentence]
    return []


def _epoch_parts(event: EpochDone, course: _Course) -> list[Part]:
    """Return the parts of the line that an epoch leaves."""
    return [
        *_place_parts(event.epoch_index, event.position, course),
        Part(f"samples {event.position.samples_done:,}", 5),
        *_metric_parts(event.metrics),
        Part(seconds_text(course.epoch_seconds), 6),
    ]


def _running_parts(event: IterationsDone, course: _Course) -> list[Part]:
    """Return the parts of the line while an epoch runs."""
    parts = [
        *_place_parts(event.epoch_index, event.position, course),
        Part(f"samples {event.position.samples_done:,}", 5),
        *_metric_parts(event.metrics, decimals=3),
    ]
    speed = course.iterations_per_second
    if speed is not None:
        shown = f"{speed:,.0f}" if speed >= 10 else f"{speed:.2f}"
        parts.append(Part(f"{shown} iterations/s", 7))
    left = course.seconds_left(event.position)
    if left is not None:
        parts.append(Part(f"time left {time_text(left)}", 4))
    return parts


def _evaluating_parts(event: EvaluationBegun, course: _Course) -> list[Part]:
    """Return the parts of the line while the validation part is evaluated."""
    return [
        *_place_parts(event.epoch_index, event.position, course),
        Part(f"samples {event.position.samples_done:,}", 2),
        Part("evaluating", 1),
    ]


def _place_parts(epoch_index: int, position: Position, course: _Course) -> list[Part]:
    """Return where the run is, counted from one, with the totals that are known."""
    of_epochs = "" if course.epochs is None else f"/{course.epochs:,}"
    of_iterations = "" if course.iterations is None else f"/{course.iterations:,}"
    return [
        Part(f"epoch {epoch_index + 1:,}{of_epochs}"),
        Part(f"iteration {position.iterations_done:,}{of_iterations}"),
    ]


def _metric_parts(metrics: Mapping[str, float], *, decimals: int = 4) -> list[Part]:
    """Return the metrics; loss and the first of the others matter most, training last.

    Args:
        metrics: by name, validation ones begin with `val_`.
        decimals: of metrics other than the loss.
    """
    parts = []
    first = {"", "val_"}
    for name, value in _ordered(metrics):
        kind = "val_" if name.startswith("val_") else ""
        is_loss = name == f"{kind}loss"
        if is_loss:
            rank = 4 if kind else 1
        elif kind in first:
            first.remove(kind)
            rank = 2 if kind else 3
        else:
            rank = 8
        text = number_text(value, decimals=4 if is_loss else decimals)
        parts.append(Part(f"{name} {text}", rank))
    return parts


def _ordered(metrics: Mapping[str, float]) -> list[tuple[str, float]]:
    """Return the metrics as people read them: training before validation, loss first."""

    def place(item: tuple[str, float]) -> tuple[bool, bool]:
        name, _ = item
        return name.startswith("val_"), name not in ("loss", "val_loss")

    return sorted(metrics.items(), key=place)


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def _styled(line: str) -> Text:
    """Return a line with its words dim and its numbers plain, cut rather than wrapped."""
    from rich.text import Text

    styled = Text(no_wrap=True, overflow="ellipsis", end="")
    for place, part in enumerate(line.split("  ")):
        name, _, value = part.rpartition(" ")
        styled.append("  " if place else "")
        styled.append(f"{name} " if name else "", style="dim" if place else "")
        styled.append(value)
    return styled
