"""The batch-size evidence as a section: the advice, every size that was run, and a chart."""

from __future__ import annotations

import numpy as np

from epochwise.report.blocks import cell, figure, paragraph, row, section, table
from epochwise.report.charts import Chart, line, names
from epochwise.report.evidence import Evidence
from epochwise.report.markup import Child, Html, element
from epochwise.report.phrases import Facts, number, phrase

_HEADS = ("size", "rate", "iteration", "memory", "iterations", "seconds")


def evidence_chart(evidence: Evidence) -> Chart:
    """Return the chart of the seconds to the target against the batch size.

    Args:
        evidence: of the run's folder.
    """
    series = []
    for style, colour, text, field in (
        ("points", "validation", "series.measured", "seconds"),
        ("line", "train", "series.expected", "expected_seconds"),
    ):
        known = [one for one in evidence.sizes if getattr(one, field) is not None]
        if known:
            x = [one.batch_size for one in known]
            y = [getattr(one, field) for one in known]
            series.append(line(style, colour, names(text), x, np.array(y)))
    return {
        "id": "evidence",
        "scale": "log",
        "axis": "batch_size",
        "series": series,
        "marks": [{"x": evidence.batch_size, "colour": "best", "names": names("mark.advised")}],
        "per_epoch": None,
    }


def evidence_section(evidence: Evidence, facts: Facts) -> Html:
    """Return the section about the batch size.

    Args:
        evidence: of the run's folder.
        facts: what its sentences may state.
    """
    rows = []
    for size in evidence.sizes:
        prefix = f"advice.{size.batch_size}."
        cells: list[Child] = [
            cell(f"{prefix}rate", size.learning_rate),
            cell(f"{prefix}iteration", size.iteration_seconds, "seconds"),
            cell(f"{prefix}memory", size.memory_bytes, "bytes"),
            cell(f"{prefix}iterations", size.iterations and round(size.iterations)),
            cell(f"{prefix}seconds", size.seconds, "seconds"),
        ]
        best = "best" if size.batch_size == evidence.batch_size else None
        rows.append(row(number(f"{prefix}size", size.batch_size), *cells, class_=best))
    return section(
        "evidence",
        phrase("evidence.title"),
        paragraph("evidence.lead", facts),
        figure("evidence"),
        table([phrase(f"evidence.{name}") for name in _HEADS], rows),
        element("p", element("bdi", evidence.reason), class_="note"),
    )
