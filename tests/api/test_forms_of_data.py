"""Forms of data that Keras takes: nested and optional inputs, sparse ones, text (L21 to L29).

What runs in a process of its own begins where a newcomer does; see `newcomer`. The same
script runs on whichever backends are installed, which `make backends` sees to.
"""

from __future__ import annotations

import importlib.util
from typing import Any

import keras
import numpy as np
import pytest

import epochwise
from epochwise.data.given import given_samples
from epochwise.data.sparse import sparse_rows
from epochwise.errors import DataError
from epochwise.record.arrays import data_sha256
from newcomer import run_as_newcomer

BACKENDS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(name) is None, reason=f"{name} is not installed"
        ),
    )
    for name in ("jax", "tensorflow", "torch")
]

L21 = """
import epochwise
import keras
import numpy as np

L, tree = keras.layers, keras.tree
rng = np.random.default_rng(0)
x, z = rng.random((40, 3), np.float32), rng.random((40, 2), np.float32)
y = (x.sum(1) > 1.5).astype("int32")


class Sum(L.Layer):
    def call(self, a, b=None):
        return a if b is None else a + keras.ops.sum(b, axis=-1, keepdims=True)


def optional(listed):
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b", optional=True)
    model = keras.Model([a, b] if listed else {"a": a, "b": b}, L.Dense(2)(Sum()(a, b)))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def of_targets():
    a = keras.Input((3,), name="a")
    model = keras.Model(a, {
        "u": [L.Dense(1, name="one")(a), L.Dense(2, name="two")(a)],
        "v": L.Dense(1, name="three")(a),
    })
    model.compile("adam", loss={"u": ["mse", "mse"], "v": "mae"})
    return model


def of_inputs():
    a, b, c = (keras.Input((size,), name=name) for size, name in ((3, "a"), (2, "b"), (3, "v")))
    model = keras.Model({"u": [a, b], "v": c}, L.Dense(1)(L.Concatenate()([a, b, c])))
    model.compile("adam", "mse")
    return model


cases = [
    (lambda: optional(False), {"a": x, "b": None}, y),
    (lambda: optional(False), {"a": x, "b": z}, y),
    (lambda: optional(True), [x, None], y),
    (lambda: optional(True), (x, None), y),
    (of_targets, x, {"u": [x[:, :1], z], "v": x[:, 1]}),
    (of_targets, x, {"u": (x[:, :1], z), "v": x[:, 1]}),
    (of_inputs, {"u": [x, z], "v": x}, x[:, :1]),
]
for make, features, targets in cases:

    def network():
        keras.utils.set_random_seed(1)
        return make()

    def part(start, end):
        cut = lambda leaf: None if leaf is None else leaf[start:end]
        return tree.map_structure(cut, features), tree.map_structure(cut, targets)

    def batches():
        for start in range(0, 40, 8):
            yield part(start, start + 8)

    given = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0}
    given["validation_data"] = part(0, 16)
    theirs, ours, fed = network(), network(), network()
    expected = theirs.fit(features, targets, **given).history
    run = epochwise.fit(ours, features, targets, **given)
    epochwise.fit(fed, batches, epochs=2, verbose=0)
    assert dict(run.history) == expected, (run.history, expected)
    for one, two, three in zip(theirs.get_weights(), ours.get_weights(), fed.get_weights()):
        assert (one == two).all() and (two == three).all()
for model, features in ((optional(False), {"a": None, "b": z}), (optional(True), [None, z])):
    try:
        epochwise.fit(model, features, y, verbose=0)
    except epochwise.EpochwiseError as error:
        print(error)
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_l21_trees_and_optional_inputs_are_trained_as_by_keras(backend: str) -> None:
    """L21: `None` for an optional input, nested inputs and targets; a required one is named."""
    done = run_as_newcomer(L21, environment={"KERAS_BACKEND": backend})

    named = "x has None for the input 'a', which is not optional."
    assert done.stdout.count(named) == 2
    assert done.stdout.count('keras.Input(..., name="a", optional=True)') == 2


L23 = """
import epochwise
import keras
import numpy as np
import scipy.sparse as sp

L, backend = keras.layers, keras.backend.backend()
rng = np.random.default_rng(0)
x = rng.random((41, 6)) * (rng.random((41, 6)) > 0.6)
z, y = rng.random((41, 2), np.float32), (x.sum(1) > 1.2).astype("int32")


def one():
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((6,)), L.Dense(4, "relu"), L.Dense(2, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def two():
    keras.utils.set_random_seed(1)
    sparse = backend != "torch"  # where Keras has no such inputs; ours are dense in a batch
    a, b = keras.Input((6,), name="a", sparse=sparse), keras.Input((2,), name="b")
    joined = L.Concatenate()([L.Dense(3)(a), b])
    model = keras.Model({"a": a, "b": b}, L.Dense(2, "softmax")(joined))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def trained(make, features, **given):
    model = make()
    run = epochwise.fit(model, features, y, batch_size=8, epochs=2, verbose=0, **given)
    weights = [value.tobytes() for value in model.get_weights()]
    return weights, dict(run.history), run.position.iterations_done


kinds = [sp.csr_matrix, sp.csc_array, sp.coo_matrix]
if backend == "jax":
    from jax.experimental.sparse import BCOO

    kinds.append(BCOO.fromdense)
elif backend == "tensorflow":
    import tensorflow as tf

    kinds.append(tf.sparse.from_dense)
else:
    import torch

    kinds.append(lambda dense: torch.tensor(dense).to_sparse())
split, apart = {"validation_split": 0.2}, {"shuffle": False}
dense = trained(one, x, **split), trained(one, x, validation_data=(x[:9], y[:9]), **apart)
for kind in kinds:
    held_out = (kind(x[:9]), y[:9])
    assert trained(one, kind(x), **split) == dense[0], kind
    assert trained(one, kind(x), validation_data=held_out, **apart) == dense[1], kind
    assert trained(one, x, validation_data=held_out, **apart) == dense[1], kind
assert trained(two, {"a": sp.csr_matrix(x), "b": z}) == trained(two, {"a": x, "b": z})


def batches():
    for start in range(0, 41, 8):
        yield kinds[-1](x[start : start + 8]), y[start : start + 8]


fed = one()
epochwise.fit(fed, batches, epochs=2, verbose=0)
assert [value.tobytes() for value in fed.get_weights()] == trained(one, x, **apart)[0]
"""


@pytest.mark.parametrize("backend", BACKENDS)
def test_l23_sparse_inputs_give_the_bits_of_dense_ones(backend: str) -> None:
    """L23: as x, as one of two inputs, as validation data, as batches of a generator."""
    run_as_newcomer(L23, environment={"KERAS_BACKEND": backend})


def test_l23_all_kinds_of_sparse_have_the_rows_of_the_dense_array() -> None:
    """L23: any rows, in any order, of matrices with duplicates and of more axes than two."""
    scipy_sparse = pytest.importorskip("scipy.sparse")
    from jax.experimental.sparse import BCOO, BCSR

    rng = np.random.default_rng(0)
    dense = rng.integers(1, 9, (7, 5)) * (rng.random((7, 5)) > 0.7)
    cube = dense.reshape(7, 5, 1) * np.array([1, 0, 2])
    kinds = ["csr_matrix", "csc_matrix", "coo_matrix", "csr_array", "csc_array", "coo_array"]
    kinds += ["lil_matrix", "dok_matrix", "bsr_array", "dia_array"]
    found = [(sparse_rows(getattr(scipy_sparse, kind)(dense)), dense) for kind in kinds]
    twice = scipy_sparse.coo_matrix(([1.0, 2.0], ([1, 1], [0, 0])), shape=(3, 2))
    found += [(sparse_rows(twice), twice.toarray())]
    found += [(sparse_rows(BCSR.fromdense(dense)), dense)]
    found += [(sparse_rows(BCOO.fromdense(cube, n_batch=n)), cube) for n in (0, 1)]
    found += [(sparse_rows(BCOO.fromdense(cube, n_dense=1)), cube)]

    for rows, array in found:
        assert rows is not None
        some = np.array([2, 0, 2, 1])
        np.testing.assert_array_equal(rows[some], array[some])
        np.testing.assert_array_equal(rows[1:3], array[1:3])
        assert rows.shape == array.shape
    assert sparse_rows(dense) is None
    assert twice.nnz == 2, "the caller's own matrix stays as it is"


def test_l23_what_is_wrong_in_a_sparse_array_is_told_with_its_place() -> None:
    """L23: NaN inside; weights that are sparse."""
    scipy_sparse = pytest.importorskip("scipy.sparse")
    dense = np.diag([1.0, 2.0, 3.0])
    broken = scipy_sparse.csr_matrix(dense)
    broken.data[1] = np.nan

    with pytest.raises(DataError, match=r"x\[1, 1\] is nan"):
        given_samples(broken, np.arange(3))
    with pytest.raises(DataError, match="sample_weight is sparse"):
        given_samples(dense, np.arange(3), scipy_sparse.csr_matrix(np.ones((3, 1))))


def test_digests_tell_sparse_arrays_text_and_trees_apart() -> None:
    """A resumed run is refused other data in each of these forms."""
    scipy_sparse = pytest.importorskip("scipy.sparse")
    a, b = np.eye(3), np.arange(3)
    text = [np.array(["a", "b", "c"]), np.array(["a", "c", "b"])]
    sparse = [scipy_sparse.csr_matrix(a), scipy_sparse.csr_matrix(2 * a)]
    forms = [a, *sparse, *text, (a, b), (a, None, b), (a, (b,)), {"a": a, "b": [b, None]}]

    digests = {data_sha256(given_samples(form)) for form in forms}

    assert len(digests) == len(forms)
    same = (np.array(["a", "b"]), np.array(["a", "b"], object), np.array([b"a", b"b"]))
    assert len({data_sha256(given_samples(form)) for form in same}) == 1


L29 = """
import epochwise
import keras
import numpy as np
import tensorflow as tf

L = keras.layers
words = "good nice fine bad awful poor ok".split()
rng = np.random.default_rng(0)
text = np.array([" ".join(rng.choice(words, 4)) for _ in range(40)], object)
first = np.array([line.split()[0] for line in text], object)
y, z = rng.integers(0, 2, 40).astype("int32"), rng.random((40, 2), np.float32)


def compiled(model):
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def vectorized(start=(keras.Input((1,), dtype="string"),)):
    keras.utils.set_random_seed(1)
    layer = L.TextVectorization(max_tokens=20, output_sequence_length=4)
    layer.adapt(list(text))
    after = [L.Embedding(20, 4), L.GlobalAveragePooling1D(), L.Dense(2, "softmax")]
    return compiled(keras.Sequential([*start, layer, *after]))


def looked_up(layer):
    keras.utils.set_random_seed(1)
    a, b = keras.Input((1,), dtype="string", name="a"), keras.Input((2,), name="b")
    joined = L.Concatenate()([layer(a), b])
    return compiled(keras.Model({"a": a, "b": b}, L.Dense(2, "softmax")(joined)))


def fitted(fit, make, x, *y, **given):
    model = make()
    history = fit(model, x, *y, epochs=2, shuffle=False, verbose=0, **given).history
    return dict(history), [value.tobytes() for value in model.get_weights()]


keras_fit, held_out = keras.Model.fit, {"validation_data": (text[:9], y[:9])}
expected = fitted(keras_fit, vectorized, text, y, **held_out)
assert fitted(epochwise.fit, vectorized, text, y, **held_out) == expected
forms = [text[:, None], text.astype("U"), text.astype("S"), list(text), tf.constant(list(text))]
for x in forms:
    assert fitted(epochwise.fit, vectorized, x, y, **held_out) == expected, type(x)
unbuilt = lambda: vectorized(start=())
assert fitted(epochwise.fit, unbuilt, text, y) == fitted(keras_fit, unbuilt, text, y)
batches = tf.data.Dataset.from_tensor_slices((list(text), y)).batch(8)
given = {"validation_data": batches}
assert fitted(epochwise.fit, vectorized, batches, **given) == fitted(
    keras_fit, vectorized, batches, **given
)
for layer in (
    L.StringLookup(vocabulary=words, output_mode="one_hot"),
    L.Hashing(8, output_mode="one_hot"),
):
    make = lambda: looked_up(layer)
    tensors = {"a": tf.constant(list(first))[:, None], "b": tf.constant(z)}
    expected = fitted(keras_fit, make, tensors, y)
    assert fitted(epochwise.fit, make, {"a": first[:, None], "b": z}, y) == expected
    assert fitted(epochwise.fit, make, {"a": first.astype("U"), "b": z}, y) == expected
run = epochwise.fit(vectorized(), text, y, verbose=0, run_dir="run")
assert run.position.iterations_done == 2
"""


@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="tensorflow is not installed"
)
def test_l29_text_is_trained_on_tensorflow_as_by_keras() -> None:
    """L29: text in every form, with layers of three kinds, in arrays and in tf.data."""
    run_as_newcomer(L29, environment={"KERAS_BACKEND": "tensorflow"})


@pytest.mark.parametrize("kind", ["O", "U", "S", "list", "batches"])
def test_l29_other_backends_say_why_text_is_not_trained(kind: str) -> None:
    """L29: the reason, and what to type; y of text is told how to be numbered."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    text = np.array([["good"], ["bad"]], object)
    x: Any = text if kind == "O" else text.astype(kind) if kind in "US" else text.tolist()
    given: Any = (lambda: iter([(text, np.arange(2))]),) if kind == "batches" else (x, [0, 1])

    with pytest.raises(DataError, match="x is text, and on jax") as refused:
        epochwise.fit(model, *given, verbose=0)

    assert "KERAS_BACKEND=tensorflow" in refused.value.problems[0].remedy
    with pytest.raises(DataError, match=r"(?s)y has dtype object.*np.unique"):
        epochwise.fit(model, np.ones((2, 1)), text[:, 0], verbose=0)
