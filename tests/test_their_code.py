"""What the user's own code raises inside a run, where users work."""

from __future__ import annotations

from pathlib import Path

from newcomer import run_as_newcomer

THEIRS = """\
import epochwise
import keras
import numpy as np

X, Y = np.ones((8, 3), "float32"), np.zeros((8, 1), "float32")


class Odd(Exception):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")


def failing(*_):
    raise Odd("one", "two")  # line 14


class FailingLoss(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return failing(y_true)


class FailingMetric(keras.metrics.Metric):
    def update_state(self, y_true, y_pred, sample_weight=None):
        failing()

    def result(self):
        return 0.0


class FailingLayer(keras.layers.Layer):
    def call(self, x):
        return failing(x)


class FailingCallback(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        failing()


def model(loss="mse", metrics=None, eager=False, layer=None):
    layers = [keras.Input((3,)), keras.layers.Dense(1)]
    made = keras.Sequential(layers if layer is None else [keras.layers.Dense(1), layer])
    made.compile("sgd", loss, metrics=metrics, run_eagerly=eager)
    return made


def net(input_shape, classes):
    x = keras.Input(input_shape)
    made = keras.Model(x, keras.layers.Dense(classes)(keras.layers.Flatten()(x)))
    made.compile("sgd", FailingLoss())
    return made


def two(loss, metrics=None):
    x = keras.Input((3,))
    outputs = [keras.layers.Dense(1, name=name)(x) for name in ("p", "q")]
    made = keras.Model(x, outputs)
    made.compile("sgd", loss, metrics=metrics)
    return made
"""

TOLD = """
import sys, traceback
from theirs import *

def told(model, **arguments):
    try:
        epochwise.fit(model, X, arguments.pop("y", Y), verbose=0, **arguments)
    except Exception as error:
        return error

for eager in (False, True):
    for failing_model in (
        model(FailingLoss(), eager=eager),
        model(failing, eager=eager),
        model(metrics=[FailingMetric()], eager=eager),
        model(layer=FailingLayer(), eager=eager),
    ):
        error = told(failing_model)
        text = "".join(traceback.format_exception(error))
        assert type(error) is Odd and str(error) == "one and two", text
        assert 'theirs.py", line 14, in failing' in text, text
        assert "features of shape (3,) with targets of shape (1,)" in text, text
    error = told(model(eager=eager), callbacks=[FailingCallback()], run_dir=f"run-{eager}")
    assert type(error) is Odd and not hasattr(error, "__notes__"), error
    run = epochwise.resume(f"run-{eager}", model(eager=eager), X, Y, verbose=0)
    assert run.position.epochs_done == 1

try:
    raise failing()
except Odd:  # what was being handled before is not taken for what the network raised
    error = told(two({"p": "mse", "nobody": "mse"}), y=[Y, Y])
assert type(error).__name__ == "ModelError", repr(error)
assert "Expected keys ['p', 'q'] in loss dict, but found" in str(error), error
assert "by the names of its outputs ('p', 'q')" in str(error), error
error = told(two("mse", {"nobody": "mae"}), y=[Y, Y])
assert type(error).__name__ == "ModelError" and "nobody" in str(error), repr(error)
error = told(model("categorical_crossentropy"), y=np.zeros((8, 2)))
assert "must have the same shape" in str(error) and "outputs fit" in str(error), error
"""


def test_l25_what_their_code_raises_comes_through_and_a_wrong_key_in_keras_words(
    tmp_path: Path,
) -> None:
    """L25: class, text and place are kept, with what was tried; callbacks add no word."""
    (tmp_path / "theirs.py").write_text(THEIRS, encoding="utf-8")
    script = tmp_path / "told.py"
    script.write_text(TOLD, encoding="utf-8")

    run_as_newcomer(script, folder=tmp_path)


def test_l25_the_command_line_names_class_and_place_and_ends_with_2(tmp_path: Path) -> None:
    """L25: no trace of ours, no word about samples that do not fit."""
    (tmp_path / "theirs.py").write_text(THEIRS, encoding="utf-8")

    done = run_as_newcomer(
        ["train", "digits", "--model", "theirs.py:net"], folder=tmp_path, check=False
    )

    assert done.returncode == 2
    assert "failing raised Odd: one and two (theirs.py, line 14)." in done.stderr
    assert "Traceback" not in done.stderr
