"""The built-in networks, uncompiled. Small, and what a first course would draw."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from epochwise.data.order import position_seed
from epochwise.data.samples import Array
from epochwise.errors import ModelError

SMALLEST_IMAGE = 4
"""Rows and columns that two poolings by 2 leave one of [pixels]."""

_ROWS_AT_ONCE = 1 << 16

_CONSTANT = 1e-6
"""A column varies when its deviation is above this share of its mean: below, float32
keeps nothing of it but rounding."""


def mlp(
    input_shape: tuple[int, ...],
    outputs: int,
    activation: str | None,
    *,
    seed: int = 0,
    table: Array | None = None,
) -> Any:
    """Build one hidden layer: Flatten, Dense(128, relu), Dense(outputs, activation).

    Args:
        input_shape: of one sample, without the axis of samples.
        outputs: numbers that the network gives for a sample.
        activation: of the last layer: `"softmax"`, `"sigmoid"`, or `None` for a regression.
        seed: of the first weights; the same seed gives the same weights, whatever else
            was drawn before.
        table: the training part of a table, shape `(N, columns)`. Each column is then
            shifted and scaled to mean 0 and deviation 1 of these rows; a constant
            column becomes 0.

    Returns:
        A `keras.Sequential`, not compiled.

    Example:
        ``mlp((28, 28), 10, "softmax")`` has 101,770 parameters: 784·128 + 128 + 128·10 + 10.
    """
    import keras

    seeds = _seeds(seed)
    network = [keras.Input(input_shape)]
    if table is not None:
        mean, variance = column_moments(table)
        network.append(keras.layers.Normalization(mean=mean, variance=variance))
    if len(input_shape) != 1:
        network.append(keras.layers.Flatten())
    network.append(
        keras.layers.Dense(128, activation="relu", kernel_initializer=_Drawn(next(seeds)))
    )
    network.append(_last_layer(outputs, activation, seeds))
    return _usual(keras.Sequential(network, name="mlp"))


def cnn(
    input_shape: tuple[int, ...], outputs: int, activation: str | None, *, seed: int = 0
) -> Any:
    """Build two convolutions by 3 (32 and 64 filters), each pooled by 2, and a Dense layer.

    Borders are padded, so that the 8 by 8 digits pass too.

    Args:
        input_shape: `(rows, columns)`, or `(rows, columns, channels)`.
        outputs: numbers that the network gives for a sample.
        activation: of the last layer, as in `mlp`.
        seed: of the first weights, as in `mlp`.

    Returns:
        A `keras.Sequential`, not compiled.

    Raises:
        ModelError: the samples are no images, or too small for two poolings.
    """
    import keras

    if len(input_shape) not in (2, 3):
        raise ModelError(
            f"The cnn takes images of shape (rows, columns) or (rows, columns, channels); "
            f"these samples have shape {input_shape}.",
            'use model="mlp", which takes any shape.',
        )
    rows, columns = input_shape[:2]
    if min(rows, columns) < SMALLEST_IMAGE:
        raise ModelError(
            f"The cnn halves its images twice; these, {rows} by {columns} pixels, are too "
            f"small: it needs {SMALLEST_IMAGE} by {SMALLEST_IMAGE}.",
            'use model="mlp", or larger images.',
        )
    seeds = _seeds(seed)
    network = [keras.Input(input_shape)]
    if len(input_shape) == 2:
        network.append(keras.layers.Reshape((*input_shape, 1)))
    for filters in (32, 64):
        network.append(
            keras.layers.Conv2D(
                filters,
                3,
                padding="same",
                activation="relu",
                kernel_initializer=_Drawn(next(seeds)),
            )
        )
        network.append(keras.layers.MaxPooling2D(2))
    network += [keras.layers.Flatten(), _last_layer(outputs, activation, seeds)]
    return _usual(keras.Sequential(network, name="cnn"))


@dataclass(frozen=True, slots=True)
class _Drawn:
    """Keras's usual initializer, Glorot's uniform one, drawn by NumPy.

    The weights of a seed are then the same on every backend, and JAX has no program to
    compile for each shape, which took a second of a run.
    """

    seed: int

    def __call__(self, shape: Sequence[int], dtype: Any = None) -> Any:
        """Return weights of a shape `(..., inputs, outputs)`."""
        import keras

        receptive = math.prod(shape[:-2])
        limit = math.sqrt(6 / (receptive * (shape[-2] + shape[-1])))
        drawn = np.random.default_rng(self.seed).uniform(-limit, limit, shape)
        return keras.ops.convert_to_tensor(drawn.astype(np.float32), dtype)


def column_moments(table: Array) -> tuple[list[float], list[float]]:
    """Return the mean and variance of each column, safe to divide by.

    Means are sums in float64 over the rows, and variances sums of squared differences
    from them, so no digits cancel.

    Args:
        table: shape `(N, columns)`, N >= 1; read in pieces.

    Returns:
        Means and variances, one a column. The variance of a column that is constant, to
        the precision of float32, is given as 1, so that it becomes about 0 and not noise.

    Example:
        >>> column_moments(np.array([[1.0, 7.0], [3.0, 7.0]], np.float32))
        ([2.0, 7.0], [1.0, 1.0])
    """
    count = table.shape[0]
    pieces = [slice(first, first + _ROWS_AT_ONCE) for first in range(0, count, _ROWS_AT_ONCE)]
    mean = sum(table[piece].sum(axis=0, dtype=np.float64) for piece in pieces) / count
    squares = [
        np.square(table[piece].astype(np.float64) - mean).sum(axis=0) for piece in pieces
    ]
    variance = sum(squares) / count
    varies = np.sqrt(variance) > _CONSTANT * np.abs(mean)
    variance = np.where(varies & (variance > 0), variance, 1.0)
    return np.asarray(mean).tolist(), np.asarray(variance).tolist()


def _last_layer(outputs: int, activation: str | None, seeds: Iterator[int]) -> Any:
    """Return the layer that gives the outputs."""
    import keras

    return keras.layers.Dense(
        outputs, activation=activation, kernel_initializer=_Drawn(next(seeds))
    )


def _usual(network: Any) -> Any:
    """Let the layers name Keras's initializer, so that they are saved as everybody's."""
    import keras

    for layer in network.layers:
        drawn = getattr(layer, "kernel_initializer", None)
        if isinstance(drawn, _Drawn):
            layer.kernel_initializer = keras.initializers.GlorotUniform(seed=drawn.seed)
    return network


def _seeds(seed: int) -> Iterator[int]:
    """Yield a seed for each layer, of the width that every backend takes."""
    layer = 0
    while True:
        yield position_seed(seed, "initial weights", layer) % 2**31
        layer += 1
