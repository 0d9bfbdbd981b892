"""`fit`: train a compiled Keras model on arrays or batches, as `model.fit` does."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any, Literal

from epochwise import loop
from epochwise.api.material import Given, material
from epochwise.api.running import interrupts, tell
from epochwise.counts import Remainder
from epochwise.data.feed import ArrayFeed
from epochwise.data.given import check_validation_freq, refuse_initial_epoch
from epochwise.engines.select import check_compiled, engine_for, on_device, select_backend
from epochwise.events import Listener
from epochwise.progress import progress
from epochwise.record import Run, Tally


def fit(
    model: Any,
    x: Any,
    y: Any = None,
    *,
    batch_size: int = 32,
    epochs: int | Fraction = 1,
    iterations: int | None = None,
    validation_split: float = 0.0,
    validation_data: Any = None,
    sample_weight: Any = None,
    class_weight: Mapping[int, float] | None = None,
    shuffle: bool = True,
    seed: int = 0,
    remainder: Remainder = "keep",
    microbatch_size: int | None = None,
    callbacks: Iterable[Any] = (),
    verbose: Literal["auto", 0, 1, 2] = "auto",
    segments: Literal["scan", "single"] | None = None,
    listeners: Iterable[Listener] = (),
    initial_epoch: int = 0,
    steps_per_epoch: int | None = None,
    validation_steps: int | None = None,
    validation_batch_size: int | None = None,
    validation_freq: int = 1,
) -> Run:
    """Train a compiled Keras model, as `model.fit` does, with exact counts.

    With `shuffle=False` the weights are bit for bit those of `model.fit` on the JAX
    backend. With `shuffle=True` each epoch is a permutation that follows from the seed
    and from the epochs that the model's optimizer has already counted, so that a second
    call goes on where the first one ended.

    Args:
        model: a compiled Keras model; holds the trained weights, optimizer and metrics
            afterwards, also after an exception or Ctrl-C.
        x: features, first axis N: an array or a tuple or mapping of them; or batches
            that somebody else forms (`PyDataset`, `tf.data.Dataset`, `DataLoader`, a
            generator function), which then bring their own targets.
        y: targets, the same kinds of arrays.
        batch_size: samples per weight update [samples / iteration].
        epochs: passes over the data [epochs]; not used when `iterations` is given.
        iterations: weight updates in all [iterations].
        validation_split: the share of the samples held out for validation, in [0, 1):
            stratified by class and seeded; with `shuffle=False` the last ones, as Keras.
        validation_data: `(x, y)` or `(x, y, sample_weight)`, or batches that somebody
            else forms; evaluated after each epoch.
        sample_weight: a weight for each sample, shape `(N,)`.
        class_weight: a weight for each class, by its number.
        shuffle: whether each epoch is a new permutation.
        seed: of the order and the split, 0 to 2**64 - 1.
        remainder: whether the N mod B left-over samples are trained on.
        microbatch_size: samples that go through the network at once, `None` for all.
        callbacks: Keras callbacks.
        verbose: 0 for silence, 1 for a live line, 2 for a line an epoch.
        segments: how segments are executed; `None` follows from model and device.
        listeners: plug-ins with a method `on_event`.
        initial_epoch: refused unless 0: a second call goes on by itself.
        steps_per_epoch: iterations that make an epoch of somebody else's batches, cut
            from pass after pass; with arrays an epoch is every sample once.
        validation_steps: batches of the validation data to evaluate; `None` for all.
        validation_batch_size: samples in each of them; `None` for `batch_size`.
        validation_freq: epochs from one evaluation to the next [epochs].

    Returns:
        The run: `history` as Keras's, `plan`, `position`, and `losses`, the loss of each
        iteration's own batch.

    Raises:
        PlanError: the counts cannot be.
        DataError: the arrays are not what training needs.
        ModelError: the model cannot be trained as asked.

    Example:
        >>> import keras, numpy as np
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> run = fit(model, np.ones((10, 4)), np.ones(10), batch_size=4, verbose=0)
        >>> run.position.iterations_done
        3
    """
    start = time.perf_counter()
    refuse_initial_epoch(initial_epoch, epochs)
    select_backend()
    check_compiled(model)
    from epochwise.engines.on_keras_callbacks import KerasCallbacks

    given = Given(
        x=x,
        y=y,
        sample_weight=sample_weight,
        class_weight=class_weight,
        batch_size=batch_size,
        epochs=epochs,
        iterations=iterations,
        steps_per_epoch=steps_per_epoch,
        shuffle=shuffle,
        seed=seed,
        remainder=remainder,
        microbatch_size=microbatch_size,
        validation_split=validation_split,
        validation_data=validation_data,
        validation_steps=validation_steps,
        validation_batch_size=validation_batch_size,
    )
    used = material(given, partial(on_device, model))
    plan, feed = used.plan, used.feed
    read = time.perf_counter() - start
    engine = engine_for(
        model,
        example=used.example,
        resident=used.resident,
        validation=used.resident_validation,
        microbatch_size=microbatch_size,
        segments=segments,
    )
    if isinstance(feed, ArrayFeed):
        updates = max(engine.updates().values(), default=0)
        feed = replace(feed, epochs_before=-(-updates // feed.plan.iterations_per_epoch))
    whole = None if iterations is not None else int(-(-Fraction(epochs) // 1))
    adapter = KerasCallbacks(
        model, callbacks, epochs=whole, iterations_per_epoch=feed.iterations_per_epoch
    )
    shown = progress(verbose)
    tally = Tally()
    course = loop.Course(
        feed=feed,
        plan=plan,
        epochs=whole,
        iterations=plan.iterations if plan is not None else iterations,
        validation=used.validation,
        validation_batches=validation_steps,
        validate_every_epochs=check_validation_freq(validation_freq),
        look_every_iterations=1 if adapter.looks_at_iterations else None,
    )
    try:
        with interrupts() as interrupted:
            events = loop.train(
                engine, course, asked_to_stop=lambda: interrupted() or adapter.stop_reason()
            )
            tell(events, (tally, shown, adapter, *listeners))
        model.optimizer.finalize_variable_values(model.trainable_weights)
        seconds = replace(
            tally.seconds,
            total=time.perf_counter() - start,
            data=read,
            compiling=engine.compile_seconds,
        )
        run = tally.run(seconds=seconds)
        shown.finish(run)
    finally:
        shown.close()
    if run.stop is not None and run.stop.rule == "interrupt":
        raise KeyboardInterrupt
    return run
