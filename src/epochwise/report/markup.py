"""HTML put together from elements, so that no text of a record can become markup.

A child that is a plain `str` is text and is escaped; only an `Html`, which nothing but
this module makes, goes in as it is.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

Child: TypeAlias = "str | Html | Iterable[Child]"
"""Text, markup, or several of both."""

_VOID = frozenset({"meta", "br", "hr", "input", "col"})
"""Elements that have no end tag."""

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Control characters, the ones that turn the direction of writing, and half characters."""


@dataclass(frozen=True, slots=True)
class Html:
    """Markup that is safe to put into a page as it is."""

    markup: str

    def __str__(self) -> str:
        """Return the markup."""
        return self.markup


def text(value: str) -> Html:
    """Return text as markup that shows it, whatever it holds.

    Example:
        >>> print(text("<b>&"))
        &lt;b&gt;&amp;
    """
    return Html(html.escape(shown(value)))


def shown(value: str) -> str:
    """Return text with what cannot be seen replaced by the sign for that, U+FFFD.

    Example:
        >>> shown("safe\u202egnp.exe") == "safe\ufffdgnp.exe"
        True
    """
    return _UNSEEN.sub("\ufffd", value)


def element(tag: str, *children: Child, **attributes: str | int | bool | None) -> Html:
    """Return one element.

    Args:
        tag: its name, from our own code.
        children: text, markup, or iterables of both.
        attributes: a `_` in a name becomes `-`, and one at its end is left out, so that
            `class_` can be written; true stands alone, false and `None` are left out.

    Example:
        >>> print(element("p", "1 < 2", element("br"), class_="note", hidden=True))
        <p class="note" hidden>1 &lt; 2<br></p>
    """
    written = "".join(
        f" {name.rstrip('_').replace('_', '-')}"
        + ("" if value is True else f'="{html.escape(shown(str(value)))}"')
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    if tag in _VOID:
        return Html(f"<{tag}{written}>")
    return Html(f"<{tag}{written}>{joined(children)}</{tag}>")


def joined(children: Iterable[Child]) -> Html:
    """Return children one after the other, text escaped."""
    parts = []
    for child in children:
        if isinstance(child, Html):
            parts.append(child.markup)
        elif isinstance(child, str):
            parts.append(text(child).markup)
        else:
            parts.append(joined(child).markup)
    return Html("".join(parts))


def data_block(name: str, value: Mapping[str, object]) -> Html:
    r"""Return a block of JSON that a script of the page reads and that never runs.

    Args:
        name: its `id`.
        value: what JSON has.

    Example:
        >>> print(data_block("d", {"run": "</script>"}))
        <script type="application/json" id="d">{"run":"\u003c/script\u003e"}</script>
    """
    written = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        written = written.replace(character, f"\\u{ord(character):04x}")
    return Html(f'<script type="application/json" id="{html.escape(name)}">{written}</script>')
