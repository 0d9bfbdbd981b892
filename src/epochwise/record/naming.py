"""What a run's folder is called."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Final

RUNS_FOLDER: Final = Path("runs")
"""Where runs are kept unless told otherwise, below the current folder."""

_LONGEST = 40
"""Most characters of each part, so that a path stays within what systems allow."""


def run_name(began: datetime, data_name: str, model_name: str) -> str:
    """Return a name that sorts by time and says what was trained on what.

    Args:
        began: when the run began, in local time.
        data_name: the data set's; characters that trouble a shell become `-`.
        model_name: the model's.

    Example:
        >>> run_name(datetime(2026, 11, 23, 14, 25, 1), "digits", "mlp")
        '2026-11-23-142501-digits-mlp'
        >>> run_name(datetime(2026, 11, 23, 14, 25, 1), "my data.csv", "net.py:small")
        '2026-11-23-142501-my-data.csv-net.py-small'
    """
    parts = (began.strftime("%Y-%m-%d-%H%M%S"), _plain(data_name), _plain(model_name))
    return "-".join(part for part in parts if part)


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")[:_LONGEST]
