"""A page tells what the record tells, opens without a network and runs nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pages import PLAN, ReadPage, keep, page_of, read_page

from epochwise.counting.plan import Plan
from epochwise.errors import RunError
from epochwise.events import BestEvaluation, Evaluated, IterationsDone, Stopped, StopReason
from epochwise.record import read_run
from epochwise.report import page, read_story
from staged import events_of, header_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of five epochs, 16 iterations each."""
    return keep(tmp_path_factory.mktemp("runs") / "five", test={"loss": 0.25, "accuracy": 0.9})


@pytest.fixture(scope="module")
def read(folder: Path) -> ReadPage:
    """Its page, parsed."""
    return read_page(page_of(folder))


def test_every_number_of_the_plan_is_the_records(folder: Path, read: ReadPage) -> None:
    """Planned = run = told."""
    run = read_run(folder).run
    assert run.plan is not None
    planned = run.plan.to_json()

    for name in (
        "samples",
        "batch_size",
        "epochs",
        "iterations",
        "iterations_per_epoch",
        "last_batch_size",
        "samples_seen",
    ):
        assert read.facts[f"plan.{name}"] == {str(planned[name])}
    assert read.facts["done.iterations"] == {str(run.position.iterations_done)}
    assert read.facts["done.samples"] == {str(run.position.samples_done)}
    assert read.facts["done.updates"] == {str(run.updates["adam"])}


def test_every_number_of_the_ledger_is_the_records(folder: Path, read: ReadPage) -> None:
    """A row an epoch: its mean loss, its validation, the iterations and samples so far."""
    run = read_run(folder).run

    for place in range(5):
        position = PLAN.position((place + 1) * PLAN.iterations_per_epoch)
        row = f"ledger.{position.iterations_done}"
        accuracy = run.history["val_accuracy"][place]
        assert read.facts[f"{row}.epochs"] == {str(place + 1)}
        assert read.facts[f"{row}.loss"] == {repr(run.history["loss"][place])}
        assert read.facts[f"{row}.val_loss"] == {repr(run.history["val_loss"][place])}
        assert read.facts[f"{row}.accuracy"] == {repr(accuracy)}
        assert read.facts[f"{row}.iteration"] == {str(position.iterations_done)}
        assert read.facts[f"{row}.samples"] == {str(position.samples_done)}
        (error,) = read.facts[f"{row}.accuracy_error"]
        assert float(error) == pytest.approx((accuracy * (1 - accuracy) / 10) ** 0.5)


def test_the_seconds_are_the_records(folder: Path, read: ReadPage) -> None:
    """Every part, and together they are the whole."""
    spent = read_run(folder).run.seconds.to_json()

    for name, seconds in spent.items():
        assert read.facts[f"seconds.{name}"] == {repr(seconds)}
    parts = [name for name in read.facts if re.fullmatch(r"seconds\.\w+", name)]
    total = sum(float(*read.facts[name]) for name in parts if name != "seconds.total")
    assert total == pytest.approx(spent["total"])


def test_the_loss_of_every_iteration_is_in_the_chart(folder: Path, read: ReadPage) -> None:
    """Bit for bit as float32, at its own iteration."""
    losses = read_run(folder).run.losses
    series = read.series("loss", "batch")

    assert series["x"] == list(range(1, losses.size + 1))
    assert np.array(series["y"], np.float32).tobytes() == losses.tobytes()


def test_the_smoothed_loss_is_weighted_by_samples(folder: Path, read: ReadPage) -> None:
    """The short last batch counts for its 40 samples."""
    losses = read_run(folder).run.losses
    window = int(*read.facts.get("smooth.window", {"5"}))
    sizes = [PLAN.batch_size_of(i) for i in range(losses.size)]
    series = read.series("loss", "train")

    for place in (3, 15, 16, 79):
        inside = slice(max(0, place + 1 - window), place + 1)
        expected = np.average(losses[inside].astype(np.float64), weights=sizes[inside])
        assert series["y"][series["x"].index(place + 1)] == pytest.approx(expected, rel=1e-6)


def test_validation_stands_where_it_was_measured_with_its_error(
    folder: Path, read: ReadPage
) -> None:
    """At the end of each epoch, a standard error either way for an accuracy."""
    history = read_run(folder).run.history
    loss, accuracy = (read.series(chart, "validation") for chart in ("loss", "metric-0"))

    assert loss["x"] == [16, 32, 48, 64, 80]
    assert loss["y"] == list(history["val_loss"])
    assert "error" not in loss
    assert accuracy["y"] == list(history["val_accuracy"])
    assert accuracy["error"] == pytest.approx([(0.75 * 0.25 / 10) ** 0.5] * 5)


def test_best_and_kept_are_marked(read: ReadPage) -> None:
    """The lowest validation loss, which is that of the weights kept at the end."""
    marks = read.chart("loss")["marks"]

    assert [(mark["colour"], mark["x"]) for mark in marks] == [("best", 80)]


def test_the_page_asks_nothing_of_the_network(read: ReadPage) -> None:
    """No element names an address but the page's own parts."""
    for tag, attributes in read.elements:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form")
        assert "src" not in attributes
        href = attributes.get("href")
        assert href is None or href.startswith("#")
        assert not any(name.startswith("on") or name == "style" for name in attributes)


def test_only_the_packaged_scripts_and_styles_may_run(folder: Path) -> None:
    """The policy holds the digest of each and allows nothing else."""
    markup = page_of(folder)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', markup)
    assert policy is not None
    allowed = policy[1].replace("&#x27;", "'")

    assert "default-src 'none'" in allowed
    assert "unsafe" not in allowed
    assert "http" not in allowed
    for tag, count in (("script", 3), ("style", 2)):
        bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", markup, re.DOTALL)
        assert len(bodies) == count
        for body in bodies:
            digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
            assert f"'sha256-{digest}'" in allowed


def test_the_drawing_library_is_the_one_that_was_published() -> None:
    """UPlot 1.6.32, unmodified, with its licence beside it."""
    assets = Path(__file__).parents[2] / "src" / "epochwise" / "report" / "assets"
    digests = {
        name: hashlib.sha256((assets / name).read_bytes()).hexdigest()
        for name in ("uPlot.iife.min.js", "uPlot.min.css")
    }

    assert digests == UPLOT
    assert "MIT License" in (assets / "uPlot-LICENSE.txt").read_text("utf-8")


UPLOT = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}


def test_a_run_that_goes_on_has_a_page(tmp_path: Path) -> None:
    """What the record holds so far is told, and that it is not finished."""
    begun = []
    for event in events_of(PLAN):
        begun.append(event)
        if isinstance(event, IterationsDone) and event.position.iterations_done > 40:
            break
    read = read_page(page_of(keep(tmp_path / "run", events=begun, closed=False)))

    assert any("unfinished" in (a.get("class") or "") for _, a in read.elements)
    assert read.facts["done.iterations"] == {"41"}
    assert read.facts["ledger.32.epochs"] == {"2"}
    assert "ledger.41.iteration" not in read.facts


def test_a_run_cut_off_before_its_first_iteration_has_a_page(tmp_path: Path) -> None:
    """There is a plan and nothing else to tell."""
    read = read_page(page_of(keep(tmp_path / "run", events=[], closed=False)))

    assert read.facts["plan.iterations"] == {"80"}
    assert read.facts["done.iterations"] == {"0"}


def test_data_of_unknown_length_has_a_page(tmp_path: Path) -> None:
    """Nothing is said of a plan that there was not; the counts are those that were run."""
    events = events_of(PLAN, knows_length=False, updates={"adam": 80})
    read = read_page(page_of(keep(tmp_path / "run", plan=None, events=events)))

    assert "plan.samples" not in read.facts
    assert read.facts["done.samples"] == {"5000"}
    assert read.facts["ledger.80.samples"] == {"5000"}


def test_without_validation_the_page_says_that_it_cannot_tell(tmp_path: Path) -> None:
    """No best moment is made up from training losses (C06)."""
    read = read_page(page_of(keep(tmp_path / "run", events=events_of(PLAN, evaluates=False))))

    assert "--validation-split 0.2" in read.text
    assert [mark["colour"] for mark in read.chart("loss")["marks"]] == ["chosen"]
    assert "best.val_loss" not in read.facts


def test_skipped_updates_are_told(tmp_path: Path) -> None:
    """Iterations and updates are told apart where a loss scale skipped some (B18)."""
    events = events_of(PLAN, updates={"adam": 78})
    read = read_page(page_of(keep(tmp_path / "run", events=events)))

    assert read.facts["done.updates"] == {"78"}
    assert read.facts["done.skipped"] == {"2"}


def test_losses_that_are_not_finite_are_counted_and_leave_gaps(tmp_path: Path) -> None:
    """A NaN is neither drawn as a number nor passed over in silence (E04)."""
    events = list(events_of(PLAN, segment=16))
    for place, event in enumerate(events):
        if isinstance(event, IterationsDone) and event.epoch_index == 2:
            losses = (*event.losses[:7], float("nan"), *event.losses[8:])
            events[place] = replace(event, losses=losses)
    read = read_page(page_of(keep(tmp_path / "run", events=events)))

    assert read.facts["loss.nonfinite"] == {"1"}
    assert read.facts["loss.first_nonfinite"] == {"40"}
    assert read.series("loss", "batch")["y"][39] is None


@pytest.mark.parametrize(
    ("plan", "sentence"),
    [
        (Plan(samples=128, batch_size=64, epochs=2), "Every batch is full."),
        (Plan(samples=130, batch_size=64, epochs=2), "that are left."),
        (Plan(samples=130, batch_size=64, epochs=2, remainder="drop"), "fill no batch"),
        (Plan(samples=130, batch_size=64, iterations=4), "which is"),
        (Plan(samples=130, batch_size=64, epochs=2, microbatch_size=16), "at most"),
        (Plan(samples=50, batch_size=64, epochs=2), "Every batch is full."),
    ],
)
def test_the_sentence_about_batches_fits_the_plan(
    tmp_path: Path, plan: Plan, sentence: str
) -> None:
    """Full, short, dropped, part of an epoch, in microbatches: each is told as it is."""
    folder = keep(tmp_path / "run", header=header_of(plan), events=events_of(plan))

    assert sentence in read_page(page_of(folder)).text


def test_weights_of_an_earlier_moment_are_marked_as_kept(tmp_path: Path) -> None:
    """Where the run put its best weights back, best and kept are that moment (E01)."""
    best = BestEvaluation(metric="val_loss", value=0.25, epochs_done=2, iterations_done=32)
    events = [
        replace(event, best=best, restored=True) if isinstance(event, Stopped) else event
        for event in events_of(PLAN)
    ]
    read = read_page(page_of(keep(tmp_path / "run", events=events)))

    assert [(mark["colour"], mark["x"]) for mark in read.chart("loss")["marks"]] == [
        ("best", 32)
    ]
    assert read.facts["kept.iterations"] == {"32"}
    assert read.facts["kept.value"] == {"0.25"}


def test_a_validation_loss_that_is_not_finite_answers_nothing(tmp_path: Path) -> None:
    """The page says so, and draws the rest (E03)."""
    events = [
        replace(event, metrics={"loss": float("nan"), "accuracy": 0.1})
        if isinstance(event, Evaluated) and event.epoch_index == 3
        else event
        for event in events_of(PLAN)
    ]
    read = read_page(page_of(keep(tmp_path / "run", events=events)))

    assert "was not finite" in read.text
    assert read.series("loss", "validation")["y"][3] is None
    assert "ledger.80.epochs" in read.facts


def test_a_stop_by_a_rule_is_told_with_its_reason(tmp_path: Path) -> None:
    """The sentence of the rule is in the page as it was recorded."""
    stop = StopReason(rule="patience", sentence="val_loss has had no new low for 2 epochs.")
    events = events_of(PLAN, stop=stop, at_iteration=48)
    read = read_page(page_of(keep(tmp_path / "run", events=events)))

    assert stop.sentence in read.text
    assert any("stopped" in (a.get("class") or "") for _, a in read.elements)


def test_the_batch_size_evidence_is_shown(tmp_path: Path) -> None:
    """Every size that was run, the advised one marked, and whether the run went by it."""
    folder = keep(tmp_path / "run")
    table = [
        {"batch_size": size, "iteration_seconds": 0.001 * size, "seconds": 2.0 / size}
        for size in (32, 64, 128)
    ]
    target = {"metric": "val_loss", "value": 0.25}
    advice = {"batch_size": 128, "reason": "It was.", "target": target, "table": table}
    (folder / "advice.json").write_text(json.dumps(advice), "utf-8")

    read = read_page(page_of(folder))

    assert read.series("evidence", "validation")["x"] == [32, 64, 128]
    assert read.series("evidence", "validation")["y"] == [2 / 32, 2 / 64, 2 / 128]
    assert read.chart("evidence")["marks"][0]["x"] == 128
    assert read.facts["advice.batch_size"] == {"128"}
    assert "This run trained with 64 instead." in read.text


def test_a_noise_scale_without_an_upper_bound_is_told_as_that(tmp_path: Path) -> None:
    """Late in training its interval may have no end."""
    folder = keep(tmp_path / "run")
    noise = [{"preconditioned": {"scale": [4680.0, 1764.0, "Infinity"]}}]
    row = {"batch_size": 64, "iteration_seconds": 0.001, "seconds": 2.0}
    target = {"metric": "val_loss", "value": 0.25}
    advice = {"batch_size": 64, "reason": "It was.", "target": target, "table": [row]}
    advice["noise"] = noise
    (folder / "advice.json").write_text(json.dumps(advice), "utf-8")

    read = read_page(page_of(folder))

    assert "the measurement sets no upper bound to it." in read.text


def test_several_runs_stand_on_the_same_axes(tmp_path: Path) -> None:
    """Each value of each run, against iterations, samples and seconds."""
    names = ("first", "second")
    folders = [keep(tmp_path / name) for name in names]

    read = read_page(page([read_story(folder) for folder in folders]))

    looks = [
        one
        for chart in read.data["compared"]
        if chart["id"] == "compare-loss"
        for one in chart["series"]
        if one["style"] == "points"
    ]
    assert [one["names"]["en"] for one in looks] == list(names)
    for one, folder in zip(looks, folders, strict=True):
        assert one["y"] == list(read_run(folder).run.history["val_loss"])
        assert one["x"]["iteration"] == [16, 32, 48, 64, 80]
        assert one["x"]["samples"] == [1000, 2000, 3000, 4000, 5000]
        assert one["x"]["seconds"] == sorted(one["x"]["seconds"])
    assert read.facts["several.runs"] == {"2"}


def test_runs_are_compared_by_their_test_parts_too(tmp_path: Path) -> None:
    """L37: a column for each metric that any of them has, empty where one has it not."""
    folders = [
        keep(tmp_path / "both", test={"loss": 0.25, "accuracy": 0.875}),
        keep(tmp_path / "other", test={"loss": 0.5, "recall": 0.125}),
        keep(tmp_path / "none"),
    ]
    markup = page([read_story(folder) for folder in folders])
    table = markup.partition("<table")[2].partition("</table>")[0]
    heads = [
        re.sub("<[^>]*>", "", head) for head in re.findall(r'<th scope="col">.*?</th>', table)
    ]
    rows = [re.findall("<td>(.*?)</td>", row) for row in table.split("<tr")[2:]]

    assert [head.split()[-1] for head in heads if "测试" in head] == [
        "loss",
        "accuracy",
        "recall",
    ]
    values = [[re.findall('value="([^"]*)"', one) for one in row[-3:]] for row in rows]
    assert values == [[["0.25"], ["0.875"], []], [["0.5"], [], ["0.125"]], [[], [], []]]


@pytest.mark.parametrize("peak", [3, 40, 79])
def test_the_highest_and_the_lowest_learning_rate_are_told(tmp_path: Path, peak: int) -> None:
    """L37: a rate that rises and falls did not "go from 1e-5 to 1e-5"."""
    rates = {n: 1e-3 if n == peak else 1e-6 if n == 20 else 1e-5 for n in range(1, 81)}
    events = [
        replace(event, learning_rate=rates[event.position.iterations_done])
        if isinstance(event, IterationsDone)
        else event
        for event in events_of(PLAN, segment=1, seconds=2.0)
    ]
    read = read_page(page_of(keep(tmp_path / "run", events=events)))

    assert read.facts["rate.highest"] == {"0.001"}
    assert read.facts["rate.highest_iteration"] == {str(peak)}
    assert read.facts["rate.lowest"] == {"1e-06"}
    assert read.facts["rate.lowest_iteration"] == {"20"}
    assert f"highest in iteration {peak}, at 0.0010" in read.text


def test_more_runs_than_a_page_can_show_are_refused(tmp_path: Path) -> None:
    """Told before anything is drawn, with how many there may be."""
    story = read_story(keep(tmp_path / "run"))

    with pytest.raises(RunError, match=r"25 runs are too many .* at most 24"):
        page([story] * 25)


def test_the_size_of_updates_is_drawn_by_layer(tmp_path: Path) -> None:
    """Each measured size at its own iteration, a line a layer."""
    events = [
        replace(event, update_sizes={event.position.iterations_done: {"a": 0.5, "b": 0.25}})
        if isinstance(event, IterationsDone)
        else event
        for event in events_of(PLAN, segment=16)
    ]
    chart = read_page(page_of(keep(tmp_path / "run", events=events))).chart("updates")

    assert [one["names"]["en"] for one in chart["series"]] == ["a", "b"]
    assert [one["x"] for one in chart["series"]] == [[16, 32, 48, 64, 80]] * 2
    assert [one["y"] for one in chart["series"]] == [[0.5] * 5, [0.25] * 5]
