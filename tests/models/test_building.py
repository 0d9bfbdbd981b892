"""Models that are built in, made by a function or loaded: built, compiled, fit for the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from epochwise.data.samples import Task
from epochwise.errors import ModelError
from epochwise.models import (
    ModelRequest,
    TrainableModel,
    build_model,
    describe,
    named_weights,
    parse_model,
)
from epochwise.models.naming import OPTIMIZERS
from epochwise.record import json_text, weights_sha256

keras = pytest.importorskip("keras")

TEN_CLASSES = Task(kind="classes", outputs=10)

USERS = """
import keras
from sizes import WIDTH

def small(input_shape, classes):
    return keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(WIDTH),
                             keras.layers.Dense(classes, activation="softmax")])

def compiled(input_shape, classes):
    model = keras.Sequential([keras.Input(input_shape), keras.layers.Dense(classes)])
    model.compile(keras.optimizers.SGD(0.5, momentum=0.9), theirs, metrics=["mse"])
    return model

def scheduled(input_shape, classes):
    model = keras.Sequential([keras.Input(input_shape), keras.layers.Dense(1)])
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9)
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), "mse")
    return model

def theirs(y, prediction):
    return keras.ops.mean(prediction)

def none(input_shape, classes):
    return None

def single(input_shape):
    return None

def broken(input_shape, classes):
    return 1 / 0

def narrow(input_shape, classes):
    return keras.Sequential([keras.Input(input_shape), keras.layers.Flatten(),
                             keras.layers.Dense(3, activation="softmax")])
"""


@pytest.fixture
def users(tmp_path: Path) -> str:
    (tmp_path / "users_net.py").write_text(USERS)
    (tmp_path / "sizes.py").write_text("WIDTH = 7\n")
    return str(tmp_path / "users_net.py")


def built(model: str, shape: tuple[int, ...] = (8, 8), **request: Any) -> TrainableModel:
    """Build a model for ten classes unless told otherwise."""
    request = {"task": TEN_CLASSES} | request
    return build_model(ModelRequest(source=parse_model(model), input_shape=shape, **request))


def test_the_first_network_is_that_of_the_design() -> None:
    """784·128 + 128 + 128·10 + 10 parameters, Adam, sparse cross-entropy, accuracy."""
    model = built("mlp", (28, 28)).model

    assert model.count_params() == 101_770
    assert [type(layer).__name__ for layer in model.layers] == ["Flatten", "Dense", "Dense"]
    assert [layer.activation.__name__ for layer in model.layers[1:]] == ["relu", "softmax"]
    assert type(model.optimizer).__name__ == "Adam"
    assert model.loss == "sparse_categorical_crossentropy"


def test_a_regression_ends_in_one_number() -> None:
    """Without classes the loss is the mean squared error of one output."""
    model = built("mlp", (4,), task=Task()).model

    assert model.output_shape == (None, 1)
    assert model.loss == "mean_squared_error"


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_a_seed_gives_the_same_first_weights(name: str) -> None:
    """Weights follow from the seed, not from what was drawn before."""

    def digest(seed: int) -> str:
        return weights_sha256(w for _, w in named_weights(built(name, seed=seed).model))

    first = digest(3)
    keras.random.normal((5,))
    assert digest(3) == first
    assert digest(4) != first


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3), (28, 28), (4, 5)])
def test_the_cnn_takes_images_with_and_without_channels(shape: tuple[int, ...]) -> None:
    """The axis of channels is added where it is missing."""
    model = built("cnn", shape).model

    assert model(np.zeros((2, *shape), np.float32)).shape == (2, 10)


def test_the_cnn_refuses_what_is_no_image_or_too_small() -> None:
    """Both errors say the shape and what takes it."""
    with pytest.raises(ModelError, match=r'3 by 8 pixels, are too small[^$]*model="mlp"'):
        built("cnn", (3, 8))
    with pytest.raises(ModelError, match=r"these samples have shape \(10,\)"):
        built("cnn", (10,))


def test_the_columns_of_a_table_are_normalised() -> None:
    """Each column gets mean 0 and deviation 1; a constant one, however large, becomes 0."""
    rng = np.random.default_rng(0)
    table = (rng.normal(size=(1000, 3)) * [1, 1e4, 0] + [5, -3e5, 1e7 / 3]).astype(np.float32)
    model = built("mlp", (3,), table=table).model

    normalised = np.asarray(model.layers[0](table))

    np.testing.assert_allclose(normalised[:, :2].mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(normalised[:, :2].std(axis=0), 1, atol=1e-3)
    np.testing.assert_allclose(normalised[:, 2], 0, atol=1)


def test_a_function_is_called_with_shape_and_classes(users: str) -> None:
    """An uncompiled model is built and compiled; its file imports what lies beside it."""
    got = built(f"{users}:small", optimizer="sgd", learning_rate=0.25)

    assert got.name == "small"
    assert got.model.count_params() == 64 * 7 + 7 + 7 * 10 + 10
    assert type(got.model.optimizer).__name__ == "SGD"
    assert float(got.model.optimizer.learning_rate) == 0.25


def test_a_compiled_model_keeps_what_is_not_asked_for(users: str) -> None:
    """Loss and metrics stay; a learning rate or an optimizer is replaced, and said."""
    untouched = built(f"{users}:compiled", (8,))
    assert untouched.notes == ()
    assert float(untouched.model.optimizer.learning_rate) == 0.5

    slower = built(f"{users}:compiled", (8,), learning_rate=0.125)
    assert float(slower.model.optimizer.learning_rate) == 0.125
    assert slower.model.optimizer.momentum == 0.9
    assert slower.notes == (
        "compiled had learning rate 0.5; it is trained with 0.125 as asked.",
    )

    other = built(f"{users}:compiled", (8,), optimizer="adam", learning_rate=0.125)
    assert type(other.model.optimizer).__name__ == "Adam"
    assert other.model.loss.__name__ == "theirs"
    assert other.notes == ("compiled was compiled with SGD; it is trained with adam as asked.",)
    other.model.fit(np.zeros((4, 8)), np.zeros((4, 10)), verbose=0)


def test_a_schedule_gives_way_to_a_learning_rate(users: str) -> None:
    """The number asked for counts, and the optimizer's other settings stay."""
    got = built(f"{users}:scheduled", (8,), learning_rate=0.25)

    assert float(got.model.optimizer.learning_rate) == 0.25
    assert got.model.optimizer.momentum == 0.9
    assert got.notes == (
        "scheduled had a learning rate schedule; it is trained with 0.25 as asked.",
    )


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("none", "returned builtins.NoneType, no Keras model"),
        ("single", "does not take two arguments"),
        ("broken", r"raised ZeroDivisionError: division by zero \(users_net\.py, line \d+\)"),
        ("WIDTH", "cannot be called"),
        ("narrow", "has 3 outputs, and the data 10 classes"),
    ],
)
def test_a_function_that_gives_no_model_is_refused(
    users: str, function: str, message: str
) -> None:
    """What it did, on which line, and what it should be."""
    with pytest.raises(ModelError, match=message):
        built(f"{users}:{function}")


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_saved_model_goes_on_with_its_optimizer(tmp_path: Path) -> None:
    """Weights and the optimizer's memory are those of the file."""
    model = built("mlp").model
    model.fit(np.ones((8, 8, 8)), np.zeros(8), verbose=0)
    model.save(tmp_path / "net.keras")

    loaded = built(str(tmp_path / "net.keras")).model

    assert weights_sha256(w for _, w in named_weights(loaded)) == weights_sha256(
        w for _, w in named_weights(model)
    )
    assert int(loaded.optimizer.iterations) == 1
    with pytest.raises(ModelError, match=r"takes samples of shape \(8, 8\), and these have"):
        built(str(tmp_path / "net.keras"), (28, 28))


def test_what_the_safe_mode_refuses_is_refused_with_its_reason(tmp_path: Path) -> None:
    """A Lambda layer is code in a file, and a file that is no model is none."""
    model = keras.Sequential([keras.Input((8, 8)), keras.layers.Lambda(lambda x: x * 2)])
    model.save(tmp_path / "unsafe.keras")
    (tmp_path / "none.keras").write_text("no model")

    with pytest.raises(
        ModelError, match=r"refuses .*unsafe\.keras in its safe mode: .*[Ll]ambda"
    ):
        built(str(tmp_path / "unsafe.keras"))
    with pytest.raises(ModelError, match=r"refuses .*none\.keras"):
        built(str(tmp_path / "none.keras"))


def test_a_model_is_described_in_json(users: str) -> None:
    """Layers, parameters, optimizer and loss, whatever objects they are made of."""
    described = describe(built("mlp").model)
    assert described["parameters"] == described["trainable_parameters"] == 64 * 128 + 128 + 1290
    assert [layer["type"] for layer in described["layers"]] == ["Flatten", "Dense", "Dense"]
    assert described["optimizer"]["type"] == "Adam"
    assert described["loss"] == "sparse_categorical_crossentropy"

    theirs = describe(built(f"{users}:scheduled", (8,)).model)
    assert theirs["optimizer"]["learning_rate"]["type"] == "ExponentialDecay"
    assert describe(built(f"{users}:compiled", (8,)).model)["loss"] == "theirs"
    assert json_text(theirs)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_can_be_had(name: str) -> None:
    """Each name gives Keras's optimizer with its learning rate."""
    optimizer = built("mlp", optimizer=name, learning_rate=0.25).model.optimizer

    assert type(optimizer).__name__.lower() == name
    assert float(optimizer.learning_rate) == 0.25


@pytest.mark.parametrize("own_object", [False, True])
@pytest.mark.parametrize(
    ("loss", "outputs", "kind", "columns", "told"),
    [
        ("SparseCategoricalCrossentropy", 10, "one_hot", 10, "with categorical_crossentropy"),
        ("SparseCategoricalCrossentropy", 3, "multi_label", 3, "with binary_crossentropy"),
        ("SparseCategoricalCrossentropy", 9, "regression", 1, "add --task classification"),
        ("MeanSquaredError", 1, "classes", 10, None),
        ("BinaryCrossentropy", 1, "classes", 2, None),
        ("CategoricalCrossentropy", 10, "one_hot", 10, None),
        ("MeanSquaredError", 4, "regression", 4, None),
    ],
)
def test_l03_the_loss_must_fit_what_the_targets_are(
    tmp_path: Path,
    own_object: bool,
    loss: str,
    outputs: int,
    kind: Any,
    columns: int,
    told: str | None,
) -> None:
    """L03: what Keras would take for class numbers and is none is refused with a remedy."""
    compiled = f"keras.losses.{loss}()" if own_object else f"keras.losses.{loss}().name"
    (tmp_path / "own.py").write_text(
        "import keras\n"
        "def network(shape, classes):\n"
        f"    model = keras.Sequential([keras.Input(shape), keras.layers.Dense({outputs})])\n"
        f"    model.compile('sgd', {compiled})\n"
        "    return model\n"
    )
    shape = () if kind == "classes" or columns == 1 else (columns,)
    task = Task(kind=kind, outputs=columns, shape=shape)
    if told is None:
        assert built(f"{tmp_path / 'own.py'}:network", (4,), task=task).model.compiled
        return
    with pytest.raises(ModelError, match=told):
        built(f"{tmp_path / 'own.py'}:network", (4,), task=task)
    if len(shape) == 1:
        with pytest.raises(ModelError, match="a network of your own"):
            built("mlp", (4,), task=Task(kind="regression", outputs=4, shape=(2, 2)))
