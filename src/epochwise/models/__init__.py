"""The network to train: built in, made by the user's function, or loaded from a file.

Owns how a model is named on the command line, and its compiling where the user left
that open. What can be checked without the framework is checked without it
(`parse_model`, `check_optimizer`), so that a slip costs no import of Keras.
"""

from epochwise.models.building import ModelRequest, TrainableModel, build_model
from epochwise.models.describing import describe, named_weights, variables
from epochwise.models.keeping import model_from_json, model_to_json
from epochwise.models.naming import (
    BUILT_IN,
    BuiltIn,
    FromFile,
    FromFunction,
    ModelSource,
    absolute,
    check_learning_rate,
    check_optimizer,
    parse_model,
)
from epochwise.models.parts import parts
from epochwise.models.schedules import (
    compiled_rate,
    constant_rate,
    extreme_rates,
    rate_after,
    schedule_of,
    stretch_schedule,
)
from epochwise.models.unchanged import unchanged

__all__ = [
    "BUILT_IN",
    "BuiltIn",
    "FromFile",
    "FromFunction",
    "ModelRequest",
    "ModelSource",
    "TrainableModel",
    "absolute",
    "build_model",
    "check_learning_rate",
    "check_optimizer",
    "compiled_rate",
    "constant_rate",
    "describe",
    "extreme_rates",
    "model_from_json",
    "model_to_json",
    "named_weights",
    "parse_model",
    "parts",
    "rate_after",
    "schedule_of",
    "stretch_schedule",
    "unchanged",
    "variables",
]
