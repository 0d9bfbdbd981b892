"""Does `epochwise.fit` leave the bits of `model.fit`, whatever the model and the input?

Each kind is trained on JAX by Keras and by us, with `shuffle=False` and a short last batch, and
weights, optimizer, history and what `evaluate` says then are compared bit for bit. What may
differ stands in `MAY_DIFFER`, each with the words of the page that tell of it.

    python tests/batteries/kinds.py [KIND ...]
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

N, VALIDATION, BATCH = 26, 11, 8
"""Samples to train on, to validate on, and of a batch: the last ones are short."""

PAGE = Path(__file__).parents[2] / "docs" / "coming-from-model-fit.md"

MAY_DIFFER = {
    "val_loss": ("last digit", {"masked lstm", "masked sequences", "boolean labels"}),
}
"""Names of the history: the words of the page that tell of it, and the kinds where it is so."""

KINDS: dict[str, Callable[[], dict[str, Any]]] = {}
"""Each returns the arguments of `_both`, with Keras imported."""


def kind(function: Callable[[], dict[str, Any]]) -> Callable[[], dict[str, Any]]:
    """Take a kind into the list, under the name of the function."""
    KINDS[function.__name__.replace("_", " ")] = function
    return function


def _data(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """Features of training and validation together, float32."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N + VALIDATION, *shape)).astype(np.float32)


def _labels(classes: int, seed: int = 1) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(0, classes, N + VALIDATION).astype(np.int32)


def _classifier(
    *inner: str, shape: tuple[int, ...] = (8,), classes: int = 3
) -> Callable[[], Any]:
    """A network of layers written as code, with a softmax at its end."""

    def build() -> Any:
        import keras

        layers = [eval(code, {"L": keras.layers, "keras": keras}) for code in inner]
        head = keras.layers.Dense(classes, activation="softmax")
        return keras.Sequential([keras.Input(shape), *layers, head])

    return build


def _regressor(
    *inner: str, shape: tuple[int, ...] = (8,), outputs: int = 1
) -> Callable[[], Any]:
    def build() -> Any:
        import keras

        layers = [eval(code, {"L": keras.layers, "keras": keras}) for code in inner]
        return keras.Sequential([keras.Input(shape), *layers, keras.layers.Dense(outputs)])

    return build


def _classes(*inner: str, shape: tuple[int, ...] = (8,), **options: Any) -> dict[str, Any]:
    """The arguments for a classifier of three classes."""
    return {
        "build": _classifier(*inner, shape=shape),
        "x": _data(*shape),
        "y": _labels(3),
        "loss": "sparse_categorical_crossentropy",
        "metrics": ["accuracy"],
        **options,
    }


def _numbers(*inner: str, shape: tuple[int, ...] = (8,), **options: Any) -> dict[str, Any]:
    """The arguments for a regressor of one number."""
    x = _data(*shape)
    return {
        "build": _regressor(*inner, shape=shape),
        "x": x,
        "y": x.reshape(len(x), -1)[:, :1] * 2 + 0.5,
        "loss": "mse",
        "metrics": ["mae"],
        **options,
    }


HIDDEN = 'L.Dense(8, activation="relu")'
IMAGES = (8, 8, 1)
CONV = 'L.Conv2D(4, 3, activation="relu")'
SEQUENCES = _data(5, 3)
SEQUENCES[:, 3:] *= np.random.default_rng(4).integers(0, 2, (N + VALIDATION, 1, 1))
"""Of different lengths: in some the last steps are zero, and masked."""

TOKENS = {"x": np.random.default_rng(3).integers(0, 20, (N + VALIDATION, 6)).astype(np.int32)}

for _name, _inner, _shape in [
    ("dense", [HIDDEN], (8,)),
    ("deep dense", [HIDDEN] * 4, (8,)),
    ("softmax regression", [], (8,)),
    ("batch normalization", [HIDDEN, "L.BatchNormalization()"], (8,)),
    ("layer normalization", [HIDDEN, "L.LayerNormalization()"], (8,)),
    ("group normalization", [HIDDEN, "L.GroupNormalization(2)"], (8,)),
    ("dropout", [HIDDEN, "L.Dropout(0.4, seed=5)"], (8,)),
    ("noise", ["L.GaussianNoise(0.3, seed=5)", HIDDEN], (8,)),
    ("spatial dropout", ["L.SpatialDropout1D(0.4, seed=5)", "L.Flatten()"], (6, 3)),
    ("everything dense", [
        'L.Dense(8, activation="relu", kernel_regularizer="l2")',
        "L.BatchNormalization()", "L.Dropout(0.4, seed=5)"], (8,)),
    ("l2", ['L.Dense(8, kernel_regularizer="l2")'], (8,)),
    ("l1 activity", ['L.Dense(8, activity_regularizer="l1")'], (8,)),
    ("constraint", ['L.Dense(8, kernel_constraint="max_norm")'], (8,)),
    ("gelu", ['L.Dense(8, activation="gelu")'], (8,)),
    ("leaky", ["L.Dense(8)", "L.LeakyReLU()"], (8,)),
    ("prelu", ["L.Dense(8)", "L.PReLU()"], (8,)),
    ("rescaling", ["L.Rescaling(1 / 255)", HIDDEN], (8,)),
    ("cnn", [CONV, "L.MaxPooling2D()", "L.Flatten()"], IMAGES),
    ("cnn average", [CONV, "L.AveragePooling2D(2)", "L.Flatten()"], IMAGES),
    ("cnn strided", ["L.Conv2D(4, 3, strides=2)", "L.GlobalAveragePooling2D()"], IMAGES),
    ("cnn normalized", [
        "L.Conv2D(4, 3)", "L.BatchNormalization()", "L.ReLU()", "L.MaxPooling2D()",
        "L.Flatten()", "L.Dropout(0.3, seed=1)"], IMAGES),
    ("cnn separable", ["L.SeparableConv2D(4, 3)", "L.Flatten()"], IMAGES),
    ("cnn depthwise", ["L.DepthwiseConv2D(3)", "L.Flatten()"], IMAGES),
    ("cnn transposed", ["L.Conv2DTranspose(2, 3)", "L.GlobalMaxPooling2D()"], IMAGES),
    ("cnn in one dimension", ["L.Conv1D(4, 3)", "L.GlobalMaxPooling1D()"], (8, 2)),
    ("augmentation", ['L.RandomFlip("horizontal", seed=1)', "L.Flatten()", HIDDEN], IMAGES),
    ("lstm", ["L.LSTM(6)"], (5, 3)),
    ("lstm of sequences", ["L.LSTM(6, return_sequences=True)", "L.LSTM(4)"], (5, 3)),
    ("gru", ["L.GRU(6)"], (5, 3)),
    ("simple rnn", ["L.SimpleRNN(6)"], (5, 3)),
    ("bidirectional", ["L.Bidirectional(L.LSTM(4))"], (5, 3)),
    ("time distributed", ["L.TimeDistributed(L.Dense(4))", "L.Flatten()"], (5, 3)),
]:  # fmt: skip
    KINDS[_name] = lambda inner=_inner, shape=_shape: _classes(*inner, shape=shape)

for _name, _inner in {
    "masked lstm": ["L.Masking(0.0)", "L.LSTM(6)"],
    "masked sequences": ["L.Masking(0.0)", "L.GRU(6, return_sequences=True)", "L.LSTM(4)"],
}.items():
    KINDS[_name] = lambda inner=_inner: _classes(*inner, shape=(5, 3), x=SEQUENCES)

for _name, _options in {
    "embedding": {"inner": ["L.Embedding(20, 4)", "L.Flatten()"]},
    "masked embedding": {"inner": ["L.Embedding(20, 4, mask_zero=True)", "L.LSTM(4)"]},
    "masked mean": {
        "inner": ["L.Embedding(20, 4, mask_zero=True)", "L.GlobalAveragePooling1D()"]
    },
    "bag of words": {"inner": ["L.Embedding(20, 4)", "L.GlobalAveragePooling1D()", HIDDEN]},
}.items():
    KINDS[_name] = lambda inner=_options["inner"]: _classes(*inner, shape=(6,), **TOKENS)

for _name, _optimizer in {
    "sgd": "keras.optimizers.SGD(0.05)",
    "momentum": "keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True)",
    "adam": "keras.optimizers.Adam(0.01)",
    "adamw": "keras.optimizers.AdamW(0.01)",
    "amsgrad": "keras.optimizers.Adam(0.01, amsgrad=True)",
    "rmsprop": "keras.optimizers.RMSprop(0.01)",
    "adagrad": "keras.optimizers.Adagrad(0.01)",
    "lion": "keras.optimizers.Lion(0.001)",
    "clipped": "keras.optimizers.Adam(0.01, global_clipnorm=0.5)",
    "moving average": "keras.optimizers.Adam(0.01, use_ema=True)",
    "schedule": "keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 8))",
    "loss scale": "keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.05))",
}.items():
    KINDS[_name] = lambda optimizer=_optimizer: _numbers(HIDDEN, optimizer=optimizer)

for _name, _loss in {
    "absolute error": "mae",
    "huber": "huber",
    "log cosh": "log_cosh",
    "sum of squares": 'keras.losses.MeanSquaredError(reduction="sum")',
}.items():
    KINDS[_name] = lambda loss=_loss: _numbers(HIDDEN, loss=loss)


@kind
def one_hot_labels() -> dict[str, Any]:
    y = np.eye(3, dtype=np.float32)[_labels(3)]
    metrics = ["accuracy", "keras.metrics.F1Score(average='macro')"]
    return _classes(HIDDEN, y=y, loss="categorical_crossentropy", metrics=metrics)


@kind
def boolean_labels() -> dict[str, Any]:
    return _binary(_labels(2).astype(bool)[:, None])


@kind
def labels_of_bytes() -> dict[str, Any]:
    return _binary(_labels(2).astype(np.uint8)[:, None])


@kind
def binary_labels() -> dict[str, Any]:
    metrics = ["accuracy", "keras.metrics.AUC()", "keras.metrics.Precision()"]
    return _binary(_labels(2).astype(np.float32)[:, None], metrics=metrics)


@kind
def several_labels() -> dict[str, Any]:
    y = (_data(4, seed=2) > 0).astype(np.float32)
    metrics = ["binary_accuracy", "keras.metrics.AUC(multi_label=True)"]
    return _binary(y, metrics=metrics)


def _binary(y: np.ndarray[Any, Any], **options: Any) -> dict[str, Any]:
    return {
        "build": _regressor(HIDDEN, outputs=y.shape[1]),
        "x": _data(8),
        "y": y,
        "loss": "keras.losses.BinaryCrossentropy(from_logits=True)",
        "metrics": ["accuracy"],
        **options,
    }


@kind
def bytes_as_features() -> dict[str, Any]:
    x = np.random.default_rng(5).integers(0, 256, (N + VALIDATION, 8)).astype(np.uint8)
    return _classes("L.Rescaling(1 / 255)", HIDDEN, x=x)


@kind
def doubles() -> dict[str, Any]:
    options = _numbers(HIDDEN)
    return {**options, "x": options["x"].astype(np.float64), "y": options["y"].astype(float)}


@kind
def whole_numbers() -> dict[str, Any]:
    x = np.random.default_rng(5).integers(-9, 9, (N + VALIDATION, 8))
    return _classes(HIDDEN, x=x, y=_labels(3).astype(np.int64))


@kind
def squares() -> dict[str, Any]:
    metrics = ["keras.metrics.R2Score()", "keras.metrics.RootMeanSquaredError()"]
    return _numbers(HIDDEN, metrics=metrics)


@kind
def iou() -> dict[str, Any]:
    metrics = ["keras.metrics.MeanIoU(num_classes=3, sparse_y_pred=False)"]
    return _classes(HIDDEN, metrics=metrics)


@kind
def top_k() -> dict[str, Any]:
    return _classes(HIDDEN, metrics=["keras.metrics.SparseTopKCategoricalAccuracy(k=2)"])


@kind
def sample_weights() -> dict[str, Any]:
    weights = np.linspace(0.5, 2, N).astype(np.float32)
    return _classes(HIDDEN, fit={"sample_weight": weights}, weighted_metrics=["accuracy"])


@kind
def class_weights() -> dict[str, Any]:
    return _classes(HIDDEN, fit={"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}})


@kind
def part_for_validation() -> dict[str, Any]:
    return _classes(HIDDEN, "L.Dropout(0.2, seed=2)", split=0.3)


@kind
def larger_validation_batches() -> dict[str, Any]:
    return _classes(HIDDEN, fit={"validation_batch_size": 11})


@kind
def one_batch() -> dict[str, Any]:
    return _classes(HIDDEN, fit={"batch_size": 64})


@kind
def single_samples() -> dict[str, Any]:
    return _numbers(HIDDEN, fit={"batch_size": 1})


@kind
def mixed_precision() -> dict[str, Any]:
    return _classes(HIDDEN, "L.Dropout(0.2, seed=2)", policy="mixed_bfloat16")


@kind
def half_precision() -> dict[str, Any]:
    return _classes(HIDDEN, policy="mixed_float16")


@kind
def frozen_layer() -> dict[str, Any]:
    return _classes("L.Dense(8, trainable=False)", HIDDEN, "L.BatchNormalization()")


def _functional(code: Callable[[Any, Any], Any]) -> Callable[[], Any]:
    def build() -> Any:
        import keras

        return code(keras, keras.layers)

    return build


@kind
def attention() -> dict[str, Any]:
    def code(keras: Any, layers: Any) -> Any:
        tokens = keras.Input((6,), dtype="int32")
        x = layers.Embedding(20, 8)(tokens)
        x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 4)(x, x))
        x = layers.Dense(8, "gelu")(x)
        x = layers.GlobalAveragePooling1D()(x)
        return keras.Model(tokens, layers.Dense(3, "softmax")(x))

    return {**_classes(**TOKENS), "build": _functional(code)}


@kind
def residual() -> dict[str, Any]:
    def code(keras: Any, layers: Any) -> Any:
        given = keras.Input(IMAGES)
        x = layers.Conv2D(4, 3, padding="same", activation="relu")(given)
        y = layers.Conv2D(4, 3, padding="same")(x)
        x = layers.GlobalAveragePooling2D()(layers.add([x, layers.BatchNormalization()(y)]))
        return keras.Model(given, layers.Dense(3, "softmax")(x))

    return {**_classes(shape=IMAGES), "build": _functional(code)}


@kind
def two_inputs() -> dict[str, Any]:
    def code(keras: Any, layers: Any) -> Any:
        a, b = keras.Input((4,), name="a"), keras.Input((3,), name="b")
        x = layers.concatenate([layers.Dense(4)(a), layers.Dense(4)(b)])
        return keras.Model({"a": a, "b": b}, layers.Dense(1)(x))

    return {
        **_numbers(),
        "build": _functional(code),
        "x": {"a": _data(4), "b": _data(3, seed=4)},
    }


@kind
def two_outputs() -> dict[str, Any]:
    def code(keras: Any, layers: Any) -> Any:
        given = keras.Input((8,))
        x = layers.Dense(8, "relu")(given)
        outputs = {"n": layers.Dense(1, name="n")(x), "c": layers.Dense(3, name="c")(x)}
        return keras.Model(given, outputs)

    crossed = "keras.losses.SparseCategoricalCrossentropy(from_logits=True)"
    return {
        "build": _functional(code),
        "x": _data(8),
        "y": {"n": _data(1, seed=6), "c": _labels(3)},
        "loss": {"n": "mse", "c": crossed},
        "loss_weights": {"n": 0.5, "c": 2.0},
        "metrics": {"n": ["mae"], "c": ["accuracy"]},
    }


@kind
def added_loss() -> dict[str, Any]:
    def code(keras: Any, layers: Any) -> Any:
        class Penalty(layers.Layer):
            def call(self, x: Any) -> Any:
                self.add_loss(0.01 * keras.ops.sum(keras.ops.square(x)))
                return x

        given = keras.Input((8,))
        x = Penalty()(layers.Dense(8, "relu")(given))
        return keras.Model(given, layers.Dense(1)(x))

    return {**_numbers(), "build": _functional(code)}


@kind
def dropout_in_evaluation() -> dict[str, Any]:
    def code(keras: Any, layers: Any) -> Any:
        given = keras.Input((8,))
        x = layers.Dropout(0.5, seed=1)(layers.Dense(8, "relu")(given), training=True)
        return keras.Model(given, layers.Dense(1)(x))

    return {**_numbers(), "build": _functional(code), "fit": {"epochs": 1}}


def _evaluated(code: Any) -> Any:
    """What code in a string makes; anything else as it is."""
    import keras

    if isinstance(code, str) and code.startswith("keras."):
        return eval(code, {"keras": keras})
    if isinstance(code, list):
        return [_evaluated(each) for each in code]
    if isinstance(code, dict):
        return {name: _evaluated(each) for name, each in code.items()}
    return code


def _both(
    *,
    build: Callable[[], Any],
    x: Any,
    y: Any,
    optimizer: str = "adam",
    fit: dict[str, Any] | None = None,
    split: float | None = None,
    policy: str = "float32",
    **compiled: Any,
) -> list[str]:
    """Train a model with Keras and one with us, and return what is not the same bits."""
    import keras

    import epochwise

    def part(tree: Any, rows: slice) -> Any:
        return keras.tree.map_structure(lambda leaf: leaf[rows], tree)

    keras.config.set_dtype_policy(policy)
    first, last = slice(N), slice(N, None)
    options = {"batch_size": BATCH, "epochs": 2, "shuffle": False, "verbose": 0, **(fit or {})}
    if split is None:
        options["validation_data"] = part(x, last), part(y, last)
    else:
        options["validation_split"] = split
    models, histories = [], []
    for train in (keras.Model.fit, epochwise.fit):
        keras.utils.clear_session()  # or the second model's AUC would be `auc_1`
        keras.utils.set_random_seed(7)
        model = build()
        model.compile(**_evaluated({"optimizer": optimizer, **compiled}))
        histories.append(dict(train(model, part(x, first), part(y, first), **options).history))
        models.append(model)

    def same(group: str) -> bool:
        theirs, ours = (
            [np.asarray(keras.ops.convert_to_numpy(each)) for each in _group(model, group)]
            for model in models
        )
        pairs = zip(theirs, ours, strict=True)
        return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs)

    differs = [group for group in ("weights", "optimizer") if not same(group)]
    told, ours = (
        {name: list(map(float, np.ravel(v))) for name, v in h.items()} for h in histories
    )
    differs += [name for name in told if told[name] != ours.get(name)]
    differs += [name for name in ours if name not in told]
    evaluated = [
        model.evaluate(part(x, last), part(y, last), batch_size=BATCH, verbose=0)
        for model in models
    ]
    if not np.array_equal(*evaluated):
        differs.append("evaluate")
    return differs


def _group(model: Any, group: str) -> list[Any]:
    return list(model.weights if group == "weights" else model.optimizer.variables)


def _is_told(name: str, differs: str) -> bool:
    """Tell whether the page says that this may differ in such a kind."""
    words, kinds = MAY_DIFFER.get(differs, ("", set()))
    return name in kinds and words in PAGE.read_text(encoding="utf-8")


def main(names: Sequence[str]) -> int:
    """Compare kinds, all unless some are named; return how many differ untold."""
    os.environ["KERAS_BACKEND"] = "jax"
    equal, untold = 0, []
    for name in names or KINDS:
        differs = _both(**KINDS[name]())
        equal += not differs
        untold += [name] * any(not _is_told(name, each) for each in differs)
        print(f"{name}: {', '.join(differs) or 'equal'}", flush=True)
    print(f"{len(names or KINDS)} kinds, {equal} equal in every bit, untold:", untold)
    return len(untold)


if __name__ == "__main__":
    sys.exit(min(1, main(sys.argv[1:])))
