"""All languages of the page say the same with the same numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from epochwise.report.words import LANGUAGES, catalog

SOURCES = Path(__file__).parents[2] / "src" / "epochwise" / "report"
FACT = re.compile(r"\{[^}]*\}")
WORD = re.compile(r"\[(?:[^\]|]+\|)?([^\]|]+)\]")
CODE = re.compile(r"`[^`]+`")
OTHERS = [language for language in LANGUAGES if language != "en"]


@pytest.mark.parametrize("language", OTHERS)
def test_a_language_has_the_texts_and_words_of_english(language: str) -> None:
    """No sentence is missing in one of them."""
    assert list(catalog(language).texts) == list(catalog("en").texts)
    assert list(catalog(language).glossary) == list(catalog("en").glossary)


@pytest.mark.parametrize("language", OTHERS)
@pytest.mark.parametrize("key", catalog("en").texts)
def test_a_text_has_the_same_facts_and_code_in_a_language(language: str, key: str) -> None:
    """Each number of the English sentence is in the other one, in the same style."""
    texts = [catalog(one).texts[key] for one in ("en", language)]

    for pattern in (FACT, CODE):
        english, other = (sorted(pattern.findall(text)) for text in texts)
        assert english == other


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_link_leads_to_a_word_of_the_glossary(language: str) -> None:
    """A word that is linked is explained."""
    found = catalog(language)
    linked = {word for text in found.texts.values() for word in WORD.findall(text)}

    assert linked
    assert linked <= found.glossary.keys()


@pytest.mark.parametrize("key", catalog("en").texts)
def test_every_text_is_used(key: str) -> None:
    """No sentence stays behind when nothing says it any more."""
    table, name = key.split(".")
    written = "".join(path.read_text("utf-8") for path in SOURCES.glob("*.py"))

    whole = f'"{key}"' in written
    if table == "seconds":
        name = name if name == "other" else "to_json"  # the parts of a run's seconds
    begun = re.findall(rf'f"{table}\.(\w*)\{{', written)
    parts = any(
        name.startswith(begin) and re.search(rf"\b{name[len(begin) :]}\b", written)
        for begin in begun
    )
    assert whole or parts
