"""What a checkpoint fits: one table, the same in the code and in the docs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from epochwise.checkpoint import circumstances, compare, not_compared
from epochwise.checkpoint.fits import TABLE
from epochwise.counting.plan import Plan
from epochwise.errors import RunError
from staged import ENGINE, header_of

DOCS = Path(__file__).parents[2] / "docs/surviving.md"
PLAN = Plan(samples=10, batch_size=4, epochs=3)
VARIABLES = [("trainable/dense/kernel", (2, 3), "float32"), ("trainable/dense/bias", (3,), "f")]
NETWORK = [
    {"name": "hidden", "type": "Dense", "settings": {"activation": "relu"}, "whole": True},
    {"name": "dropout_4", "type": "Dropout", "settings": {"rate": 0.2}, "whole": True},
]


def now(plan: Plan = PLAN) -> dict[str, Any]:
    """The circumstances of a staged training."""
    return circumstances(header_of(plan), ENGINE, VARIABLES, NETWORK)


def test_the_docs_hold_the_table_of_the_code() -> None:
    """Field, verdict and reason of every row, in the same order."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.*) \|$", DOCS.read_text(), re.MULTILINE)

    assert rows == [(row.field, row.verdict, row.why) for row in TABLE]


def test_every_row_is_recorded_and_every_record_has_a_row() -> None:
    """The table asks for nothing that is not recorded, and knows all that is."""
    assert set(now()) == {row.field for row in TABLE}


def test_the_same_circumstances_fit_exactly() -> None:
    """Nothing differs, and nothing is asked."""
    fit = compare(now(), now())

    assert fit.verdict == "exact"
    assert fit.differences == ()
    fit.require()


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.field)
def test_a_difference_has_the_verdict_of_its_row(row: Any) -> None:
    """Each thing alone: refused with its name, or with the flag to add, or fine."""
    before = now()
    if row.field == "layers":
        del before["network"]  # version 0.1 tells types and sizes only
    fit = compare(before, before | {row.field: "another"})

    assert fit.verdict == row.verdict
    assert [difference.row for difference in fit.differences] == [row]
    flags = {"order": "in_order=True", "changed": "accept_changed_model=True"}
    for accepted in ((), ("order",), ("changed",), ("order", "changed")):
        asked = {"in_order": "order" in accepted, "changed": "changed" in accepted}
        if row.verdict in ("exact", *accepted):
            fit.require(**asked)
            continue
        with pytest.raises(RunError, match=f"^{row.field} ") as caught:
            fit.require(**asked)
        assert [verdict for verdict, flag in flags.items() if flag in str(caught.value)] == [
            verdict for verdict in flags if verdict == row.verdict
        ]


def test_the_gravest_difference_decides() -> None:
    """Refused outweighs order, and order outweighs exact; all are listed."""
    fit = compare(now(), now() | {"python": "4", "jax": "9", "seed": 8, "batch_size": 5})

    assert fit.verdict == "refused"
    assert [difference.row.field for difference in fit.differences] == [
        "batch_size", "seed", "jax", "python",
    ]  # fmt: skip
    with pytest.raises(RunError) as caught:
        fit.require(in_order=True)
    assert [problem.what.split()[0] for problem in caught.value.problems] == [
        "batch_size", "seed",
    ]  # fmt: skip


def test_a_difference_inside_a_list_or_a_mapping_is_named() -> None:
    """The variable that has another shape is told, not all of them."""
    other = [VARIABLES[0], ("trainable/dense/bias", (4,), "f")]
    recorded = now() | {"optimizer_settings": {"beta_1": 0.9, "beta_2": 0.99}}
    fit = compare(
        recorded,
        circumstances(header_of(PLAN), ENGINE, other, NETWORK)
        | {"optimizer_settings": {"beta_1": 0.8, "beta_2": 0.99}},
    )
    variables, settings = map(str, fit.differences)

    assert variables.startswith("variables 2 2 1 was 3 and is 4")
    assert settings.startswith("optimizer_settings beta_1 was 0.9 and is 0.8: ")
    shorter = compare(now(), circumstances(header_of(PLAN), ENGINE, VARIABLES[:1], NETWORK))
    assert str(shorter.differences[0]).startswith("variables were 2 and are 1")


def test_the_microbatch_alone_leaves_the_order() -> None:
    """F15: the samples of an iteration count; how many go through at once does not."""
    whole, parts = replace(PLAN, microbatch_size=1), replace(PLAN, microbatch_size=None)

    assert compare(now(whole), now(parts)).verdict == "order"
    assert (
        compare(now(PLAN), now(Plan(samples=10, batch_size=2, epochs=3))).verdict == "refused"
    )


def test_a_run_can_be_extended() -> None:
    """More epochs change nothing of what is done."""
    assert compare(now(), now(Plan(samples=10, batch_size=4, epochs=9))).verdict == "exact"


def test_what_is_not_known_is_refused() -> None:
    """A checkpoint of a later version that tells of more is not guessed at."""
    with pytest.raises(RunError, match="tells of phase_of_the_moon"):
        compare(now() | {"phase_of_the_moon": "full"}, now())


def test_a_changed_setting_is_named_with_its_layer_and_both_values() -> None:
    """L01: names that Keras counted do not count; each setting is told."""
    again = [dict(part, name=part["name"] + "_7") for part in NETWORK]
    assert compare(now(), now() | {"network": again}).verdict == "exact"

    again[0] = again[0] | {"settings": {"activation": "tanh", "kernel_regularizer": None}}
    again[1] = again[1] | {"settings": {"rate": 0.5}}
    fit = compare(now(), now() | {"network": again})

    assert str(fit.differences[0]).startswith(
        "network: hidden_7 (Dense) activation was relu and is tanh; dropout_4_7 (Dropout) rate "
        "was 0.2 and is 0.5: "
    )


def test_a_checkpoint_of_version_0_1_tells_no_settings_of_layers() -> None:
    """What it does not tell is not compared, and a sentence says so."""
    before = now()
    del before["network"]

    assert compare(before, now()).differences == ()
    assert "does not tell the settings" in str(not_compared(before, now()))
    assert not_compared(now(), now()) is None


@pytest.mark.parametrize("network", ["x", [], [1], [{}], [{"name": 1, "type": 2}], {}, 0])
def test_a_network_that_nobody_wrote_is_a_difference(network: Any) -> None:
    """A damaged manifest is no reason for a traceback."""
    [difference] = compare(now() | {"network": network}, now()).differences

    assert str(difference).startswith("network ")


def test_a_learning_rate_is_compared_where_both_tell_it() -> None:
    """L01: an optimizer that has trained does not: a callback may have set its rate."""
    told = now() | {"optimizer_settings": {"learning_rate": 0.1, "nesterov": False}}
    other = now() | {"optimizer_settings": {"learning_rate": 0.2, "nesterov": False}}
    trained = now() | {"optimizer_settings": {"nesterov": False}}

    assert compare(told, other).verdict == "changed"
    assert compare(told, trained).verdict == compare(trained, told).verdict == "exact"
