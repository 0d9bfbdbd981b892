"""`import epochwise` has Keras use an installed backend, and the user's where there is one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from epochwise.framework import BACKENDS, _is_installed
from newcomer import run_as_newcomer

INSTALLED = [name for name in BACKENDS if _is_installed(name)]
TOLD = "print(keras.config.backend())"

FIT = """
import epochwise
import keras
import numpy as np
model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
model.compile("sgd", "mse")
run = epochwise.fit(model, np.ones((8, 2)), np.ones(8), verbose=0)
print(keras.config.backend(), run.position.iterations_done)
"""


def test_l10_a_script_trains_twice_on_the_same_backend_in_an_empty_home(
    tmp_path: Path,
) -> None:
    """L10: Keras writes "tensorflow" into its file meanwhile, which nobody chose."""
    told = [run_as_newcomer(FIT, home=tmp_path).stdout for _ in range(2)]

    assert told == [f"{INSTALLED[0]} 1\n"] * 2
    written = json.loads((tmp_path / ".keras" / "keras.json").read_text(encoding="utf-8"))
    assert written["backend"] == "tensorflow"


@pytest.mark.parametrize("backend", BACKENDS)
def test_l10_the_users_choice_counts(backend: str, tmp_path: Path) -> None:
    """L10: Of `KERAS_BACKEND`, of Keras's file and of Keras, whichever comes first."""
    if backend not in INSTALLED:
        pytest.skip(f"{backend} is not installed; pip install 'epochwise[{backend}]'")
    (tmp_path / ".keras").mkdir()
    (tmp_path / ".keras" / "keras.json").write_text(json.dumps({"backend": backend}))
    others = [name for name in INSTALLED if name != backend]
    code = f"import epochwise, keras; {TOLD}"
    by_file = run_as_newcomer(code, home=tmp_path)
    by_name = run_as_newcomer(code, environment={"KERAS_BACKEND": backend})
    by_keras = run_as_newcomer(
        f"import keras, epochwise; import epochwise.framework as f; f.select_backend(); {TOLD}",
        environment={"KERAS_BACKEND": backend},
    )
    assert [done.stdout for done in (by_file, by_name, by_keras)] == [f"{backend}\n"] * 3
    for other in others[:1]:
        done = run_as_newcomer(code, home=tmp_path, environment={"KERAS_BACKEND": other})
        assert done.stdout == f"{other}\n"


@pytest.mark.parametrize("text", ['{"backend": "theano"}', '{"backend": 3}', "[]", "{", ""])
def test_l10_a_file_that_names_no_installed_backend_chooses_none(
    text: str, tmp_path: Path
) -> None:
    """L10: It is as if it were not there."""
    home = tmp_path / "keras"
    home.mkdir()
    (home / "keras.json").write_text(text)
    code = "import epochwise, os; print(os.environ['KERAS_BACKEND'])"

    done = run_as_newcomer(code, environment={"KERAS_HOME": str(home)})

    assert done.stdout == f"{INSTALLED[0]}\n"


def test_l10_after_an_import_of_keras_that_failed_the_next_succeeds() -> None:
    """L10: In a notebook, where the first cell imported Keras without a backend chosen."""
    done = run_as_newcomer(
        """
        import sys
        sys.modules["tensorflow"] = None
        try:
            import keras
        except ImportError as error:
            print("tensorflow" in str(error))
        import epochwise
        import keras
        print(keras.config.backend())
        """
    )

    assert done.stdout == f"True\n{next(n for n in INSTALLED if n != 'tensorflow')}\n"


@pytest.mark.parametrize(
    ("backend", "problem"),
    [("numpy", "The backend 'numpy' of Keras cannot train"), ("tensorflow", "not installed")],
)
def test_l10_a_backend_that_cannot_train_is_refused(backend: str, problem: str) -> None:
    """L10: On the command line: with the setting, and what to do about it."""
    if backend in INSTALLED:
        pytest.skip(f"{backend} is installed")

    done = run_as_newcomer(["train"], environment={"KERAS_BACKEND": backend}, check=False)

    assert done.returncode == 2
    assert problem in done.stderr
    assert "unset" in done.stderr
