"""A page put together: one HTML file that needs nothing but a browser.

Styles and scripts stand in the file itself, and a content security policy names their
digests, so that no other script runs in the page, whatever a record holds.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from typing import Any

from epochwise.report.budget import Budget, budget_of
from epochwise.report.charts import Chart, charts_of, script_words
from epochwise.report.comparing import comparing_charts, comparing_section, swatch
from epochwise.report.evidence_section import evidence_chart
from epochwise.report.facts import facts_of
from epochwise.report.ledger import worth_of
from epochwise.report.markup import Child, Html, data_block, element, joined
from epochwise.report.phrases import Fact, Facts, phrase, word_anchor
from epochwise.report.sections import run_sections, run_title
from epochwise.report.story import Story
from epochwise.report.words import LANGUAGES, catalog

SCRIPTS = ("uPlot.iife.min.js", "charts.js", "page.js")
"""The scripts of a page, in the order in which they run."""

STYLES = ("uPlot.min.css", "page.css")
"""The styles of a page; a later one wins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a page may do, for its `meta` element and a server's header.

    Args:
        live: whether the page may ask the server that it came from for news.
    """

    live: bool = False

    def __str__(self) -> str:
        """Return the value of `Content-Security-Policy`."""
        return "; ".join(
            [
                "default-src 'none'",
                "script-src " + " ".join(_digest(name) for name in SCRIPTS),
                "style-src " + " ".join(_digest(name) for name in STYLES),
                "connect-src 'self'" if self.live else "connect-src 'none'",
                "base-uri 'none'",
                "form-action 'none'",
                "require-trusted-types-for 'script'",
                "trusted-types 'none'",
            ]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """How a page that is served keeps up with its run.

    Args:
        version: of the record that it was made from.
        going: whether the run may still go on.
    """

    version: str
    going: bool


def page(stories: Sequence[Story], *, live: Live | None = None) -> str:
    """Return the page of one run, or of several beside each other.

    Args:
        stories: the runs; at least one.
        live: for a page that asks the server that it came from for news.

    Returns:
        A whole HTML document.

    Raises:
        RunError: there are more runs than a page can show.
    """
    budget = budget_of(len(stories))
    parts = [_part(story, budget) for story in stories]
    runs: list[dict[str, Any]] = [{"charts": part.charts} for part in parts]
    data: dict[str, Any] = {"words": script_words(), "runs": runs, "compared": []}
    if len(parts) == 1:
        (part,) = parts
        main: Child = element("article", part.title, part.sections, data_run=0)
        return _document(part.name, main, data, live=live)
    data["compared"] = comparing_charts(stories, budget)
    several: dict[str, Fact] = {"several.runs": len(parts)}
    main = [
        element("div", element("h1", phrase("run.several", several)), class_="title"),
        comparing_section(stories, [part.facts for part in parts]),
        [
            element(
                "details",
                element("summary", swatch(place), " ", phrase("run.alone", part.facts)),
                element("article", part.title, part.sections, data_run=place),
                class_="run",
            )
            for place, part in enumerate(parts)
        ],
    ]
    return _document(" · ".join(part.name for part in parts[:3]), main, data, live=live)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """What a page holds of one run."""

    name: str
    facts: Facts
    charts: Sequence[Chart]
    title: Html
    sections: Html


def _part(story: Story, budget: Budget) -> _Part:
    ledger = worth_of(story.run)
    facts = facts_of(story, ledger)
    charts = charts_of(story, ledger, facts, budget)
    if story.evidence is not None:
        charts.append(evidence_chart(story.evidence))
    return _Part(
        name=story.name,
        facts=facts,
        charts=charts,
        title=run_title(story, facts),
        sections=joined(run_sections(story, ledger, facts, charts, budget)),
    )


def _document(title: str, main: Child, data: dict[str, Any], *, live: Live | None) -> str:
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element(
            "meta",
            http_equiv="Content-Security-Policy",
            content=str(Policy(live=live is not None)),
        ),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{title} · Epochwise"),
        [Html(f"<style>{_asset(name)}</style>") for name in STYLES],
    )
    body = element(
        "body",
        _bar(),
        _live_note(live) if live is not None else "",
        element("main", main, id="main"),
        _glossary(),
        element("footer", phrase("page.made", {"page.version": _version()})),
        data_block("page-data", data),
        [Html(f"<script>{_asset(name)}</script>") for name in SCRIPTS],
    )
    return f"<!doctype html>\n{element('html', head, body, lang=next(iter(LANGUAGES)))}\n"


def _bar() -> Html:
    """The strip above the page: whose page it is, and the choice of the language."""
    buttons = [
        element("button", name, type="button", lang=language, data_language=language)
        for language, name in LANGUAGES.items()
    ]
    return element(
        "header",
        element("span", "Epochwise", class_="brand"),
        element("div", buttons, class_="languages", role="group", aria_label="Language · 语言"),
        class_="bar",
    )


def _live_note(live: Live) -> Html:
    """Whether the page keeps up with its run; the script changes the state."""
    states = ("going", "ended", "lost")
    return element(
        "p",
        [element("span", phrase(f"live.{state}"), data_when=state) for state in states],
        id="live",
        role="status",
        data_state="going" if live.going else "ended",
        data_version=live.version,
    )


def _glossary() -> Html:
    lists: list[Child] = []
    for language in LANGUAGES:
        entries = [
            element(
                "div",
                element("dt", word.name, id=word_anchor(key, language)),
                element("dd", word.meaning.replace("`", "")),
            )
            for key, word in catalog(language).glossary.items()
        ]
        lists.append(element("dl", entries, class_="glossary", lang=language))
    return element("section", element("h2", phrase("glossary.title")), lists, id="glossary")


@cache
def _asset(name: str) -> str:
    """A style or a script as it stands in a page.

    An HTML parser would end the element at its end tag, and digests are over the text
    with line feeds only; both are checked once.
    """
    written = (resources.files("epochwise.report") / "assets" / name).read_text("utf-8")
    assert "</s" not in written.lower()
    assert "\r" not in written
    return written


@cache
def _digest(name: str) -> str:
    """The digest by which the policy allows a style or a script."""
    digest = hashlib.sha256(_asset(name).encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


def _version() -> str:
    try:
        return metadata.version("epochwise")
    except metadata.PackageNotFoundError:
        return "(source tree)"
