"""The verbs as Python functions: they wire the parts together and decide nothing.

Importing this imports no framework; calling a function does.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from epochwise import loop, models
from epochwise.counts import Remainder
from epochwise.data import sources
from epochwise.data.batches import BatchFeed, is_batches
from epochwise.data.feed import ArrayFeed, Feed
from epochwise.data.order import Order
from epochwise.data.samples import Array, Samples, leaves, map_leaves
from epochwise.data.split import split
from epochwise.engines.select import check_compiled, engine_for, select_backend
from epochwise.errors import DataError, PlanError
from epochwise.events import Event, Listener, Stopped, StopReason
from epochwise.plan import Plan
from epochwise.position import Position
from epochwise.progress import Progress, progress
from epochwise.record import (
    RUNS_FOLDER,
    Header,
    Recorder,
    Run,
    RunFolder,
    Tally,
    data_sha256,
    machine,
    run_name,
    versions,
)


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
        validation_data: `(x, y)` or `(x, y, sample_weight)`, evaluated after each epoch.
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
    select_backend()
    check_compiled(model)
    from epochwise.engines.on_keras_callbacks import KerasCallbacks

    foreign = is_batches(x)
    plan: Plan | None = None
    if foreign:
        _refuse_with_batches(y, sample_weight, validation_split, batch_size, class_weight)
        feed: Feed = BatchFeed(x, seed=seed, shuffle=shuffle, iterations=iterations)
        window = feed.window(0, 0)
        assert window.samples is not None
        example = window.samples.rows(window.rows[0])
        training = None
    else:
        training = _samples(x, y, sample_weight, class_weight)
    held_out = _validation_samples(validation_data)
    if training is not None:
        if validation_split and held_out is None:
            targets = leaves(training.y)
            parted = split(
                training.count,
                validation_split,
                labels=targets[0] if len(targets) == 1 and shuffle else None,
                order="stratified" if shuffle else "time",
                seed=seed,
            )
            training, held_out = training.rows(parted.train), training.rows(parted.held_out)
        plan = Plan(
            samples=training.count,
            batch_size=batch_size,
            epochs=epochs if iterations is None else None,
            iterations=iterations,
            remainder=remainder,
            microbatch_size=microbatch_size,
        )
        example = training.rows(np.arange(min(plan.batch_size_of(0), training.count)))
    mapped = training is not None and any(
        isinstance(leaf, np.memmap) for leaf in (*leaves(training.x), *leaves(training.y))
    )
    read = time.perf_counter() - start
    engine = engine_for(
        model,
        example=example,
        resident=None if mapped else training,
        validation=held_out,
        microbatch_size=microbatch_size,
        segments=segments,
    )
    if training is not None:
        assert plan is not None
        passes = sum(engine.updates().values()) + plan.iterations_per_epoch - 1
        order = Order(samples=training.count, seed=seed, shuffle=shuffle)
        feed = ArrayFeed(
            train=training,
            order=order,
            plan=plan,
            gather=mapped,
            epochs_before=passes // plan.iterations_per_epoch,
        )
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
        validation=_in_order(held_out, batch_size),
        look_every_iterations=1 if adapter.looks_at_iterations else None,
    )
    try:
        with _interrupts() as interrupted:
            events = loop.train(
                engine, course, asked_to_stop=lambda: interrupted() or adapter.stop_reason()
            )
            _tell(events, (tally, shown, adapter, *listeners))
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


def train(
    data: str,
    *,
    model: str,
    label: str | None,
    batch_size: int,
    epochs: int | None,
    iterations: int | None,
    learning_rate: float | None,
    optimizer: str | None,
    validation_split: float | None,
    seed: int,
    microbatch_size: int | None,
    run_dir: Path | None,
    progress: Progress,
    arguments: Sequence[str] | None = None,
) -> Run:
    """Train a network on a data source and keep the record in a run folder.

    Args:
        data: a name of `sources.NAMES`, or a path.
        model: as `models.parse_model` reads it.
        label: the column of a table to predict.
        batch_size: samples per weight update [samples / iteration].
        epochs: passes over the data [epochs].
        iterations: weight updates in all [iterations].
        learning_rate: of the optimizer; `None` for its own.
        optimizer: one of Keras's; `None` for Adam or the model's own.
        validation_split: `None` for 0 with a test part, else 0.2.
        seed: of the split, the order and the weights.
        microbatch_size: samples that go through the network at once.
        run_dir: the folder of this run; `None` for a new one in `runs/`.
        progress: shows what happens.
        arguments: the command line, for the record.

    Returns:
        The run; `stop.rule` is `interrupt` after Ctrl-C.

    Raises:
        EpochwiseError: anything that the user can repair.
    """
    before = _process_age()
    began, clock = datetime.now().astimezone(), time.perf_counter
    start = clock()
    if select_backend() == "jax":
        from epochwise.engines.on_jax.cache import keep_compiled_programs

        keep_compiled_programs(versions())
    imported: list[float] = []

    def bring() -> None:
        import keras  # noqa: F401

        imported.append(clock() - start)

    bringing = threading.Thread(target=bring, daemon=True)
    bringing.start()
    dataset = sources.load(data, label=label)
    digest = data_sha256(dataset.train)
    if validation_split is None:
        validation_split = 0.0 if dataset.test is not None else 0.2
    training, held_out, parted = dataset.train, None, None
    if validation_split:
        parted = split(
            dataset.train.count,
            validation_split,
            labels=None if dataset.classes is None else leaves(dataset.train.y)[0],
            seed=seed,
        )
        training = dataset.train.rows(parted.train)
        held_out = dataset.train.rows(parted.held_out)
    plan = Plan(
        samples=training.count,
        batch_size=batch_size,
        epochs=epochs,
        iterations=iterations,
        microbatch_size=microbatch_size,
    )
    read = clock() - start
    bringing.join()

    table = leaves(training.x)[0] if dataset.columns is not None else None
    built = models.build_model(
        models.ModelRequest(
            source=models.parse_model(model),
            input_shape=dataset.input_shape,
            classes=None if dataset.classes is None else len(dataset.classes),
            optimizer=optimizer,
            learning_rate=learning_rate,
            seed=seed,
            table=table,
        )
    )
    for note in built.notes:
        progress.note(note)
    engine = engine_for(
        built.model,
        example=training.rows(np.arange(min(batch_size, training.count))),
        resident=training,
        validation=held_out,
        microbatch_size=microbatch_size,
    )
    header = Header(
        began=began,
        data_name=dataset.name,
        data={
            "sha256": digest,
            "samples": training.count,
            "validation_samples": held_out.count if held_out else 0,
            "test_samples": dataset.test.count if dataset.test else 0,
            "input_shape": list(dataset.input_shape),
            "classes": dataset.classes,
            "columns": dataset.columns,
        },
        split=None if parted is None else {"rule": parted.rule, "sha256": parted.digest},
        order={"seed": seed, "shuffle": True},
        model_name=built.name,
        model=models.describe(built.model),
        plan=plan,
        versions=versions(),
        machine=machine(),
        arguments=arguments,
    )
    if run_dir is not None:
        folder = RunFolder.create(run_dir)
    else:
        named = run_name(began, dataset.name, built.name)
        folder = RunFolder.create_named(RUNS_FOLDER, named)
    tally = Tally()
    with Recorder(folder, header) as recorder:
        course = loop.Course(
            feed=ArrayFeed(
                train=training, order=Order(samples=training.count, seed=seed), plan=plan
            ),
            plan=plan,
            epochs=None,
            iterations=plan.iterations,
            validation=_in_order(held_out, batch_size),
        )
        with _interrupts() as interrupted:
            events = loop.train(engine, course, asked_to_stop=interrupted)
            _tell(events, (tally, recorder, progress))
        test, testing = None, 0.0
        stopped = tally.run().stop
        if dataset.test is not None and stopped is not None and not stopped.at_once:
            since = clock()
            test = _test(built.model, dataset.test, batch_size)
            testing = clock() - since
        weights = recorder.write_weights(models.named_weights(built.model))
        seconds = replace(
            tally.seconds,
            total=before + clock() - start,
            importing=imported[0],
            data=read,
            compiling=engine.compile_seconds,
            evaluating=tally.seconds.evaluating + testing,
        )
        return recorder.close(tally.run(seconds=seconds, test=test, weights_sha256=weights))


def _test(model: Any, test: Samples, batch_size: int) -> Mapping[str, float]:
    """Return the metrics of the test part."""
    engine = engine_for(model, example=test.rows(np.arange(1)), resident=None, validation=test)
    feed = _in_order(test, batch_size)
    assert feed is not None
    course = loop.Course(feed=feed, plan=None, epochs=0, iterations=None, validation=feed)
    return loop.evaluate(engine, course, feed, 0, Position()).metrics


def _tell(events: Iterator[Event], listeners: Sequence[Listener]) -> None:
    """Hand each event to every listener, in order."""
    for event in events:
        for listener in listeners:
            listener.on_event(event)
        if isinstance(event, Stopped):
            return


@contextmanager
def _interrupts() -> Iterator[Callable[[], StopReason | None]]:
    """Hear Ctrl-C as a wish to stop at the next boundary; a second one ends at once.

    Only the main thread can hear it; elsewhere nothing changes.
    """
    heard = False

    def hear(_signal: int, _frame: object) -> None:
        nonlocal heard
        heard = True
        signal.signal(signal.SIGINT, before)

    def reason() -> StopReason | None:
        if not heard:
            return None
        return StopReason(rule="interrupt", sentence="Ctrl-C was pressed.", at_once=True)

    if threading.current_thread() is not threading.main_thread():
        yield reason
        return
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, hear)
    try:
        yield reason
    finally:
        signal.signal(signal.SIGINT, before)


def _in_order(samples: Samples | None, batch_size: int) -> ArrayFeed | None:
    """Return the samples as batches in their own order, for evaluation."""
    if samples is None:
        return None
    order = Order(samples=samples.count, seed=0, shuffle=False)
    plan = Plan(samples=samples.count, batch_size=batch_size, epochs=1)
    return ArrayFeed(train=samples, order=order, plan=plan)


def _samples(
    x: Any, y: Any, sample_weight: Any, class_weight: Mapping[int, float] | None
) -> Samples:
    """Check arrays and bring them to the types that Keras trains with.

    Raises:
        DataError: lengths disagree, an array is empty or of objects, or both kinds of
            weights are given.
    """
    if sample_weight is not None and class_weight is not None:
        raise DataError(
            "Both sample_weight and class_weight are given.",
            "multiply them into one sample_weight.",
        )
    x, y, sample_weight = (_tuples(tree) for tree in (x, y, sample_weight))
    rows = {
        name: [int(np.shape(leaf)[0]) if np.ndim(leaf) else 0 for leaf in leaves(tree)]
        for name, tree in (("x", x), ("y", y), ("sample_weight", sample_weight))
    }
    counts = {count for of_tree in rows.values() for count in of_tree}
    if len(counts) != 1 or counts == {0}:
        raise DataError(
            f"The arrays do not hold the same number of samples, at least one: {rows}.",
            "give x, y and sample_weight with equal first axes.",
        )
    if class_weight is not None:
        from keras.src.trainers.data_adapters.data_adapter_utils import (
            class_weight_to_sample_weights,
        )

        sample_weight = class_weight_to_sample_weights(y, class_weight)
    trees = (tuple, Mapping)
    if (
        sample_weight is not None
        and isinstance(y, trees)
        and not isinstance(sample_weight, trees)
    ):
        each = sample_weight
        sample_weight = map_leaves(lambda _: each, y)
    return Samples(x=x, y=y, weight=sample_weight).map(_as_keras)


def _tuples(tree: Any) -> Any:
    """Return arrays of NumPy in the same tree, with tuples for lists."""
    if tree is None:
        return None
    if isinstance(tree, Mapping):
        return {name: _array(leaf) for name, leaf in tree.items()}
    if isinstance(tree, (tuple, list)) and all(np.ndim(leaf) for leaf in tree):
        return tuple(_array(leaf) for leaf in tree)
    return _array(tree)


def _array(leaf: Any) -> Array:
    """Return a NumPy array; a memory map stays one."""
    array = leaf if isinstance(leaf, np.memmap) else np.asarray(leaf)
    if array.dtype.kind in "OSUV":
        raise DataError(
            f"An array of type {array.dtype} holds no numbers.",
            "convert it to numbers, for example with x.astype('float32').",
        )
    return array


def _as_keras(leaf: Array) -> Array:
    """Return floats as float32 and integers as at most 32 bits, as Keras on JAX does."""
    if isinstance(leaf, np.memmap):
        return leaf
    if leaf.dtype.kind == "f" and leaf.dtype != np.float32:
        return leaf.astype(np.float32)
    if leaf.dtype in (np.int64, np.uint64):
        if leaf.size and (leaf.max() > 2**31 - 1 or leaf.min() < -(2**31)):
            raise DataError(
                f"An integer array holds {leaf.min()} to {leaf.max()}, beyond 32 bits.",
                "number the values anew, from 0.",
            )
        return leaf.astype(np.int32)
    return leaf


def _validation_samples(validation_data: Any) -> Samples | None:
    """Return validation data given as `(x, y)` or `(x, y, sample_weight)`."""
    if validation_data is None:
        return None
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
        raise DataError(
            f"validation_data is a {type(validation_data).__name__}, not (x, y).",
            "give validation_data=(x, y) or (x, y, sample_weight) as arrays.",
        )
    x, y, *weight = validation_data
    return _samples(x, y, weight[0] if weight else None, None)


def _refuse_with_batches(
    y: Any, sample_weight: Any, validation_split: float, batch_size: int, class_weight: Any
) -> None:
    """Refuse what batches formed by somebody else bring themselves, or cannot have."""
    given = {
        "y": y is not None,
        "sample_weight": sample_weight is not None,
        "class_weight": class_weight is not None,
        "validation_split": bool(validation_split),
        "batch_size": batch_size != 32,
    }
    named = [name for name, is_given in given.items() if is_given]
    if named:
        raise PlanError(
            f"x brings batches of its own, so {', '.join(named)} cannot be given.",
            f"leave out {', '.join(named)}, and form the batches in x accordingly.",
        )


def _process_age() -> float:
    """Seconds since this process began [s]; 0 where the system does not tell."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        uptime = float(Path("/proc/uptime").read_text(encoding="utf-8").split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
    return uptime - started
