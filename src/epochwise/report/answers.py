"""The questions that people ask about a training, answered for one run.

Which sentences are true of the run is decided here; their words are in `languages/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from epochwise.report.ledger import Ledger
from epochwise.report.phrases import Facts
from epochwise.report.story import Story


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A question and the sentences that answer it, as keys of the texts."""

    question: str
    sentences: Sequence[str]


def answers(story: Story, ledger: Ledger | None, facts: Facts) -> list[Answer]:
    """Return the six questions of the page with what this run says to them.

    Args:
        story: the run.
        ledger: its ledger; `None` where nothing was evaluated.
        facts: what the sentences may state.
    """
    return [
        Answer(question="relate", sentences=_relate(story, facts)),
        Answer(question="updated", sentences=_updated(facts)),
        Answer(question="several", sentences=_several(story, facts)),
        Answer(question="one", sentences=_one(story, ledger, facts)),
        Answer(question="stop", sentences=_stop(ledger, facts)),
        Answer(question="batch", sentences=_batch(facts)),
    ]


def _relate(story: Story, facts: Facts) -> list[str]:
    plan = story.run.plan
    if plan is None:
        return ["relate.unknown"]
    found = ["relate.counts"]
    if plan.dropped_per_epoch:
        found.append("relate.dropped")
    elif plan.last_batch_size != min(plan.batch_size, plan.samples):
        found.append("relate.short")
    else:
        found.append("relate.even")
    found.append("relate.total" if plan.epochs.denominator == 1 else "relate.part")
    if facts["done.iterations"] != plan.iterations:
        found.append("relate.so_far")
    if plan.microbatch_size is not None:
        found.append("relate.micro")
    return found


def _updated(facts: Facts) -> list[str]:
    if "done.updates" not in facts:
        return ["updated.so_far"]
    return ["updated.skipped" if facts["done.skipped"] else "updated.counted"]


def _several(story: Story, facts: Facts) -> list[str]:
    if "done.iterations_per_epoch" not in facts:
        return ["several.single"]
    found = ["several.moves"]
    if len(story.passes) < 2:
        return [*found, "several.single"]
    if "first.share" in facts:
        found.append("several.share")
    if "first.value" in facts and "best.epoch" in facts and facts["best.epoch"] != 1:
        found.append("several.gain")
    return found


def _one(story: Story, ledger: Ledger | None, facts: Facts) -> list[str]:
    if len(story.passes) < 2:
        return ["one.single"]
    if ledger is None:
        return ["one.no_validation"]
    first = ledger.of_epoch(1)
    if first is None or "best.gain" not in facts:
        return ["one.no_first"]
    if first == ledger.best:
        return ["one.first_best"]
    gain = ledger.gain(first, ledger.best)
    if gain.errors is None:
        return ["one.no_error"]
    return ["one.no" if gain.is_significant else "one.yes"]


def _stop(ledger: Ledger | None, facts: Facts) -> list[str]:
    if ledger is None:
        return ["stop.no_validation"]
    if ledger.best.epoch is None:
        found = ["stop.inside"]
    else:
        found = ["stop.earlier" if facts["best.epochs_after"] else "stop.later"]
    if ledger.best.error is not None and ledger.enough != ledger.best:
        found.append("stop.enough_inside" if ledger.enough.epoch is None else "stop.enough")
    return found


def _batch(facts: Facts) -> list[str]:
    found = ["batch.unmeasured"]
    if {"batch.scatter", "last.train_loss", "plan.batch_size"} <= facts.keys():
        found.append("batch.scatter")
    if "speed.samples_per_second" in facts:
        found.append("batch.speed")
    return found
