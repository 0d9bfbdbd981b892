"""The sections of one run's part of a page, from its facts to markup."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from epochwise.choosing.worth import Ledger
from epochwise.report.answers import answers
from epochwise.report.blocks import figure, known, paragraph, row, section, table
from epochwise.report.budget import Budget
from epochwise.report.charts import Chart, drawn_layers, other_metrics
from epochwise.report.evidence_section import evidence_section
from epochwise.report.ledger_table import ledger_section
from epochwise.report.markup import Child, Html, element, joined
from epochwise.report.phrases import Facts, number, phrase
from epochwise.report.story import Story


def run_sections(
    story: Story, ledger: Ledger | None, facts: Facts, charts: Sequence[Chart], budget: Budget
) -> Iterator[Html]:
    """Yield the sections that tell of one run.

    Args:
        story: the run.
        ledger: what its epochs were worth; `None` where nothing tells it.
        facts: what the sentences may state.
        charts: as `charts_of` gave them; drawn by the page's script.
        budget: how much of the page it may take.
    """
    by_id = {chart["id"]: chart for chart in charts}
    yield _summary(story, ledger, facts)
    yield _plan(facts)
    yield _loss(by_id["loss"], facts)
    for place, name in enumerate(other_metrics(story)):
        yield section(
            f"metric-{place}",
            element("bdi", name),
            paragraph("metric.lead"),
            figure(f"metric-{place}"),
        )
    yield ledger_section(story, ledger, facts, budget.ledger_lines)
    yield _updates(story)
    yield _rate(story, facts)
    if story.evidence is not None:
        yield evidence_section(story.evidence, facts)
    yield _time(story, facts)
    yield _about(story, facts)


def run_title(story: Story, facts: Facts) -> Html:
    """Return the name of a run, how it stands, and what it is about.

    Args:
        story: the run.
        facts: what its sentences may state.
    """
    what = "run.what" if "run.parameters" in facts else "run.what_unknown"
    stop = story.run.stop
    state = "unfinished"
    if story.run.engine is None and story.evidence is not None:
        state = "advice"
    if stop is not None:
        state = {"plan": "finished", "interrupt": "interrupted"}.get(stop.rule, "stopped")
    return element(
        "div",
        element("h1", element("bdi", story.name)),
        element(
            "p",
            element("span", phrase(f"state.{state}"), class_=f"state {state}"),
            " ",
            phrase(what, facts),
            ", ",
            phrase("run.began", facts),
        ),
        paragraph("run.reason", facts) if stop is not None else "",
        class_="title",
    )


def _summary(story: Story, ledger: Ledger | None, facts: Facts) -> Html:
    asked = [
        element(
            "div",
            element("dt", phrase(f"question.{answer.question}")),
            element("dd", [(phrase(sentence, facts), " ") for sentence in answer.sentences]),
            data_question=answer.question,
        )
        for answer in answers(story, ledger, facts)
    ]
    return section("summary", phrase("summary.title"), element("dl", asked, class_="answers"))


def _plan(facts: Facts) -> Html:
    done = {
        "epochs": "done.epochs",
        "iterations": "done.iterations",
        "samples_seen": "done.samples",
        "iterations_per_epoch": "done.iterations_per_epoch",
    }
    rows = []
    for name in (
        "samples",
        "batch_size",
        "microbatch_size",
        "iterations_per_epoch",
        "last_batch_size",
        "dropped_per_epoch",
        "epochs",
        "iterations",
        "samples_seen",
    ):
        planned, made = f"plan.{name}", done.get(name, "")
        if planned not in facts and made not in facts:
            continue
        if name == "dropped_per_epoch" and not facts[planned]:
            continue
        rows.append(row(phrase(planned), known(planned, facts), known(made, facts)))
    head: list[Child] = ["", phrase("plan.planned"), phrase("plan.done")]
    return section("plan", phrase("plan.title"), paragraph("plan.lead"), table(head, rows))


def _loss(chart: Chart, facts: Facts) -> Html:
    notes: list[Child] = []
    thinned = chart["thinned"]
    if thinned["shown"] < thinned["all"]:
        told = {"thin.shown": thinned["shown"], "thin.all": thinned["all"]}
        notes.append(paragraph("chart.thinned", told, "note"))
    if "loss.nonfinite" in facts:
        notes.append(paragraph("chart.nonfinite", facts, "note warning"))
    return section("loss", phrase("loss.title"), paragraph("loss.lead"), figure("loss"), notes)


def _updates(story: Story) -> Html:
    title = phrase("updates.title")
    if not story.update_sizes:
        return section("updates", title, paragraph("updates.none"))
    shown, every = len(drawn_layers(story)), len(story.update_sizes)
    told: Facts = {"updates.shown": shown, "updates.all": every}
    note = paragraph("updates.left_out", told, "note") if shown < every else ""
    return section("updates", title, paragraph("updates.lead"), figure("updates"), note)


def _rate(story: Story, facts: Facts) -> Html:
    rates = story.stretches.learning_rate
    rates = rates[np.isfinite(rates)]
    lead: Child = ""
    if rates.size:
        still = bool((rates == rates[0]).all())
        lead = paragraph("rate.constant" if still else "rate.moved", facts)
    return section("rate", phrase("rate.title"), lead, figure("rate"))


def _time(story: Story, facts: Facts) -> Html:
    spent, told = story.run.seconds.to_json(), story.run.seconds.in_hundredths()
    whole = told.get("total") or sum(told.values())
    rows = [
        row(
            phrase(f"seconds.{name}"),
            _seconds(name, spent[name], shown),
            ""
            if name == "total"
            else number(f"seconds.{name}.share", shown / whole, "percent"),
            "" if name == "total" else _bar(shown / whole),
            class_="sum" if name == "total" else None,
        )
        for name, shown in sorted(told.items(), key=lambda one: one[0] == "total")
    ]
    lead = paragraph("speed.lead", facts) if "speed.samples_per_second" in facts else ""
    return section("speed", phrase("speed.title"), lead, figure("speed"), table(None, rows))


def _seconds(name: str, exact: float, shown: float) -> Html:
    """A time as it was measured, shown so that the parts add up to the whole."""
    return element("data", f"{shown:,.2f} s", value=repr(exact), data_fact=f"seconds.{name}")


def _bar(share: float) -> Html:
    """A bar as long as a share."""
    return element(
        "svg",
        element("rect", width=f"{100 * share:.2f}", height="10"),
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        class_="share",
        aria_hidden="true",
    )


def _about(story: Story, facts: Facts) -> Html:
    header, run = story.header, story.run
    optimizer = header.model.get("optimizer")
    kind = optimizer.get("type") if isinstance(optimizer, Mapping) else optimizer
    told: list[tuple[str, Child | None]] = [
        ("optimizer", _text(kind)),
        ("loss", _text(header.model.get("loss"))),
        ("held_out", known("about.held_out", facts)),
        (
            "split",
            _text(header.split.get("rule")) if isinstance(header.split, Mapping) else None,
        ),
        ("test_samples", known("about.test_samples", facts)),
        ("test", _metrics(run.test) if run.test else None),
        ("seed", known("about.seed", facts)),
        ("engine", _text(run.engine and f"{run.engine.backend}, {run.engine.device}")),
        ("execution", _text(run.engine and f"{run.engine.execution}: {run.engine.reason}")),
        ("versions", _text(", ".join(f"{k} {v}" for k, v in header.versions.items()))),
        ("machine", _text(", ".join(f"{k}: {v}" for k, v in header.machine.items()))),
        ("command", _command(header.arguments)),
        ("data_sha256", _code(header.data.get("sha256"))),
        ("weights_sha256", _code(run.weights_sha256)),
    ]
    rows = [row(phrase(f"about.{name}"), value) for name, value in told if value]
    return section("about", phrase("about.title"), table(None, rows, "about"))


def _metrics(metrics: Mapping[str, float]) -> Html:
    return joined(
        element("span", element("bdi", name), " ", number(f"test.{name}", value), " ")
        for name, value in metrics.items()
    )


def _command(arguments: Sequence[str] | None) -> Html | None:
    return (
        _code(shlex.join(["epochwise", *map(str, arguments)]))
        if arguments is not None
        else None
    )


def _code(value: object) -> Html | None:
    return None if value is None else element("code", element("bdi", str(value)))


def _text(value: object) -> Html | None:
    return None if not value else element("bdi", str(value))
