"""The first network as a plain Keras script on JAX, as a user would write it.

    python benchmarks/plain_keras.py mnist.npz

`benchmarks/first_network.py` runs it against `epochwise train mnist.npz --epochs 5`.
"""

import os
import sys

os.environ["KERAS_BACKEND"] = "jax"

import keras
import numpy as np

with np.load(sys.argv[1]) as data:
    x_train, y_train = data["x_train"], data["y_train"]
    x_test, y_test = data["x_test"], data["y_test"]
x_train = x_train.astype("float32") / 255
x_test = x_test.astype("float32") / 255

model = keras.Sequential(
    [
        keras.Input((28, 28)),
        keras.layers.Flatten(),
        keras.layers.Dense(128, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ]
)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x_train, y_train, batch_size=64, epochs=5, verbose=2)
loss, accuracy = model.evaluate(x_test, y_test, batch_size=64, verbose=0)
print(f"test loss {loss:.4f} accuracy {accuracy:.4f}")
