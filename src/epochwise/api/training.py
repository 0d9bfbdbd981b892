"""`train`: train a network on a data source and keep the record of the run."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from epochwise import loop, models
from epochwise.api.running import interrupts, tell
from epochwise.data import sources
from epochwise.data.feed import ArrayFeed
from epochwise.data.given import in_order
from epochwise.data.order import Order
from epochwise.data.samples import Samples, leaves
from epochwise.data.split import split
from epochwise.engines.select import engine_for, select_backend
from epochwise.plan import Plan
from epochwise.position import Position
from epochwise.progress import Progress
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
            validation=None if held_out is None else in_order(held_out, batch_size),
        )
        with interrupts() as interrupted:
            events = loop.train(engine, course, asked_to_stop=interrupted)
            tell(events, (tally, recorder, progress))
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
    feed = in_order(test, batch_size)
    course = loop.Course(feed=feed, plan=None, epochs=0, iterations=None, validation=feed)
    return loop.evaluate(engine, course, feed, 0, Position()).metrics


def _process_age() -> float:
    """Seconds since this process began [s]; 0 where the system does not tell."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        uptime = float(Path("/proc/uptime").read_text(encoding="utf-8").split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
    return uptime - started
