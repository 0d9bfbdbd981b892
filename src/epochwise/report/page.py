"""A page put together: one HTML file that needs nothing but a browser.

Styles and scripts stand in the file itself, and a content security policy names their
digests, so that no other script runs in the page, whatever a record holds.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import metadata, resources
from typing import Any

from epochwise.report.charts import charts_of, script_words
from epochwise.report.facts import facts_of
from epochwise.report.ledger import worth_of
from epochwise.report.markup import Child, Html, data_block, element, joined
from epochwise.report.phrases import phrase, word_anchor
from epochwise.report.sections import run_sections
from epochwise.report.story import Story
from epochwise.report.words import LANGUAGES, catalog

SCRIPTS = ("uPlot.iife.min.js", "page.js")
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


def page(story: Story) -> str:
    """Return the page of one run.

    Args:
        story: the run.

    Returns:
        A whole HTML document.
    """
    found = worth_of(story.run)
    facts = facts_of(story, found)
    facts["page.version"] = _version()
    charts = charts_of(story, found, facts)
    main = joined(run_sections(story, found, facts, charts))
    return _document(story.name, main, {"words": script_words(), "runs": [{"charts": charts}]})


def _document(title: str, main: Html, data: dict[str, Any], *, live: bool = False) -> str:
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=str(Policy(live=live))),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{title} · Epochwise"),
        [Html(f"<style>{_asset(name)}</style>") for name in STYLES],
    )
    body = element(
        "body",
        _bar(),
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
