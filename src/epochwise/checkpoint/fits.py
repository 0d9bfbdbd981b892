"""What a training must be like to go on from a checkpoint: one table, and its reading.

A checkpoint fits a training *exactly* when the weights will be, bit for bit, those of a
run that was never interrupted; *in order* when each iteration will train the samples it
would have trained, and only the rounding differs; it fits a *changed* one, where somebody
has changed the network; or *not at all*.
`docs/surviving.md` holds the same table for people.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from epochwise.errors import Problem, RunError
from epochwise.events import EngineDescription
from epochwise.record import Header, json_text

Verdict = Literal["exact", "order", "changed", "refused"]
"""Fits exactly, in order only, a changed network, or not at all."""

_FROM_BEST_TO_WORST: Final[tuple[Verdict, ...]] = ("exact", "order", "changed", "refused")

IN_ORDER = "in_order=True"
CHANGED = "accept_changed_model=True"
"""What to type to go on all the same."""

MOST_TOLD = 6
"""Settings of a network that one sentence tells."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What a difference in one thing means.

    Args:
        field: its name among what a checkpoint records.
        verdict: what a checkpoint still does for a training that differs in it.
        why: the reason, the end of a sentence.
    """

    field: str
    verdict: Verdict
    why: str


def _rows(verdict: Verdict, **why: str) -> tuple[Row, ...]:
    return tuple(Row(field=name, verdict=verdict, why=text) for name, text in why.items())


TABLE: Final = (
    *_rows(
        "refused",
        data="an iteration would train other samples",
        split="an iteration would train other samples",
        batch_size="an iteration would train other samples",
        remainder="an epoch would have another number of iterations",
        seed="an epoch would be another permutation",
        shuffle="an epoch would be another permutation",
        variables="the saved numbers have no place to go to",
        optimizer="what it remembers of the gradients means something else to another one",
        loss="the best value so far was measured in another unit",
    ),
    *_rows(
        "changed",
        network="the same numbers go through another function, or towards another end",
        optimizer_settings="the updates differ",
        layers="the same numbers go through another function",
    ),
    *_rows(
        "order",
        validation="the best value so far was measured on other samples",
        microbatch_size="sums are rounded in another order",
        execution="the compiled program rounds differently",
        backend="another library computes and rounds differently",
        device="another processor computes and rounds differently",
        device_count="sums are rounded in another order",
        threads="sums may be rounded in another order",
        architecture="another processor computes and rounds differently",
        epochwise="another version may compile another program",
        jax="another version may compile another program",
        jaxlib="another version may compile another program",
        keras="another version may compute in another way",
        numpy="another version may prepare the data in another way",
    ),
    *_rows(
        "exact",
        iterations="what is done does not depend on how much more will be done",
        python="it computes no weight",
        platform="it computes no weight",
    ),
)
"""What every recorded thing means when it differs, the gravest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something that is not as it was when the checkpoint was made.

    Args:
        row: what that means.
        recorded: how it was.
        now: how it is.
        words: what changed, where people can be told more than the values.
    """

    row: Row
    recorded: Any
    now: Any
    words: str | None = None

    def __str__(self) -> str:
        """Return it as a sentence."""
        if self.words is not None:
            return f"{self.words}: {self.row.why}."
        if _are_parts(self.recorded) and _are_parts(self.now):
            told = _changed_parts(self.recorded, self.now)
            more = f"; and {len(told) - MOST_TOLD} more" if len(told) > MOST_TOLD else ""
            return f"network: {'; '.join(told[:MOST_TOLD])}{more}: {self.row.why}."
        return f"{self.row.field} {_told(self.recorded, self.now)}: {self.row.why}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """How a checkpoint fits a training.

    Args:
        differences: all that is not as it was, in the order of the table.
    """

    differences: tuple[Difference, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The gravest of the differences' verdicts; `exact` where there is none."""
        ranks = [_FROM_BEST_TO_WORST.index(each.row.verdict) for each in self.differences]
        return _FROM_BEST_TO_WORST[max(ranks, default=0)]

    def require(
        self,
        *,
        in_order: bool = False,
        changed: bool = False,
        remedies: Mapping[str, str] | None = None,
    ) -> None:
        """Refuse to go on where the checkpoint does not fit well enough.

        Args:
            in_order: whether a fit in order only is enough.
            changed: whether the network may be another one.
            remedies: what else helps, by the field.

        Raises:
            RunError: it does not fit; names every difference that is in the way.

        Example:
            >>> compare({"jax": "0.10.1"}, {"jax": "0.12.0"}).require(in_order=True)
        """
        in_the_way = [
            difference
            for difference in self.differences
            if not (
                difference.row.verdict == "exact"
                or (difference.row.verdict == "order" and in_order)
                or (difference.row.verdict == "changed" and changed)
            )
        ]
        never = [each for each in in_the_way if each.row.verdict == "refused"]
        if in_the_way:
            raise RunError(
                [
                    Problem(what=str(each), remedy=_remedy(each.row, remedies or {}))
                    for each in never or in_the_way
                ]
            )


def compare(
    recorded: Mapping[str, Any],
    now: Mapping[str, Any],
    words: Mapping[str, str] | None = None,
) -> Fit:
    """Tell how a checkpoint fits a training.

    Args:
        recorded: `circumstances` of the training that made the checkpoint.
        now: those of the one that is to go on.
        words: by row, what changed, where that can be told better than by the values.

    Example:
        >>> compare({"seed": 0, "jax": "0.10.1"}, {"seed": 0, "jax": "0.12.0"}).verdict
        'order'
        >>> print(compare({"seed": 0}, {"seed": 1}).differences[0])
        seed was 0 and is 1: an epoch would be another permutation.
    """
    unknown = {*recorded, *now} - {row.field for row in TABLE}
    if unknown:
        raise RunError(
            f"The checkpoint tells of {', '.join(sorted(unknown))}, which this Epochwise does "
            "not know.",
            "go on with the Epochwise that made it, or a newer one.",
        )
    pairs = [(row, *_comparable(recorded.get(row.field), now.get(row.field))) for row in TABLE]
    return Fit(
        differences=tuple(
            Difference(row=row, recorded=before, now=after, words=(words or {}).get(row.field))
            for row, before, after in pairs
            if _differs(before, after)
            and not (row.field == "network" and before is None)  # version 0.1 tells none
            and not (row.field == "layers" and recorded.get("network"))  # which tells more
        )
    )


def changes_of_data(before: Header, now: Header) -> dict[str, str]:
    """Return in words how the data of two trainings differ, for the rows of the table.

    Args:
        before: the header of the one that made a checkpoint.
        now: that of the one that is to go on.
    """
    name = (now.source or {}).get("data") or now.data_name
    rules = [(one.split or {}).get("rule") for one in (before, now)]
    split = "holds out other samples by the same rule"
    if rules[0] != rules[1]:
        split = f"is not as it was (then: {rules[0] or 'none.'} Now: {rules[1] or 'none.'})"
    held_out = "validation_samples"
    return {
        "data": f"The data ({name}) is not what it was: {_data_words(before, now)}",
        "split": f"The split {split}",
        "validation": "The validation part is not what it was: "
        + (_counts(before.data.get(held_out), now.data.get(held_out)) or _OTHER_VALUES),
    }


_OTHER_VALUES = "as many samples, other values"


def _counts(before: Any, now: Any) -> str | None:
    """Tell two numbers of samples apart; `None` where they are none or the same."""
    if type(before) is not int or type(now) is not int or before == now:
        return None
    return f"{before:,} samples then, {now:,} now"


def _data_words(before: Header, now: Header) -> str:
    """Tell what changed: the count; or of which part the shape, the type or the values."""
    sizes: list[Any] = [one.data.get("samples") for one in (before, now)]
    if before.split is not None and now.split is not None:  # parts of one set
        held_out = [one.data.get("validation_samples") for one in (before, now)]
        if all(type(one) is int for one in (*sizes, *held_out)):
            sizes = [size + held for size, held in zip(sizes, held_out, strict=True)]
    counted = _counts(*sizes)
    parts: list[Any] = [one.data.get("parts") for one in (before, now)]
    if counted is not None or not all(isinstance(one, Mapping) for one in parts):
        return counted or _OTHER_VALUES
    told, other = [], []
    for name, then in parts[0].items():
        here = parts[1].get(name)
        if here == then or not isinstance(here, Mapping) or not isinstance(then, Mapping):
            continue
        for field, what in (("shapes", "samples of shape"), ("dtypes", "numbers of type")):
            if then.get(field) != here.get(field):
                shown = [
                    " and ".join(map(str, one.get(field) or ["none"])) for one in (then, here)
                ]
                told.append(f"{name} had {what} {shown[0]} then, {shown[1]} now")
                break
        else:
            other.append(name)
    if other:
        told.append(f"the same count and shape, other values in {' and '.join(other)}")
    return "; ".join(told) or "the same numbers, scaled otherwise"


def not_compared(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Return a sentence about what of the network cannot be compared; `None` for nothing.

    Args:
        recorded: `circumstances` of the training that made the checkpoint.
        now: those of the one that is to go on.
    """
    if recorded.get("network") is None:
        return (
            "The checkpoint does not tell the settings of the network's layers; only their "
            "types and sizes are compared."
        )
    partly = [_name(part) for part in now["network"] if not part["whole"]]
    if not partly:
        return None
    return (
        f"Not all settings of {', '.join(partly)} can be compared: get_config fails there. Its "
        "code and its plain attributes are."
    )


def circumstances(
    header: Header,
    engine: EngineDescription,
    variables: Iterable[tuple[str, Sequence[int], str]],
    network: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return what the table asks about, for one training.

    Args:
        header: of its record; `data` may hold `validation_sha256`.
        engine: how its iterations are executed.
        variables: name, shape and dtype of each of the model's variables, the
            optimizer's and the metrics' among them, in their order.
        network: its parts and their settings (`models.parts`).

    Returns:
        For each row of the table its value, made of what JSON has.
    """
    plan, optimizer = header.plan, dict(header.model.get("optimizer") or {})
    found = {
        "data": header.data.get("sha256"),
        "split": header.split,
        "batch_size": None if plan is None else plan.batch_size,
        "remainder": None if plan is None else plan.remainder,
        "seed": header.order.get("seed"),
        "shuffle": header.order.get("shuffle"),
        "variables": [[name, list(shape), dtype] for name, shape, dtype in variables],
        "optimizer": optimizer.pop("type", None),
        "loss": header.model.get("loss"),
        "network": network,
        "optimizer_settings": {k: v for k, v in optimizer.items() if k != "name"},
        "layers": [
            [layer.get("type"), layer.get("parameters")]
            for layer in header.model.get("layers") or []
        ],
        "validation": header.data.get("validation_sha256"),
        "microbatch_size": None if plan is None else plan.microbatch_size,
        "execution": engine.execution,
        "backend": engine.backend.partition(" ")[0],
        "device": engine.device,
        "device_count": None if plan is None else plan.devices,
        "threads": header.machine.get("threads", header.machine.get("cores")),
        "architecture": header.machine.get("architecture"),
        "iterations": None if plan is None else plan.iterations,
        "platform": header.machine.get("platform"),
    }
    names = ("epochwise", "jax", "jaxlib", "keras", "numpy", "python")
    found |= {name: header.versions.get(name) for name in names}
    made_of_json: dict[str, Any] = json.loads(json_text(found))
    return made_of_json


def _remedy(row: Row, remedies: Mapping[str, str]) -> str:
    """Return what helps against a difference."""
    if row.verdict == "refused":
        return "go on with what it was, or start a new run in a folder of its own."
    also = f"{remedies[row.field]}; " if row.field in remedies else ""
    if row.verdict == "changed":
        return (
            "go on with what it was; start a new run in a folder of its own; or add "
            f"{CHANGED}, to train the saved numbers on with the change."
        )
    return (
        f"{also or 'go on with what it was; '}or add {IN_ORDER}, for the same samples in the "
        "same order and other last digits."
    )


def _differs(recorded: Any, now: Any) -> bool:
    """Tell whether two values differ in more than the names of a network's parts."""
    if _are_parts(recorded) and _are_parts(now):
        return bool(_changed_parts(recorded, now))
    return bool(recorded != now)


def _are_parts(value: Any) -> bool:
    """Tell whether a value is what `models.parts` tells."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(part, dict)
            and {"name", "type"} <= part.keys()
            and isinstance(part.get("settings"), dict)
            for part in value
        )
    )


def _comparable(recorded: Any, now: Any) -> tuple[Any, Any]:
    """Return two optimizers' settings without a learning rate that only one of them tells.

    One that has trained does not: a callback may have set it.
    """
    if not (isinstance(recorded, dict) and isinstance(now, dict)):
        return recorded, now
    pairs = {
        name: _comparable(recorded.get(name), now.get(name))
        for name in {**recorded, **now}
        if name != "learning_rate" or (name in recorded and name in now)
    }
    return {name: pair[0] for name, pair in pairs.items()}, {
        name: pair[1] for name, pair in pairs.items()
    }


def _changed_parts(recorded: Sequence[Any], now: Sequence[Any]) -> list[str]:
    """Return what changed in the parts of a network, each as it reads in a sentence."""
    kinds = [[part["type"] for part in parts] for parts in (recorded, now)]
    if kinds[0] != kinds[1]:
        place = next(
            (i for i, (a, b) in enumerate(zip(*kinds, strict=False)) if a != b),
            min(map(len, kinds)),
        )
        was, now_is = (
            f"{parts[place]['name']} ({kind[place]})" if place < len(kind) else "not there"
            for parts, kind in zip((recorded, now), kinds, strict=True)
        )
        return [f"part {place + 1} was {was} and is {now_is}"]
    return [
        f"{_name(each)} {setting} "
        f"{_told(then['settings'].get(setting), each['settings'].get(setting))}"
        for then, each in zip(recorded, now, strict=True)
        for setting in {**then["settings"], **each["settings"]}
        if then["settings"].get(setting) != each["settings"].get(setting)
    ]


def _name(part: Mapping[str, Any]) -> str:
    """Return what a part is called, with its type where that says more."""
    name, kind = str(part["name"]), str(part["type"])
    return name if name == kind else f"{name} ({kind})"


def _told(recorded: Any, now: Any) -> str:
    """Return the end of a sentence that tells what changed, where it first did."""
    if isinstance(recorded, list) and isinstance(now, list):
        for place, (before, after) in enumerate(zip(recorded, now, strict=False), 1):
            if before != after:
                return f"{place} {_told(before, after)}"
        return f"were {len(recorded)} and are {len(now)}"
    if isinstance(recorded, dict) and isinstance(now, dict) and _same_kind(recorded, now):
        changed = [k for k in {**recorded, **now} if recorded.get(k) != now.get(k)]
        told = (f"{key} {_told(recorded.get(key), now.get(key))}" for key in changed)
        return ", ".join(told)
    return f"was {_shown(recorded)} and is {_shown(now)}"


def _same_kind(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    return bool(recorded.get("type") == now.get("type"))


def _shown(value: Any) -> str:
    if isinstance(value, dict) and "type" in value:
        told = ", ".join(f"{k}={_shown(each)}" for k, each in value.items() if k != "type")
        return f"{value['type']}({told})"
    return "not there" if value is None else str(value)
