"""Keeping a run in its folder: the header, the record, the checkpoints, the last line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from epochwise import models
from epochwise.api.job import Job
from epochwise.checkpoint import Checkpoint, Checkpoints, Keeper, circumstances
from epochwise.errors import ModelError
from epochwise.events import Listener
from epochwise.framework.threads import threads
from epochwise.record import (
    Header,
    Recorder,
    Run,
    RunFolder,
    Seconds,
    Tally,
    machine,
    versions,
)
from epochwise.record.tensorboard import FOLDER as TENSORBOARD
from epochwise.record.tensorboard import EventFiles

MODEL_FILE = "model.json"
"""How the model of a run on a caller's own data is built."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KeptRun:
    """A run that is kept on disk.

    Args:
        recorder: writes its record.
        keeper: takes its checkpoints.
        beside: listeners that write files of their own into its folder.
    """

    recorder: Recorder
    keeper: Keeper
    beside: tuple[Listener, ...] = ()

    def close(
        self,
        job: Job,
        tally: Tally,
        seconds: Seconds,
        test: Mapping[str, float] | None = None,
    ) -> Run:
        """Write the final weights and the last line; return the run.

        Args:
            job: what was trained.
            tally: what happened.
            seconds: where the time went.
            test: metrics of the test part.
        """
        weights = self.recorder.write_weights(models.named_weights(job.model))
        return self.recorder.close(
            tally.run(seconds=seconds, test=test, weights_sha256=weights)
        )


@contextmanager
def keeping(
    folder: RunFolder,
    header: Header,
    job: Job,
    *,
    lengths: Mapping[str, int] | None = None,
    tensorboard: bool = False,
    resumed: Checkpoint | None = None,
    fits: Mapping[str, Any] | None = None,
) -> Iterator[KeptRun]:
    """Keep a run in its folder while the context lasts.

    Args:
        folder: the run's, locked.
        header: what is known now.
        job: what is trained.
        lengths: of a run that goes on: how much of each file of the record belongs to
            what is done [bytes].
        tensorboard: whether event files are written too; a run that goes on writes them
            if it has some.
        resumed: the checkpoint that it goes on from.
        fits: what its checkpoints fit; `None` for one that begins (`facts`).

    Raises:
        RunError: the folder cannot be written.
    """
    with Recorder(folder, header, lengths=lengths) as recorder:
        keeper = Keeper(
            Checkpoints(folder),
            every=job.settings.checkpoint_every,
            fits=facts(job, header) if fits is None else fits,
            lengths=recorder.lengths,
            resumed=resumed,
        )
        wanted = tensorboard or folder.names(TENSORBOARD)
        beside = (EventFiles(folder),) if wanted else ()
        yield KeptRun(recorder=recorder, keeper=keeper, beside=beside)


def header_of(
    job: Job,
    *,
    data_name: str,
    data: Mapping[str, Any],
    model_name: str,
    source: Mapping[str, Any] | None,
    arguments: Sequence[str] | None,
) -> Header:
    """Return what is known of a run before its first iteration.

    Args:
        job: what will be trained.
        data_name: what people call the data.
        data: more about it than the job knows.
        model_name: what people call the model.
        source: what data and model were made from, where that can be done anew.
        arguments: the command line.
    """
    material, parted = job.material, job.material.parted
    return Header(
        began=datetime.now().astimezone(),
        data_name=data_name,
        data=material.described() | dict(data),
        split=None if parted is None else {"rule": parted.rule, "sha256": parted.digest},
        order={"seed": job.settings.seed, "shuffle": job.settings.shuffle},
        model_name=model_name,
        model=models.describe(job.model),
        plan=job.course.plan,
        versions=versions(),
        machine=_machine(),
        arguments=arguments,
        settings=job.settings.to_json(),
        source=source,
    )


def _machine() -> dict[str, Any]:
    found = machine()
    return found | {"threads": threads(found["cores"])}


def keep_model(folder: RunFolder, model: Any) -> None:
    """Keep how a model is built in its run's folder, where that can be told."""
    told = models.model_to_json(model)
    if told is not None:
        folder.write(MODEL_FILE, [told.encode()])


def kept_model(folder: RunFolder) -> Any:
    """Return the model that `keep_model` kept, compiled, with fresh weights.

    Raises:
        ModelError: none was kept, or it cannot be built from that alone.
    """
    told = folder.read(MODEL_FILE)
    if told is None:
        raise ModelError(
            f"{folder.path} does not tell how its model is built.",
            "build it as you did before, and hand it over: epochwise.resume(run_dir, model).",
        )
    return models.model_from_json(told.decode(errors="replace"))


def facts(job: Job, header: Header) -> dict[str, Any]:
    """Return what a training must be like to go on from a checkpoint of this one.

    To be asked before it trains: of an optimizer that has counted updates a callback may
    have set the learning rate, which is then left out.
    """
    found = circumstances(
        header, job.engine.description, models.variables(job.model), models.parts(job.model)
    )
    if any(job.engine.updates().values()):
        for settings in (found["optimizer_settings"], *found["optimizer_settings"].values()):
            if isinstance(settings, dict):
                settings.pop("learning_rate", None)
    return found
