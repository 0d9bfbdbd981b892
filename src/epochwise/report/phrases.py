"""Templates filled with facts: markup in which every number can be read back.

A fact appears as `<data value="938" data-fact="plan.iterations_per_epoch">938</data>`: what
people read is rounded, the value is exact.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import TypeAlias

from epochwise.report.markup import Html, element, joined, text
from epochwise.report.words import LANGUAGES, catalog
from epochwise.terminal.progress import number_text, seconds_text

Fact: TypeAlias = "int | float | str | Fraction"
"""A number or a name of a run."""

Facts: TypeAlias = Mapping[str, Fact]
"""What is known of a run, by dotted names such as `plan.batch_size`."""

_PARTS = re.compile(
    r"\{(?P<fact>[a-z0-9_.]+)(?::(?P<style>[a-z]+))?\}"
    r"|\[(?:(?P<shown>[^\]|]+)\|)?(?P<word>[^\]|]+)\]"
    r"|`(?P<code>[^`]+)`"
)


def phrase(key: str, facts: Facts | None = None) -> Html:
    """Return a text in all languages, of which the page shows one.

    Args:
        key: of the template.
        facts: what its `{facts}` are.

    Raises:
        KeyError: there is no such text, or it names a fact that is not given.
    """
    return joined(
        element("span", filled(key, language, facts or {}), lang=language)
        for language in LANGUAGES
    )


def filled(key: str, language: str, facts: Facts) -> Html:
    """Return a text in one language as markup; see `phrase`."""
    template = catalog(language).texts[key]
    parts: list[str | Html] = []
    end = 0
    for match in _PARTS.finditer(template):
        parts.append(template[end : match.start()])
        end = match.end()
        if match["fact"]:
            name = match["fact"]
            parts.append(number(name, facts[name], match["style"]))
        elif match["code"]:
            parts.append(element("code", match["code"]))
        else:
            parts.append(_word_link(match["word"], match["shown"], language))
    return joined([*parts, template[end:]])


def plain(key: str, language: str, facts: Facts | None = None) -> str:
    """Return a text in one language without markup, for charts and for `title`."""

    def shown(match: re.Match[str]) -> str:
        if match["fact"]:
            return fact_text((facts or {})[match["fact"]], match["style"])
        return match["code"] or match["shown"] or match["word"]

    return _PARTS.sub(shown, catalog(language).texts[key])


def number(name: str, value: Fact, style: str | None = None) -> Html:
    """Return a fact as people read it, with its name and its exact value.

    Args:
        name: of the fact.
        value: the fact.
        style: see `fact_text`.

    Example:
        >>> print(number("plan.samples", 60_000))
        <data value="60000" data-fact="plan.samples">60,000</data>
    """
    shown: Html | str = fact_text(value, style)
    if isinstance(value, str):
        shown = element("bdi", value)
    return element("data", shown, value=exact(value), data_fact=name)


def exact(value: Fact) -> str:
    """Return a fact as text that loses nothing.

    Example:
        >>> exact(0.1), exact(Fraction(5, 2)), exact(3)
        ('0.1', '5/2', '3')
    """
    return repr(value) if isinstance(value, float) else str(value)


def fact_text(value: Fact, style: str | None = None) -> str:
    """Return a fact as people read it.

    Args:
        value: the fact.
        style: `percent`, `seconds`, `signed`, `times` (one decimal), `bytes`, or `None` for
            what its type suggests.

    Example:
        >>> fact_text(60_000), fact_text(0.97531), fact_text(0.25, "percent")
        ('60,000', '0.9753', '25%')
    """
    if isinstance(value, str):
        return value
    if style == "percent":
        return _percent(float(value))
    if style == "times":
        return f"{float(value):.1f}"
    if style == "seconds":
        return _seconds_text(float(value))
    if style == "bytes":
        return _bytes_text(float(value))
    sign = "+" if style == "signed" and value >= 0 else ""
    if isinstance(value, Fraction):
        return str(value)
    if isinstance(value, int):
        return f"{sign}{value:,}"
    return sign + number_text(value)


def _seconds_text(seconds: float) -> str:
    """A duration, in milliseconds where it is short."""
    return f"{1000 * seconds:.3g} ms" if 0 < seconds < 0.1 else seconds_text(seconds)


def _bytes_text(size: float) -> str:
    """A size in the largest unit that it fills."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _percent(share: float) -> str:
    """A share in percent; one decimal where it is small or nearly all."""
    percent = 100 * share
    if 1 <= percent <= 99 and abs(percent - round(percent)) < 0.5:
        return f"{percent:.0f}%"
    return f"{percent:.2g}%" if percent < 1 else f"{percent:.1f}%"


def _word_link(word: str, shown: str | None, language: str) -> Html:
    """A word of the glossary: its meaning on hover, its entry on a click."""
    found = catalog(language).glossary[word]
    return element(
        "a",
        text(shown or word),
        class_="word",
        href=f"#{word_anchor(word, language)}",
        title=re.sub("`", "", found.meaning),
    )


def word_anchor(word: str, language: str) -> str:
    """Return the `id` of a word's entry.

    Example:
        >>> word_anchor("batch size", "en")
        'word-batch-size-en'
    """
    return f"word-{word.replace(' ', '-')}-{language}"
