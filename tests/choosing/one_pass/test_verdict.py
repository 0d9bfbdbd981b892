"""What measured losses say, without any training."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from epochwise.choosing.one_pass import Answer, answer, measure, planned
from epochwise.choosing.one_pass.measuring import Run
from epochwise.errors import PlanError
from epochwise.record import json_text

PLAN = planned(1000, 10)


Law = Callable[[float, int], float]


def losses_by(law: Law, noise: float) -> Run:
    """Runs whose loss after so many unique samples and further passes follows a law."""
    rng = np.random.default_rng(0)

    def run(seed: int, unique: int, passes: int, look_every: int | None) -> Sequence[float]:
        del seed
        if look_every is None:
            points = [(unique, further) for further in range(passes)]
        else:
            first = [(look_every * place, 0) for place in range(1, 9)]
            points = [*first, *((unique, 1) for _ in first)]
        return [float(law(n, r) * (1 + noise * rng.standard_normal())) for n, r in points]

    return run


def told(law: Law, *, noise: float = 0.002) -> Answer:
    return answer(measure(PLAN, range(5), losses_by(law, noise)))


@pytest.mark.parametrize(
    ("law", "verdict"),
    [
        (lambda n, r: (n * (1 + r)) ** -0.5, "repeating pays"),
        (lambda n, r: 0.7 * (1 + 0.1 * r), "repeating hurts"),
        (lambda n, r: 0.7 * (1 + 0.1 * r * (n < 900)), "repeating hurts"),
        (lambda n, r: 0.1, "one pass is enough"),
    ],
)
def test_the_verdict_follows_the_losses(law: Law, verdict: str) -> None:
    """With a confidence that says so."""
    found = told(law)

    assert found.verdict == verdict
    assert found.confidence > 0.95


def test_what_noise_hides_is_not_told() -> None:
    """The confidence is then below 80%."""
    found = told(lambda n, r: 0.5 * (1 - 0.03 * r), noise=0.2)

    assert found.verdict == "it cannot be told"
    assert found.confidence < 0.8


def test_more_data_helps_where_repeats_are_worth_less() -> None:
    """Half of the samples twice is worse than all of them once; or as good."""
    scarce = told(lambda n, r: n**-0.5 * (1 - 0.05 * min(r, 1)))
    plenty = told(lambda n, r: (n * (1 + r)) ** -0.5)

    assert scarce.more_data_helps
    assert scarce.more_data > 0.2
    assert not plenty.more_data_helps


def test_runs_are_compared_at_equal_iterations() -> None:
    """Every part is repeated until it has made the whole's iterations, or twice."""
    for samples, batch_size in ((1000, 10), (60_000, 64), (97, 3)):
        found = planned(samples, batch_size)
        whole = found.uniques[-1]
        assert all(unique % batch_size == 0 for unique in found.uniques)
        assert whole <= samples < whole + 8 * batch_size
        parts = zip(found.uniques[:-1], found.passes[:-1], strict=True)
        assert all(unique * passes == whole for unique, passes in parts)
        assert found.samples_seen == 5 * whole


def test_too_few_samples_or_seeds_are_refused() -> None:
    """With what to type instead."""
    with pytest.raises(PlanError, match=r"holds no batch of 64(.|\n)*batch_size=3"):
        planned(100, 64)
    with pytest.raises(PlanError, match=r"seeds=\[0\]"):
        measure(PLAN, [0], lambda *_: [1.0] * 16)


def test_the_json_object_is_strict_json() -> None:
    """All of the answer, read back from its text."""
    found = told(lambda n, r: (n * (1 + r)) ** -0.5)

    read = json.loads(json_text(found.to_json()))

    assert read["verdict"] == "repeating pays"
    assert [each["unique"] for each in read["comparisons"]] == [120, 240, 480, 960]
    assert read["comparisons"][-1]["fresh"] is None
