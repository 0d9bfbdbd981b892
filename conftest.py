"""What all tests share: Keras runs on JAX unless the environment says otherwise.

No test fails for being slow on a busy machine: properties have no deadline.
"""

import os

from hypothesis import settings

os.environ.setdefault("KERAS_BACKEND", "jax")
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")
