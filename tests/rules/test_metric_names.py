"""A metric's name tells which way is better, or it is asked."""

from __future__ import annotations

import pytest

from epochwise.errors import PlanError
from epochwise.rules import better_of, check_metric


@pytest.mark.parametrize(
    ("metric", "better"),
    [
        ("loss", "lower"),
        ("val_loss", "lower"),
        ("val_mean_squared_error", "lower"),
        ("mae", "lower"),
        ("val_sparse_categorical_crossentropy", "lower"),
        ("val_kl_divergence", "lower"),
        ("logcosh", "lower"),
        ("val_false_positives", "lower"),
        ("val_perplexity", "lower"),
        ("val_head_loss", "lower"),
        ("val_precision_loss", "lower"),
        ("accuracy", "higher"),
        ("val_acc", "higher"),
        ("val_sparse_top_k_categorical_accuracy", "higher"),
        ("val_accuracy_1", "higher"),
        ("val_head_b_accuracy", "higher"),
        ("BinaryAccuracy", "higher"),
        ("val_auc", "higher"),
        ("val_true_positives", "higher"),
        ("val_f1_score", "higher"),
        ("val_mean_io_u", "higher"),
        ("val_cosine_similarity", "higher"),
        ("val_r2_score", "higher"),
        ("val_precision_at_recall", "higher"),
    ],
)
def test_the_name_tells(metric: str, better: str) -> None:
    """Those of Keras, with prefixes and numbers."""
    assert better_of(metric) == better


@pytest.mark.parametrize("metric", ["val_gain", "val_", "lossy", "accurate", "my_metric", ""])
def test_a_name_that_tells_nothing_is_asked(metric: str) -> None:
    """Keras takes the lower one without a word; here it has to be said."""
    with pytest.raises(PlanError, match='say better="lower" or better="higher"'):
        better_of(metric)
    assert better_of(metric, "higher") == "higher"


def test_what_is_told_wins() -> None:
    """Somebody may want the worst."""
    assert better_of("val_loss", "higher") == "higher"


@pytest.mark.parametrize(
    ("metric", "names", "remedy"),
    [
        ("val_los", ("loss", "val_loss"), "use metric='val_loss'"),
        ("val_loss", ("loss", "accuracy"), "give validation data"),
        ("auc", ("loss",), "use metric='loss'"),
        ("auc", (), "compile the model with the metric"),
    ],
)
def test_a_wrong_name_is_refused_before_training(
    metric: str, names: tuple[str, ...], remedy: str
) -> None:
    """E07: with the names there are and the nearest of them."""
    with pytest.raises(PlanError, match=remedy):
        check_metric(metric, names)
