"""What all tests share: Keras runs on JAX unless the environment says otherwise."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")
