"""L01: a network that was changed between two processes is noticed when its run goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from newcomer import run_as_newcomer

NETWORK = '''
import keras

layers = keras.layers
FACTOR = 2.0


@keras.saving.register_keras_serializable()
class Scaled(layers.Layer):
    """Multiplies."""

    def __init__(self, gain, **others):
        super().__init__(**others)
        self.gain = gain

    def call(self, x):
        return self.gain * x


class Untold(layers.Layer):
    def __init__(self, gain, held):
        super().__init__()
        self.gain, self.held = gain, held

    def call(self, x):
        return self.gain * x + 0.0


def helper(x):
    return x * FACTOR


def twice(x):
    return helper(x)


def loss(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


class Block(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = layers.Dense(4, activation=twice)

    def call(self, x):
        return self.inner(x)


def build():
    x = keras.Input((4,))
    hidden = layers.Dense(4, activation="relu")(x)
    hidden = layers.Dropout(0.2, seed=1)(hidden)
    inside = keras.Sequential([layers.Dense(4), layers.Lambda(lambda x: x * 0.5)])(hidden)
    both = layers.Add()([hidden, Scaled(1.5)(inside)])
    both = layers.Bidirectional(layers.SimpleRNN(2))(layers.Reshape((4, 1))(both))
    both = Untold(0.25, object())(Block()(both))
    model = keras.Model(x, [layers.Dense(1, name="a")(both), layers.Dense(1, name="b")(both)])
    model.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.ExponentialDecay(0.1, 100, 0.9)),
        loss={"a": keras.losses.Huber(1.0), "b": loss},
        loss_weights={"a": 1.0, "b": 1.0},
        metrics={"a": ["mse"], "b": []},
    )
    return model


def plain():
    """A network whose connections and optimizer Keras tells as a whole."""
    x = keras.Input((4,))
    one, two = layers.Dense(4, "relu")(x), layers.Dense(4)(x)
    model = keras.Model(x, layers.Dense(1)(layers.Subtract()([one, two]) * 3.0))
    model.compile(keras.optimizers.SGD(0.0078125, momentum=0.5), "mse")
    return model
'''

CHANGES = {
    "build": [
        ('"relu"', '"tanh"', "(Dense) activation was relu and is tanh"),
        ("Dropout(0.2", "Dropout(0.5", "(Dropout) rate was 0.2 and is 0.5"),
        (
            '"relu")',
            '"relu", kernel_regularizer="l2")',
            "(Dense) kernel_regularizer was not there and is L2(l2=0.01)",
        ),
        ("x * 0.5", "x * 0.75", "function was lambda x: x * 0.5 and is lambda x: x * 0.75"),
        ("Scaled(1.5)", "Scaled(2.5)", "(Scaled) gain was 1.5 and is 2.5"),
        ("return self.gain * x\n", "return self.gain + x\n", "(Scaled) code was "),
        ("Untold(0.25", "Untold(0.5", "(Untold) gain was 0.25 and is 0.5"),
        ("x + 0.0", "x + 1.0", "(Untold) code was "),
        ("SimpleRNN(2)", "SimpleRNN(2, activation='relu')", "(SimpleRNN) activation was tanh"),
        ("FACTOR = 2.0", "FACTOR = 4.0", "(Dense) activation was twice (code "),
        ("return x * FACTOR", "return x + FACTOR", "(Dense) activation was twice (code "),
        ("square(y_true", "abs(y_true", "loss b was loss (code "),
        ("Huber(1.0)", "Huber(2.0)", "loss a delta was 1.0 and is 2.0"),
        ('"b": 1.0}', '"b": 3.0}', "loss_weights b was 1.0 and is 3.0"),
        ('["mse"]', '["mae"]', "metrics a 1 was mse and is mae"),
        ("Decay(0.1", "Decay(0.2", "initial_learning_rate was 0.1 and is 0.2"),
        ("100, 0.9", "200, 0.9", "decay_steps was 100 and is 200"),
        ("0.9))", "0.9), weight_decay=0.5)", "weight_decay was 0.004 and is 0.5"),
        ("0.9))", "0.9), beta_1=0.8)", "beta_1 was 0.9 and is 0.8"),
        ("0.9))", "0.9), clipnorm=1.0)", "clipnorm was not there and is 1.0"),
    ],
    "plain": [
        ("[one, two]", "[two, one]", "network: "),
        ("* 3.0", "* 2.0", "connections "),
        ("SGD(0.0078125", "SGD(0.015625", "learning_rate was 0.0078125 and is 0.015625"),
    ],
}

UNCHANGED = [
    ("return self.gain * x\n", "# the same\n        return (self.gain\n            * x)\n"),
    ('"""Multiplies."""', '"""Says it otherwise."""'),
    ("    x = keras.Input((4,))\n", "    layers.Dense(3), layers.Dropout(0.9)\n" * 2),
]

TRAIN = """
    import os
    import sys

    import epochwise
    import numpy as np

    x = np.random.default_rng(0).random((40, 4)).astype("float32")
    TARGETS = {"build": {"a": x[:, :1], "b": x[:, 1:2]}, "plain": x[:, :1]}
"""


def training(name: str) -> str:
    """Return a script that trains the network of a function, and is killed."""
    return f"""{TRAIN}
    class Ends:
        def on_event(self, event):
            if type(event).__name__ == "EpochBegun" and event.epoch_index == 1:
                os._exit(9)

    sys.path.insert(0, os.getcwd())
    select = epochwise.fit  # chooses the backend before the network's file imports Keras
    import network

    epochwise.fit(
        network.{name}(), x, TARGETS["{name}"], batch_size=10, epochs=2, run_dir="run",
        checkpoint_every="1it", listeners=[Ends()], verbose=0,
    )
    """


def resuming(name: str) -> str:
    """Return a script that resumes that run with each changed file in turn, and tells."""
    return f"""{TRAIN}
    import importlib
    import json

    sys.path.insert(0, os.getcwd())
    told = []
    for number in range(int(os.environ["FILES"])):
        model = importlib.import_module(f"network_{{number}}").{name}()
        try:
            run = epochwise.resume("run", model, x, TARGETS["{name}"], verbose=0)
            told.append(run.position.iterations_done)
        except epochwise.EpochwiseError as error:
            told.append(str(error))
    print(json.dumps(told))
    """


@pytest.mark.parametrize("name", ["plain", "build"])
def test_every_changed_setting_is_refused_by_name(tmp_path: Path, name: str) -> None:
    """L01: the layer, the setting and both values; what computes the same is no change."""
    (tmp_path / "network.py").write_text(NETWORK)
    ended = run_as_newcomer(training(name), folder=tmp_path, check=False)
    assert ended.returncode == 9, ended.stderr
    changes = CHANGES[name]
    unchanged = NETWORK
    for old, new in UNCHANGED:
        assert old in unchanged
        unchanged = unchanged.replace(old, new + old * ("Input" in old))
    files = [*(NETWORK.replace(old, new) for old, new, _ in changes), unchanged]
    for number, text in enumerate(files):
        assert text != NETWORK
        (tmp_path / f"network_{number}.py").write_text(text)

    done = run_as_newcomer(
        resuming(name), folder=tmp_path, environment={"FILES": str(len(files))}
    )

    *refused, went_on = json.loads(done.stdout.splitlines()[-1])
    for (_, new, said), sentence in zip(changes, refused, strict=True):
        assert said in str(sentence), (new, sentence)
        assert "accept_changed_model=True" in str(sentence)
    assert went_on == 8


def test_a_changed_file_is_refused_on_the_command_line(tmp_path: Path) -> None:
    """L01: unless asked for; what changed then stands in the record, once."""
    file = tmp_path / "network.py"
    text = """
import keras
def build(input_shape, classes):
    model = keras.Sequential(
        [keras.layers.Flatten(), keras.layers.Dropout(0.2), keras.layers.Dense(10)]
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model
"""
    file.write_text(text)
    train = ["train", "digits", "--model", f"{file}:build", "--epochs", "1", "--quiet"]
    run_as_newcomer([*train, "--run-dir", "run"], folder=tmp_path)
    file.write_text(text.replace("0.2", "0.5"))
    resume = ["resume", "run", "--extend-to-epochs", "2"]

    refused = run_as_newcomer(resume, folder=tmp_path, check=False)
    accepted = run_as_newcomer([*resume, "--accept-changed-model"], folder=tmp_path)

    assert refused.returncode == 2
    assert "add --accept-changed-model, " in " ".join(refused.stderr.split())
    assert "(Dropout) rate was 0.2 and is 0.5" in " ".join(refused.stderr.split())
    assert "(Dropout) rate was 0.2 and is 0.5" in " ".join(accepted.stdout.split())
    [difference] = json.loads((tmp_path / "run/run.json").read_text())["differences"]
    assert "(Dropout) rate was 0.2 and is 0.5" in difference
