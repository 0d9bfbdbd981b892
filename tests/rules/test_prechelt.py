"""Prechelt's rules stop where the formulas of the paper say."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boundaries import INF, NAN, at, boundary, stops_at, stops_at_resumed
from epochwise.errors import PlanError, TrainingError
from epochwise.rules import (
    GeneralizationLoss,
    Patience,
    ProgressQuotient,
    SuccessiveRises,
    epochs_of,
    replay,
)

ERRORS = st.floats(0.01, 10.0)
HISTORIES = st.lists(st.tuples(ERRORS, ERRORS), min_size=1, max_size=30).map(
    lambda rows: {"loss": [row[0] for row in rows], "val_loss": [row[1] for row in rows]}
)
STRIPS = st.integers(1, 6)
ALPHAS = st.sampled_from([0.0, 0.5, 1.0, 5.0, 50.0])


def generalization_loss(validation: list[float], t: int) -> float:
    """GL(t) of the paper, t counted from one."""
    return 100 * (validation[t - 1] / min(validation[:t]) - 1)


def progress(training: list[float], t: int, k: int) -> float:
    """P_k(t) of the paper."""
    last = training[t - k : t]
    return 1000 * ((math.fsum(last) / k) / min(last) - 1)


def up(validation: list[float], t: int, k: int, s: int) -> bool:
    """Whether UP_s stops after epoch t, by the paper's recursion."""
    if t % k or t - k < 1 or not validation[t - 1] > validation[t - k - 1]:
        return False
    return s == 1 or up(validation, t - k, k, s - 1)


def first(epochs: int, stops: Any) -> int | None:
    """Return the first epoch at which a criterion holds."""
    return next((t for t in range(1, epochs + 1) if stops(t)), None)


def decided(rule: Any, history: dict[str, list[float]]) -> int | None:
    """Return the epoch at which a rule stops, resumed at every one as well."""
    seen = list(epochs_of(history))
    stopped = stops_at(rule, seen)
    assert stops_at_resumed(rule, seen) == stopped
    return None if stopped is None else stopped[0] + 1


@given(HISTORIES, ALPHAS)
@settings(max_examples=100, deadline=None)
def test_generalization_loss(history: dict[str, list[float]], alpha: float) -> None:
    """GL stops after the first epoch with GL(t) > α."""
    validation = history["val_loss"]
    expected = first(len(validation), lambda t: generalization_loss(validation, t) > alpha)
    assert decided(GeneralizationLoss(alpha=alpha), history) == expected


@given(HISTORIES, ALPHAS, STRIPS)
@settings(max_examples=100, deadline=None)
def test_progress_quotient(history: dict[str, list[float]], alpha: float, k: int) -> None:
    """PQ stops after the first end of a strip with GL(t)/P_k(t) > α."""
    training, validation = history["loss"], history["val_loss"]

    def stops(t: int) -> bool:
        if t % k:
            return False
        lost, gained = generalization_loss(validation, t), progress(training, t, k)
        return lost > 0 and (gained <= 0 or lost / gained > alpha)

    rule = ProgressQuotient(alpha=alpha, strip_epochs=k)
    assert decided(rule, history) == first(len(validation), stops)


@given(HISTORIES, st.integers(1, 4), STRIPS)
@settings(max_examples=100, deadline=None)
def test_successive_rises(history: dict[str, list[float]], s: int, k: int) -> None:
    """UP stops after the first epoch at which the paper's recursion holds."""
    validation = history["val_loss"]
    expected = first(len(validation), lambda t: up(validation, t, k, s))
    assert decided(SuccessiveRises(rises=s, strip_epochs=k), history) == expected


def test_the_reasons_tell_the_numbers() -> None:
    """One sentence each."""
    history = {"loss": [0.5, 0.4, 0.4, 0.375], "val_loss": [0.6, 0.5, 0.55, 0.6]}
    reasons = [
        replay(rule, history)
        for rule in (
            GeneralizationLoss(alpha=15),
            ProgressQuotient(alpha=0.5, strip_epochs=2),
            SuccessiveRises(rises=2, strip_epochs=1),
        )
    ]
    assert [(epochs, reason and reason.rule) for epochs, reason in reasons] == [
        (4, "generalization_loss"),
        (4, "progress_quotient"),
        (4, "successive_rises"),
    ]
    assert [reason and reason.sentence for _, reason in reasons] == [
        "val_loss is 20% above its lowest, more than 15% (0.5 after epoch 2, now 0.6).",
        (
            "val_loss is 20% above its lowest (0.5 after epoch 2, now 0.6), while loss "
            "progressed by 33.33 per mille in 2 epochs: a quotient above 0.5."
        ),
        "val_loss has risen in 2 strips of 1 epoch in a row (now 0.6).",
    ]


def test_strips_end_where_there_is_an_evaluation() -> None:
    """Strips of 2 epochs, evaluated every 3: each third epoch ends one, no earlier."""
    seen = [
        boundary(
            at(epoch), {"loss": 1.0, **({"val_loss": epoch / 10} if epoch % 3 == 0 else {})}
        )
        for epoch in range(1, 13)
    ]
    stopped = stops_at(SuccessiveRises(rises=2, strip_epochs=2), seen)
    assert stopped is not None
    assert stopped[0] + 1 == 9
    stopped = stops_at(ProgressQuotient(alpha=1, strip_epochs=2), seen)
    assert stopped is not None
    assert stopped[0] + 1 == 6
    assert "in 3 epochs" in stopped[1].sentence


def test_looks_inside_an_epoch_end_no_strip() -> None:
    """Only the ends of epochs do; the generalization loss looks at every evaluation."""
    seen = [
        boundary(at(0, i, per_epoch=99), {"loss": 1.0, "val_loss": float(i)}) for i in (1, 2, 3)
    ]
    assert stops_at(SuccessiveRises(rises=1, strip_epochs=1), seen) is None
    assert stops_at(ProgressQuotient(alpha=0, strip_epochs=1), seen) is None
    stopped = stops_at(GeneralizationLoss(alpha=5), seen)
    assert stopped is not None
    assert stopped[1].sentence.endswith("(1 after iteration 1, now 2).")


@pytest.mark.parametrize("value", [NAN, INF])
def test_what_is_not_finite_never_is_the_lowest(value: float) -> None:
    """E03: a first NaN poisons nothing; later ones decide nothing where ratios are formed."""
    history = {"loss": [1.0] * 5, "val_loss": [value, 1.0, value, 0.9, 0.8]}
    assert replay(GeneralizationLoss(alpha=0), history) == (5, None)
    assert replay(ProgressQuotient(alpha=0, strip_epochs=1), history) == (5, None)


def test_what_is_not_finite_counts_as_a_rise() -> None:
    """NaN is no improvement: strips 1, NaN, NaN are two rises, and 1, NaN, 1 are none left."""
    rule = SuccessiveRises(rises=2, strip_epochs=1)
    assert replay(rule, {"val_loss": [1.0, NAN, NAN]})[1] is not None
    assert replay(rule, {"val_loss": [1.0, NAN, 1.0, NAN]})[1] is None
    assert replay(rule, {"val_loss": [NAN, NAN, NAN, NAN]})[1] is None


def test_no_loss_of_generalization_stops_nothing() -> None:
    """Though the mean of equal training errors be rounded to below them (as this one is)."""
    history = {"loss": [0.4045546588460657] * 3, "val_loss": [1.0] * 3}
    assert replay(ProgressQuotient(alpha=1, strip_epochs=3), history) == (3, None)


def test_an_error_of_zero_is_as_low_as_errors_get() -> None:
    """Any error after it is infinitely far above; zero again is not."""
    assert replay(GeneralizationLoss(alpha=5), {"val_loss": [0.0, 0.0, 0.1]})[0] == 3
    assert replay(GeneralizationLoss(alpha=5), {"val_loss": [0.0, 0.0, 0.0]})[1] is None


def test_a_negative_error_is_refused_with_a_rule_that_can() -> None:
    """A log-likelihood has no ratios."""
    with pytest.raises(TrainingError, match='use Patience\\(metric="val_loss", epochs=3\\)'):
        replay(GeneralizationLoss(alpha=5), {"val_loss": [1.0, -0.5]})
    history = {"loss": [-1.0, -1.0], "val_loss": [1.0, 1.0]}
    with pytest.raises(TrainingError, match="divide by loss"):
        replay(ProgressQuotient(alpha=1, strip_epochs=1), history)


def test_a_metric_that_never_was_there_is_an_error() -> None:
    """E07: also for the training metric, with the names there are."""
    with pytest.raises(TrainingError, match="There is no metric 'val_loss'; there are val_mse"):
        replay(GeneralizationLoss(alpha=5), {"val_mse": [1.0]})
    rule = ProgressQuotient(alpha=5, training_metric="train_loss")
    with pytest.raises(TrainingError, match="There is no metric 'train_loss'"):
        replay(rule, {"loss": [1.0], "val_loss": [1.0]})


@pytest.mark.parametrize(
    ("rule", "settings", "message"),
    [
        (GeneralizationLoss, {"alpha": -1}, "alpha=-1 is no limit"),
        (GeneralizationLoss, {"alpha": NAN}, "alpha=nan is no limit"),
        (GeneralizationLoss, {"alpha": 5, "metric": "val_accuracy"}, "need an error"),
        (ProgressQuotient, {"alpha": 5, "strip_epochs": 0}, "strip_epochs=0"),
        (ProgressQuotient, {"alpha": 5, "training_metric": "auc"}, "need an error"),
        (SuccessiveRises, {"rises": 0}, "rises=0"),
        (SuccessiveRises, {"rises": 3, "strip_epochs": 2.5}, "strip_epochs=2.5"),
    ],
)
def test_refuses_settings_that_cannot_be(
    rule: Any, settings: dict[str, Any], message: str
) -> None:
    """A limit below zero, a strip of nothing, or a metric that is no error."""
    with pytest.raises(PlanError, match=message):
        rule(**settings)


def test_up_with_strips_of_one_is_patience_that_counts_rises_only() -> None:
    """Where the error only rises after its lowest, the two agree."""
    history = {"val_loss": [1.0, 0.5, 0.6, 0.7, 0.8, 0.9]}
    rises = replay(SuccessiveRises(rises=3, strip_epochs=1), history)[0]
    assert rises == replay(Patience(metric="val_loss", epochs=3), history)[0] == 5
