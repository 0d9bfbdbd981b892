"""A pytest plugin for Keras's own tests: the outcome of each, and how often it called `fit`.

Environment: `OUTCOMES` is the file to write; `ONLY` is a file with a JSON list of the tests to
run, all that may reach `fit` if it is empty.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

if find_spec("torch") is not None:
    import torch  # noqa: F401  # Keras's tests need it imported before TensorFlow
from keras.src.backend import backend
from keras.src.models.model import Trainer

outcomes: dict[str, dict[str, Any]] = {}
calls = 0


def pytest_configure(config: pytest.Config) -> None:
    """Know what is in Keras's `conftest.py`, which its source distribution leaves out."""
    config.addinivalue_line("markers", "requires_trainable_backend: not for NumPy")
    config.addinivalue_line("markers", "multi_device: needs several devices")
    if not Path("conftest.py").exists():
        sys.modules["conftest"] = SimpleNamespace(  # type: ignore[assignment]
            skip_if_backend=lambda name, reason: pytest.mark.skipif(
                backend() == name, reason=reason
            )
        )


def pytest_sessionstart() -> None:
    """Count the calls of the `fit` that is there by now."""
    fit = Trainer.fit

    def counted(model: Any, *args: Any, **options: Any) -> Any:
        global calls  # noqa: PLW0603
        calls += 1
        return fit(model, *args, **options)

    Trainer.fit = counted


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests asked for; leave out those that need several devices."""
    only = set(json.loads(Path(os.environ["ONLY"]).read_text(encoding="utf-8")))
    kept = [
        item
        for item in items
        if "multi_device" not in item.keywords
        and (item.nodeid in only if only else _may_train(item))
    ]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def _may_train(item: Any) -> bool:
    """Tell whether a test calls `fit`, or a function beside it that does, by its text."""
    beside = [*vars(item.module).items(), *inspect.getmembers(item.cls)]
    calling = [".fit", "run_layer_test("]
    calling += [
        f"{name}("
        for name, one in beside
        if inspect.isfunction(one) and not name.startswith("test") and _has(one, calling[:2])
    ]
    return _has(item.function, calling)


def _has(function: Any, words: list[str]) -> bool:
    text = inspect.getsource(inspect.unwrap(function))
    return any(word in text for word in words)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Count the calls of one test."""
    before = calls
    result = yield
    outcomes.setdefault(item.nodeid, {"outcome": "passed"})["fits"] = calls - before
    return result


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note how a test ended, and why it failed."""
    told = outcomes.setdefault(report.nodeid, {"outcome": "passed"})
    if report.outcome != "passed" and told["outcome"] == "passed":
        told["outcome"] = report.outcome
        told["why"] = report.longreprtext if report.failed else ""


def pytest_sessionfinish() -> None:
    """Write what was noted."""
    Path(os.environ["OUTCOMES"]).write_text(json.dumps(outcomes, indent=1), encoding="utf-8")
