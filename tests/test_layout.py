"""What has to be touched to add a part is what docs/design.md says, and nothing grows on."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from programs import ROOT

PACKAGE = ROOT / "src" / "epochwise"

RULE = '''
"""Stop after the first evaluation."""
from dataclasses import dataclass
from epochwise.events import StopReason
from epochwise.rules.base import NoMemory, Seen


@dataclass(frozen=True, slots=True)
class Once:
    metric: str

    name = "once"

    @property
    def metrics(self):
        return (self.metric,)

    def start(self):
        return NoMemory()

    def update(self, memory, seen):
        ends = self.metric in seen.metrics
        return memory, StopReason(rule="once", sentence="It was seen.") if ends else None
'''

EVENT = '''
@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """Somebody looked."""

    position: Position
    values: Mapping[str, float]


Event: TypeAlias = (
    Looked
    | RunBegun
'''

VERB = '''
import typer

app = typer.Typer(add_completion=False)


@app.command()
def hello() -> None:
    """Say hello."""
    print("hello")
'''

SHOWN = """
import json, math
from epochwise.events import Looked
from epochwise.counting.position import START
from epochwise.record.codec import event_of_row, event_row
from epochwise.record.jsontext import json_text
from epochwise.rules import rule_from_json, rule_to_json, Once
event = Looked(position=START, values={"loss": math.inf})
read = event_of_row(json.loads(json_text(event_row(event))), None)
rule = Once("val_loss")
print(json.dumps([read == event, rule_from_json(rule_to_json(rule)) == rule]))
"""


def replaced(path: Path, old: str, new: str) -> None:
    """Put a text in place of another, which must be there."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package, to be changed."""
    shutil.copytree(PACKAGE, tmp_path / "epochwise", ignore=shutil.ignore_patterns("*.pyc"))
    return tmp_path / "epochwise"


def run(copy: Path, *arguments: str) -> str:
    """Run Python with the copy, and return what it prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=copy.parent,
        env={"PYTHONPATH": str(copy.parent), "PATH": "/usr/bin:/bin", "HOME": str(copy.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_rule_an_event_and_a_verb_are_added_in_the_files_that_design_names(
    copy: Path,
) -> None:
    """Two files for a rule, one for an event in the record, two for a verb."""
    (copy / "rules" / "once.py").write_text(RULE.lstrip(), encoding="utf-8")
    replaced(
        copy / "rules" / "__init__.py",
        "from epochwise.rules.patience",
        "from epochwise.rules.once import Once\nfrom epochwise.rules.patience",
    )
    replaced(copy / "events.py", "Event: TypeAlias = (\n    RunBegun\n", EVENT.lstrip() + "")
    (copy / "cli" / "hello.py").write_text(VERB.lstrip(), encoding="utf-8")
    replaced(
        copy / "cli" / "__init__.py",
        '    "plan": "epochwise.cli.plan",\n',
        '    "plan": "epochwise.cli.plan",\n    "hello": "epochwise.cli.hello",\n',
    )

    assert json.loads(run(copy, "-c", SHOWN)) == [True, True]
    assert run(copy, "-m", "epochwise", "hello") == "hello\n"


def test_the_house_of_the_design_page_is_the_house() -> None:
    """Every room that the design page draws is there, in the order of the layers, alone."""
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    drawn = re.findall(r"^([a-z_]+)/? {2,}", page.split("```")[1], flags=re.MULTILINE)
    told = (ROOT / ".importlinter").read_text(encoding="utf-8")
    layers = told.split("layers =\n")[1].split("\n\n")[0].split()
    there = {
        path.stem
        for path in PACKAGE.iterdir()
        if path.suffix == ".py" or (path / "__init__.py").exists()
    }

    assert drawn == [name for name in layers if name != "__main__"]
    assert set(layers) == there - {"__init__"}
