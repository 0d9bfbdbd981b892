"""A model, lent: whatever is done to it inside, afterwards it is what it was before.

Weights, optimizer, metrics, the counters of its random layers, and what Keras keeps
globally: the random seed, and the counters from which it names things. So is what a
first training creates on top of the weights, the variables of the optimizer and of the
metrics: where there were none before, there are none afterwards.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from epochwise.data.samples import Array

_KEPT_GLOBALS = ("global_random_seed", "global_seed_generator", "object_name_uids")
"""What Keras keeps for all models and training can move."""


@contextmanager
def unchanged(model: Any) -> Iterator[None]:
    """Put everything back on leaving, also after an exception.

    Args:
        model: a built and compiled Keras model.

    Example:
        >>> import epochwise, keras, numpy as np
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> before = model.get_weights()[0].tolist()
        >>> with unchanged(model):
        ...     model.set_weights([np.ones((2, 1)), np.ones(1)])
        >>> model.get_weights()[0].tolist() == before
        True
    """
    from keras.src.backend.common import global_state

    parts = [part for part in _parts(model) if part is not None]
    values = [(variable, _value(variable)) for variable in _variables(model)]
    fields = [(part, _copied(vars(part))) for part in parts]
    keras_globals = {name: global_state.get_global_attribute(name) for name in _KEPT_GLOBALS}
    names = dict(keras_globals["object_name_uids"] or {})
    generator = keras_globals["global_seed_generator"]
    drawn = None if generator is None else _value(generator.state)
    python_random, numpy_random = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        for part, before in fields:
            _restore(vars(part), before)
        for variable, value in values:
            variable.assign(value)
        for name, kept in keras_globals.items():
            if name != "object_name_uids":
                global_state.set_global_attribute(name, kept)
        counters = global_state.get_global_attribute("object_name_uids")
        if counters is not None:
            counters.clear()
            counters.update(names)
        if generator is not None:
            generator.state.assign(drawn)
        random.setstate(python_random)
        np.random.set_state(numpy_random)  # noqa: NPY002


def _parts(model: Any) -> tuple[Any, ...]:
    """The parts of a compiled model in which a first training creates variables."""
    optimizer = model.optimizer
    return (
        optimizer,
        getattr(optimizer, "inner_optimizer", None),
        getattr(model, "_compile_metrics", None),
        getattr(model, "_compile_loss", None),
        getattr(model, "_loss_tracker", None),
    )


def _variables(model: Any) -> list[Any]:
    """All variables that there are now, each once."""
    groups = (model.variables, model.optimizer.variables, model.metrics_variables)
    return list({id(variable): variable for group in groups for variable in group}.values())


def _value(variable: Any) -> Array:
    """A copy of a variable's value on the host."""
    import keras

    return np.array(keras.ops.convert_to_numpy(variable.value))


def _copied(fields: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Each field's object, and a copy of its contents where it is a container."""
    containers = (list, dict, set)
    return {
        name: (value, value.copy() if isinstance(value, containers) else None)
        for name, value in fields.items()
    }


def _restore(fields: dict[str, Any], before: dict[str, tuple[Any, Any]]) -> None:
    """Put the objects back, and into the containers what they held."""
    for name in fields.keys() - before.keys():
        del fields[name]
    for name, (value, contents) in before.items():
        fields[name] = value
        # The plain methods: Keras's own containers refuse changes once a model is built.
        if isinstance(value, list):
            list.__setitem__(value, slice(None), contents)
        elif isinstance(value, dict):
            dict.clear(value)
            dict.update(value, contents)
        elif isinstance(value, set):
            set.clear(value)
            set.update(value, contents)
