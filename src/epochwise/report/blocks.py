"""Blocks that sections are made of: titles, charts, tables, numbers."""

from __future__ import annotations

from collections.abc import Sequence

from epochwise.report.markup import Child, Html, element
from epochwise.report.phrases import Fact, Facts, number, phrase


def section(name: str, title: Child, *children: Child) -> Html:
    """Return a section under a title.

    Args:
        name: what it is found by, in `data-section`.
        title: text or markup.
        children: what stands below.
    """
    return element("section", element("h2", title), *children, data_section=name)


def paragraph(key: str, facts: Facts | None = None, class_: str | None = None) -> Html:
    """Return a text as a paragraph.

    Args:
        key: of the text.
        facts: what it states.
        class_: how it looks.
    """
    return element("p", phrase(key, facts), class_=class_)


def figure(name: str) -> Html:
    """Return the place where the page's script draws a chart; without one it says so.

    Args:
        name: the chart's `id`.
    """
    return element(
        "figure",
        element("div", class_="plot"),
        element("noscript", paragraph("page.no_script")),
        class_="chart",
        data_chart=name,
    )


def table(
    head: Sequence[Child] | None, rows: Sequence[Html], class_: str | None = None
) -> Html:
    """Return a table that scrolls by itself where the screen is narrow.

    Args:
        head: what stands above each column; `None` for no head.
        rows: its `tr` elements.
        class_: how it looks.
    """
    cells = [element("th", child, scope="col") for child in head or ()]
    return element(
        "div",
        element(
            "table",
            element("thead", element("tr", cells)) if head else "",
            element("tbody", rows),
            class_=class_,
        ),
        class_="scroll",
        tabindex=0,
    )


def row(title: Child, *cells: Child, class_: str | None = None) -> Html:
    """Return a row of a table: what it is about, and its cells."""
    return element(
        "tr",
        element("th", title, scope="row"),
        [element("td", cell) for cell in cells],
        class_=class_,
    )


def cell(name: str, value: Fact | None, style: str | None = None) -> Child:
    """Return a number for a cell; nothing where there is none.

    Args:
        name: of the fact.
        value: the fact.
        style: see `phrases.fact_text`.
    """
    return "" if value is None else number(name, value, style)


def known(name: str, facts: Facts) -> Child:
    """Return a fact where it is known, else nothing."""
    return cell(name, facts.get(name))
