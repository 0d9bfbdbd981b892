"""One place imports the framework, and one thread."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from newcomer import run_as_newcomer
from programs import ROOT

FRAMEWORKS = {"keras", "jax", "jaxlib", "tensorflow", "torch"}

REFUSING = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
"""No download succeeds, and none takes long to fail."""

WATCHED = """
import sys, threading, time

class Watching:
    threads = set()

    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in {"keras", "jax", "sklearn", "scipy", "pyarrow", "PIL"}:
            cls.threads.add(threading.get_ident())
            time.sleep(0.001)  # another thread, if there is one, goes on

sys.setswitchinterval(1e-5)
sys.meta_path.insert(0, Watching)
from epochwise.cli import main
try:
    main()
finally:
    print("threads that imported:", len(Watching.threads))
"""


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["train", "mnist"], 2, "data set 'mnist' is not in Keras's cache and could not be"),
        (["sweep", "fashion_mnist", "--epochs", "1"], 2, "data set 'fashion_mnist' is not in"),
        (["worth", "--one-pass", "cifar100"], 2, "data set 'cifar100' is not in Keras's cache"),
        (["tune", "table.csv", "--label", "no such"], 2, "no such"),
        (["train", "--iterations", "1", "--quiet"], 0, ""),
    ],
)
def test_l09_no_two_threads_import_at_the_same_time(
    arguments: list[str], code: int, told: str, tmp_path: Path
) -> None:
    """L09: So none sees what another has half imported, however threads take turns."""
    (tmp_path / "table.csv").write_text("a,b\n1,2\n2,3\n")
    text = f"import sys; sys.argv = {['epochwise', *arguments]}\n{WATCHED}"
    done = run_as_newcomer(text, folder=tmp_path, environment=REFUSING, check=False)

    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "partially initialized" not in done.stderr
    assert done.stdout.splitlines()[-1] in {f"threads that imported: {n}" for n in (0, 1)}


def imports_of_frameworks(path: Path) -> set[str]:
    """Return the frameworks that a module imports, by statement or by name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                found |= {alias.name.partition(".")[0] for alias in names}
            case ast.ImportFrom(module=str(module), level=0):
                found.add(module.partition(".")[0])
            case ast.Call(func=function, args=[ast.Constant(value=str(name)), *_]):
                if ast.unparse(function).endswith(("import_module", "__import__")):
                    found.add(name.partition(".")[0])
            case ast.Call(func=function, args=[ast.JoinedStr() as name, *_]):
                if ast.unparse(function).endswith(("import_module", "__import__")):
                    found.add(ast.unparse(name).strip("f'\"").partition(".")[0])
    return found & FRAMEWORKS


def test_l09_one_place_imports_the_framework() -> None:
    """L09: Only code that has a model imports Keras itself; loaders call the one place."""
    source = ROOT / "src" / "epochwise"
    importing = {
        path.relative_to(source).parts[0]
        for path in source.rglob("*.py")
        if imports_of_frameworks(path)
    }

    assert importing <= {"framework", "engines", "models", "callbacks"}


def test_an_import_by_name_is_found(tmp_path: Path) -> None:
    """The search knows the ways in which a module can be imported."""
    path = tmp_path / "loader.py"
    path.write_text(
        "import importlib\nname = 'mnist'\nimportlib.import_module(f'keras.datasets.{name}')\n"
        "def later():\n    from jax import numpy\n    __import__('torch')\n"
    )

    assert imports_of_frameworks(path) == {"keras", "jax", "torch"}
