"""What is written is what is read, also when the writing was cut off."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epochwise.counting.plan import Plan
from epochwise.errors import RunError
from epochwise.events import IterationsDone, StopReason
from epochwise.record import Recorder, Run, RunFolder, Seconds, Tally, find_run, read_run
from epochwise.record.reading import run_folders
from epochwise.record.recorder import EVENTS_FILE, LOSS_FILE
from staged import ENGINE, FakeClock, events_of, header_of, loss_of, weights, with_loss

PLAN = Plan(samples=10, batch_size=4, epochs=3)


def record(
    path: Path, *, plan: Plan | None = PLAN, closed: bool = True, **staging: object
) -> Run:
    """Keep a staged training at a path, as the caller of the loop does."""
    tally = Tally()
    clock = FakeClock()
    events = events_of(PLAN, knows_length=plan is not None, **staging)  # type: ignore[arg-type]
    with Recorder(RunFolder.create(path), header_of(plan), clock=clock) as recorder:
        for event in events:
            clock.now += 0.3
            tally.on_event(event)
            recorder.on_event(event)
        if not closed:
            return tally.run()
        digest = recorder.write_weights(weights())
        seconds = Seconds(total=9.5, importing=1.25, data=0.125, training=2.0)
        return recorder.close(
            tally.run(seconds=seconds, weights_sha256=digest, test={"loss": 0.25})
        )


def test_a_run_read_back_is_the_run_recorded(tmp_path: Path) -> None:
    """The object of `--json` is the same from memory and from disk, every key of it."""
    run = record(tmp_path / "run")

    stored = read_run(tmp_path / "run")

    assert stored.run.to_json() == run.to_json()
    assert stored.header == header_of(PLAN)
    assert stored.run.engine == ENGINE
    assert stored.run.losses.tobytes() == run.losses.tobytes()
    assert list(stored.run.losses) == [loss_of(i + 1) for i in range(9)]


def test_the_json_object_has_the_promised_keys(tmp_path: Path) -> None:
    """`train --json` has exactly these keys, in this order."""
    shown = record(tmp_path / "run").to_json()

    assert list(shown) == [
        "run", "plan", "done", "stop", "history", "test", "weights_sha256", "seconds",
        "backend", "device", "best", "restored", "notes",
    ]  # fmt: skip
    assert shown["done"] == {"epochs": 3, "iterations": 9, "samples": 30}
    assert list(shown["seconds"]) == [
        "total",
        "import",
        "data",
        "compile",
        "train",
        "evaluate",
        "other",
    ]
    assert list(shown["history"]) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert [len(values) for values in shown["history"].values()] == [3, 3, 3, 3]


def test_the_last_running_mean_is_the_history(tmp_path: Path) -> None:
    """C03: the mean shown last in an epoch is the value in the history, once averaged."""
    shown = [
        event.metrics["loss"]
        for event in events_of(PLAN)
        if isinstance(event, IterationsDone) and not event.epoch_goes_on
    ]

    assert record(tmp_path / "run").history["loss"] == shown


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_valid_json(tmp_path: Path, value: float) -> None:
    """NaN and infinity are kept as words, and read back as the numbers they are."""
    tally = Tally()
    with Recorder(RunFolder.create(tmp_path / "run"), header_of(PLAN)) as recorder:
        for event in with_loss(events_of(PLAN), value):
            tally.on_event(event)
            recorder.on_event(event)
        recorder.close(tally.run())
    lines = (tmp_path / "run" / EVENTS_FILE).read_text().splitlines()

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    rows = [json.loads(line, parse_constant=refuse) for line in lines]
    assert [row["metrics"]["loss"] for row in rows if row["event"] == "epoch_done"] == [
        {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    ] * 3
    np.testing.assert_equal(read_run(tmp_path / "run").run.history["loss"], [value] * 3)


def test_every_line_has_epoch_iteration_and_samples(tmp_path: Path) -> None:
    """K03: each line tells how much is done in epochs, iterations and samples, exactly."""
    record(tmp_path / "run")
    rows = [
        json.loads(line) for line in (tmp_path / "run" / EVENTS_FILE).read_text().splitlines()
    ]

    for row in rows:
        done = row["position"]["iterations_done"]
        assert row["position"] == PLAN.position(done).to_json()
    samples = [row["position"]["samples_done"] for row in rows]
    assert samples == sorted(samples)
    assert samples[-1] == 30


def test_segments_within_a_second_share_a_line(tmp_path: Path) -> None:
    """A line tells of all iterations since the line before, and their seconds together."""
    record(tmp_path / "run", segment=1, evaluates=False)
    rows = [
        json.loads(line) for line in (tmp_path / "run" / EVENTS_FILE).read_text().splitlines()
    ]
    segments = [row for row in rows if row["event"] == "iterations_done"]

    assert sum(row["iterations"] for row in segments) == 9
    assert sum(row["seconds"] for row in segments) == pytest.approx(4.5)
    assert len(segments) < 9


def test_a_run_that_crashed_is_unfinished(tmp_path: Path) -> None:
    """Without the closing line there is no reason, and the rest is still there."""
    record(tmp_path / "run", closed=False)

    run = read_run(tmp_path / "run").run

    assert run.stop is None
    assert run.weights_sha256 is None
    assert run.position == PLAN.position(9)
    assert len(run.losses) == 9


def test_a_run_that_was_interrupted_keeps_its_reason(tmp_path: Path) -> None:
    """Epochs done are the exact share of iterations."""
    reason = StopReason(rule="interrupt", sentence="Ctrl-C after iteration 4.")
    run = record(tmp_path / "run", stop=reason, at_iteration=4)

    assert read_run(tmp_path / "run").run.stop == reason
    assert run.to_json()["done"] == {"epochs": "4/3", "iterations": 4, "samples": 14}


def test_data_of_unknown_length_keep_their_batch_sizes(tmp_path: Path) -> None:
    """A17: without a plan the epochs are whole when they are, and the sizes are a series."""
    run = record(tmp_path / "run", plan=None)
    sizes = np.frombuffer((tmp_path / "run/series/batch_size.u32").read_bytes(), "<u4")

    assert run.to_json()["plan"] is None
    assert run.to_json()["done"]["epochs"] == 3
    assert list(sizes) == [4, 4, 2] * 3
    assert read_run(tmp_path / "run").run.to_json() == run.to_json()


def test_a_fraction_of_an_unknown_epoch_is_none(tmp_path: Path) -> None:
    """A17: before the first pass ends nobody knows the fraction, and none is told."""
    reason = StopReason(rule="interrupt", sentence="Ctrl-C.")
    run = record(tmp_path / "run", plan=None, stop=reason, at_iteration=2)

    assert run.to_json()["done"] == {"epochs": None, "iterations": 2, "samples": 8}


def test_a_record_cut_at_any_byte_is_read(tmp_path: Path) -> None:
    """Wherever the last write ended, the whole lines before it are read, and no more."""
    whole = record(tmp_path / "run", segment=2)
    events = tmp_path / "run" / EVENTS_FILE
    content = events.read_bytes()
    done = 0
    for length in range(len(content)):
        events.write_bytes(content[:length])
        run = read_run(tmp_path / "run").run
        assert run.stop is None
        assert done <= run.position.iterations_done == len(run.losses) <= 9
        done = run.position.iterations_done
    events.write_bytes(content)
    assert read_run(tmp_path / "run").run.to_json() == whole.to_json()


def test_a_series_cut_at_any_byte_is_read(tmp_path: Path) -> None:
    """Half a number at the end of a series is no number."""
    record(tmp_path / "run")
    series = tmp_path / "run" / LOSS_FILE
    content = series.read_bytes()
    for length in range(len(content)):
        series.write_bytes(content[:length])
        assert len(read_run(tmp_path / "run").run.losses) == length // 4


@settings(deadline=None)
@given(place=st.integers(0, 10**6), value=st.integers(0, 255))
def test_a_byte_changed_anywhere_is_no_crash(
    tmp_path_factory: pytest.TempPathFactory, place: int, value: int
) -> None:
    """A damaged record is read up to the damage, or refused in a sentence."""
    path = tmp_path_factory.mktemp("damaged") / "run"
    record(path)
    for name in (EVENTS_FILE, "run.json"):
        content = bytearray((path / name).read_bytes())
        content[place % len(content)] = value
        (path / name).write_bytes(content)
        with suppress(RunError):
            read_run(path).run.to_json()


def test_a_run_cut_off_before_it_began_has_its_plan(tmp_path: Path) -> None:
    """With a header and no event, nothing is done of what was planned."""
    record(tmp_path / "run", closed=False)
    (tmp_path / "run" / EVENTS_FILE).unlink()

    shown = read_run(tmp_path / "run").run.to_json()

    assert shown["plan"] == PLAN.to_json()
    assert shown["done"] == {"epochs": 0, "iterations": 0, "samples": 0}


def test_a_folder_without_a_header_is_no_run(tmp_path: Path) -> None:
    """The error names the file that is missing."""
    with pytest.raises(RunError, match=r"no folder of a run: it has no run\.json"):
        read_run(tmp_path)


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    """A record of a format that is not known is not guessed at."""
    record(tmp_path / "run")
    header = tmp_path / "run/run.json"
    header.write_text(header.read_text().replace('"format": 1', '"format": 2'))

    with pytest.raises(RunError, match="has format 2; this Epochwise reads format 1"):
        read_run(tmp_path / "run")


def test_a_run_is_found_by_path_name_or_beginning(tmp_path: Path) -> None:
    """One beginning that fits a single run is enough; two runs are told apart."""
    for name in ("2026-01-01-100000-digits-mlp", "2026-01-02-100000-digits-mlp"):
        record(tmp_path / name)

    assert find_run("2026-01-02", tmp_path).name == "2026-01-02-100000-digits-mlp"
    assert find_run(str(tmp_path / "2026-01-01-100000-digits-mlp"), tmp_path).is_dir()
    assert [path.name[:10] for path in run_folders(tmp_path)] == ["2026-01-02", "2026-01-01"]
    with pytest.raises(RunError, match=r"2 runs in .* begin with '2026'"):
        find_run("2026", tmp_path)
    with pytest.raises(RunError, match="near it are 2026-01-02-100000-digits-mlp"):
        find_run("2026-01-02-100000-digit-mlp", tmp_path)
    with pytest.raises(RunError, match="holds none"):
        find_run("x", tmp_path / "elsewhere")


def test_a_run_without_a_reason_cannot_be_closed(tmp_path: Path) -> None:
    """The closing line always says why."""
    with (
        Recorder(RunFolder.create(tmp_path / "run"), header_of(PLAN)) as recorder,
        pytest.raises(ValueError, match="has not ended"),
    ):
        recorder.close(Tally().run())
