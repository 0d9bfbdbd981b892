"""The learning rate that goes with another batch size: the rule of the optimizer's family.

A rule says how a rate that suits one batch size carries over to another. It starts from
a pair that somebody chose, it is an approximation, and it is where a search begins.

References:
    Malladi et al. 2022, arXiv:2205.10287 (adaptive optimizers);
    Johnson et al. 2020, AdaScale, arXiv:2007.05105 (SGD).
"""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

Family: TypeAlias = Literal["adam", "sgd"]

_ADAPTIVE = frozenset(
    {
        "adadelta",
        "adafactor",
        "adagrad",
        "adam",
        "adamax",
        "adamw",
        "ftrl",
        "lamb",
        "lion",
        "muon",
        "nadam",
        "rmsprop",
        "schedulefreeadamw",
    }
)


def family_of(optimizer: str) -> Family:
    """Return the family whose rule an optimizer follows.

    The square-root rule is derived for Adam and RMSprop. Every other optimizer that
    divides by the gradient's size, or takes its sign, moves by about the rate itself
    whatever the batch, and is put with them.

    Args:
        optimizer: the name of its class, in any case.

    Example:
        >>> family_of("AdamW"), family_of("SGD")
        ('adam', 'sgd')
    """
    return "adam" if optimizer.lower() in _ADAPTIVE else "sgd"


def scaled_rate(
    rate: float, *, before: int, after: int, family: Family, noise_scale: float
) -> float:
    """Return the learning rate for a batch size, from one that suits another.

    With κ = after/before: Adam's family takes η·√κ. SGD takes η·(v + s)/(v/κ + s), where
    v = tr Σ/before is the noise of a batch and s = |G|² its signal, so with
    r = v/s = B_noise/before it is η·(r + 1)/(r/κ + 1): η·κ where noise rules, η where
    there is none.

    Args:
        rate: η, chosen for `before`.
        before: batch size it was chosen for [samples].
        after: batch size wanted [samples].
        family: the optimizer's.
        noise_scale: B_noise [samples]; may be infinite; only SGD's rule asks for it.

    Example:
        >>> scaled_rate(1e-3, before=32, after=128, family="adam", noise_scale=0.0)
        0.002
        >>> scaled_rate(0.01, before=32, after=128, family="sgd", noise_scale=float("inf"))
        0.04
        >>> scaled_rate(0.01, before=32, after=128, family="sgd", noise_scale=0.0)
        0.01
    """
    ratio = after / before
    if family == "adam":
        return rate * math.sqrt(ratio)
    if math.isinf(noise_scale):
        return rate * ratio
    noise = noise_scale / before
    return rate * (noise + 1) / (noise / ratio + 1)
