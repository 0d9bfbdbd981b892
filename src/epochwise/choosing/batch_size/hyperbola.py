"""Iterations and samples that a target costs, as the batch size changes.

At small batches a target takes a fixed number of samples E_min, at large ones a fixed
number of iterations S_min; in between, S/S_min − 1 and E/E_min − 1 are each other's
inverse. One number, the critical batch size B_c = E_min/S_min, tells where the one turns
into the other, and what a batch size costs on a machine where t(B) = α + βB.

The learning rate is taken to be right for each batch size, and the model to be the same:
where it is not, the curve is a guide for what to try and no more.

References:
    McCandlish et al. 2018, arXiv:1812.06162, section 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperbola:
    """S(B) = S_min·(1 + B_c/B) and E(B) = B·S(B) = E_min·(1 + B/B_c).

    Args:
        least_iterations: S_min, what the target takes with batches without noise
            [iterations]; more than 0.
        critical_size: B_c [samples]; 0 or more, infinity where iterations only ever
            fall in proportion.

    Example:
        >>> curve = Hyperbola(least_iterations=1000.0, critical_size=64.0)
        >>> curve.iterations(64), curve.iterations(128), curve.samples(64)
        (2000.0, 1500.0, 128000.0)
    """

    least_iterations: float
    critical_size: float

    @property
    def least_samples(self) -> float:
        """E_min = S_min·B_c, what the target takes with batches of next to nothing."""
        return self.least_iterations * self.critical_size

    def iterations(self, batch_size: float) -> float:
        """Iterations to the target at a batch size [iterations]."""
        return self.least_iterations * (1 + self.critical_size / batch_size)

    def samples(self, batch_size: float) -> float:
        """Samples to the target at a batch size [samples]."""
        return batch_size * self.iterations(batch_size)


def through(batch_size: float, iterations: float, critical_size: float) -> Hyperbola:
    """Return the curve of a critical size through one measured point.

    Args:
        batch_size: B of the point [samples].
        iterations: S(B), measured there.
        critical_size: B_c, such as the noise scale [samples]; finite.

    Example:
        >>> through(64, 2000, critical_size=64).iterations(128)
        1500.0
    """
    return Hyperbola(
        least_iterations=iterations / (1 + critical_size / batch_size),
        critical_size=critical_size,
    )


def fitted(points: Sequence[tuple[float, float]]) -> Hyperbola | None:
    """Return the curve nearest to measured points, in relative error.

    S is linear in 1/B, S = S_min + E_min/B; both parts are kept from being negative.

    Args:
        points: pairs (B, S), at least two of different B.

    Returns:
        The curve; `None` where the points do not tell: too few, or iterations that do
        not depend on the batch size the way the curve says (S_min would be 0).

    Example:
        >>> fitted([(32, 3000), (64, 2000), (128, 1500)]).critical_size
        64.0
    """
    if len({size for size, _ in points}) < 2:
        return None
    sizes = np.array([size for size, _ in points], float)
    iterations = np.array([count for _, count in points], float)
    columns = np.stack([1 / iterations, 1 / (sizes * iterations)], axis=1)
    least, samples = np.linalg.lstsq(columns, np.ones(len(points)), rcond=None)[0]
    if least <= 0:
        return None
    critical = max(0.0, float(samples / least))
    return Hyperbola(least_iterations=float(least), critical_size=float(f"{critical:.12g}"))


def best_size(critical_size: float, fixed: float, per_sample: float) -> float:
    """Return the batch size of least time where t(B) = α + βB: B = √(B_c·α/β).

    It makes S_min(1 + B_c/B)(α + βB) least. Where iterations cost the same at every size
    (β = 0) it is infinite: as large as memory allows.

    Args:
        critical_size: B_c [samples].
        fixed: α, the part of an iteration that no sample causes [s].
        per_sample: β [s / sample].

    Example:
        >>> best_size(400, fixed=1e-3, per_sample=1e-5)
        200.0
    """
    if per_sample == 0:
        return math.inf
    return math.sqrt(critical_size * fixed / per_sample)
