"""Names in a record are text: none of them runs, and none changes the page's structure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hostile import PAYLOADS, keep_hostile
from pages import page_of, read_page

from epochwise.report.markup import shown

STRUCTURE = """() => [...document.querySelectorAll("body *")].map((e) =>
  [e.localName, ...e.getAttributeNames().filter((name) => name !== "style")].join(" "))"""

WATCHED = """
  window.hits = [];
  window.hit = (from) => window.hits.push(String(from));
  window.violations = [];
  document.addEventListener("securitypolicyviolation", (event) =>
    window.violations.push(event.violatedDirective + " " + event.blockedURI));
"""


def structure(markup: str) -> list[tuple[str, list[str]]]:
    """Return the elements of a page with the names of their attributes."""
    return [(tag, sorted(attributes)) for tag, attributes in read_page(markup).elements]


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page of a run whose every name is a plain word."""
    return page_of(keep_hostile(tmp_path_factory.mktemp("harmless"), "plain"))


def test_there_are_sixty_payloads() -> None:
    """Each of them another one."""
    assert len(set(PAYLOADS)) == len(PAYLOADS) == 60


@pytest.mark.parametrize("place", range(len(PAYLOADS)))
def test_a_payload_everywhere_changes_no_element(
    tmp_path: Path, harmless: str, place: int
) -> None:
    """The page has the elements and attributes of a page with harmless names, one by one."""
    markup = page_of(keep_hostile(tmp_path, PAYLOADS[place]))

    assert structure(markup) == structure(harmless)
    markup.encode("utf-8")


@pytest.mark.slow
def test_no_payload_runs_in_a_browser(chromium: Any, tmp_path: Path, harmless: str) -> None:
    """60 pages opened: nothing ran, nothing was blocked or fetched, the charts are there."""
    page = chromium.new_context(locale="en-GB").new_page()
    page.add_init_script(WATCHED)
    asked: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("dialog", lambda dialog: errors.append(dialog.message))
    file = tmp_path / "page.html"

    def opened(markup: str) -> list[str]:
        file.write_text(markup, "utf-8")
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-drawn]")
        found: list[str] = page.evaluate(STRUCTURE)
        return found

    usual = opened(harmless)
    for payload in PAYLOADS:
        assert opened(page_of(keep_hostile(tmp_path, payload))) == usual, payload
        assert page.evaluate("[hits, violations]") == [[], []], payload
        texts = page.evaluate("[...document.querySelectorAll('bdi')].map((e) => e.textContent)")
        assert shown(payload) in texts, payload
        assert page.evaluate("epochwise.drawn.size") == 7
    page.context.close()
    assert set(asked) == {file.as_uri()}
    assert errors == []


def test_the_watch_would_see_a_script_that_runs(chromium: Any, tmp_path: Path) -> None:
    """The same page without escaping and policy is hit: the test above can fail."""
    page = chromium.new_page()
    page.add_init_script(WATCHED)
    file = tmp_path / "page.html"
    file.write_text(f"<h1>{PAYLOADS[4]}{PAYLOADS[0]}</h1>", "utf-8")

    page.goto(file.as_uri())
    page.wait_for_function("hits.length === 2")

    assert sorted(page.evaluate("hits")) == ["i", "s"]
    page.close()
