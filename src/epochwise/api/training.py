"""`train`: train a network on a data source and keep the run."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from epochwise import loop, models
from epochwise.api.job import Job, job_of
from epochwise.api.keeping import KeptRun, header_of, keeping
from epochwise.api.material import material_of_samples, parted_samples
from epochwise.api.running import carry_out
from epochwise.api.settings import Settings
from epochwise.counting.counts import even_batch_size
from epochwise.counting.position import START
from epochwise.data import sources
from epochwise.data.given import in_order
from epochwise.data.order import Indices
from epochwise.data.samples import Dataset, Samples, leaves
from epochwise.data.split import Split
from epochwise.engines.select import import_framework, on_device
from epochwise.errors import PlanError, RunError
from epochwise.events import TrainingState
from epochwise.exits import telling_exits
from epochwise.framework import framework_limits, keep_compiled_programs, select_backend
from epochwise.record import (
    RUNS_FOLDER,
    Header,
    Run,
    RunFolder,
    Tally,
    beginning,
    json_text,
    locked,
    run_name,
    versions,
)
from epochwise.terminal.progress import Progress

if TYPE_CHECKING:
    from epochwise.api.advising import Question
    from epochwise.choosing.batch_size.advice import Advice

ADVICE_FILE = "advice.json"
"""The advice that a run follows, in its folder."""

SPLIT_WITHOUT_TEST_PART = 0.2
"""The share held out of data that has no test part."""

SPLIT_FOR_RULES = 0.1
"""The share held out where a rule looks at it and nobody said how much."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What the data and the model of a run are made from, and can be made from anew.

    Args:
        data: a name of `sources.NAMES`, or a path.
        label: the column of a table to predict.
        drop: columns of it to leave out.
        header: whether its first line names the columns; `None` to ask where that is not
            clear.
        task: what the targets are; `None` to decide from their values.
        model: as `models.parse_model` reads it.
        optimizer: one of Keras's; `None` for Adam or the model's own.
        learning_rate: of the optimizer; `None` for its own.
    """

    data: str
    label: str | None = None
    drop: tuple[str, ...] = ()
    header: bool | None = None
    task: sources.AskedTask | None = None
    model: str = "mlp"
    optimizer: str | None = None
    learning_rate: float | None = None

    def build(
        self, dataset: Dataset, *, seed: int, rows: Indices | None
    ) -> models.TrainableModel:
        """Build the model for the data.

        Args:
            dataset: what `read_data` returned.
            seed: of the first weights.
            rows: the samples that it will train on; `None` for all.
        """
        table = None
        if dataset.columns is not None:
            trained_on = dataset.train if rows is None else dataset.train.rows(rows)
            table = leaves(trained_on.x)[0]
        return models.build_model(
            models.ModelRequest(
                source=models.parse_model(self.model),
                input_shape=dataset.input_shape,
                task=dataset.task,
                class_names=dataset.classes,
                optimizer=self.optimizer,
                learning_rate=self.learning_rate,
                seed=seed,
                table=table,
            )
        )

    def to_json(self) -> dict[str, Any]:
        """Return the source as a record keeps it, paths from the root of the system."""
        kept = asdict(self) | {"drop": list(self.drop)}
        if self.data not in sources.NAMES:
            kept["data"] = str(Path(self.data).absolute())
        kept["model"] = models.absolute(self.model)
        return kept

    @classmethod
    def from_json(cls, recorded: object) -> Source:
        """Read back what `to_json` gave.

        Raises:
            RunError: it is not what Epochwise writes.
        """
        texts = {"data": str, "label": str | None, "model": str, "optimizer": str | None}
        read = {"drop": list, "header": bool | None, "task": str | None}
        types = {**texts, **read, "learning_rate": float | int | None}
        # Version 0.1 recorded nothing of how the data are read.
        parts: dict[str, Any] = {"drop": [], "header": None, "task": None}
        parts |= recorded if isinstance(recorded, Mapping) else {}
        wrong = sorted(parts.keys() ^ types.keys()) or [
            name for name, type_ in types.items() if not isinstance(parts[name], type_)
        ]
        if not wrong and parts["task"] not in (None, *get_args(sources.AskedTask)):
            wrong = ["task"]
        if wrong:
            raise RunError(
                f"The record does not tell what the run was made from: its source is "
                f"{recorded}, wrong in {', '.join(wrong)}.",
                "restore run.json from a copy, or start the run again.",
            )
        return cls(**parts | {"drop": tuple(map(str, parts["drop"]))})


def _process_age() -> float:
    """Seconds since this process began [s]; 0 where the system does not tell."""
    try:
        fields = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        started = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        uptime = float(Path("/proc/uptime").read_text(encoding="utf-8").split()[0])
    except (OSError, ValueError, IndexError):
        return 0.0
    return uptime - started


@dataclass(slots=True, kw_only=True, eq=False)
class Clock:
    """Where the time of a process went before training, from its very start.

    Args:
        age: of the process when the verb began [s].
        began: the verb's beginning, by `time.perf_counter` [s].
        importing: importing the framework [s]; of data that come through Keras it counts
            as reading them.
    """

    age: float = field(default_factory=_process_age)
    began: float = field(default_factory=time.perf_counter)
    importing: float = 0.0

    @property
    def total(self) -> float:
        """Since the process began [s]."""
        return self.age + time.perf_counter() - self.began


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """A training on a source, ready to begin.

    Args:
        job: the training.
        source: what it was made from.
        dataset: the data read, its test part among it.
        model_name: what people call the model.
    """

    job: Job
    source: Source
    dataset: Dataset
    model_name: str

    def header(self, arguments: Sequence[str] | None) -> Header:
        """Return what is known before the first iteration."""
        dataset = self.dataset
        header = header_of(
            self.job,
            data_name=dataset.name,
            data={
                "test_samples": dataset.test.count if dataset.test else 0,
                "input_shape": list(dataset.input_shape),
                "task": dataset.task.kind,
                "classes": dataset.classes,
                "columns": dataset.columns,
            },
            model_name=self.model_name,
            source=self.source.to_json(),
            arguments=arguments,
        )
        if dataset.split_rule is None:
            return header
        return replace(header, split={"rule": dataset.split_rule, "sha256": None})


@telling_exits()
def train(
    source: Source,
    settings: Settings,
    *,
    validation_split: float | None,
    run_dir: Path | None,
    progress: Progress,
    arguments: Sequence[str] | None = None,
    question: Question | None = None,
    tensorboard: bool = False,
) -> Run:
    """Train a network on a data source and keep the run in a folder.

    Args:
        source: the data and the model.
        settings: how to train.
        validation_split: the share held out; `None` for 0 with a test part and 0.2
            without, or 0.1 where a rule looks at it.
        run_dir: the folder of this run; `None` for a new one in `runs/`.
        progress: shows what happens.
        arguments: the command line, for the record.
        question: what to choose the batch size by, first; `None` to train with the
            settings as they are.
        tensorboard: whether TensorBoard's event files are written into the folder too.

    Returns:
        The run; `stop.rule` is `interrupt` after Ctrl-C, `terminated` after SIGTERM.

    Raises:
        EpochwiseError: anything that the user can repair.
    """
    clock = Clock()
    settings = replace(settings, **framework_limits())
    for sentence in settings.limits:
        progress.note(sentence)
    advice = None
    with ExitStack() as stack:
        with beginning(RUNS_FOLDER if run_dir is None else run_dir.parent):
            prepared = prepare(source, settings, validation_split, progress, clock)
            if question is not None:
                from epochwise.api.advising import advise  # a tenth of a second that few need

                with models.unchanged(prepared.job.model):
                    advice = advise(prepared.job, question)
                progress.note(advice.reason)
                prepared = adopted(prepared, advice)
            header = prepared.header(arguments)
            if run_dir is not None:
                folder = RunFolder.create(run_dir)
            else:
                named = run_name(header.began, prepared.dataset.name, prepared.model_name)
                folder = RunFolder.create_named(RUNS_FOLDER, named)
            stack.enter_context(locked(folder))
            keeper = keeping(folder, header, prepared.job, tensorboard=tensorboard)
            kept = stack.enter_context(keeper)
        if advice is not None:
            keep_advice(folder, advice)
        return trained(prepared, kept, Tally(), progress, clock)


def adopted(prepared: Prepared, advice: Advice) -> Prepared:
    """Return the training with the batch size and learning rate that were advised.

    The record tells them as if the user had, so that a run that goes on uses them too
    and chooses nothing again.
    """
    job, source = prepared.job, prepared.source
    settings = replace(
        job.settings, batch_size=advice.batch_size, microbatch_size=advice.microbatch_size
    )
    if advice.learning_rate is not None:
        job.model.optimizer.learning_rate = advice.learning_rate
        source = replace(source, learning_rate=advice.learning_rate)
    held = (job.material.resident, job.material.resident_validation)
    samples = job.material.samples
    assert samples is not None
    material = material_of_samples(
        samples,
        settings,
        lambda _, parts: [part for part in parts if any(part is one for one in held)],
        held_out=job.material.held_out,
        parted=job.material.parted,
        validation_batch_size=_validated_at_once(
            settings, job.material.parted, job.material.held_out
        ),
    )
    engine = job.engine if advice.microbatch_size == job.settings.microbatch_size else None
    adopting = job_of(job.model, material, settings, job.data_seconds, engine=engine)
    return replace(prepared, job=adopting, source=source)


def keep_advice(folder: RunFolder, advice: Advice) -> None:
    """Write the advice to a run's folder, complete or not at all."""
    folder.write(ADVICE_FILE, [json_text(advice.to_json(), indent=2).encode() + b"\n"])


def read_data(source: Source) -> Dataset:
    """Read a source's data, with the backend chosen: some data come through Keras.

    No thread imports the framework meanwhile: two that import share half-made modules, and
    a process that ends while one imports is aborted.
    """
    if select_backend() == "jax":
        keep_compiled_programs(versions())
    return sources.load(
        source.data,
        label=source.label,
        drop=source.drop,
        header=source.header,
        task=source.task,
    )


def share_held_out(
    dataset: Dataset, asked: float | None, settings: Settings | None = None
) -> float:
    """Return the share of the training samples to hold out.

    Args:
        dataset: the data.
        asked: the share that the user asks for; `None` for none where a validation part
            came with the data, and else for the default.
        settings: how to train; `None` to need a validation part.

    Raises:
        PlanError: a share is asked for beside a validation part that came with the data.
    """
    if dataset.validation is not None:
        if asked:
            raise PlanError(
                f"{dataset.name} brings a validation part of {dataset.validation.count:,} "
                f"samples, and validation_split={asked} asks for another.",
                "leave --validation-split out, or save the data without that part.",
            )
        return 0.0
    if asked is not None:
        return asked
    if dataset.test is None or settings is None:
        return SPLIT_WITHOUT_TEST_PART
    return SPLIT_FOR_RULES if settings.looks_at_validation else 0.0


def prepare(
    source: Source,
    settings: Settings,
    validation_split: float | None,
    progress: Progress,
    clock: Clock,
) -> Prepared:
    """Read the data, import the framework, build the model.

    Args:
        source: the data and the model.
        settings: how to train.
        validation_split: see `train`.
        progress: shows what was decided for the user.
        clock: takes note of where the time went.
    """
    began = time.perf_counter()
    dataset = read_data(source)
    validation_split = share_held_out(dataset, validation_split, settings)
    settings = replace(settings, validation_split=validation_split)
    settings.require_validation(
        has_validation=bool(validation_split) or dataset.validation is not None
    )
    parted = (
        parted_samples(dataset.train, dataset.labels, settings) if validation_split else None
    )
    settings.plan(dataset.train.count if parted is None else parted.train.size)
    data_seconds = time.perf_counter() - began
    import_framework()
    clock.importing = time.perf_counter() - began - data_seconds

    built = source.build(
        dataset, seed=settings.seed, rows=None if parted is None else parted.train
    )
    for note in (*dataset.told(), *built.notes):
        progress.note(note)
    material = material_of_samples(
        dataset.train,
        settings,
        partial(on_device, built.model),
        held_out=dataset.validation,
        parted=parted,
        validation_batch_size=_validated_at_once(settings, parted, dataset.validation),
    )
    job = job_of(built.model, material, settings, data_seconds)
    return Prepared(job=job, source=source, dataset=dataset, model_name=built.name)


def _evaluated_at_once(settings: Settings, samples: int) -> int:
    """Samples in a batch of evaluation: no short last one where that can be.

    That is a program less to compile, and near the training's size, so it fits.
    """
    assert settings.batch_size is not None
    return even_batch_size(samples, settings.microbatch_size or settings.batch_size)


def _validated_at_once(
    settings: Settings, parted: Split | None, apart: Samples | None
) -> int | None:
    """The same for the validation part; `None` where there is none."""
    if parted is not None:
        return _evaluated_at_once(settings, parted.held_out.size)
    return None if apart is None else _evaluated_at_once(settings, apart.count)


def trained(
    prepared: Prepared,
    kept: KeptRun,
    tally: Tally,
    progress: Progress,
    clock: Clock,
    state: TrainingState | None = None,
) -> Run:
    """Train what `prepare` prepared, evaluate the test part, and close the record.

    Args:
        prepared: what to train.
        kept: where the run is kept.
        tally: what happened before, of a run that goes on.
        progress: shows what happens.
        clock: where the time went until now.
        state: of a run that goes on.
    """
    job, test, testing = prepared.job, None, 0.0
    feed = None
    if prepared.dataset.test is not None:
        held_out = prepared.dataset.test
        at_once = _evaluated_at_once(job.settings, held_out.count)
        feed = in_order(held_out, at_once, gather=True)
        job = replace(job, course=replace(job.course, test=feed))
    engine = carry_out(job, tally, (progress,), kept=kept, state=state, note=progress.note)
    stopped = tally.run().stop
    if feed is not None and stopped is not None and not stopped.at_once:
        since = time.perf_counter()
        [evaluated] = loop.evaluate(engine, feed, batches=None, epoch_index=0, position=START)
        test = evaluated.metrics
        testing = time.perf_counter() - since
    before = 0.0 if state is None else state.memories["seconds"]
    seconds = replace(
        tally.seconds,
        total=before + clock.total,
        importing=clock.importing,
        data=job.data_seconds,
        evaluating=tally.seconds.evaluating + testing,
    )
    return kept.close(job, tally, seconds, test)
