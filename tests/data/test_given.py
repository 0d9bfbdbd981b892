"""Arrays as a caller of `fit` gives them."""

from __future__ import annotations

import numpy as np
import pytest

from epochwise.data.given import given_samples, given_validation, weighed_by_class
from epochwise.data.samples import Samples
from epochwise.errors import DataError


def test_numbers_get_the_types_that_keras_trains_with() -> None:
    """Floats become float32 and integers int32; uint8 and truth values stay."""
    samples = given_samples(
        (np.zeros((2, 1)), np.zeros((2, 1), np.uint8)), {"a": np.zeros(2, bool)}
    )

    assert [leaf.dtype.name for leaf in samples.x] == ["float32", "uint8"]
    assert samples.y["a"].dtype == bool
    assert given_samples([[1, 2], [3, 4]]).x.dtype == np.int32


def test_integers_beyond_32_bits_are_refused_not_wrapped() -> None:
    """The error says what the array holds."""
    with pytest.raises(DataError, match="4294967296"):
        given_samples(np.array([[0], [2**32]]))


def test_a_memory_map_is_neither_read_nor_copied(tmp_path: object) -> None:
    """Mapped float64 stays mapped float64."""
    np.save(f"{tmp_path}/x.npy", np.ones((3, 2)))
    mapped = np.load(f"{tmp_path}/x.npy", mmap_mode="r")

    assert given_samples(mapped, np.zeros(3)).x is mapped


@pytest.mark.parametrize(
    "y",
    [
        np.array([0, 2, 1]),
        np.array([[0], [2], [1]]),
        np.array([[1.0, 0, 0], [0, 0, 1], [0, 1, 0]]),
    ],
)
def test_each_sample_gets_the_weight_of_its_class_as_in_keras(y: np.ndarray) -> None:
    """Classes are numbers, a column of numbers or one-hot rows; one not named weighs 1."""
    from keras.src.trainers.data_adapters.data_adapter_utils import (
        class_weight_to_sample_weights,
    )

    weights = {0: 3.0, 2: 0.5}
    samples = given_samples(np.zeros((3, 2)), y, class_weight=weights)

    assert samples.weight.tolist() == [3.0, 0.5, 1.0]
    assert samples.weight.tolist() == class_weight_to_sample_weights(y, weights).tolist()


def test_weights_of_classes_need_one_target_and_no_other_weights() -> None:
    """Two targets, no target, and weights of samples beside them are refused."""
    x, y = np.zeros((3, 2)), np.zeros(3)
    with pytest.raises(DataError, match="there are 2"):
        given_samples(x, (y, y), class_weight={0: 1.0})
    with pytest.raises(DataError, match="there are 0"):
        given_samples(x, class_weight={0: 1.0})
    with pytest.raises(DataError, match="Both sample_weight and class_weight"):
        given_samples(x, y, np.ones(3), {0: 1.0})
    with pytest.raises(DataError, match="Both sample_weight and class_weight"):
        weighed_by_class(Samples(x=x, y=y, weight=np.ones(3)), {0: 1.0})


def test_one_array_of_weights_goes_to_every_target() -> None:
    """With two targets and one array of weights, both are weighted by it."""
    weight = np.array([1.0, 2.0, 3.0])
    samples = given_samples(np.zeros((3, 2)), {"a": np.zeros(3), "b": np.ones(3)}, weight)

    assert {name: leaf.tolist() for name, leaf in samples.weight.items()} == {
        "a": [1.0, 2.0, 3.0],
        "b": [1.0, 2.0, 3.0],
    }


def test_places_in_a_text_may_have_weights_of_their_own() -> None:
    """A weight of shape (N, T) fits targets of shape (N, T), and no others."""
    x, weight = np.zeros((3, 2)), np.ones((3, 4))

    assert given_samples(x, np.zeros((3, 4)), weight).weight.shape == (3, 4)
    with pytest.raises(DataError, match=r"sample_weight has shape \(3, 4\)"):
        given_samples(x, np.zeros(3), weight)


def test_validation_data_has_at_most_three_parts() -> None:
    """A mapping is x alone; more than three parts are refused with their number."""
    x, y = np.zeros((3, 2)), np.zeros(3)

    assert given_validation((x, y, np.ones(3))).weight.shape == (3,)
    assert list(given_validation({"x": x}).x) == ["x"]
    with pytest.raises(DataError, match="has 4 parts"):
        given_validation((x, y, None, None))


@pytest.mark.parametrize("x", [None, [None], (None, None), {"x": None}])
def test_features_of_none_are_named(x: object) -> None:
    """L21: nothing given for any input is told as that, and not as a row shape."""
    with pytest.raises(DataError, match=r"x is None, .* is not optional"):
        given_samples(x, np.ones((4, 1)))
