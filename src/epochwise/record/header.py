"""What is known before the first iteration: the content of `run.json`."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from typing import Any

from epochwise.counting.plan import Plan
from epochwise.errors import RunError
from epochwise.record.jsontext import json_text
from epochwise.storage.folder import RunFolder

FORMAT = 1
"""The version of the record's format that this code writes."""

HEADER_FILE = "run.json"

_RECORDED_PACKAGES = ("epochwise", "numpy", "keras", "jax", "jaxlib", "tensorflow", "torch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a run is about.

    Mappings hold what JSON has: strings, numbers, true, false, `None`, lists, mappings.

    Args:
        began: when, in local time with its offset.
        data_name: `digits`, `mnist`, a file's name.
        data: more about it: `sha256` of the arrays (`data_sha256`), `samples`,
            `validation_samples`, `test_samples`, `input_shape`, `classes`, `columns`.
        split: the rule that parted it and the digest of the indices; `None` where
            nothing was parted.
        order: `seed` and `shuffle`.
        model_name: `mlp`, a function's name, a file's name.
        model: its layers, parameters, optimizer and loss (`models.describe`).
        plan: what will happen; `None` for data of unknown length.
        versions: of Python and the packages (`versions`).
        machine: where it runs (`machine`).
        arguments: the command line, word by word; `None` when started from Python.
        settings: how the run is trained, from which it can go on; `None` in the record
            of a training that somebody else ran.
        source: what the data and the model were made from, where that can be done anew.
        differences: what was not as before where the run went on in order only.
    """

    began: datetime
    data_name: str
    data: Mapping[str, Any]
    split: Mapping[str, Any] | None
    order: Mapping[str, Any]
    model_name: str
    model: Mapping[str, Any]
    plan: Plan | None
    versions: Mapping[str, str]
    machine: Mapping[str, Any]
    arguments: Sequence[str] | None = None
    settings: Mapping[str, Any] | None = None
    source: Mapping[str, Any] | None = None
    differences: Sequence[str] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the header as `run.json` holds it."""
        return {
            "format": FORMAT,
            "began": self.began.isoformat(timespec="seconds"),
            "data": {"name": self.data_name, **self.data},
            "split": self.split,
            "order": self.order,
            "model": {"name": self.model_name, **self.model},
            "plan": None if self.plan is None else self.plan.to_json(),
            "versions": self.versions,
            "machine": self.machine,
            "arguments": None if self.arguments is None else list(self.arguments),
            "settings": self.settings,
            "source": self.source,
            "differences": list(self.differences),
        }

    @classmethod
    def from_json(cls, recorded: Mapping[str, Any]) -> Header:
        """Read back what `to_json` gave.

        Raises:
            RunError: it was written in a later format, or something is missing.
        """
        try:
            if recorded["format"] != FORMAT:
                raise RunError(
                    f"The record has format {recorded['format']!r}; this Epochwise reads "
                    f"format {FORMAT}.",
                    "read it with the Epochwise that wrote it (its version stands in "
                    f"{HEADER_FILE}), or a newer one.",
                )
            data, model = dict(recorded["data"]), dict(recorded["model"])
            plan, arguments = recorded["plan"], recorded["arguments"]
            return cls(
                began=datetime.fromisoformat(recorded["began"]),
                data_name=str(data.pop("name")),
                data=data,
                split=recorded["split"],
                order=dict(recorded["order"]),
                model_name=str(model.pop("name")),
                model=model,
                plan=None if plan is None else Plan.from_json(plan),
                versions=dict(recorded["versions"]),
                machine=dict(recorded["machine"]),
                arguments=None if arguments is None else list(arguments),
                settings=recorded.get("settings"),
                source=recorded.get("source"),
                differences=tuple(recorded.get("differences", ())),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RunError(
                f"{HEADER_FILE} is not what Epochwise writes "
                f"({type(error).__name__}: {error}).",
                "restore the file from a copy, or remove the folder.",
            ) from error

    def write(self, folder: RunFolder) -> None:
        """Write it to the run's folder, complete or not at all.

        Raises:
            RunError: it could not be written.
        """
        folder.write(HEADER_FILE, [json_text(self.to_json(), indent=2).encode() + b"\n"])


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on.

    Nothing is imported: a package that is installed and not used is among them.

    Example:
        >>> sorted(versions())[-1]
        'python'
    """
    found = {"python": platform.python_version()}
    for name in _RECORDED_PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """Return the platform, the processor's architecture and the cores to be used.

    Example:
        >>> sorted(machine())
        ['architecture', 'cores', 'platform']
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return {
        "platform": f"{sys.platform} {platform.release()}",
        "architecture": platform.machine(),
        "cores": cores,
    }
