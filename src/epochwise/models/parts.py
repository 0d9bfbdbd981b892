"""What a model computes with beside its numbers: every setting of every part of it.

It is recorded with a run, so that a changed network is noticed when the run goes on. What
differs from process to process is left out: names that Keras counts (`dense_1`), addresses.
Code of the user's own is told as Python reads it, without comments and layout.
"""

from __future__ import annotations

import ast
import hashlib
import linecache
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import CodeType, FunctionType
from typing import Any

import numpy as np

LONGEST = 400
"""Characters of a value that is recorded as it is; of a longer one, its SHA-256."""

_PLAIN = (bool, int, float, str, type(None))

_STATE = frozenset(
    {
        *("name", "built", "build", "quantize", "call", "autocast", "supports_jit"),
        *("compiled", "loss", "steps_per_execution", "stop_training", "stop_predicting"),
        *("stop_evaluating", "train_function", "test_function", "predict_function"),
    }
)
"""Attributes of layers and models that Keras sets, and changes."""

_OF_LIBRARIES = frozenset(
    {"builtins", "keras", "jax", "jaxlib", "numpy", "tensorflow", "torch", "epochwise"}
)


def parts(model: Any) -> list[dict[str, Any]]:
    """Return each layer of a model, those inside others too, its loss and its optimizer.

    Args:
        model: a built and compiled Keras model.

    Returns:
        For each a mapping of what JSON has: `name`, `type`, `settings`, and `whole`, whether
        these are all: a layer whose `get_config` fails tells only its plain attributes.
    """
    found = [_part(layer) for layer in model._flatten_layers()]
    compiled = getattr(model, "_compile_config", None)
    told = {} if compiled is None else dict(compiled.config)
    told.pop("optimizer", None)
    found.append(_named("compile", "compile", told))
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    rate = getattr(optimizer, "_learning_rate", None)
    own = {
        "code": _code_of_class(type(optimizer)),
        "learning_rate": rate if hasattr(rate, "get_config") else None,
    }
    found.append(_named("optimizer", type(optimizer).__name__, own))
    return found


def _named(
    name: str, kind: str, settings: Mapping[str, Any], *, whole: bool = True
) -> dict[str, Any]:
    """Return a part; settings that are `None` are left out."""
    told = {key: value(each) for key, each in settings.items() if each is not None}
    return {"name": name, "type": kind, "settings": told, "whole": whole}


def _part(layer: Any) -> dict[str, Any]:
    """Return what one layer is; the layers inside it are parts of their own."""
    config = _config(layer)
    settings: dict[str, Any]
    if config is None:
        attributes = ((name, each) for name, each in vars(layer).items() if name[0] != "_")
        settings = {
            name: each
            for name, each in attributes
            if isinstance(each, (*_PLAIN, np.ndarray, partial)) or _is_function(each)
        }
        for name in _STATE:
            settings.pop(name, None)
    elif "input_layers" in config and "layers" in config:
        settings = {"connections": _connections(config)}
    else:
        settings = {
            name: _live(layer, name, each)
            for name, each in config.items()
            if not _is_layer(each)
        }
    settings |= {
        "trainable": bool(layer.trainable),
        "dtype": layer.dtype_policy.name,
        "code": _code_of_class(type(layer)),
    }
    for name in ("name", "build_input_shape", "shared_object_id"):
        settings.pop(name, None)
    return _named(layer.name, type(layer).__name__, settings, whole=config is not None)


def _config(told: Any) -> Mapping[str, Any] | None:
    """Return what an object says of itself; `None` where it cannot."""
    import keras

    if isinstance(told, keras.Sequential):
        return {}  # its layers are told by themselves
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a lambda is not safe to keep, and the like
            return dict(told.get_config())
    except Exception:  # whatever a user's layer raises; NotImplementedError is Keras's own
        return None


def _is_layer(configured: Any) -> bool:
    """Tell whether a setting is a layer, or several, as Keras writes them."""
    if isinstance(configured, (list, tuple)):
        return bool(configured) and all(map(_is_layer, configured))
    config = configured.get("config") if isinstance(configured, Mapping) else None
    return isinstance(config, Mapping) and {"name", "dtype"} <= set(config)


def _live(layer: Any, name: str, configured: Any) -> Any:
    """Return a setting, or the function itself that it names."""
    held = getattr(layer, name, None)
    return held if _is_function(held) or isinstance(held, partial) else configured


def _is_function(held: Any) -> bool:
    """Tell whether something is a function, of Python's own or one that a library wrapped."""
    return callable(held) and isinstance(getattr(held, "__name__", None), str)


def _connections(config: Mapping[str, Any]) -> list[Any]:
    """Return what each operation of a functional model is called on, by places in it."""
    places = {each["config"]["name"]: place for place, each in enumerate(config["layers"], 1)}

    def placed(told: Any) -> Any:
        if isinstance(told, Mapping):
            if "keras_history" in told:
                return placed(told["keras_history"])
            return {key: placed(each) for key, each in told.items()}
        if isinstance(told, (list, tuple)):
            if len(told) == 3 and isinstance(told[0], str) and told[0] in places:
                return [places[told[0]], *told[1:]]
            return [placed(each) for each in told]
        return told

    rows = []
    for each in config["layers"]:
        row = [each["class_name"], placed(each.get("inbound_nodes"))]
        if str(each.get("module")).startswith("keras.src.ops"):
            row.append({key: told for key, told in each["config"].items() if key != "name"})
        rows.append(row)
    return [*rows, placed(config["input_layers"]), placed(config["output_layers"])]


def value(told: Any) -> Any:
    """Return a setting made of what JSON has, the same in every process.

    Args:
        told: a number, a string, a list, a mapping, an array, a function, a class, or an
            object with `get_config`, as one or as Keras writes it.

    Example:
        >>> value({"class_name": "L2", "config": {"l2": 0.1}, "module": "keras.regularizers"})
        {'type': 'L2', 'l2': 0.1}
    """
    found = _value(told)
    text = repr(found)
    if len(text) <= LONGEST:
        return found
    if isinstance(found, dict) and "type" not in found:
        return {key: value(each) for key, each in found.items()}
    return f"{text[:40]}... (sha256 {hashlib.sha256(text.encode()).hexdigest()[:12]})"


def _value(told: Any) -> Any:
    if isinstance(told, _PLAIN):
        return told
    if isinstance(told, Mapping):
        if "class_name" in told and isinstance(told.get("config"), Mapping):
            return _configured(str(told["class_name"]), told["config"])
        if told.get("class_name") == "function":
            return told["config"]
        return {str(key): _value(each) for key, each in told.items()}
    if isinstance(told, (list, tuple)):
        return [_value(each) for each in told]
    if isinstance(told, (set, frozenset)):
        return sorted(map(str, told))
    if isinstance(told, (np.ndarray, np.generic)):
        return _value(told.tolist())
    if isinstance(told, type):
        return told.__name__
    if isinstance(told, partial):
        return [_value(told.func), _value(told.args), _value(told.keywords)]
    if _is_function(told):
        return _code(getattr(told, "__wrapped__", told))
    if hasattr(told, "__array__"):
        return _value(np.asarray(told).tolist())
    return _object(told)


def _configured(kind: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object that Keras has written; the name of a policy is what it is."""
    own = {name: _value(each) for name, each in config.items()}
    if "Policy" not in kind:
        own.pop("name", None)
    return {"type": kind, **own}


def _object(told: Any) -> Any:
    """Return an object by its class and its settings, as far as it tells them."""
    kind = type(told)
    config = _config(told)
    if config is None:
        config = {
            name: each
            for name, each in getattr(told, "__dict__", {}).items()
            if name[0] != "_" and isinstance(each, _PLAIN)
        }
    config = {name: _live(told, name, each) for name, each in config.items()}
    config |= getattr(told, "_fn_kwargs", {})  # Keras's Huber does not tell its delta
    code = _code_of_class(kind)
    return _configured(kind.__name__, config | ({"code": code} if code else {}))


def _is_the_users(module: str | None) -> bool:
    return str(module).partition(".")[0] not in _OF_LIBRARIES


def _code_of_class(kind: type) -> str | None:
    """Return a digest of the code of a class and its bases; `None` where none is the user's."""
    text = ""
    for each in kind.__mro__:
        if _is_the_users(each.__module__):
            text += "".join(
                f"{name}: {_member(member)}\n"
                for name, member in sorted(vars(each).items())
                if not (name.startswith("__") and isinstance(member, _PLAIN))
            )
    return _digest(text) if text else None


def _member(member: Any) -> str:
    """Return what an attribute of a class is, as far as it can be told."""
    if isinstance(member, property):
        return "".join(_member(each) for each in (member.fget, member.fset) if each is not None)
    member = getattr(member, "__func__", member)
    while hasattr(member, "__wrapped__"):
        member = member.__wrapped__
    if isinstance(member, FunctionType):
        return _code(member)
    return repr(member) if isinstance(member, _PLAIN) else type(member).__name__


def _code(function: Callable[..., Any]) -> str:
    """Return a function of the user's as its code, with what it refers to; else its name."""
    if not isinstance(function, FunctionType) or not _is_the_users(function.__module__):
        return function.__name__
    told = list(_told(function, set()))
    if len(told) == 1 and len(told[0]) < 80 and "\n" not in told[0]:
        return told[0]
    return f"{function.__name__} (code {_digest(chr(10).join(told))})"


def _told(function: FunctionType, seen: set[CodeType]) -> Iterator[str]:
    """Yield the code of a function and of the user's functions and numbers that it uses."""
    code = function.__code__
    if code in seen:
        return
    seen.add(code)
    yield _source(function) or _compiled(code)
    used: dict[str, Any] = {}
    for held, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        try:
            used[held] = cell.cell_contents
        except ValueError:  # not filled yet
            continue
    names = {name for each in _all_code(code) for name in each.co_names}
    used |= {n: function.__globals__[n] for n in sorted(names) if n in function.__globals__}
    defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
    used |= {f"default {place}": each for place, each in enumerate(defaults)}
    for name, each in used.items():
        if isinstance(each, FunctionType) and _is_the_users(each.__module__):
            yield from _told(each, seen)
        elif isinstance(each, (*_PLAIN, tuple, np.ndarray)) and not name.startswith("__"):
            yield f"{name} = {_value(each)!r}"


def _source(function: FunctionType) -> str | None:
    """Return a function's source without comments and layout; `None` where there is none."""
    code = function.__code__
    lines = linecache.getlines(code.co_filename, function.__globals__)
    try:
        tree = ast.parse("".join(lines))
    except (SyntaxError, ValueError):
        return None
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, kinds)
        and code.co_firstlineno in (node.lineno, _first_line(node))
        and code.co_name == getattr(node, "name", "<lambda>")
    ]
    for node in found:
        body = getattr(node, "body", None)
        if isinstance(body, list) and len(body) > 1 and ast.get_docstring(node):  # type: ignore[arg-type]
            del body[0]
    return "\n".join(map(ast.unparse, found)) or None


def _first_line(node: Any) -> int:
    """Return the line of a definition's first decorator, where its code begins."""
    return min((each.lineno for each in getattr(node, "decorator_list", ())), default=-1)


def _all_code(code: CodeType) -> Iterator[CodeType]:
    """Yield some code and the code of what is defined inside it."""
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _all_code(each)


def _compiled(code: CodeType) -> str:
    """Return code whose source is not there, as this Python has compiled it."""
    rows = [
        (each.co_code, each.co_names, [c for c in each.co_consts if isinstance(c, _PLAIN)])
        for each in _all_code(code)
    ]
    return f"{code.co_name} (compiled {_digest(repr(rows))})"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
