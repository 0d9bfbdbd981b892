"""The usual TensorFlow script for MNIST, with one callback added that counts exactly.

python examples/tensorflow_mnist.py             downloads MNIST
python examples/tensorflow_mnist.py mnist.npz   reads it from a file
"""

import sys

import numpy as np
from tensorflow.keras.datasets import mnist
from tensorflow.keras.layers import Dense, Flatten, Input
from tensorflow.keras.models import Sequential

import epochwise

if len(sys.argv) > 1:
    with np.load(sys.argv[1]) as data:
        x_train, y_train = data["x_train"], data["y_train"]
        x_test, y_test = data["x_test"], data["y_test"]
else:
    (x_train, y_train), (x_test, y_test) = mnist.load_data()
x_train, x_test = x_train / 255.0, x_test / 255.0

model = Sequential(
    [
        Input((28, 28)),
        Flatten(),
        Dense(128, activation="relu"),
        Dense(10, activation="softmax"),
    ]
)
model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(
    x_train,
    y_train,
    batch_size=64,
    epochs=5,
    callbacks=[epochwise.EpochCounter(samples=len(x_train), batch_size=64)],
)
model.evaluate(x_test, y_test)
