"""From a name to a model that can be trained: built, compiled, and fit for the data."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from epochwise.data.order import position_seed
from epochwise.data.samples import Array, TargetKind, Task
from epochwise.errors import DataError, ModelError
from epochwise.exits import place_in_their_code, telling_exits
from epochwise.models import builtin
from epochwise.models.describing import optimizer_config
from epochwise.models.naming import BuiltIn, FromFile, FromFunction, ModelSource


class Ending(NamedTuple):
    """How a network ends that is built and compiled here, for a kind of target.

    Args:
        activation: of the last layer.
        loss: Keras's name of it.
        metric: Keras's name of it.
    """

    activation: str | None
    loss: str
    metric: str


ENDINGS: dict[TargetKind, Ending] = {
    "classes": Ending("softmax", "sparse_categorical_crossentropy", "accuracy"),
    "one_hot": Ending("softmax", "categorical_crossentropy", "accuracy"),
    "multi_label": Ending("sigmoid", "binary_crossentropy", "binary_accuracy"),
    "regression": Ending(None, "mean_squared_error", "mae"),
}

_OF_NUMBERS = frozenset({
    "mse", "mae", "mape", "msle", "meansquarederror", "meanabsoluteerror", "huber", "logcosh",
    "meanabsolutepercentageerror", "meansquaredlogarithmicerror",
})  # fmt: skip
"""Losses of a regression, lower case and without underscores."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelRequest:
    """The model wanted, and the data it is for.

    Args:
        source: where it comes from (`parse_model`).
        input_shape: of one sample, without the axis of samples.
        task: what the targets ask of it.
        class_names: the classes' names, where the targets are class numbers.
        optimizer: a name of Keras's (`check_optimizer`); `None` for the model's own, or
            Adam where it has none.
        learning_rate: of the optimizer; `None` for its own.
        seed: of the first weights.
        table: the training part of a table, whose columns the `mlp` normalises; `None`
            for any other data.
    """

    source: ModelSource
    input_shape: tuple[int, ...]
    task: Task
    class_names: tuple[str, ...] | None = None
    optimizer: str | None = None
    learning_rate: float | None = None
    seed: int = 0
    table: Array | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainableModel:
    """A model, built and compiled.

    Args:
        model: the Keras model.
        name: what people call it.
        notes: what was decided for the user that the user may not expect, sentences.
    """

    model: Any
    name: str
    notes: tuple[str, ...] = ()


def build_model(request: ModelRequest) -> TrainableModel:
    """Build or load a model, and compile it where that was left open.

    An uncompiled model gets the optimizer asked for, or Adam, and loss and metric by
    `ENDINGS`. A compiled one keeps its loss and metrics; another optimizer or
    learning rate is put in where one is asked for.

    Args:
        request: the model wanted, and the data it is for.

    Raises:
        ModelError: it cannot be had, or does not fit the data.
    """
    source = request.source
    match source:
        case BuiltIn():
            model = _built_in(source.name, request)
        case FromFunction():
            model = _from_function(source, request)
        case FromFile():
            model = _from_file(source.path)
    _build(model, source.name, request)
    if getattr(model, "compiled", False):
        notes = _recompile(model, source.name, request)
    else:
        _compile(model, request)
        notes = ()
        if isinstance(source, FromFile):
            notes = (
                f"{source.name} was saved without being compiled; {_compiled_as(request)}.",
            )
        elif isinstance(source, BuiltIn) and request.task.kind != "classes":
            notes = (f"{_ended(source.name, request.task)}; {_compiled_as(request)}.",)
    _require_outputs(model, source.name, request)
    return TrainableModel(model=model, name=source.name, notes=notes)


def _built_in(name: str, request: ModelRequest) -> Any:
    """Return one of this package's networks."""
    task = request.task
    if task.kind == "classes" and task.outputs == 1:
        raise DataError(
            "All samples have the same label: one class leaves nothing to learn.",
            "look at the labels, or name another column with label=.",
        )
    if len(task.shape) > 1:
        raise ModelError(
            f"The {name} gives one row of numbers for a sample, and each target has shape "
            f"{task.shape}.",
            "name a network of your own that ends in that shape: FILE.py:FUNCTION.",
        )
    activation = ENDINGS[task.kind].activation
    if name == "cnn":
        return builtin.cnn(request.input_shape, task.outputs, activation, seed=request.seed)
    return builtin.mlp(
        request.input_shape, task.outputs, activation, seed=request.seed, table=request.table
    )


def _from_function(source: FromFunction, request: ModelRequest) -> Any:
    """Import the user's function and call it."""
    import keras

    keras.utils.set_random_seed(position_seed(request.seed, "initial weights") % 2**32)
    function = _find_function(source)
    place = f"{source.module}:{source.function}"
    try:
        inspect.signature(function).bind(request.input_shape, request.task.classes)
    except TypeError as error:
        raise ModelError(
            f"{place} does not take two arguments ({error}).",
            f"write it as `def {source.function}(input_shape, classes):`.",
        ) from error
    except ValueError:  # no signature to be had: a function written in C
        pass
    model = _run_theirs(place, lambda: function(request.input_shape, request.task.classes))
    if not isinstance(model, keras.Model):
        raise ModelError(
            f"{place} returned {type(model).__module__}.{type(model).__qualname__}, no Keras "
            "model.",
            "return a keras.Model, such as a keras.Sequential.",
        )
    return model


def _find_function(source: FromFunction) -> Callable[..., Any]:
    place = f"{source.module}:{source.function}"
    if isinstance(source.module, Path):
        path = source.module.resolve()
        module = _run_theirs(place, lambda: _import_file(path))
    else:
        name = source.module
        module = _run_theirs(place, lambda: importlib.import_module(name))
    function = getattr(module, source.function, None)
    if not callable(function):
        problem = "has no" if function is None else "cannot be called: it is no"
        raise ModelError(
            f"{place}: {source.module} {problem} function {source.function!r}.",
            f"define `def {source.function}(input_shape, classes):` there, returning a model.",
        )
    return function  # type: ignore[no-any-return]  # any callable will do


def _import_file(path: Path) -> ModuleType:
    """Import a file by its path; modules beside it can be imported from it."""
    name = f"epochwise_model_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _run_theirs(place: str, call: Callable[[], Any]) -> Any:
    """Run the user's code; an exception in it is told with its line, as their mistake."""
    try:
        with telling_exits(place, ModelError):
            return call()
    except ModelError:
        raise
    except Exception as error:
        _, where = place_in_their_code(error)
        raise ModelError(
            f"{place} raised {type(error).__name__}: {error} ({where}).",
            "mend the line named; the function is called with the input shape and the "
            "number of classes.",
        ) from error


def _from_file(path: Path) -> Any:
    """Load a model in Keras's safe mode, which runs no code that the file brings."""
    import keras

    try:
        return keras.saving.load_model(path, safe_mode=True)
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"Keras refuses {path} in its safe mode: {reason}",
            "save the model without Lambda layers and custom objects, or build it in a "
            "function and name that as FILE.py:FUNCTION.",
        ) from error


def _build(model: Any, name: str, request: ModelRequest) -> None:
    """Build a model that waits for its input shape; compare the shape of one that does not."""
    if not model.built:
        shape = (None, *request.input_shape)
        _run_theirs(f"{name}:build", lambda: model.build(shape))
        return
    expected = _shape(model, "input_shape")
    if expected is None:
        return
    given = (None, *request.input_shape)
    if len(expected) != len(given) or any(
        size is not None and size != other
        for size, other in zip(expected[1:], given[1:], strict=True)
    ):
        raise ModelError(
            f"The model {name} takes samples of shape {expected[1:]}, and these have shape "
            f"{request.input_shape}.",
            f"build it with keras.Input({request.input_shape}), or reshape the data.",
        )


def _shape(model: Any, attribute: str) -> tuple[int | None, ...] | None:
    """Return a shape of a model with one input or output; `None` where it is not known."""
    try:
        shape = getattr(model, attribute)
    except (AttributeError, ValueError):
        return None
    if isinstance(shape, tuple) and all(
        size is None or isinstance(size, int) for size in shape
    ):
        return shape
    return None


def _compile(model: Any, request: ModelRequest) -> None:
    """Compile a model for the task that the targets make."""
    ending = ENDINGS[request.task.kind]
    model.compile(
        optimizer=_optimizer(request.optimizer or "adam", request.learning_rate),
        loss=ending.loss,
        metrics=[ending.metric],
    )


def _compiled_as(request: ModelRequest) -> str:
    loss = ENDINGS[request.task.kind].loss.replace("_", " ")
    return f"it is trained with {request.optimizer or 'adam'} and {loss}"


def _ended(name: str, task: Task) -> str:
    activation = ENDINGS[task.kind].activation or "linear"
    return f"{name} ends in {task.outputs:,} {activation} output{'s'[: task.outputs - 1]}"


def _optimizer(name: str, learning_rate: float | None) -> Any:
    import keras

    kinds = {kind.lower(): made for kind, made in vars(keras.optimizers).items()}
    settings = {} if learning_rate is None else {"learning_rate": learning_rate}
    return kinds[name](**settings)


def _recompile(model: Any, name: str, request: ModelRequest) -> tuple[str, ...]:
    """Put in the optimizer or learning rate asked for; loss and metrics stay."""
    old = type(model.optimizer).__name__
    rate = request.learning_rate
    wanted = request.optimizer
    if wanted is not None and wanted != old.lower():
        model.optimizer = _optimizer(wanted, rate)
        return (f"{name} was compiled with {old}; it is trained with {wanted} as asked.",)
    if rate is None:
        return ()
    optimizer = model.optimizer
    config = optimizer_config(optimizer)
    before = config.get("learning_rate")
    if isinstance(before, (int, float)):
        optimizer.learning_rate = rate
        return (f"{name} had learning rate {before:g}; it is trained with {rate:g} as asked.",)
    model.optimizer = type(optimizer).from_config(config | {"learning_rate": rate})
    return (f"{name} had a learning rate schedule; it is trained with {rate:g} as asked.",)


def _require_outputs(model: Any, name: str, request: ModelRequest) -> None:
    """Check that a model is compiled for what the targets were taken for.

    Shapes are compared by the engine, for data of every kind (`engines/targets.py`).
    """
    task, shape = request.task, _shape(model, "output_shape")
    outputs = None if shape is None else shape[-1]
    loss = getattr(model, "loss", None)
    told = loss if isinstance(loss, str) else getattr(loss, "__name__", type(loss).__name__)
    named = told.replace("_", "").lower()
    sparse = named == "sparsecategoricalcrossentropy"
    if task.kind == "classes":
        if named in _OF_NUMBERS and _are_numbers(request.class_names or ()):
            raise ModelError(
                f"The model {name} is compiled with {told}, and the targets name "
                f"{task.outputs:,} classes.",
                "take them as numbers with --task regression, or compile it with "
                "sparse_categorical_crossentropy.",
            )
        if sparse and shape is not None and outputs is not None and outputs < task.outputs:
            raise ModelError(
                f"The model {name} has {outputs} outputs, and the data {task.outputs} classes "
                f"(output shape {shape[1:]}, {math.prod(size or 1 for size in shape[1:])} "
                "numbers a sample).",
                f"end it in Dense({task.outputs}, activation='softmax').",
            )
    elif sparse and len(task.shape) < (2 if task.kind != "regression" else 1):
        raise ModelError(
            f"The model {name} is compiled with {told}, which needs one class number a sample. "
            f"{task.evidence}",
            "add --task classification."
            if task.kind == "regression"
            else f"compile it with {ENDINGS[task.kind].loss}, or save the targets as numbers.",
        )


def _are_numbers(names: tuple[str, ...]) -> bool:
    """Tell whether classes were whole numbers, and others than their places 0, 1, and so on."""
    return names != tuple(map(str, range(len(names)))) and all(
        name.removeprefix("-").isdigit() for name in names
    )
