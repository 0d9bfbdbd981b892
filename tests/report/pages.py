"""Records of staged trainings, and pages read back as a parser sees them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from epochwise.counting.plan import Plan
from epochwise.events import Event
from epochwise.record import Header, Recorder, RunFolder, Tally
from epochwise.report import page, read_story
from staged import FakeClock, events_of, header_of, weights

PLAN = Plan(samples=1_000, batch_size=64, epochs=5)


def keep(
    path: Path,
    *,
    plan: Plan | None = PLAN,
    header: Header | None = None,
    events: Iterable[Event] | None = None,
    closed: bool = True,
    test: dict[str, float] | None = None,
) -> Path:
    """Keep the record of a staged training in a folder and return the folder."""
    tally, clock = Tally(), FakeClock()
    told = events_of(PLAN, updates={"adam": PLAN.iterations}) if events is None else events
    with Recorder(RunFolder.create(path), header or header_of(plan), clock=clock) as recorder:
        for event in told:
            clock.now += 0.3
            tally.on_event(event)
            recorder.on_event(event)
        if closed:
            digest = recorder.write_weights(weights())
            seconds = replace(tally.seconds, total=300.0, importing=1.25, data=0.125)
            recorder.close(tally.run(seconds=seconds, weights_sha256=digest, test=test))
    return path


def page_of(folder: Path) -> str:
    """Return the page of the run in a folder."""
    return page([read_story(folder)])


@dataclass(slots=True)
class ReadPage:
    """What a parser finds in a page: elements, facts and the data of the charts."""

    elements: list[tuple[str, dict[str, str | None]]] = field(default_factory=list)
    facts: dict[str, set[str]] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    text: str = ""

    def chart(self, name: str) -> dict[str, Any]:
        """Return the data of the first run's chart of that name."""
        found: dict[str, Any] = next(
            chart for chart in self.data["runs"][0]["charts"] if chart["id"] == name
        )
        return found

    def series(self, chart: str, colour: str) -> dict[str, Any]:
        """Return the series of a chart that has a colour."""
        found: dict[str, Any] = next(
            one for one in self.chart(chart)["series"] if one["colour"] == colour
        )
        return found


def read_page(markup: str) -> ReadPage:
    """Parse a page as a browser does, as far as `html.parser` goes."""
    found = ReadPage()
    inside = ""  # a script's or style's id or name, while its text is read
    block: list[str] = []

    class Parser(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            attributes = dict(attrs)
            nonlocal inside
            found.elements.append((tag, attributes))
            inside = (attributes.get("id") or tag) if tag in ("script", "style") else ""
            name = attributes.get("data-fact")
            if name is not None:
                found.facts.setdefault(name, set()).add(attributes["value"] or "")

        def handle_endtag(self, tag: str) -> None:
            nonlocal inside
            inside = ""

        def handle_data(self, data: str) -> None:
            if inside == "page-data":
                block.append(data)
            elif not inside:
                found.text += data

    Parser(convert_charrefs=True).feed(markup)
    found.data = json.loads("".join(block))
    return found
