"""What each chart of a run shows, as the JSON that the page's script draws from.

Here lies the choice of series, points and marks; how they look is in `assets/`. Long
series are thinned so that no peak and no drop is lost.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from epochwise.choosing.worth import Ledger
from epochwise.report.budget import Budget
from epochwise.report.facts import smoothing_window
from epochwise.report.ledger import metric_names, share_errors
from epochwise.report.markup import shown
from epochwise.report.phrases import Facts, plain
from epochwise.report.story import Story
from epochwise.report.thinning import thin, trailing_mean
from epochwise.report.words import LANGUAGES

Chart: TypeAlias = dict[str, Any]
"""A chart's JSON: `id`, `series`, `marks`, `from`, `to`, `per_epoch`, `scale`, `zero`.

`scale` is `linear`, or what a chart that may be seen either way begins with: `log` or
`either`. With `zero` the axis begins at 0.
"""


COLOURS = 8
"""Lines beyond so many take up the colours from the beginning, with dashes."""

MOST_LAYERS = 16
"""Most layers whose updates are drawn."""

FAR = 8
"""A loss that falls by more than this factor is seen on a logarithmic axis first."""


def charts_of(story: Story, ledger: Ledger | None, facts: Facts, budget: Budget) -> list[Chart]:
    """Return the charts of one run, in the order of the page.

    Args:
        story: the run.
        ledger: what its epochs were worth; `None` where nothing tells it.
        facts: what the names of series may state.
        budget: how many points a line may have.
    """
    marks = _marks(story, ledger)
    charts = [_loss_chart(story, facts, budget, marks)]
    charts += [_metric_chart(story, name, budget, marks) for name in other_metrics(story)]
    if story.update_sizes:
        charts.append(_updates_chart(story, budget))
    charts += [_rate_chart(story, budget), _speed_chart(story, budget)]
    for chart in charts:
        chart["per_epoch"] = story.run.iterations_per_epoch
        chart["from"], chart["to"] = story.iterations_before, story.run.position.iterations_done
    return charts


def other_metrics(story: Story) -> list[str]:
    """Return the metrics beside the loss, in the order in which they first appear."""
    measured = [one.metrics for one in story.passes[:1]]
    measured += [seen.metrics for seen in story.run.evaluations[:1]]
    return [name for name in metric_names(measured) if name != "loss"]


def points(values: npt.NDArray[Any] | Iterable[float]) -> list[float | int | None]:
    """Return numbers as JSON has them; what is not finite becomes `None`.

    Float32 keeps its own shortest digits, so that it reads back as the same float32.

    Example:
        >>> points(np.array([0.1, np.nan], np.float32))
        [0.1, None]
    """
    array = np.asarray(values)
    if array.dtype == np.float32:
        texts = array.astype("U16").tolist()
        return [float(text) if math.isfinite(float(text)) else None for text in texts]
    return [value if math.isfinite(value) else None for value in array.tolist()]


def as_float32(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return numbers with the digits of float32; what is too large for it is infinite."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def names(key: str, facts: Facts | None = None) -> dict[str, str]:
    """Return a text of a chart in every language."""
    return {language: plain(key, language, facts) for language in LANGUAGES}


def same_name(name: str) -> dict[str, str]:
    """Return a name from the record, which is the same in every language."""
    return dict.fromkeys(LANGUAGES, shown(name))


def script_words() -> dict[str, dict[str, str]]:
    """Return the few words that the page's script writes itself, in every language."""
    keys = {
        name: f"axis.{name}"
        for name in ("iteration", "epoch", "samples", "seconds", "batch_size")
    }
    keys["log"] = "chart.log"
    return {
        language: {name: plain(key, language) for name, key in keys.items()}
        for language in LANGUAGES
    }


def line(
    style: str,
    colour: str,
    named: Mapping[str, str],
    x: npt.NDArray[Any] | Iterable[float],
    y: npt.NDArray[Any] | Iterable[float],
    error: Sequence[float | None] | None = None,
) -> dict[str, Any]:
    """Return a line of a chart.

    Args:
        style: `faint`, `line` or `marked`; `points`; `steps` or `flat`, where a value holds
            from the point before to its own.
        colour: a name of `assets/page.css`, without its dashes.
        named: what it is called, by language.
        x: iterations, rising.
        y: as many values.
        error: half the length of a bar at each value; `None` where there is none.
    """
    series = {"style": style, "colour": colour, "names": named, "x": points(x), "y": points(y)}
    if error is not None and any(one is not None for one in error):
        series["error"] = error
    return series


def _loss_chart(
    story: Story, facts: Facts, budget: Budget, marks: Sequence[Mapping[str, Any]]
) -> Chart:
    losses = story.run.losses
    numbers = np.arange(1, losses.size + 1) + story.iterations_before
    kept = thin(losses, budget.loss_points)
    smooth = trailing_mean(
        losses, story.batch_sizes[: losses.size].astype(np.float64), smoothing_window(story)
    )
    drawn = thin(smooth, budget.line_points)
    series = [
        line("faint", "batch", names("series.loss"), numbers[kept], losses[kept]),
        line(
            "line",
            "train",
            names("series.smooth", facts),
            numbers[drawn],
            as_float32(smooth[drawn]),
        ),
        *_epoch_series(story, "loss", budget),
    ]
    return {
        "id": "loss",
        "scale": "log" if _spans_far(smooth) else "either",
        "series": [one for one in series if one["x"]],
        "marks": marks,
        "thinned": {"shown": int(kept.size), "all": int(losses.size)},
    }


def _spans_far(smooth: npt.NDArray[Any]) -> bool:
    """Whether a loss falls so far that its end would lie flat on a linear axis."""
    seen = smooth[np.isfinite(smooth)]
    return bool(seen.size and seen.min() > 0 and seen.max() > FAR * seen.min())


def _metric_chart(
    story: Story, name: str, budget: Budget, marks: Sequence[Mapping[str, Any]]
) -> Chart:
    return {
        "id": f"metric-{other_metrics(story).index(name)}",
        "scale": "linear",
        "series": _epoch_series(story, name, budget),
        "marks": marks,
    }


def _epoch_series(story: Story, name: str, budget: Budget) -> list[dict[str, Any]]:
    """A metric's mean over each epoch, its validation, and its test."""
    passes = [one for one in story.passes if name in one.metrics]
    found = []
    if passes:
        means = np.array([one.metrics[name] for one in passes])
        kept = thin(means, budget.line_points)
        ends = np.array([one.last_iteration for one in passes])
        x, y = _flat(story.iterations_before, ends[kept], means[kept])
        found.append(line("steps", "mean", names("series.train"), x, y))
    looks = [seen for seen in story.run.evaluations if name in seen.metrics]
    if looks:
        values = np.array([seen.metrics[name] for seen in looks])
        kept = thin(values, budget.line_points)
        few = [looks[place] for place in kept]
        done = [seen.position.iterations_done for seen in few]
        validation = names("series.validation")
        errors = share_errors(name, few)
        found.append(line("points", "validation", validation, done, values[kept], errors))
    test = story.run.test or {}
    if name in test:
        end = story.run.position.iterations_done
        found.append(line("points", "test", names("series.test"), [end], [test[name]]))
    return found


def drawn_layers(story: Story) -> list[str]:
    """Return the layers whose updates are drawn: all, or some evenly from first to last."""
    layers = list(story.update_sizes)
    if len(layers) <= MOST_LAYERS:
        return layers
    places = np.linspace(0, len(layers) - 1, MOST_LAYERS).round().astype(int)
    return [layers[place] for place in places]


def _updates_chart(story: Story, budget: Budget) -> Chart:
    series = []
    layers = drawn_layers(story)
    for place, layer in enumerate(layers):
        iterations, sizes = zip(*story.update_sizes[layer], strict=True)
        kept = thin(np.array(sizes), budget.line_points // len(layers))
        one = line(
            "marked",
            f"run-{place % COLOURS}",
            same_name(layer),
            np.array(iterations)[kept],
            as_float32(np.array(sizes)[kept]),
        )
        series.append(one | {"dashed": place >= COLOURS})
    return {"id": "updates", "scale": "log", "series": series, "marks": []}


def _rate_chart(story: Story, budget: Budget) -> Chart:
    rates = story.stretches.learning_rate
    kept = thin(rates, budget.line_points)
    x = story.stretches.rate_iterations[kept]
    series = [line("line", "rate", names("series.rate"), x, as_float32(rates[kept]))]
    return {"id": "rate", "scale": "linear", "zero": True, "series": series, "marks": []}


def _speed_chart(story: Story, budget: Budget) -> Chart:
    stretches = story.stretches
    before = story.run.position.samples_done - int(story.batch_sizes.sum())
    samples = np.diff(np.concatenate([[before], stretches.samples_done]))
    timed = stretches.seconds > 0
    speed = np.rint(samples[timed] / stretches.seconds[timed])
    kept = thin(speed, budget.line_points)
    x, y = _flat(story.iterations_before, stretches.iterations_done[timed][kept], speed[kept])
    series = [line("flat", "speed", names("series.speed"), x, y)]
    return {"id": "speed", "scale": "linear", "zero": True, "series": series, "marks": []}


def _flat(
    begin: int, ends: npt.NDArray[Any], values: npt.NDArray[Any]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Places and values of flat pieces that end at `ends`, the first from `begin` on."""
    return np.concatenate([[begin], ends]), np.concatenate([values[:1], values])


def _marks(story: Story, ledger: Ledger | None) -> list[dict[str, Any]]:
    """Where the best moment was, and from where the weights were kept."""
    run = story.run
    best = None if ledger is None else ledger.entries[ledger.best_index].iterations_done
    kept = None if run.stop is None else run.position.iterations_done
    if run.best is not None:
        best = run.best.iterations_done
        kept = best if run.restored else kept
    if best is not None and best == kept:
        return [_mark("best_and_chosen", "best", best)]
    found = [] if best is None else [_mark("best", "best", best)]
    return found if kept is None else [*found, _mark("chosen", "chosen", kept)]


def _mark(text: str, colour: str, iteration: int) -> dict[str, Any]:
    return {"x": iteration, "colour": colour, "names": names(f"mark.{text}")}
