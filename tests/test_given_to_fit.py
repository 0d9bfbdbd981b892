"""What users hand to `fit` by mistake, where they work: told before training, or trained."""

from __future__ import annotations

import json
import textwrap

import pytest

from epochwise.api.training import Source
from epochwise.errors import RunError
from newcomer import run_as_newcomer

PRELUDE = """
import json, tempfile
from fractions import Fraction
import epochwise
import numpy as np
import keras
from keras import layers, losses

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3)).astype("float32")
Y = rng.integers(0, 2, 40)
SPARSE = "sparse_categorical_crossentropy"
told = {}

def model(loss=SPARSE, units=2, shape=(3,), activation="softmax"):
    made = keras.Sequential(
        [keras.Input(shape), layers.Dense(units, activation, kernel_initializer="zeros")]
    )
    made.compile("sgd", loss)
    return made

def changed(array, place, value):
    array = np.array(array)
    array[place] = value
    return array

def batches(*arrays):
    def batches():
        for start in range(0, 40, 10):
            yield tuple(array[start : start + 10] for array in arrays)
    return batches

def case(name, made=None, x=X, y=Y, **arguments):
    made = made or model()
    before = made.get_weights()
    try:
        run = epochwise.fit(made, x, y, verbose=0, **arguments)
        told[name] = ["trained", run.history["loss"][0], run.position.iterations_done]
    except epochwise.errors.EpochwiseError as error:
        untouched = all(map(np.array_equal, before, made.get_weights()))
        assert untouched or name == "validation batches", name
        told[name] = [type(error).__name__, str(error)]
    except Exception as error:
        told[name] = ["raw", repr(error)]
"""


def told(program: str) -> dict[str, list[object]]:
    """Return what became of each case of a program, run as a newcomer's."""
    source = textwrap.dedent(PRELUDE) + textwrap.dedent(program) + "\nprint(json.dumps(told))"
    found: dict[str, list[object]] = json.loads(run_as_newcomer(source).stdout)
    return found


def expect(found: dict[str, list[object]], expected: dict[str, str]) -> None:
    """Compare: `trained`, or a part of the error's text."""
    wrong = {
        name: found[name]
        for name, text in expected.items()
        if text not in (found[name][0] if text == "trained" else str(found[name][1]))
    }
    assert not wrong
    assert found.keys() == expected.keys()
    assert not [name for name, end in found.items() if end[0] == "raw"]


def test_l02_targets_that_a_loss_does_not_take_are_refused_before_training() -> None:
    """L02: the value, its place and the outputs are named; what Keras takes is trained."""
    found = told(
        """
        case("class 5", y=changed(Y, 7, 5))
        case("class -1", y=changed(Y, 7, -1))
        case("class 0.5", y=changed(Y * 1.0, 7, 0.5))
        case("column", y=changed(Y, 7, 5)[:, None])
        ignoring = losses.SparseCategoricalCrossentropy(ignore_class=-1)
        case("ignored", model(ignoring), y=changed(Y, 7, -1))
        case("not ignored", model(ignoring), y=changed(Y, 7, -2))
        case("weighs 0", y=changed(Y, 7, 5), sample_weight=changed(np.ones(40), 7, 0))
        case("short name", model("crossentropy"), y=changed(Y, 7, 2))
        case("validation", validation_data=(X, changed(Y, 7, 9)))
        case("split", y=changed(Y, 7, 9), validation_split=0.5)
        case("batches", x=batches(X, changed(Y, 27, 9)), y=None)
        case("validation batches", validation_data=batches(X, changed(Y, 27, 9)))
        case("binary 2", model("binary_crossentropy", 1), y=changed(Y, 7, 2))
        smooth = losses.BinaryCrossentropy(label_smoothing=0.1)
        case("smoothed", model(smooth, 1), y=Y)
        case("soft", model("binary_focal_crossentropy", 1), y=changed(Y * 1.0, 7, 0.3))
        case("hinge", model("hinge", 1), y=2 * Y - 1)
        case("hinge 4", model("hinge", 1), y=changed(2 * Y - 1, 7, 4))
        case("row", model("mse", 1), y=Y * 1.0)
        case("broadcast", model("mse", 3), y=Y[:, None] * 1.0)
        case("broadcast output", model("mae", 1), y=np.ones((40, 3)))
        own = lambda true, predicted: keras.ops.mean((true - predicted) ** 2)
        case("own loss", model(own, 3), y=Y[:, None] * 1.0)
        T, places = np.ones((40, 5, 3)), rng.integers(0, 2, (40, 5))
        case("places", model(SPARSE, 2, (5, 3)), T, places)
        case("places 9", model(SPARSE, 2, (5, 3)), T, changed(places, (7, 2), 9))
        def two():
            x = keras.Input((3,))
            p, q = layers.Dense(2, "softmax", name="p")(x), layers.Dense(1, name="q")(x)
            made = keras.Model(x, [p, q])
            made.compile("sgd", {"p": SPARSE, "q": "mse"})
            return made
        case("two", two(), y={"q": Y * 1.0, "p": changed(Y, 7, 9)})
        case("two fit", two(), y={"q": Y * 1.0, "p": Y})
        np.save("y.npy", changed(Y, 7, 6))
        case("mapped", y=np.load("y.npy", mmap_mode="r"))
        """
    )
    two = "and the model has 2 outputs, for the classes 0 to 1"
    expect(
        found,
        {
            "class 5": f"y[7] is 5, {two}",
            "class -1": f"y[7] is -1, {two}",
            "class 0.5": f"y[7] is 0.5, {two}",
            "column": f"y[7, 0] is 5, {two}",
            "ignored": "trained",
            "not ignored": "y[7] is -2",
            "weighs 0": "trained",
            "short name": f"y[7] is 2, {two}",
            "validation": f"y[7] of validation_data is 9, {two}",
            "split": f"y[7] is 9, {two}",
            "batches": f"y[7] of batch 3 of epoch 1 is 9, {two}",
            "validation batches": "y[7] of batch 3 of epoch 1 of validation_data is 9",
            "binary 2": "y[7] is 2, and binary_crossentropy takes targets from 0 to 1",
            "smoothed": "trained",
            "soft": "trained",
            "hinge": "trained",
            "hinge 4": "y[7] is 4, and hinge takes targets from -1 to 1",
            "row": "trained",
            "broadcast": "y has the shape (N, 1) and the model's output (N, 3)",
            "broadcast output": "y has the shape (N, 3) and the model's output (N, 1)",
            "own loss": "trained",
            "places": "trained",
            "places 9": f"y[7, 2] is 9, {two}",
            "two": f"y['p'][7] is 9, {two}",
            "two fit": "trained",
            "mapped": f"y[7] is 6, {two}",
        },
    )


def test_l19_and_l27_weights_belong_to_the_classes_and_are_finite() -> None:
    """L19, L27: keys, lengths and values that cannot be are named; the others are applied."""
    found = told(
        """
        Z = np.array([0] * 30 + [1] * 10)
        case("json", y=Z, class_weight={"0": 9})
        case("no class", y=Z, class_weight={7: 9})
        case("name", y=Z, class_weight={"cat": 9})
        case("one-hot", model("categorical_crossentropy"), y=np.eye(2)[Z], class_weight={2: 9})
        case("json batches", x=batches(X, Z), y=None, class_weight={"0": 9})
        case("no class batches", x=batches(X, Z), y=None, class_weight={7: 9})
        case("short", y=Z, class_weight=[1.0])
        case("word", y=Z, class_weight="auto")
        case("balanced batches", x=batches(X, Z), y=None, class_weight="balanced")
        case("class nan", y=Z, class_weight={0: float("nan")})
        case("class 1e300", y=Z, class_weight=[1.0, 1e300])
        case("mapping", y=Z, class_weight={1: 3.0})
        case("list", y=Z, class_weight=[1, 3])
        case("array", y=Z, class_weight=np.array([1.0, 3.0]))
        case("list batches", x=batches(X, Z), y=None, class_weight=(1.0, 3.0))
        case("balanced", y=Z, class_weight="balanced")
        case("balanced one-hot", model("categorical_crossentropy"), y=np.eye(2)[Z],
             class_weight="balanced")
        case("balanced part", y=Z, class_weight="balanced", shuffle=False, validation_split=0.2)
        case("negative", y=Z, class_weight={0: -1.0})
        case("weight 1e300", sample_weight=changed(np.ones(40), 5, 1e300))
        weights = changed(np.ones(40), 15, np.inf)
        case("weight inf batches", x=batches(X, Y, weights), y=None)
        case("weight validation", validation_data=(X, Y, changed(np.ones(40), 5, np.nan)))
        case("x 1e300", x=changed(X.astype("f8"), (5, 1), 1e300))
        case("y 1e300", model("mse", 1), y=changed(np.ones(40), 5, 1e300))
        np.save("x.npy", changed(X.astype("f8"), (5, 1), 1e300))
        case("mapped", x=np.load("x.npy", mmap_mode="r"))
        """
    )
    expect(
        found,
        {
            "json": "a weight for '0', and the classes are 0 to 1",
            "no class": "a weight for 7, and the classes are 0 to 1",
            "name": "a weight for 'cat', and the classes are 0 to 1",
            "one-hot": "a weight for 2, and the classes are 0 to 1",
            "json batches": "a weight for '0'",
            "no class batches": "a weight for 7, and the classes are 0 to 1",
            "short": "class_weight has 1 weights, and the classes are 0 to 1",
            "word": 'class_weight="auto" is no weight',
            "balanced batches": 'class_weight="balanced" needs all labels',
            "class nan": "class_weight[0] is nan",
            "class 1e300": "class_weight[1] is 1e+300",
            **dict.fromkeys(("mapping", "list", "array", "list batches"), "trained"),
            **dict.fromkeys(("balanced", "balanced one-hot", "balanced part"), "trained"),
            "negative": "trained",
            "weight 1e300": "sample_weight[5] is 1e+300, beyond the range of float32",
            "weight inf batches": "sample_weight[5] of batch 2 of epoch 1 is inf",
            "weight validation": "sample_weight[5] is nan",
            "x 1e300": "x[5, 1] is 1e+300, beyond the range of float32",
            "y 1e300": "y[5] is 1e+300, beyond the range of float32",
            "mapped": "x[5, 1] is 1e+300, beyond the range of float32",
        },
    )
    # The first epoch's loss of a network of zeros is about log 2 times the mean weight.
    for name in ("list", "array", "list batches"):
        assert found[name][1] == pytest.approx(found["mapping"][1], rel=0.1)
    for name in ("balanced", "balanced one-hot"):
        assert found[name][1] == pytest.approx(0.693, rel=0.05)


def test_l26_values_that_no_argument_can_be_are_told_and_big_endian_numbers_trained() -> None:
    """L26: no raw exception; the argument and its value are named."""
    found = told(
        """
        nan = float("nan")
        for name in ("epochs", "batch_size", "iterations", "seed", "validation_split"):
            case(name, **{name: nan})
        case("epochs inf", epochs=float("inf"))
        case("epochs 0.1", epochs=0.1)
        case("epochs text", epochs="5")
        case("batches nan", x=batches(X, Y), y=None, iterations=nan)
        case("batch_size True", batch_size=True)
        case("batch_size text", batch_size="32")
        case("validation_steps", validation_data=(X, Y), validation_steps="1")
        case("segments", segments="zz")
        case("keep", keep="zz")
        case("best_metric", best_metric=5)
        share = np.float32(0.25)
        case("numpy", batch_size=np.int64(20), epochs=np.int32(2), validation_split=share)
        case("NUL", run_dir="a\\0b")
        case("long", run_dir="x" * 300)
        case("bytes", run_dir=b"run")
        case("callback 5", callbacks=[5])
        case("callback class", callbacks=[keras.callbacks.EarlyStopping])
        case("listener", listeners=[5])
        case("masked", x=np.ma.masked_array(X, X > 2))
        case("unmasked", y=np.ma.masked_array(Y, Y > 2))
        case("structured", x=np.zeros(40, [("a", "f4")]))
        case("date", x=np.zeros((40, 3), "M8[s]"))
        for kind in (">i2", ">i4", ">i8", ">u2", ">f4", ">f8"):
            case(f"x {kind}", x=np.ones((40, 3), kind))
        case("y >i8", y=Y.astype(">i8"), validation_split=0.25)
        ones = np.ones(40, ">i4")
        case("valid >i4", validation_data=(X, Y.astype(">i4")), sample_weight=ones)
        np.ones((40, 3), ">f4").tofile("x.bin")
        case("mapped", x=np.memmap("x.bin", ">f4", "r", shape=(40, 3)))
        """
    )
    big_endian = [name for name in found if " >" in name]
    expect(
        found,
        {
            "epochs": "epochs=nan is not a whole number",
            "batch_size": "batch_size=nan is not a whole number",
            "iterations": "iterations=nan is not a whole number",
            "seed": "seed=nan",
            "validation_split": "validation_split must be in [0, 1); got nan.",
            "epochs inf": "epochs=inf is not a whole number",
            "epochs text": "epochs='5' is no number.",
            "epochs 0.1": "use epochs=Fraction(1, 10).",
            "batches nan": "iterations=nan is not a whole number",
            "batch_size True": "batch_size=True is not a whole number",
            "batch_size text": "batch_size='32' is not a whole number",
            "validation_steps": "validation_steps='1' is not a whole number",
            "segments": "segments must be one of None, 'scan', 'single'; got 'zz'.",
            "keep": "keep must be one of 'best', 'last'; got 'zz'.",
            "best_metric": "best_metric must be a metric's name; got 5.",
            "numpy": "trained",
            "NUL": "holds a NUL character",
            "long": "File name too long",
            "bytes": "run_dir must be text or a path; got b'run'.",
            "callback 5": "5 among callbacks is not a Keras callback",
            "callback class": "callbacks=[EarlyStopping(...)]",
            "listener": "5 among listeners has no method on_event",
            "masked": "] is masked: it has no value",
            "unmasked": "trained",
            "structured": "not numbers",
            "date": "not numbers",
            **dict.fromkeys(big_endian, "trained"),
            "mapped": "x is mapped from a file in another byte order (>f4)",
        },
    )
    assert len(big_endian) == 8


def test_l18_an_argument_that_is_given_is_never_taken_for_its_default() -> None:
    """L18: what batches cannot have is refused whatever the value; so are two lengths."""
    found = told(
        """
        ours = batches(X, Y)
        given = [("batch_size", 32), ("batch_size", 16), ("remainder", "keep"),
                 ("remainder", "drop"), ("validation_split", 0.0), ("validation_split", 0.1)]
        for name, value in given:
            case(f"{name} {value}", x=ours, y=None, **{name: value})
        for size in (32, 16):
            case(f"validation {size}", validation_data=ours, validation_batch_size=size)
        for freq in (1, 2):
            case(f"freq {freq}", validation_split=0.2, evaluate_every="1ep",
                 validation_freq=freq)
        case("1 epoch", epochs=1, iterations=6)
        case("2 epochs", epochs=2, iterations=6)
        case("3 epochs", epochs=3, iterations=6)
        case("1 epoch of batches", x=ours, y=None, epochs=1, iterations=6)
        case("max_epochs", epochs="auto", max_epochs=0, validation_split=0.2)
        case("validation_batch_size", validation_split=0.2, validation_batch_size=0)
        case("nothing", x=ours, y=None)
        """
    )
    expect(
        found,
        {
            **{
                name: f"so {name.split()[0]} cannot be given"
                for name in found
                if name.startswith(("batch_size", "remainder", "validation_split"))
            },
            "validation 32": "so validation_batch_size cannot be given",
            "validation 16": "so validation_batch_size cannot be given",
            "freq 1": "evaluate_every='1ep' with validation_freq=1",
            "freq 2": "evaluate_every='1ep' with validation_freq=2",
            "1 epoch": "epochs=1 (2 iterations) and iterations=6 (6 iterations) disagree",
            "2 epochs": "epochs=2 (4 iterations) and iterations=6 (6 iterations) disagree",
            "3 epochs": "trained",
            "1 epoch of batches": "epochs=1 and iterations=6 both say how long",
            "max_epochs": "max_epochs=0 is less than 1",
            "validation_batch_size": "validation_batch_size=0 is less than 1",
            "nothing": "trained",
        },
    )


@pytest.mark.parametrize(
    "changed", [{"data": 5}, {"model": None}, {"learning_rate": "0.1"}, {"more": 1}]
)
def test_l26_a_source_in_a_record_that_is_none_is_told(changed: dict[str, object]) -> None:
    """L26: a number for the data's name, or any part of another type, is named."""
    source = Source(data="digits").to_json()

    assert Source.from_json(source).data == "digits"
    with pytest.raises(RunError, match=f"wrong in {next(iter(changed))}"):
        Source.from_json(source | changed)
