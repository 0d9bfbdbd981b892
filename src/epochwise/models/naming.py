"""What `--model`, `--optimizer` and `--learning-rate` may be, checked without Keras."""

from __future__ import annotations

import ast
import importlib.util
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from epochwise.errors import ModelError, near

BUILT_IN: Final = ("mlp", "cnn")
"""The networks that Epochwise brings."""

OPTIMIZERS: Final = (
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "ftrl",
    "lamb",
    "lion",
    "muon",
    "nadam",
    "rmsprop",
    "schedulefreeadamw",
    "sgd",
)
"""Keras's optimizers that need nothing but a learning rate, in its spelling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltIn:
    """A network that Epochwise brings.

    Args:
        name: one of `BUILT_IN`.
    """

    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FromFunction:
    """A function of the user's that returns a Keras model.

    Args:
        module: a path that ends in `.py`, or the name of a module.
        function: its name there; called with the input shape and the number of
            classes (`None` for a regression).
    """

    module: Path | str
    function: str

    @property
    def name(self) -> str:
        """What people call the model: the function's name."""
        return self.function


@dataclass(frozen=True, slots=True, kw_only=True)
class FromFile:
    """A model that Keras saved.

    Args:
        path: a file that ends in `.keras`.
    """

    path: Path

    @property
    def name(self) -> str:
        """What people call the model: the file's name without its ending."""
        return self.path.stem


ModelSource: TypeAlias = BuiltIn | FromFunction | FromFile
"""Where a model comes from."""


def absolute(text: str) -> str:
    """Return what names a model, any path in it from the root of the system.

    Args:
        text: as `parse_model` takes it.

    Example:
        >>> absolute("mlp"), absolute("json:loads")
        ('mlp', 'json:loads')
    """
    match parse_model(text):
        case FromFile(path=path):
            return str(path.absolute())
        case FromFunction(module=Path() as module, function=function):
            return f"{module.absolute()}:{function}"
    return text


def parse_model(text: str) -> ModelSource:
    """Tell where a model comes from, and check that it is there, without Keras.

    Args:
        text: `mlp`, `cnn`, `FILE.py:FUNCTION`, `module:FUNCTION` or `FILE.keras`.

    Raises:
        ModelError: it is none of them; or the file, the module or the function is not
            there; or the file is no Python.

    Example:
        >>> parse_model("mlp")
        BuiltIn(name='mlp')
        >>> parse_model("json:loads")
        FromFunction(module='json', function='loads')
    """
    if text in BUILT_IN:
        return BuiltIn(name=text)
    if text.endswith(".keras"):
        return FromFile(path=_existing(Path(text), text))
    module, _, function = text.rpartition(":")
    if module and function.isidentifier():
        if module.endswith(".py"):
            path = _existing(Path(module), text)
            _require_function(path, function)
            return FromFunction(module=path, function=function)
        _require_module(module, text)
        return FromFunction(module=module, function=function)
    if text.endswith(".py"):
        raise ModelError(
            f"model={text!r} names a file, and no function in it.",
            f'use model="{text}:FUNCTION", with the name of the function that returns it.',
        )
    meant = near(text, BUILT_IN, alike=0.3)
    raise ModelError(
        f"model={text!r} is no built-in network ({', '.join(BUILT_IN)}), no FILE.py:FUNCTION, "
        "no module:FUNCTION and no FILE.keras.",
        f'use model="{meant[0] if meant else BUILT_IN[0]}", or name your own in such a way.',
    )


def check_optimizer(name: str) -> str:
    """Return an optimizer's name as Keras spells it, without importing Keras.

    Args:
        name: in capitals or not.

    Raises:
        ModelError: Keras has none of that name; the error names those that are close.

    Example:
        >>> check_optimizer("AdamW")
        'adamw'
    """
    if name.lower() in OPTIMIZERS:
        return name.lower()
    meant = near(name, OPTIMIZERS, most=3, alike=0.5)
    named = " or ".join(f'optimizer="{word}"' for word in meant)
    raise ModelError(
        f"optimizer={name!r} is no optimizer of Keras ({', '.join(OPTIMIZERS)}).",
        f"use {named or 'one of them'}.",
    )


def check_learning_rate(learning_rate: float) -> float:
    """Return a learning rate that an optimizer can have.

    Raises:
        ModelError: it is 0, negative or not finite.
    """
    if not (math.isfinite(learning_rate) and learning_rate > 0):
        raise ModelError(
            f"learning_rate={learning_rate!r} is no positive number.",
            "use learning_rate=0.001, Adam's own, or another number above 0.",
        )
    return learning_rate


def _existing(path: Path, text: str) -> Path:
    """Return the path of a file that is there."""
    if path.is_file():
        return path
    folder = path.parent
    names = [other.name for other in folder.glob(f"*{path.suffix}")] if folder.is_dir() else []
    meant = near(path.name, names) or names[:1]
    raise ModelError(
        f"model={text!r}: there is no file {path}.",
        f"name a file that is there, such as {folder / meant[0]}."
        if meant
        else "check the path; it is relative to the current folder.",
    )


def _require_function(path: Path, function: str) -> None:
    """Check that a Python file gives a name a value, without running the file."""
    try:
        tree = ast.parse(path.read_bytes(), filename=str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        place = f"{path}, line {line}" if line else str(path)
        raise ModelError(
            f"{place}: not Python that can be read ({getattr(error, 'msg', error)}).",
            f"mend the line; `python {path}` shows it.",
        ) from error
    names = set(_bound_names(tree))
    if function in names or "*" in names:
        return
    functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
    meant = near(function, functions) or functions[:1]
    raise ModelError(
        f"{path} has no function {function!r}"
        + (f"; its functions are {', '.join(functions)}." if functions else " and no other."),
        f'use model="{path}:{meant[0]}".'
        if meant
        else f"define `def {function}(input_shape, classes):` there, returning a model.",
    )


def _bound_names(tree: ast.AST) -> Iterator[str]:
    """Yield every name that a file gives a value anywhere; `*` for a star import."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.alias):
            yield (node.asname or node.name).partition(".")[0]
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _require_module(module: str, text: str) -> None:
    """Check that Python finds a module, the current folder included."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found = importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        found = False
    if not found:
        raise ModelError(
            f"model={text!r}: Python finds no module {module!r}, here or among the "
            "installed packages.",
            f"start where {module.partition('.')[0]} lies, install it, or name the file as "
            "FILE.py:FUNCTION.",
        )
