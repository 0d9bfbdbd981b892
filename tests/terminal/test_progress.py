"""What is shown is exact, fits the terminal, and is no more than asked for."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from epochwise.counting.plan import Plan
from epochwise.counting.position import START
from epochwise.events import EpochBegun, EpochDone, IterationsDone, RunBegun, StopReason
from epochwise.record import Seconds, Tally
from epochwise.terminal.progress import (
    REFRESH_SECONDS,
    LiveProgress,
    Part,
    PlainProgress,
    SilentProgress,
    fitted,
    plan_line,
    progress,
    summary,
)
from staged import ENGINE, FakeClock, events_of, with_loss

MNIST = Plan(samples=60_000, batch_size=64, epochs=5)
SMALL = Plan(samples=10, batch_size=4, epochs=3)


def plain_lines(plan: Plan, **staging: object) -> list[str]:
    """Return what is written where there is no terminal."""
    stream = io.StringIO()
    shown = progress("auto", stream=stream)
    for event in events_of(plan, **staging):  # type: ignore[arg-type]
        shown.on_event(event)
    return stream.getvalue().splitlines()


class Terminal:
    """A terminal of a width, and every text that was drawn on it."""

    def __init__(self, width: int) -> None:
        self.stream = io.StringIO()
        self.clock = FakeClock()
        self.progress = LiveProgress(
            Console(
                file=self.stream,
                force_terminal=True,
                width=width,
                height=20,
                color_system=None,
                legacy_windows=False,
                _environ={"TERM": "xterm"},
            ),
            clock=self.clock,
        )

    def play(self, plan: Plan, *, gap: float = 1.0, **staging: object) -> list[str]:
        """Show a staged run, `gap` seconds between events; return the lines drawn."""
        for event in events_of(plan, **staging):  # type: ignore[arg-type]
            self.clock.now += gap
            self.progress.on_event(event)
        return self.lines()

    def lines(self) -> list[str]:
        text = re.sub(r"\x1b\[[0-9?;]*[A-Za-z]", "\n", self.stream.getvalue())
        return [line for line in re.split(r"[\r\n]+", text) if line.strip()]


def test_the_first_line_says_the_backend_and_the_second_the_plan() -> None:
    """Before anything is trained a reader knows where it runs, and how much it is."""
    lines = plain_lines(MNIST, segment=938)

    assert lines[:2] == [
        "jax 0.10.1 on cpu, each segment one compiled loop",
        "60,000 samples at 64: 938 iterations an epoch (the last of 32), 4,690 in all",
    ]


def test_without_a_terminal_there_is_one_line_an_epoch() -> None:
    """Two lines before, then an epoch's counts, metrics and seconds on a line of their own."""
    lines = plain_lines(SMALL)

    assert len(lines) == 5
    assert lines[3] == (
        "epoch 2/3  iteration 6/9  samples 20  loss 0.2133  accuracy 0.8933  "
        "val_loss 0.2500  val_accuracy 0.7500  0.625 s"
    )


def test_every_line_is_exact() -> None:
    """K03: epoch, iteration and samples of each line are those of the plan at that place."""
    terminal = Terminal(200)
    lines = terminal.play(MNIST, segment=113)
    found = [
        re.search(r"epoch (\d)/5  iteration ([\d,]+)/4,690  samples ([\d,]+)", line)
        for line in lines
    ]
    places = [tuple(int(n.replace(",", "")) for n in one.groups()) for one in found if one]

    assert len(places) > 45
    for epoch, iteration, samples in places:
        assert samples == MNIST.samples_done_after(iteration)
        assert epoch == MNIST.epoch_of(iteration - 1) + 1
    assert places[-1] == (5, 4690, 300_000)


def test_a_segment_is_told_at_its_end() -> None:
    """K01: ten iterations, four at a time, are shown as 4, 8 and 10."""
    lines = Terminal(200).play(
        Plan(samples=10, batch_size=1, epochs=1), segment=4, evaluates=False
    )

    shown = re.findall(r"iteration (\d+)/10", "\n".join(lines))
    assert list(dict.fromkeys(shown)) == ["4", "8", "10"]


def test_the_loss_shown_is_the_mean_of_the_epoch() -> None:
    """C03: what is shown is the event's running mean, not averaged once more."""
    stream = io.StringIO()
    shown = PlainProgress(stream)
    for event in with_loss(events_of(SMALL), 2.0):
        shown.on_event(event)

    assert stream.getvalue().count("  loss 2.0000") == 3


@settings(deadline=None, max_examples=30)
@given(width=st.integers(40, 160), segment=st.integers(50, 938))
def test_no_line_is_wider_than_the_terminal(width: int, segment: int) -> None:
    """Whatever the width, a line that is redrawn stays one line."""
    lines = Terminal(width).play(MNIST, segment=segment)

    assert max(len(line) for line in lines) <= width
    live = [line for line in lines if re.match(r"epoch \d", line)]
    assert live
    assert all(re.match(r"epoch \d/5  iteration [\d,]+/4,690", line) for line in live)


def test_at_eighty_columns_the_important_parts_are_there() -> None:
    """Loss, accuracy and the time left stay; samples and speed go first."""
    lines = Terminal(80).play(MNIST, segment=450)
    live = next(line for line in lines if "iteration 2,326/" in line)

    assert re.fullmatch(
        r"epoch 3/5  iteration 2,326/4,690  loss \S+  accuracy \S+  time left 0:0\d", live
    )


def test_the_line_is_redrawn_ten_times_a_second_at_most() -> None:
    """Events that come faster are counted and not drawn; the last of an epoch always is."""
    plan = Plan(samples=1000, batch_size=1, epochs=1)

    fast = Terminal(200).play(plan, segment=1, gap=REFRESH_SECONDS / 10, evaluates=False)
    slow = Terminal(200).play(plan, segment=1, gap=REFRESH_SECONDS * 2, evaluates=False)

    def count(lines: list[str]) -> int:
        return len({line for line in lines if "iterations/s" in line})

    assert count(slow) == 1000
    assert 100 <= count(fast) <= 102


def test_the_time_left_follows_from_the_iterations_left() -> None:
    """Half of the iterations at 0.5 seconds for three, and the evaluations still to come."""
    plan = Plan(samples=24, batch_size=4, epochs=2)
    lines = Terminal(200).play(plan, segment=3, seconds=60.0)
    live = [line for line in lines if "time left" in line]

    assert [line.rpartition("time left ")[2] for line in live] == [
        "3:00",
        "2:00",
        "1:00",
        "0:00",
    ]
    assert "0.05 iterations/s" in live[0]


def test_data_of_unknown_length_show_no_totals_until_they_are_known() -> None:
    """A17: the first pass has no total of iterations, the second has."""
    lines = plain_lines(SMALL, knows_length=False)

    assert lines[1] == "the length of an epoch is not known before its first pass"
    assert lines[2].startswith("epoch 1/3  iteration 3  samples 10")
    assert lines[3].startswith("epoch 2/3  iteration 6/9  samples 20")


def test_without_epochs_there_is_no_total_of_them() -> None:
    """Data of unknown length, asked for by iterations alone."""
    begun = RunBegun(plan=None, epochs=None, position=SMALL.position(0), engine=ENGINE)
    stream = io.StringIO()
    shown = PlainProgress(stream)
    for event in events_of(SMALL, knows_length=False):
        shown.on_event(begun if isinstance(event, RunBegun) else event)

    assert "epoch 2  iteration 6  samples 20" in stream.getvalue()


def test_a_slower_engine_says_why() -> None:
    """The first line of a run one call an iteration has its reason."""
    begun = RunBegun(
        plan=SMALL,
        epochs=3,
        position=SMALL.position(0),
        engine=replace(
            ENGINE,
            engine="keras",
            backend="tensorflow 2.20.0",
            reason="One call an iteration, which is slower: the model runs eagerly.",
        ),
    )
    stream = io.StringIO()
    PlainProgress(stream).on_event(begun)

    assert stream.getvalue().splitlines()[0] == (
        "tensorflow 2.20.0 on cpu. One call an iteration, which is slower: "
        "the model runs eagerly."
    )


def test_a_note_waits_for_the_first_line() -> None:
    """The backend comes first, whatever was noticed before."""
    stream = io.StringIO()
    shown = PlainProgress(stream)
    shown.note("early")
    for event in events_of(SMALL):
        shown.on_event(event)
    shown.note("late")
    lines = stream.getvalue().splitlines()

    assert lines[0].startswith("jax")
    assert lines[2] == "early"
    assert lines[-1] == "late"


def test_the_loss_comes_first() -> None:
    """Keras sorts metrics by name; people read the loss before what follows from it."""
    stream = io.StringIO()
    shown = PlainProgress(stream)
    for event in events_of(SMALL):
        if isinstance(event, EpochDone):
            shown.on_event(replace(event, metrics=dict(sorted(event.metrics.items()))))
        else:
            shown.on_event(event)

    names = re.findall(r"(\w+) 0\.\d{4}", stream.getvalue().splitlines()[2])
    assert names == ["loss", "accuracy", "val_loss", "val_accuracy"]


def test_silence_is_silence(capsys: pytest.CaptureFixture[str]) -> None:
    """verbose=0 writes nothing anywhere."""
    shown = progress(0)
    for event in events_of(SMALL):
        shown.on_event(event)
    shown.note("nothing")
    shown.finish(Tally().run())
    shown.close()

    assert isinstance(shown, SilentProgress)
    assert capsys.readouterr() == ("", "")


def test_the_cursor_comes_back() -> None:
    """After a stop, and after a close without one, the terminal is as before."""
    for ends in (True, False):
        terminal = Terminal(80)
        for event in events_of(SMALL):
            if not ends and isinstance(event, IterationsDone) and event.epoch_index == 1:
                break
            terminal.clock.now += 1
            terminal.progress.on_event(event)
        hidden = "\x1b[?25l" in terminal.stream.getvalue()
        terminal.progress.close()
        terminal.progress.close()
        assert hidden
        assert terminal.stream.getvalue().rindex(
            "\x1b[?25h"
        ) > terminal.stream.getvalue().rindex("\x1b[?25l")


def sum_of(updates: dict[str, int], stop: StopReason | None = None) -> list[str]:
    """Return the sum of a staged run."""
    tally = Tally()
    for event in events_of(SMALL, updates=updates, stop=stop):
        tally.on_event(event)
    seconds = Seconds(
        total=3.5, importing=1.25, data=0.1, compiling=0.5, training=1.5, evaluating=0.02
    )
    return summary(
        tally.run(
            seconds=seconds,
            test={"loss": 0.25, "accuracy": 0.9},
            folder=Path.cwd() / "runs/name",
        )
    )


def test_the_sum_tells_updates_samples_seconds_and_the_folder() -> None:
    """Iterations are weight updates; the parts of the time by name."""
    assert sum_of({"adam": 9}) == [
        "9 iterations = 9 weight updates, 30 samples seen",
        "test  loss 0.2500  accuracy 0.9000",
        (
            "3.50 seconds: import 1.25, data 0.10, compile 0.50, train 1.50, evaluate 0.02, "
            "other 0.13"
        ),
        "run runs/name",
    ]


def test_updates_that_were_skipped_are_told() -> None:
    """K06: where the optimizer counted fewer updates than iterations, both are shown."""
    [first, *_] = sum_of({"adam": 7})

    assert first == (
        "9 iterations, 7 weight updates (2 made none: gradients that are not finite, or "
        "gathered for a later one), 30 samples seen"
    )
    assert sum_of({"a": 9, "b": 8})[0].startswith(
        "9 iterations, weight updates by optimizer: a 9, b 8"
    )


def test_a_run_that_did_not_end_as_planned_says_why() -> None:
    """The reason comes first."""
    reason = StopReason(rule="interrupt", sentence="Ctrl-C after iteration 9.")

    lines = sum_of({}, reason)
    assert lines[0] == "stopped (interrupt): Ctrl-C after iteration 9."
    assert lines[-1] == "go on with: epochwise resume runs/name"


@given(
    st.lists(st.floats(0, 1e6), min_size=6, max_size=6),
    st.floats(0, 1e3),
)
def test_the_parts_of_the_time_add_up(parts: list[float], rest: float) -> None:
    """L36: as shown, with two decimals, and exactly, whatever is rounded."""
    names = ("importing", "data", "compiling", "training", "evaluating")
    seconds = Seconds(total=sum(parts[1:]) + rest, **dict(zip(names, parts[1:], strict=True)))
    exact = seconds.to_json()
    total = exact.pop("total")
    assert sum(exact.values()) == pytest.approx(total, rel=1e-12)
    shown = {name: round(100 * part) for name, part in seconds.in_hundredths().items()}
    assert shown.pop("total", 0) == sum(shown.values())
    assert all(part > 0 for part in shown.values())


@pytest.mark.parametrize(("asked", "shown"), [({"iterations": 7}, "5/7"), ({"epochs": 2}, "5")])
def test_a_length_that_was_asked_for_is_shown_from_the_first_iteration(
    asked: dict[str, int], shown: str
) -> None:
    """L36: also where nobody knows how long an epoch is."""
    stream = io.StringIO()
    printed = progress("auto", stream=stream)
    begun = RunBegun(
        plan=None,
        epochs=asked.get("epochs"),
        iterations=asked.get("iterations"),
        position=START,
        engine=ENGINE,
    )
    printed.on_event(begun)
    printed.on_event(EpochBegun(epoch_index=0, position=START, iterations_per_epoch=None))
    place = START.after_iterations(iterations=5, samples=20)
    printed.on_event(
        EpochDone(
            epoch_index=0, position=place.after_epoch(), metrics={"loss": 0.5}, whole=True
        )
    )
    assert f"iteration {shown}  " in stream.getvalue()


@pytest.mark.parametrize(
    ("plan", "line"),
    [
        (
            Plan(samples=1000, batch_size=500, epochs=3),
            "1,000 samples at 500: 2 iterations an epoch, 6 in all",
        ),
        (
            Plan(samples=10, batch_size=4, epochs=1, remainder="drop"),
            "10 samples at 4: 2 iterations an epoch (2 samples left out), 2 in all",
        ),
        (
            Plan(samples=8, batch_size=8, epochs=1, microbatch_size=2),
            "8 samples at 8: 1 iteration an epoch, 1 in all, in microbatches of 2",
        ),
    ],
)
def test_the_plan_in_a_line(plan: Plan, line: str) -> None:
    """Counts with thousands marked, and only what there is to say."""
    assert plan_line(plan) == line


def test_parts_are_left_out_whole() -> None:
    """What is always shown stays, even where it does not fit."""
    assert fitted([Part("always"), Part("perhaps", 1)], 5) == "always"
    assert fitted([Part("a"), Part("bb", 2), Part("c", 1)], 6) == "a  c"
    assert fitted([Part("a"), Part("bb", 2), Part("c", 1)], None) == "a  bb  c"
