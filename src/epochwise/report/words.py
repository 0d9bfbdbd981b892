"""The words of the page, in every language it speaks.

A text is a template: `{fact}` is replaced by a number or a name of the run, `{fact:style}`
by the same in a style of `phrases`, `[word]` and `[shown|word]` link to the glossary, and
`` `code` `` is something to type. The languages say the same with the same facts; a test
holds them to it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

LANGUAGES: Mapping[str, str] = {"en": "English", "zh-CN": "中文"}
"""The languages by their code, each under its own name; the first is the default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """A word of the glossary.

    Args:
        name: as it is written in the language.
        meaning: what it means, as Markdown of one line.
    """

    name: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """All words of one language.

    Args:
        texts: templates by key, `relate.counts`.
        glossary: its words by their English name, in the order to show them.
    """

    texts: Mapping[str, str]
    glossary: Mapping[str, Word]


@cache
def catalog(language: str) -> Catalog:
    """Return the words of a language.

    Args:
        language: a key of `LANGUAGES`.

    Example:
        >>> catalog("zh-CN").texts["loss.title"]
        '损失'
    """
    file = resources.files("epochwise.report") / "languages" / f"{language}.toml"
    tables: dict[str, dict[str, Any]] = tomllib.loads(file.read_text(encoding="utf-8"))
    words = tables.pop("word")
    return Catalog(
        texts={
            f"{table}.{name}": text
            for table, texts in tables.items()
            for name, text in texts.items()
        },
        glossary={word: Word(**written) for word, written in words.items()},
    )
