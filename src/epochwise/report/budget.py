"""How much of each run a page may hold, so that it stays small enough to be sent around."""

from __future__ import annotations

from dataclasses import dataclass

from epochwise.errors import RunError

MOST_RUNS = 24
"""Most runs on one page; more lines on one chart could not be told apart anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What one run may take of a page.

    Args:
        loss_points: most losses of single iterations in a chart.
        line_points: most points of any other line.
        ledger_lines: most lines of the ledger.
    """

    loss_points: int = 20_000
    line_points: int = 4_000
    ledger_lines: int = 200


def budget_of(runs: int) -> Budget:
    """Return what each of several runs may take of their page.

    Args:
        runs: how many there are; at least 1.

    Raises:
        RunError: there are more than `MOST_RUNS`.

    Example:
        >>> budget_of(1).loss_points, budget_of(10).loss_points
        (20000, 2000)
    """
    if runs > MOST_RUNS:
        raise RunError(
            f"{runs} runs are too many for one page, which shows at most {MOST_RUNS}.",
            f"name {MOST_RUNS} of them or fewer.",
        )
    whole = Budget()
    return Budget(
        loss_points=whole.loss_points // runs,
        line_points=whole.line_points // runs,
        ledger_lines=max(30, whole.ledger_lines // runs),
    )
