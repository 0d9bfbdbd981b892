"""A run cannot be ended unheard: user code that exits is told as an error."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from batteries import exits
from epochwise.cli import VERBS
from epochwise.errors import ModelError, TrainingError
from epochwise.exits import telling_exits
from newcomer import run_as_newcomer
from programs import ROOT

WAYS = {
    "sys.exit(0)": "called sys.exit(0)",
    "sys.exit()": "called sys.exit()",
    "exit('bye')": "called sys.exit('bye')",
    "raise SystemExit": "called sys.exit()",
    "raise KeyboardInterrupt": "raised KeyboardInterrupt",
    "raise GeneratorExit": "raised GeneratorExit",
}


@pytest.mark.parametrize("way", WAYS)
def test_l14_every_way_to_exit_is_told_with_its_function(way: str, tmp_path: Path) -> None:
    """L14: With the file, the line and the way; `os._exit` alone cannot be told."""
    script = tmp_path / "theirs.py"
    script.write_text(f"import sys\ndef build():\n    {way}\n")
    names: dict[str, Callable[[], None]] = {}
    exec(compile(script.read_text(), str(script), "exec"), names)

    with pytest.raises(TrainingError) as told, telling_exits():
        names["build"]()

    assert f"build {WAYS[way]} (theirs.py, line 3)" in str(told.value)


def test_l14_a_signal_is_no_exit_of_theirs() -> None:
    """L14: Ctrl-C and what another signal's handler raises come through, and handlers stay."""

    def leave(*_: object) -> None:
        sys.exit(3)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        with pytest.raises(KeyboardInterrupt), telling_exits(), telling_exits("a", ModelError):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(SystemExit, match="3"), telling_exits():
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is leave
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)


def test_l14_a_thread_that_is_not_the_main_one_can_tell_too() -> None:
    """L14: Signals are never heard there."""
    told: list[object] = []

    def work() -> None:
        try:
            with telling_exits("loss"):
                sys.exit(0)
        except TrainingError as error:
            told.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert "loss called sys.exit(0) (test_exits.py" in str(told)


@pytest.mark.parametrize(
    ("arguments", "text", "told"),
    [
        (["train", "--model"], "def build(s, c):\n    import sys; sys.exit(0)", "build called"),
        (
            ["tune", "--model"],
            "import sys\nsys.exit(0)\ndef build(s, c): ...",
            "build called sys.exit(0) (net.py",
        ),
        (
            ["sweep", "--batch-size", "32,64", "--epochs", "1", "--model"],
            "def build(s, c):\n    raise KeyboardInterrupt",
            "raised KeyboardInterrupt",
        ),
        (
            ["train", "--epochs", "1", "--model"],
            """
import keras, sys
def crossentropy(y, p):
    sys.exit(0)
def build(s, c):
    model = keras.Sequential([keras.Input(s), keras.layers.Flatten(), keras.layers.Dense(c)])
    model.compile("sgd", crossentropy)
    return model
""",
            "crossentropy called sys.exit(0) (net.py, line 4)",
        ),
    ],
)
def test_l14_a_model_file_that_exits_is_an_error_of_the_command(
    arguments: list[str], text: str, told: str, tmp_path: Path
) -> None:
    """L14: When it is imported, its function called or its loss: exit code 2."""
    (tmp_path / "net.py").write_text(text)

    done = run_as_newcomer([*arguments, "net.py:build"], folder=tmp_path, check=False)

    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_l14_what_fit_is_given_cannot_end_the_script() -> None:
    """L14: A generator, a callback, a loss, a metric, a layer, a `PyDataset` in a thread."""
    done = run_as_newcomer(
        """
        import sys
        import epochwise
        import keras
        import numpy as np

        x, y = np.ones((64, 2), "float32"), np.ones((64, 1), "float32")

        def leave(*_, **__):
            sys.exit(0)

        def batches():
            yield x, y
            leave()

        class Leaving(keras.callbacks.Callback):
            def __init__(self, hook):
                super().__init__()
                setattr(self, hook, leave)

        class Layer(keras.layers.Layer):
            def call(self, inputs):
                leave()

        class Numbered(keras.utils.PyDataset):
            def __len__(self):
                return 3
            def __getitem__(self, number):
                leave()

        def network(*layers, loss="mse", metrics=(), **options):
            model = keras.Sequential([keras.Input((2,)), *layers, keras.layers.Dense(1)])
            model.compile("sgd", loss, metrics=[*metrics], **options)
            return model

        def trains(model, *data, **arguments):
            return lambda: epochwise.fit(model, *data, verbose=0, **arguments)

        def built():
            leave()

        def ways():
            yield trains(network(), batches)
            yield trains(network(), Numbered(workers=2))
            for hook in "train_begin", "train_batch_end", "epoch_end", "train_end":
                yield trains(network(), x, y, callbacks=[Leaving(f"on_{hook}")])
            yield trains(network(loss=leave), x, y)
            yield trains(network(metrics=[leave]), x, y)
            yield trains(network(loss=leave, run_eagerly=True), x, y)
            yield lambda: epochwise.sweep(built, x, y, batch_sizes=[4], epochs=1)
            yield lambda: epochwise.one_pass(built, x, y, batch_size=1, seeds=3)
            yield lambda: epochwise.tune(network(loss=leave), x, y, seconds=1, sizes=[4])

        for number, way in enumerate(ways()):
            try:
                way()
            except epochwise.EpochwiseError as error:
                assert "called sys.exit(0) (script.py, line 10)" in str(error), error
                continue
            print("not told:", number)
        print("all told")
        """
    )

    assert done.stdout == "all told\n", done.stdout + done.stderr


def test_ctrl_c_while_the_framework_is_imported_ends_with_130(tmp_path: Path) -> None:
    """It is the user's, not an exit of the model file that is run meanwhile."""
    (tmp_path / "net.py").write_text(
        "import os, signal\ndef build(s, c):\n    os.kill(os.getpid(), signal.SIGINT)\n"
    )

    done = run_as_newcomer(["train", "--model", "net.py:build"], folder=tmp_path, check=False)

    assert done.returncode == 130
    assert "sys.exit" not in done.stderr


def test_l11_mistakes_of_every_verb_end_with_2_and_a_remedy() -> None:
    """L11: Never with a signal; `make batteries` makes 500 of them beside busy loops."""
    verbs, wrong = exits.make(24, at_once=2)

    assert wrong == []
    assert set(VERBS) <= set(verbs)
    assert verbs["named data sets"] >= 4


def test_l11_the_interpreter_waits_for_every_thread_of_ours() -> None:
    """L11: One that computes while the interpreter ends is unwound, and C++ aborts."""
    sources = (ROOT / "src" / "epochwise").rglob("*.py")

    assert [path.name for path in sources if "daemon=True" in path.read_text("utf-8")] == []
