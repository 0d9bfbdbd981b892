"""What one `model.fit` will do with its arguments, before its first iteration.

Pure arithmetic on numbers: the rules by which Keras 3 cuts data into epochs and gradients
into updates, and where they lose or repeat what the caller may have meant to train on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from epochwise.counts import Remainder
from epochwise.plan import Caution, Plan

_SHOWN = 6
"""Most epochs whose iterations a sentence lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitCall:
    """The arguments of one `fit`, as far as they are known.

    Args:
        source: what the data is called: `arrays`, or the name of what forms batches.
        samples: N, training samples in a pass; `None` if not known [samples].
        batch_size: B; `None` if not known [samples].
        remainder: whether a pass ends on a short batch.
        batches: in one pass over the data; `None` if not known or endless.
        restartable: whether a second pass can be started.
        steps_per_epoch: as given to `fit`, `None` if not.
        epochs: that will be run, from the first to the last [epochs].
        steps_per_execution: as given to `compile`.
        shuffle: as given to `fit`.
        gathered: batches whose gradients the optimizer gathers for an update, 1 without
            `gradient_accumulation_steps`.
        gathered_before: batches that the optimizer has counted before this fit.
        schedule: whether the learning rate follows a schedule.
    """

    source: str = "data"
    samples: int | None = None
    batch_size: int | None = None
    remainder: Remainder = "keep"
    batches: int | None = None
    restartable: bool = True
    steps_per_epoch: int | None = None
    epochs: int = 1
    steps_per_execution: int = 1
    shuffle: bool = True
    gathered: int = 1
    gathered_before: int = 0
    schedule: bool = False

    @property
    def iterations_per_epoch(self) -> int | None:
        """Iterations that an epoch is meant to have; `None` if not known."""
        return self.steps_per_epoch or self.batches

    @property
    def iterations(self) -> int | None:
        """Iterations that the fit is meant to have; `None` if not known."""
        per_epoch = self.iterations_per_epoch
        return None if per_epoch is None else per_epoch * self.epochs

    @property
    def stream(self) -> Plan | None:
        """The samples and iterations as one stream of passes; `None` if not known."""
        if not self.samples or not self.batch_size or not self.iterations:
            return None
        return Plan(
            samples=self.samples,
            batch_size=self.batch_size,
            iterations=self.iterations,
            remainder=self.remainder,
        )

    def updates_after(self, iterations: int) -> int:
        """Count the weight updates that so many batches make."""
        counted = self.gathered_before + iterations
        return counted // self.gathered - self.gathered_before // self.gathered


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a fit is meant to do, and where it will do something else.

    Args:
        call: its arguments.
        plan: the same as a plan, where an epoch of the fit is one pass over the data and
            both sizes are known; else `None`.
        updates: weight updates that the planned iterations make; `None` if not known.
        samples: that they train on, repeats counted; `None` if not known [samples].
        cautions: what would be lost, repeated or is seldom meant.
    """

    call: FitCall
    plan: Plan | None
    updates: int | None
    samples: int | None
    cautions: tuple[Caution, ...]

    @property
    def trains_nothing(self) -> bool:
        """Whether batches are run and the weights never change."""
        return self.updates == 0 and bool(self.call.iterations)


def forecast(call: FitCall) -> Forecast:
    """Tell what a fit will do.

    Example:
        A pass has 63 batches, and fit is told to make 62 iterations an epoch.

        >>> call = FitCall(
        ...     samples=2010, batch_size=32, batches=63, steps_per_epoch=62, epochs=6
        ... )
        >>> print(forecast(call).cautions[0].sentence)
        steps_per_epoch=62 does not divide the 63 batches of a pass, at whose end fit breaks \
off: its epochs would hold 62, 1, 62, 1, 62, 1 iterations; leave steps_per_epoch out to \
have 63 in each, or use steps_per_epoch=21.
    """
    stream = call.stream
    whole = stream is not None and call.iterations_per_epoch == stream.iterations_per_epoch
    planned = call.iterations
    return Forecast(
        call=call,
        plan=stream if whole else None,
        updates=None if planned is None else call.updates_after(planned),
        samples=None if stream is None else stream.samples_seen,
        cautions=tuple(_cautions(call, stream)),
    )


def iterations_by_epoch(call: FitCall) -> Iterator[int]:
    """Yield the iterations that each epoch of the fit will hold.

    `EpochIterator` of Keras 3 goes on with the same pass in the next epoch, ends the
    epoch where the pass ends, and then starts a new one. It asks for
    `steps_per_execution` batches at a time, and takes as many even where fewer are
    missing to `steps_per_epoch`.

    Raises:
        ValueError: the length of an epoch is not known.

    Example:
        >>> list(iterations_by_epoch(FitCall(batches=10, steps_per_epoch=6, epochs=4)))
        [6, 4, 6, 4]
        >>> call = FitCall(batches=10, steps_per_epoch=6, epochs=4, steps_per_execution=4)
        >>> list(iterations_by_epoch(call))
        [8, 2, 8, 2]
    """
    per_epoch, at_once = call.iterations_per_epoch, call.steps_per_execution
    if per_epoch is None:
        raise ValueError("the length of an epoch is not known")
    asked = -(-per_epoch // at_once) * at_once
    left = call.batches
    for _ in range(call.epochs):
        if call.steps_per_epoch is None:
            yield per_epoch
        elif left is None:
            yield asked
        else:
            run = min(asked, left)
            left = (left - run) or call.batches
            yield run


def _cautions(call: FitCall, stream: Plan | None) -> Iterator[Caution]:
    if stream is not None:
        for caution in stream.cautions:
            yield Caution(note=caution.note, sentence=_in_words_of_fit(caution.sentence))
        if call.batches not in (None, stream.iterations_per_epoch):
            yield Caution(
                note="other data than was told",
                sentence=f"{stream.samples:,} samples at {stream.batch_size:,} make "
                f"{stream.iterations_per_epoch:,} batches, and {call.source} has "
                f"{call.batches:,}; tell the counter samples= and batch_size= as they are.",
            )
    if call.epochs < 1:
        yield Caution(
            note="no epoch",
            sentence="initial_epoch leaves no epoch to run; use a larger epochs=.",
        )
    elif call.iterations_per_epoch is not None:
        yield from _epoch_cautions(call)
    if not call.restartable and call.epochs > 1 and call.steps_per_epoch is None:
        yield Caution(
            note="data that can be read once",
            sentence=f"{call.source} can be read only once: after epoch 1 it is used up, and "
            "later epochs would train on nothing, or again on the first batches, which Keras "
            "keeps; use arrays, a keras.utils.PyDataset or epochs=1.",
        )
    if call.gathered > 1:
        yield from _accumulation_cautions(call)


def _in_words_of_fit(sentence: str) -> str:
    """Return a plan's caution with remedies that a caller of `model.fit` has."""
    return sentence.replace('remainder="drop"', 'epochwise.fit(..., remainder="drop")').replace(
        'remainder="keep"', "drop_last=False"
    )


def _epoch_cautions(call: FitCall) -> Iterator[Caution]:
    """Yield where the epochs would not be those that were asked for."""
    asked, batches, at_once = call.steps_per_epoch, call.batches, call.steps_per_execution
    planned = call.iterations_per_epoch
    run = list(islice(iterations_by_epoch(call), _SHOWN))
    if all(iterations == planned for iterations in run):
        if asked and batches and call.epochs * asked < batches:
            left_out = batches - call.epochs * asked
            yield Caution(
                note="not one whole pass",
                sentence=f"steps_per_epoch={asked} with {call.epochs:,} epochs leaves out "
                f"{left_out:,} of the {batches:,} batches of the data; leave steps_per_epoch "
                "out.",
            )
        return
    shown = ", ".join(f"{iterations:,}" for iterations in run)
    epochs = "its epochs would hold " + shown + (", …" if call.epochs > len(run) else "")
    if asked and batches and asked > batches:
        yield Caution(
            note="steps_per_epoch exceeds the data",
            sentence=f"steps_per_epoch={asked} exceeds the {batches} batches of the data: "
            f"{epochs} iterations; leave steps_per_epoch out, or give data that repeats.",
        )
    elif asked and asked % at_once:
        yield Caution(
            note="steps_per_execution does not divide",
            sentence=f"steps_per_execution={at_once} does not divide steps_per_epoch={asked}: "
            f"{epochs} iterations; use steps_per_execution=1, or leave steps_per_epoch out.",
        )
    elif asked and batches:
        divisor = next(size for size in range(asked, 0, -1) if batches % size == 0)
        yield Caution(
            note="steps_per_epoch does not divide",
            sentence=f"steps_per_epoch={asked} does not divide the {batches} batches of a "
            f"pass, at whose end fit breaks off: {epochs} iterations; leave steps_per_epoch "
            f"out to have {batches} in each, or use steps_per_epoch={divisor}.",
        )


def _accumulation_cautions(call: FitCall) -> Iterator[Caution]:
    """Yield what becomes of gradients that the optimizer gathers."""
    k, planned, per_epoch = call.gathered, call.iterations, call.iterations_per_epoch
    if planned is None or per_epoch is None:
        yield Caution(
            note="gathered gradients",
            sentence=f"gradient_accumulation_steps={k}: groups of {k} batches go across the "
            "ends of epochs, and what is left at the end changes nothing; "
            f"{_with_microbatches(call)}",
        )
        return
    updates = call.updates_after(planned)
    left_over = (call.gathered_before + planned) % k
    if updates == 0:
        yield Caution(
            note="no weight update",
            sentence=f"gradient_accumulation_steps={k} exceeds the {planned:,} batches of this "
            "fit: the weights would never change; use gradient_accumulation_steps="
            f"{planned} or less.",
        )
    elif left_over or per_epoch % k:
        across = "groups go across the ends of epochs"
        lost = f"the last {left_over:,} change nothing" if left_over else "none is left over"
        yield Caution(
            note="gathered gradients",
            sentence=f"gradient_accumulation_steps={k}: {planned:,} batches make {updates:,} "
            f"updates, {across}, and {lost}; {_with_microbatches(call)}",
        )
    if call.schedule:
        yield Caution(
            note="a schedule counted in batches",
            sentence="The learning rate's schedule is read at the count of batches, so with "
            f"gradient_accumulation_steps={k} it runs {k} times as fast as the updates; make "
            f"it {k} times as long.",
        )


def _with_microbatches(call: FitCall) -> str:
    """Return the remedy for gathered gradients."""
    size = call.batch_size
    if size is None or call.iterations_per_epoch is None:
        return "use epochwise.fit with microbatch_size=."
    each = -(-call.iterations_per_epoch // call.gathered)
    return (
        f"use epochwise.fit(..., batch_size={size * call.gathered}, microbatch_size={size}) "
        f"for {each:,} updates in each epoch."
    )
