"""The numbers of a run that the page's sentences and tables state, by name.

A fact that the record does not tell is not in the mapping; whoever words a sentence asks
first. The names are those that the page carries in `data-fact`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import numpy as np

from epochwise.choosing.worth import Entry, Ledger, accuracy_of
from epochwise.counting.plan import Plan
from epochwise.report.evidence import evidence_facts
from epochwise.report.ledger import best_accuracy, first_gain
from epochwise.report.phrases import Fact
from epochwise.report.story import Pass, Story
from epochwise.rules.curve import proportion_error

FIRST_ITERATIONS = 10
"""How many losses at the beginning are averaged to tell where the loss started."""


def facts_of(story: Story, ledger: Ledger | None) -> dict[str, Fact]:
    """Return everything that the page's sentences may state about a run.

    Args:
        story: the run.
        ledger: what its epochs were worth; `None` where nothing tells it.
    """
    facts = _header_facts(story) | _done_facts(story) | _loss_facts(story) | _speed_facts(story)
    if story.run.plan is not None:
        facts |= _plan_facts(story.run.plan)
    if ledger is not None:
        facts |= _ledger_facts(story, ledger)
    return facts | evidence_facts(story.evidence)


def smoothing_window(story: Story) -> int:
    """Return how many iterations the smoothed loss is a mean of [iterations].

    A twentieth of an epoch, or of the whole where that is shorter; at least 5.
    """
    count = story.batch_sizes.size
    per_epoch = story.run.iterations_per_epoch or count
    total = count if story.run.plan is None else story.run.plan.iterations
    return max(5, min(per_epoch, total) // 20)


def _header_facts(story: Story) -> dict[str, Fact]:
    header, run = story.header, story.run
    facts: dict[str, Fact] = {
        "run.name": story.name,
        "run.model": header.model_name,
        "run.data": header.data_name,
        "run.began": f"{header.began:%Y-%m-%d %H:%M:%S}",
    }
    if run.stop is not None:
        facts["run.reason"] = run.stop.sentence
    if run.best is not None and run.restored:
        facts |= {
            "kept.metric": run.best.metric,
            "kept.value": run.best.value,
            "kept.iterations": run.best.iterations_done,
        }
    facts |= _counts(
        {
            "run.parameters": header.model.get("parameters"),
            "about.held_out": header.data.get("validation_samples"),
            "about.test_samples": header.data.get("test_samples"),
            "about.seed": header.order.get("seed"),
        }
    )
    return facts


def _plan_facts(plan: Plan) -> dict[str, Fact]:
    facts: dict[str, Fact] = {
        "plan.samples": plan.samples,
        "plan.batch_size": plan.batch_size,
        "plan.iterations_per_epoch": plan.iterations_per_epoch,
        "plan.last_batch_size": plan.last_batch_size,
        "plan.epochs": _whole(plan.epochs),
        "plan.iterations": plan.iterations,
        "plan.samples_seen": plan.samples_seen,
        "plan.dropped_per_epoch": plan.dropped_per_epoch,
    }
    if plan.microbatch_size is not None:
        facts["plan.microbatch_size"] = plan.microbatch_size
        facts["plan.microbatches"] = plan.microbatches_per_batch
    return facts


def _done_facts(story: Story) -> dict[str, Fact]:
    run = story.run
    facts: dict[str, Fact] = {
        "done.iterations": run.position.iterations_done,
        "done.samples": run.position.samples_done,
        "done.epochs": run.position.epochs_done,
    }
    fraction = run.position.epochs_done_fraction(run.iterations_per_epoch)
    if fraction is not None:
        facts["done.epochs"] = _whole(fraction)
    if run.iterations_per_epoch is not None:
        facts["done.iterations_per_epoch"] = run.iterations_per_epoch
    if run.updates:
        made = min(run.updates.values())
        facts["done.updates"] = made
        facts["done.skipped"] = story.batch_sizes.size - made
    return facts


def _loss_facts(story: Story) -> dict[str, Fact]:
    losses = story.run.losses
    facts: dict[str, Fact] = {"smooth.window": smoothing_window(story)}
    broken = np.flatnonzero(~np.isfinite(losses))
    if broken.size:
        facts["loss.nonfinite"] = int(broken.size)
        facts["loss.first_nonfinite"] = story.iterations_before + int(broken[0]) + 1
    trained = [one.metrics["loss"] for one in story.passes if "loss" in one.metrics]
    first = losses[:FIRST_ITERATIONS]
    if not trained or not first.size:
        return facts
    facts["last.train_loss"] = trained[-1]
    start = float(first.astype(np.float64).mean())
    fell, fell_first = start - trained[-1], start - trained[0]
    if len(trained) > 1 and story.iterations_before == 0 and math.isfinite(fell) and fell > 0:
        facts["start.loss"] = start
        facts["first.share"] = fell_first / fell
    last = _losses_of(story, story.passes[-1])
    if last.size > 1 and np.isfinite(last).all():
        facts["batch.scatter"] = float(last.std(ddof=1))
    return facts


def _speed_facts(story: Story) -> dict[str, Fact]:
    stretches = story.stretches
    rates = stretches.learning_rate[np.isfinite(stretches.learning_rate)]
    facts: dict[str, Fact] = {}
    if rates.size:
        facts["rate.first"], facts["rate.last"] = _float32(rates[0]), _float32(rates[-1])
        done = stretches.rate_iterations[np.isfinite(stretches.learning_rate)]
        for name, place in (("highest", int(rates.argmax())), ("lowest", int(rates.argmin()))):
            facts[f"rate.{name}"] = _float32(rates[place])
            facts[f"rate.{name}_iteration"] = int(done[place])
    if stretches.elapsed.size:
        facts["spent.seconds"] = float(stretches.elapsed[-1])
    seconds = float(stretches.seconds.sum())
    if not 0 < seconds < math.inf:
        return facts
    return facts | {
        "speed.samples_per_second": round(int(story.batch_sizes.sum()) / seconds),
        "speed.iterations_per_second": round(story.batch_sizes.size / seconds),
    }


def _ledger_facts(story: Story, ledger: Ledger) -> dict[str, Fact]:
    """What the questions about epochs are answered with."""
    entries = ledger.entries
    facts: dict[str, Fact] = {"last.val_loss": entries[-1].loss}
    moments = {"best": entries[ledger.best_index]}
    if ledger.enough_index is not None:
        moments["enough"] = entries[ledger.enough_index]
    if ledger.over_fitting_index is not None:
        moments["turned"] = entries[ledger.over_fitting_index]
    for name, entry in moments.items():
        facts |= _moment_facts(name, entry)
        after = [one for one in story.passes if one.first_iteration > entry.iterations_done]
        facts[f"{name}.epochs_after"] = len(after)
        facts[f"{name}.seconds_after"] = sum(one.seconds for one in after)
    gain, best = first_gain(ledger), best_accuracy(ledger)
    if gain is not None and best is not None:
        first = next(entry for entry in entries if entry.epochs_done == 1)
        facts |= _accuracy_facts(ledger, "first", first) | _accuracy_facts(ledger, "top", best)
        facts |= {"top.gain": gain.value, "top.metric": accuracy_name(story)}
        if gain.error:
            facts["top.gain_errors"] = gain.value / gain.error
    for more in ledger.more:
        facts["more.epochs"] = more.epochs
        facts["more.loss"], facts["more.low"], facts["more.high"] = (
            more.loss,
            more.low,
            more.high,
        )
    return facts


def _moment_facts(name: str, entry: Entry) -> dict[str, Fact]:
    """Where something happened: after which epoch if one ended there, and its loss."""
    facts: dict[str, Fact] = {
        f"{name}.iterations": entry.iterations_done,
        f"{name}.val_loss": entry.loss,
    }
    if entry.epochs_done is not None and entry.epochs_done.denominator == 1:
        facts[f"{name}.epoch"] = entry.epochs_done.numerator
    return facts


def _accuracy_facts(ledger: Ledger, name: str, entry: Entry) -> dict[str, Fact]:
    assert entry.accuracy is not None
    facts: dict[str, Fact] = {f"{name}.accuracy": entry.accuracy}
    if ledger.validation_samples:
        error = proportion_error(entry.accuracy, ledger.validation_samples)
        facts[f"{name}.error"] = error
    return facts


def accuracy_name(story: Story) -> str:
    """Return what the accuracy that the ledger tells is called, `val_` before it."""
    for seen in story.run.evaluations:
        for name, value in seen.metrics.items():
            if value == accuracy_of(seen.metrics):
                return f"val_{name}"
    return "val_accuracy"


def _losses_of(story: Story, one: Pass) -> np.ndarray[Any, np.dtype[np.float64]]:
    before = story.iterations_before
    losses = story.run.losses[one.first_iteration - 1 - before : one.last_iteration - before]
    return losses.astype(np.float64)


def _float32(value: float) -> float:
    """A number that was kept with the precision of float32, by its own shortest digits."""
    with np.errstate(over="ignore"):
        return float(str(np.float32(value)))


def _whole(fraction: Fraction) -> Fact:
    """A fraction, as an integer where it is one."""
    return fraction.numerator if fraction.denominator == 1 else fraction


def _counts(found: Mapping[str, object]) -> dict[str, Fact]:
    """Those values of a record that are integers, as they should be."""
    return {
        name: value
        for name, value in found.items()
        if isinstance(value, int) and not isinstance(value, bool)
    }
