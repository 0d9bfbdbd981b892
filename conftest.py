"""What all tests share: Keras runs on JAX unless the environment says otherwise.

No test fails for being slow on a busy machine: properties have no deadline.
"""

import importlib.util
import os

from hypothesis import settings

os.environ.setdefault("KERAS_BACKEND", "jax")
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

# Examples in docstrings are looked for by importing; a backend that is not installed has none.
collect_ignore = [
    f"src/epochwise/engines/on_keras/with_{backend}.py"
    for backend in ("tensorflow", "torch")
    if importlib.util.find_spec(backend) is None
]
