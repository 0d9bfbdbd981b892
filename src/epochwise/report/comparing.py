"""Several runs beside each other: one table, and charts on the same axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from epochwise.report.blocks import cell, figure, paragraph, section, table
from epochwise.report.budget import Budget
from epochwise.report.charts import COLOURS, Chart, as_float32, line, points, same_name
from epochwise.report.facts import smoothing_window
from epochwise.report.ledger import metric_names
from epochwise.report.markup import Child, Html, element, joined
from epochwise.report.phrases import Facts, phrase
from epochwise.report.story import Story
from epochwise.report.thinning import thin, trailing_mean

AXES = ("iteration", "samples", "seconds")
"""What the runs may be compared against; the page begins with the first."""

MOST_TESTED = 16
"""Most metrics of the test part that have a column."""

_COLUMNS = {
    "batch_size": "plan.batch_size",
    "rate": "rate.first",
    "epochs": "done.epochs",
    "iterations": "done.iterations",
    "samples": "done.samples",
    "seconds": "spent.seconds",
    "val_loss": "best.val_loss",
    "accuracy": "top.accuracy",
}
"""The columns of the table of runs, and the fact that each of them shows."""


def comparing_section(stories: Sequence[Story], facts: Sequence[Facts]) -> Html:
    """Return the section that sets several runs side by side.

    Args:
        stories: the runs, in the order in which they were named.
        facts: of each of them.
    """
    tested = tested_metrics(stories)
    heads = [phrase("compare.run"), *(phrase(f"compare.{name}") for name in _COLUMNS)]
    heads += [joined([phrase("compare.test"), " ", element("bdi", name)]) for name in tested]
    rows = [
        element(
            "tr",
            element("th", swatch(place), " ", element("bdi", story.name), scope="row"),
            [element("td", _told(name, told)) for name in _COLUMNS.values()],
            [
                element("td", cell(f"test.{name}", (story.run.test or {}).get(name)))
                for name in tested
            ],
            data_run=place,
        )
        for place, (story, told) in enumerate(zip(stories, facts, strict=True))
    ]
    choices = [
        element(
            "label",
            element("input", type="radio", name="axis", value=axis, checked=axis == AXES[0]),
            " ",
            phrase(f"compare.against_{axis}"),
        )
        for axis in AXES
    ]
    charts: list[Child] = [
        (element("h3", phrase("loss.title")), paragraph("compare.lead"), figure("compare-loss"))
    ]
    charts += [
        (element("h3", element("bdi", name)), figure(f"compare-{place}"))
        for place, name in enumerate(metrics_of(stories))
    ]
    return section(
        "compare",
        phrase("compare.title"),
        table(heads, rows),
        element("fieldset", element("legend", phrase("compare.against")), choices),
        charts,
    )


def tested_metrics(stories: Sequence[Story]) -> list[str]:
    """Return the metrics of the test parts of any of the runs, the loss first."""
    return metric_names([story.run.test or {} for story in stories])[:MOST_TESTED]


def _told(name: str, facts: Facts) -> Child:
    return cell(name, facts.get(name), "seconds" if name.endswith("seconds") else None)


def swatch(place: int) -> Html:
    """Return a spot of a run's colour."""
    dot = element("circle", cx="5", cy="5", r="5")
    colour = f"swatch run-{place % COLOURS}"
    return element("svg", dot, viewBox="0 0 10 10", class_=colour, aria_hidden="true")


def comparing_charts(stories: Sequence[Story], budget: Budget) -> list[Chart]:
    """Return the charts with a line for each run.

    Args:
        stories: the runs.
        budget: how many points each line may have.
    """
    lines = [
        one
        for place, story in enumerate(stories)
        for one in (
            *_smooth(story, place, budget),
            *_evaluated(story, place, "loss", budget),
        )
    ]
    charts: list[Chart] = [{"id": "compare-loss", "scale": "log", "series": lines}]
    for number, name in enumerate(metrics_of(stories)):
        lines = [
            one
            for place, story in enumerate(stories)
            for one in _evaluated(story, place, name, budget)
        ]
        charts.append({"id": f"compare-{number}", "scale": "linear", "series": lines})
    return [chart | {"marks": [], "per_epoch": None} for chart in charts]


def metrics_of(stories: Sequence[Story]) -> list[str]:
    """Return the metrics beside the loss that any of the runs evaluated."""
    looks = [seen.metrics for story in stories for seen in story.run.evaluations[:1]]
    return [name for name in metric_names(looks) if name != "loss"]


def _smooth(story: Story, place: int, budget: Budget) -> list[Chart]:
    """The smoothed loss of a run."""
    losses = story.run.losses
    if not losses.size:
        return []
    smooth = trailing_mean(
        losses, story.batch_sizes[: losses.size].astype(np.float64), smoothing_window(story)
    )
    kept = thin(smooth, budget.line_points)
    done = kept + 1 + story.iterations_before
    return [_line("line", story, place, done, as_float32(smooth[kept]))]


def _evaluated(story: Story, place: int, name: str, budget: Budget) -> list[Chart]:
    """A metric of the validation part of a run."""
    looks = [seen for seen in story.run.evaluations if name in seen.metrics]
    if not looks:
        return []
    values = np.array([seen.metrics[name] for seen in looks])
    kept = thin(values, budget.line_points)
    done = np.array([seen.position.iterations_done for seen in looks])[kept]
    return [_line("points", story, place, done, values[kept])]


def _line(
    style: str, story: Story, place: int, done: npt.NDArray[np.int64], y: npt.NDArray[Any]
) -> Chart:
    """A line with its places on every axis."""
    seconds = story.elapsed_after(done)
    made = line(style, f"run-{place % COLOURS}", same_name(story.name), [], y)
    made["run"], made["dashed"] = place, place >= COLOURS
    made["x"] = {
        "iteration": points(done),
        "samples": points(story.samples_done_after(done)),
        "seconds": points(np.round(seconds, 6)),
    }
    return made
