"""What a `model.fit` was asked for, what it did, and where the two differ.

Pure arithmetic on counts: nothing here reads a model or predicts how Keras cuts its data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from epochwise.counting.cautions import Caution
from epochwise.counting.plan import Plan
from epochwise.errors import Problem
from epochwise.record import Run
from epochwise.terminal.progress import plan_line

_SHOWN = 6
"""Most epochs that a line lists one by one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitPlan:
    """What a fit was asked for, as far as it is known before its first iteration.

    Args:
        plan: the counts, where the sizes of data and batches were given; else `None`.
        samples: N, training samples in a pass; `None` if not known [samples].
        epochs: that will be run, from the first to the last [epochs].
        steps: iterations an epoch that Keras announces; `None` if it knows none.
        accumulated: batches whose gradients the optimizer accumulates for an update, 1
            without `gradient_accumulation_steps`.
        accumulated_before: batches that the optimizer has counted before this fit.
        schedule: whether the learning rate follows a schedule.

    Example:
        A pass has 63 batches, and fit is asked for 62 iterations an epoch.

        >>> plan = Plan(samples=2010, batch_size=32, epochs=6)
        >>> asked = FitPlan(plan=plan, samples=2010, epochs=6, steps=62)
        >>> print(asked.cautions[0].sentence)
        fit makes epochs of 62 iterations, and one pass over 2,010 samples at 32 has 63: some \
samples would be left out of an epoch or an epoch cut short; leave steps_per_epoch out.
    """

    plan: Plan | None = None
    samples: int | None = None
    epochs: int = 1
    steps: int | None = None
    accumulated: int = 1
    accumulated_before: int = 0
    schedule: bool = False

    @property
    def iterations_per_epoch(self) -> int | None:
        """Iterations that an epoch should have; `None` if not known."""
        return self.steps if self.plan is None else self.plan.iterations_per_epoch

    @property
    def iterations(self) -> int | None:
        """Iterations that the fit should have; `None` if not known."""
        per_epoch = self.iterations_per_epoch
        return None if per_epoch is None else per_epoch * self.epochs

    @property
    def updates(self) -> int | None:
        """Weight updates that these iterations make; `None` if not known."""
        return None if self.iterations is None else self.updates_after(self.iterations)

    @property
    def trains_nothing(self) -> bool:
        """Whether batches are run and the weights never change."""
        return self.updates == 0 and bool(self.iterations)

    @property
    def cautions(self) -> tuple[Caution, ...]:
        """What can be known to be lost, repeated or seldom meant before the first iteration."""
        return tuple(self._cautions())

    def lines(self) -> list[str]:
        """Return what is said before the first iteration."""
        if self.plan is not None:
            lines = [plan_line(self.plan)]
        elif self.iterations is not None:
            each, in_all = self.iterations_per_epoch, self.iterations
            lines = [f"{each:,} iterations an epoch, {in_all:,} in all"]
        else:
            lines = ["the length of an epoch is not known before its first pass"]
        if self.accumulated > 1 and self.updates is not None:
            lines[0] += f", {self.updates:,} weight updates"
        return lines + [f"Warning: {caution.sentence}" for caution in self.cautions]

    def problems(self) -> list[Problem]:
        """Return the cautions as what is wrong, each with its remedy."""
        parted = (caution.sentence.rpartition("; ") for caution in self.cautions)
        return [Problem(f"{what}.", remedy) for what, _, remedy in parted]

    def updates_after(self, iterations: int) -> int:
        """Count the weight updates that so many batches make."""
        counted = self.accumulated_before + iterations
        return counted // self.accumulated - self.accumulated_before // self.accumulated

    def _cautions(self) -> Iterator[Caution]:
        plan, steps = self.plan, self.steps
        if self.epochs < 1:
            yield Caution(
                note="no epoch",
                sentence="initial_epoch leaves no epoch to run; use a larger epochs=.",
            )
            return
        if plan is not None:
            for caution in plan.cautions:
                yield Caution(note=caution.note, sentence=_for_fit(caution.sentence))
            if steps is not None and steps != plan.iterations_per_epoch:
                yield Caution(
                    note="other epochs than one pass",
                    sentence=f"fit makes epochs of {steps:,} iterations, and one pass over "
                    f"{plan.samples:,} samples at {plan.batch_size:,} has "
                    f"{plan.iterations_per_epoch:,}: some samples would be left out of an "
                    "epoch or an epoch cut short; leave steps_per_epoch out.",
                )
            if plan.epochs is not None and plan.epochs != self.epochs:
                yield Caution(
                    note="other epochs than planned",
                    sentence=f"The plan has {plan.epochs} epochs, and fit runs "
                    f"{self.epochs:,}; use epochs={plan.epochs} in both.",
                )
        if self.accumulated > 1:
            yield from self._accumulation_cautions()

    def _accumulation_cautions(self) -> Iterator[Caution]:
        k, planned, per_epoch = self.accumulated, self.iterations, self.iterations_per_epoch
        if planned is None or per_epoch is None:
            yield Caution(
                note="accumulated gradients",
                sentence=f"gradient_accumulation_steps={k}: groups of {k} batches go across "
                "the ends of epochs, and what is left at the end changes nothing; use "
                "epochwise.fit with microbatch_size=.",
            )
        elif self.trains_nothing:
            yield Caution(
                note="no weight update",
                sentence=f"gradient_accumulation_steps={k} exceeds the {planned:,} batches of "
                "this fit: the weights would never change; use gradient_accumulation_steps="
                f"{planned} or less.",
            )
        else:
            left = (self.accumulated_before + planned) % k
            if left or per_epoch % k:
                lost = f"the last {left:,} change nothing" if left else "none is left over"
                yield Caution(
                    note="accumulated gradients",
                    sentence=f"gradient_accumulation_steps={k}: {planned:,} batches make "
                    f"{self.updates:,} updates, groups go across the ends of epochs, and "
                    f"{lost}; {self._with_microbatches(per_epoch)}",
                )
        if self.schedule:
            yield Caution(
                note="a schedule counted in batches",
                sentence="The learning rate's schedule is read at the count of batches, so "
                f"with gradient_accumulation_steps={k} it runs {k} times as fast as the "
                f"updates; make it {k} times as long.",
            )

    def _with_microbatches(self, per_epoch: int) -> str:
        """Return the remedy for accumulated gradients."""
        if self.plan is None:
            return "use epochwise.fit with microbatch_size=."
        size, k = self.plan.batch_size, self.accumulated
        return (
            f"use epochwise.fit(..., batch_size={size * k}, microbatch_size={size}) for "
            f"{-(-per_epoch // k):,} updates in each epoch."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FitReport:
    """What a fit was asked for and what it did.

    Args:
        planned: what was known before its first iteration.
        iterations_by_epoch: of each epoch that was run [iterations].
        samples_by_epoch: of each epoch that was run; 0 where they were not counted
            [samples].
        updates: weight updates by the optimizer's name.
        run: the same as a `Run`, with history, seconds and the record's folder.
    """

    planned: FitPlan
    iterations_by_epoch: tuple[int, ...]
    samples_by_epoch: tuple[int, ...]
    updates: Mapping[str, int]
    run: Run

    @property
    def iterations(self) -> int:
        """Iterations that were run [iterations]."""
        return sum(self.iterations_by_epoch)

    @property
    def samples(self) -> int:
        """Samples trained on, repeats counted [samples]."""
        return sum(self.samples_by_epoch)

    @property
    def cautions(self) -> tuple[Caution, ...]:
        """What was told before the first iteration."""
        return self.planned.cautions

    @property
    def as_planned(self) -> bool:
        """Whether everything that ran is what was planned."""
        return not self.differences

    @property
    def differences(self) -> tuple[str, ...]:
        """What is not as planned, a clause each; a fit that a callback ended may be short."""
        return tuple(self._differences())

    def lines(self) -> list[str]:
        """Return the report as people read it."""
        each = sorted(set(self.iterations_by_epoch))
        if len(each) == 1:
            epochs = f"{each[0]:,} iterations an epoch"
        else:
            shown = ", ".join(f"{n:,}" for n in self.iterations_by_epoch[:_SHOWN])
            more = ", …" if len(self.iterations_by_epoch) > _SHOWN else ""
            epochs = f"epochs of {shown}{more} iterations"
        made = ", ".join(
            f"{count:,} weight updates" + (f" by {name}" if len(self.updates) > 1 else "")
            for name, count in self.updates.items()
        )
        lines = [f"{epochs}, {self.iterations:,} in all, {made}, {self.samples:,} samples"]
        stop = self.run.stop
        if stop is not None and stop.rule == "callback":
            lines.append(stop.sentence)
        if self.as_planned:
            lines[0] += ": as planned"
        else:
            lines += [f"not as planned: {difference}" for difference in self.differences]
        if self.run.folder is not None:
            here, folder = Path.cwd(), self.run.folder
            near = folder.relative_to(here) if folder.is_relative_to(here) else folder
            lines.append(f"run {near}")
        return lines

    def _differences(self) -> Iterator[str]:
        planned = self.planned
        ended = self.run.stop is not None and self.run.stop.rule == "callback"
        whole = self.iterations_by_epoch[:-1] if ended else self.iterations_by_epoch
        expected = planned.iterations_per_epoch or (whole[0] if whole else 0)
        other = [(n, count) for n, count in enumerate(whole, 1) if count != expected]
        for number, count in other[:_SHOWN]:
            yield f"epoch {number:,} had {count:,} of {expected:,} iterations"
        if len(other) > _SHOWN:
            yield f"{len(other) - _SHOWN:,} more epochs had another number of iterations"
        if not ended and len(self.iterations_by_epoch) != planned.epochs:
            yield f"{len(self.iterations_by_epoch):,} of {planned.epochs:,} epochs were run"
        due = planned.updates_after(self.iterations)
        if len(self.updates) == 1 and set(self.updates.values()) != {due}:
            [(name, made)] = self.updates.items()
            yield f"{name} counted {made:,} weight updates, {due:,} were due"
        if planned.samples is not None and not ended and self.samples:
            yield from self._samples_lost_or_repeated(planned.samples)

    def _samples_lost_or_repeated(self, samples: int) -> Iterator[str]:
        plan = self.planned.plan
        each = samples if plan is None else samples - plan.dropped_per_epoch
        differing = [(n, s) for n, s in enumerate(self.samples_by_epoch, 1) if s != each]
        for number, seen in differing[:_SHOWN]:
            lost = f"{each - seen:,} left out"
            what = lost if seen < each else f"{seen - each:,} seen more than once"
            yield f"epoch {number:,} saw {seen:,} of {each:,} samples: {what}"
        if len(differing) > _SHOWN:
            yield f"{len(differing) - _SHOWN:,} more epochs saw another number of samples"


def _for_fit(sentence: str) -> str:
    """Return a plan's caution with remedies that a caller of `model.fit` has."""
    return sentence.replace('remainder="drop"', 'epochwise.fit(..., remainder="drop")').replace(
        'remainder="keep"', "drop_last=False"
    )
