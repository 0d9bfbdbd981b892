"""The questions that people ask about a training, answered for one run.

Which sentences are true of the run is decided here; their words are in `languages/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from epochwise.choosing.worth import Ledger
from epochwise.report.ledger import first_gain
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
        ledger: what its epochs were worth; `None` where nothing tells it.
        facts: what the sentences may state.
    """
    return [
        Answer(question="relate", sentences=_relate(story, facts)),
        Answer(question="updated", sentences=_updated(facts)),
        Answer(question="several", sentences=_several(story, facts)),
        Answer(question="one", sentences=_one(story, ledger)),
        Answer(question="stop", sentences=_stop(story, ledger, facts)),
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
    skipped = facts["done.skipped"]
    assert isinstance(skipped, int)
    if skipped < 0:
        return ["updated.over"]
    return ["updated.skipped" if skipped else "updated.counted"]


def _several(story: Story, facts: Facts) -> list[str]:
    if "done.iterations_per_epoch" not in facts:
        return ["several.single"]
    found = ["several.moves"]
    if len(story.passes) < 2:
        return [*found, "several.single"]
    if "first.share" in facts:
        found.append("several.share")
    if facts.get("top.gain"):
        found.append("several.gain")
    return found


def _one(story: Story, ledger: Ledger | None) -> list[str]:
    """Whether one epoch would have done: by the accuracy, then by the ledger."""
    if len(story.passes) < 2:
        return ["one.single"]
    if ledger is None:
        return ["one.not_finite" if story.run.evaluations else "one.no_validation"]
    if ledger.one_epoch_is_enough:
        return ["one.yes"]
    gain = first_gain(ledger)
    if gain is not None and gain.is_significant:
        return ["one.no"]
    if ledger.one_epoch_is_enough is None:
        return ["one.too_few"]
    return ["one.no_loss"]


def _stop(story: Story, ledger: Ledger | None, facts: Facts) -> list[str]:
    if ledger is None:
        return ["stop.not_finite" if story.run.evaluations else "stop.no_validation"]
    found = ["stop.best" if "best.epoch" in facts else "stop.best_inside"]
    if ledger.enough_index is None:
        found.append("stop.too_few")
    elif ledger.enough_index == len(ledger.entries) - 1:
        found.append("stop.still_gaining")
    else:
        found.append("stop.enough" if "enough.epoch" in facts else "stop.enough_inside")
    if ledger.over_fitting_index is not None:
        found.append("stop.turned" if "turned.epoch" in facts else "stop.turned_inside")
    if "kept.metric" in facts:
        found.append("stop.kept")
    if ledger.more:
        found.append("stop.more")
    return found


def _advised(facts: Facts) -> list[str]:
    """What was measured, and whether the run went by it."""
    found = ["batch.advised"]
    if "advice.noise" in facts:
        bounded = {"advice.noise_low", "advice.noise_high"} <= facts.keys()
        found.append("batch.noise" if bounded else "batch.noise_unbounded")
    if "plan.batch_size" in facts:
        same = facts["plan.batch_size"] == facts["advice.batch_size"]
        found.append("batch.followed" if same else "batch.not_followed")
    return found


def _batch(facts: Facts) -> list[str]:
    found = ["batch.unmeasured"]
    if "advice.batch_size" in facts:
        found = _advised(facts)
    if {"batch.scatter", "last.train_loss", "plan.batch_size"} <= facts.keys():
        found.append("batch.scatter")
    if "speed.samples_per_second" in facts:
        found.append("batch.speed")
    return found
