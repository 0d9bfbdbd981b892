"""What is written in two languages says the same: commands, names and numbers are equal."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from epochwise.report.words import catalog

ROOT = Path(__file__).parents[1]
PAIRS = [("README.md", "README.zh-CN.md"), ("docs/glossary.md", "docs/glossary.zh-CN.md")]

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"\s*(?<!\S)#.*")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


def read(name: str) -> str:
    """Return the text of a page."""
    return (ROOT / name).read_text("utf-8")


def blocks(text: str) -> list[str]:
    """Return what is to be typed or was printed, without the remarks of a language."""
    return [COMMENT.sub("", block) for _, block in BLOCK.findall(text)]


def prose(text: str) -> str:
    """Return the rest, without what links lead to."""
    return re.sub(r"\]\([^)]*\)", "]", BLOCK.sub("", text))


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_the_commands_are_equal(english: str, chinese: str) -> None:
    """Every block, line by line, and every name in the prose."""
    assert blocks(read(english)) == blocks(read(chinese))
    codes = [
        Counter(re.findall(r"`([^`]+)`", prose(read(page)))) for page in (english, chinese)
    ]
    assert codes[0] == codes[1]


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_the_numbers_are_equal(english: str, chinese: str) -> None:
    """No figure is changed or left out in one of them."""
    numbers = [Counter(NUMBER.findall(prose(read(page)))) for page in (english, chinese)]

    assert numbers[0] == numbers[1]


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_the_parts_are_equal(english: str, chinese: str) -> None:
    """As many titles, blocks, rows and links in the same order."""
    marks = re.compile(r"^(#+|```|\|)|\]\(", re.MULTILINE)
    shapes = [[mark[0] for mark in marks.finditer(read(page))] for page in (english, chinese)]

    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    ("page", "language"), [("docs/glossary.md", "en"), ("docs/glossary.zh-CN.md", "zh-CN")]
)
def test_the_glossary_is_that_of_the_report(page: str, language: str) -> None:
    """Every word with its meaning, in the same order, in the docs and in the page."""
    rows = re.findall(r"^\| (.*?) \| (.*) \|$", read(page), re.MULTILINE)
    told = [tuple(cell.replace("\\|", "|") for cell in row) for row in rows]
    words = [(word.name, word.meaning) for word in catalog(language).glossary.values()]

    heads = 2
    assert len(told) == len(words) + heads
    assert [row for row in told if row in words] == words


def test_a_number_that_differs_would_be_found() -> None:
    """The comparison sees one digit changed, and a command that is missing."""
    text = read("README.md")

    assert Counter(NUMBER.findall(prose(text))) != Counter(
        NUMBER.findall(prose(text.replace("3.13", "3.14")))
    )
    assert blocks(text) != blocks(text.replace("epochwise watch", "epochwise"))
