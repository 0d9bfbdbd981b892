"""A record that somebody else wrote, or damaged, makes a page or a sentence, never a crash."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hostile import keep_hostile
from hypothesis import given, settings
from hypothesis import strategies as st
from pages import page_of, read_page

from epochwise.errors import RunError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=4,
)

FILES = ("run.json", "events.jsonl", "advice.json", "series.json")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with everything that a page may show."""
    return keep_hostile(tmp_path_factory.mktemp("runs"), "plain")


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value inside a value."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, item in value.items():
            found += places(item, (*path, key))
    if isinstance(value, list):
        for number, item in enumerate(value):
            found += places(item, (*path, number))
    return found


def put(value: Any, path: tuple[Any, ...], new: Any) -> None:
    """Replace the value at a path."""
    for key in path[:-1]:
        value = value[key]
    value[path[-1]] = new


@settings(max_examples=150)
@given(st.sampled_from(("run.json", "events.jsonl", "advice.json")), st.data())
def test_any_value_may_be_something_else(
    folder: Path, tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    """Of another type, negative, huge, nested: there is a page, or an error with a remedy."""
    copy = tmp_path_factory.mktemp("copy") / "run"
    shutil.copytree(folder, copy)
    lines = (copy / name).read_text("utf-8").splitlines() if name.endswith("l") else []
    place = data.draw(st.integers(0, len(lines) - 1)) if lines else 0
    told = json.loads(lines[place] if lines else (copy / name).read_text("utf-8"))
    put(told, data.draw(st.sampled_from(places(told))), data.draw(JSON))
    if lines:
        lines[place] = json.dumps(told)
        (copy / name).write_text("\n".join(lines) + "\n", "utf-8")
    else:
        (copy / name).write_text(json.dumps(told), "utf-8")

    with suppress(RunError):  # which cannot be without a remedy
        markup = page_of(copy)
        assert read_page(markup).data["runs"]
        markup.encode("utf-8")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000])
def test_a_file_that_is_none_of_ours_is_no_crash(
    folder: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    """Emptied, cut off, of another shape or nested without end."""
    shutil.copytree(folder, tmp_path / "run")
    (tmp_path / "run" / name).write_bytes(content)

    if name == "run.json":
        with pytest.raises(RunError, match="Remedy"):
            page_of(tmp_path / "run")
    else:
        assert read_page(page_of(tmp_path / "run")).data["runs"]


def test_a_series_is_read_from_the_runs_own_folder_only(folder: Path, tmp_path: Path) -> None:
    """A description that points elsewhere is not followed."""
    shutil.copytree(folder, tmp_path / "run")
    header = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    header["plan"] = None
    (tmp_path / "run" / "run.json").write_text(json.dumps(header), "utf-8")
    (tmp_path / "secret.u32").write_bytes(b"\x07\x00\x00\x00" * 80)
    series = [{"name": "batch_size", "file": "../../secret.u32", "dtype": "<u4"}]
    (tmp_path / "run" / "series.json").write_text(json.dumps({"series": series}), "utf-8")

    read = read_page(page_of(tmp_path / "run"))

    assert read.facts["ledger.16.samples"] != {str(16 * 7)}
