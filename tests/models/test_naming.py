"""A slip in a model's or an optimizer's name is found without importing Keras."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from epochwise.errors import ModelError
from epochwise.models import (
    FromFile,
    FromFunction,
    check_learning_rate,
    check_optimizer,
    parse_model,
)
from epochwise.models.naming import OPTIMIZERS


def test_each_way_to_name_a_model(tmp_path: Path) -> None:
    """A file with a function, a module with one, and a saved model are told apart."""
    script = tmp_path / "net.py"
    script.write_text("import keras\n\ndef small(input_shape, classes):\n    ...\n")
    saved = tmp_path / "net.keras"
    saved.touch()

    assert parse_model(f"{script}:small") == FromFunction(module=script, function="small")
    assert parse_model("os.path:join") == FromFunction(module="os.path", function="join")
    assert parse_model(str(saved)) == FromFile(path=saved)
    assert parse_model(str(saved)).name == "net"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mpl", 'no built-in network .* model="mlp"'),
        ("{}/net.py", "names a file, and no function"),
        ("{}/nat.py:small", r"there is no file .*nat\.py[^$]*net\.py"),
        (
            "{}/net.py:smal",
            r"has no function 'smal'; its functions are small[^$]*net\.py:small",
        ),
        ("{}/broken.py:f", r"broken\.py, line 2: not Python"),
        ("{}/empty.py:f", "has no function 'f' and no other"),
        ("{}/gone.keras", "there is no file"),
        ("no_such_module:f", "finds no module 'no_such_module'"),
        ("no_such.module:f", "finds no module 'no_such.module'"),
        ("", "no built-in network"),
        (":f", "no built-in network"),
    ],
)
def test_a_slip_is_told_with_a_remedy(tmp_path: Path, text: str, message: str) -> None:
    """What is missing is named, and what is near it."""
    (tmp_path / "net.py").write_text("def small(input_shape, classes):\n    ...\n")
    (tmp_path / "broken.py").write_text("x = 1\ndef f(:\n")
    (tmp_path / "empty.py").write_text("x = 1\n")

    with pytest.raises(ModelError, match=f"(?s){message}"):
        parse_model(text.format(tmp_path))


@pytest.mark.parametrize(
    "line", ["f = None", "from os import *", "import os as f", "class f: ...", "if 1:\n  f = 2"]
)
def test_a_name_bound_in_any_way_passes(tmp_path: Path, line: str) -> None:
    """Only a name that the file cannot have is refused before it is run."""
    (tmp_path / "net.py").write_text(line + "\n")

    assert parse_model(f"{tmp_path}/net.py:f").name == "f"


def test_an_unknown_optimizer_is_told_with_those_near() -> None:
    """The remedy names the optimizers that are spelled alike."""
    assert check_optimizer("RMSprop") == "rmsprop"
    with pytest.raises(ModelError, match='use optimizer="adamax" or optimizer="adam" or'):
        check_optimizer("adma")
    with pytest.raises(ModelError, match="use one of them"):
        check_optimizer("zzz")


@pytest.mark.parametrize("rate", [0.0, -0.1, float("nan"), float("inf")])
def test_a_learning_rate_that_trains_nothing_is_refused(rate: float) -> None:
    """Zero, negative and not finite are no learning rates."""
    with pytest.raises(ModelError, match="is no positive number"):
        check_learning_rate(rate)


def test_nothing_of_this_imports_a_framework(tmp_path: Path) -> None:
    """Names are checked, and a user's file looked at, with no framework in memory."""
    (tmp_path / "net.py").write_text("import keras\ndef f(a, b): ...\n")
    script = (
        "import sys; from epochwise.models import parse_model, check_optimizer;"
        "parse_model('net.py:f'); check_optimizer('adam');"
        "print(sorted({'keras', 'jax', 'tensorflow', 'torch'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=os.environ | _path(),
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert answer.stdout.strip() == "[]"


def _path() -> dict[str, str]:
    """Return the search path of this process, for one started elsewhere."""
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def test_the_optimizers_are_those_of_keras() -> None:
    """The names listed without Keras are the ones it has, but for those that wrap others."""
    keras = pytest.importorskip("keras")
    theirs = {
        name.lower()
        for name, kind in vars(keras.optimizers).items()
        if isinstance(kind, type) and issubclass(kind, keras.optimizers.Optimizer)
    }
    wrappers = {"optimizer", "lossscaleoptimizer", "multioptimizer", "optimizermap"}

    assert set(OPTIMIZERS) == theirs - wrappers
