"""A model's learning-rate schedule, stretched to a longer training."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from typing import Any

import numpy as np

from epochwise.errors import ModelError

_SPREAD = 16
"""Into so many pieces a stretch of updates is parted to look for its extreme rates."""

_LENGTHS = ("decay_steps", "warmup_steps", "first_decay_steps", "boundaries")
"""What Keras's schedules call a number of updates."""


def schedule_of(model: Any) -> Any | None:
    """Return the learning-rate schedule of a compiled model; `None` for a plain rate.

    Args:
        model: a compiled Keras model.
    """
    import keras

    schedule = getattr(model.optimizer, "_learning_rate", None)
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return schedule
    return None


def rate_after(schedule: Any, updates: int) -> float:
    """Return the learning rate that a schedule gives after so many updates."""
    import keras

    return float(keras.ops.convert_to_numpy(schedule(updates)))


def extreme_rates(rate: Callable[[int], float], first: int, last: int) -> dict[int, float]:
    """Return where a learning rate first is highest and lowest, found by few evaluations.

    Sought among evenly spread places first, then around the best of them by halving, so
    that what turns more often than that may be missed.

    Args:
        rate: after so many updates, the rate of the next one.
        first: the fewest updates.
        last: the most of them.

    Example:
        >>> extreme_rates(lambda update: -abs(update - 333.0), 0, 1500)
        {333: -0.0, 1500: -1167.0}
    """
    places = {first + (last - first) * place // _SPREAD for place in range(_SPREAD + 1)}
    known = {place: rate(place) for place in sorted(places)}
    found = {}
    for sign in (-1, 1):
        while True:
            best = min(known, key=lambda place: (sign * known[place], place))
            before = max((place for place in known if place < best), default=best)
            after = min((place for place in known if place > best), default=best)
            halves = {(before + best + 1) // 2, (best + after) // 2} - known.keys()
            if not halves:
                break
            known |= {place: rate(place) for place in halves}
        found[best] = known[best]
    return found


def compiled_rate(schedule: Any) -> Callable[[int], float]:
    """Return `rate_after` of a schedule as a function that is quick to call.

    A schedule that only runs eagerly stays as it is.
    """
    import keras

    if keras.backend.backend() == "jax":
        import jax

        compiled = jax.jit(schedule)
        with suppress(TypeError):  # what JAX raises where Python wants to know a value
            compiled(np.int32(0))
            schedule = compiled

    def rate(updates: int) -> float:
        found = keras.ops.convert_to_numpy(schedule(np.int32(updates)))
        return float(np.float32(found))  # as the optimizer takes it

    return rate


def stretch_schedule(model: Any, by: Fraction) -> None:
    """Stretch the schedule of a model: what it gave at update i it gives at i times `by`.

    Args:
        model: a compiled Keras model with a schedule.
        by: how much longer the training is.

    Raises:
        ModelError: the schedule is none of Keras's own.
    """
    schedule = schedule_of(model)
    if schedule is None or by == 1:
        return
    config = dict(schedule.get_config())
    named = [name for name in _LENGTHS if config.get(name)]
    if not named:
        raise ModelError(
            f"The schedule {type(schedule).__name__} has none of {', '.join(_LENGTHS)}, so it "
            "cannot be stretched.",
            'use schedule="keep", or train anew with a schedule of the right length.',
        )
    for name in named:
        config[name] = _stretched(config[name], by)
    model.optimizer.learning_rate = type(schedule).from_config(config)


def _stretched(length: Any, by: Fraction) -> Any:
    """Return a number of updates, or each of several, times `by`, rounded."""
    if isinstance(length, (list, tuple)):
        return [round(each * by) for each in length]
    return round(length * by)


def constant_rate(model: Any) -> float | None:
    """Return the learning rate of a model that no schedule sets; `None` where one does.

    Args:
        model: a compiled Keras model.

    Returns:
        The rate as it was written: the shortest number that the model's float32 stands
        for, 0.001 and not 0.0010000000474974513.
    """
    import keras

    if schedule_of(model) is not None:
        return None
    rate = np.float32(keras.ops.convert_to_numpy(model.optimizer.learning_rate))
    return float(str(rate))
