"""`sweep`: several batch sizes, learning rates and seeds, compared on the same samples."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from epochwise import models
from epochwise.api.job import Job, check_targets, course_of
from epochwise.api.keeping import header_of
from epochwise.api.material import Material, material_of_samples, parted_samples
from epochwise.api.running import CUT_OFF, pass_on, signals
from epochwise.api.settings import Settings, seeds_named, stopping_settings
from epochwise.api.training import (
    SPLIT_WITHOUT_TEST_PART,
    Source,
    read_data,
    share_held_out,
)
from epochwise.choosing.sweep import (
    Entrant,
    Sweep,
    SweptRun,
    Trial,
    carry_out,
    table,
    trials,
)
from epochwise.counting.numbers import hold_whole_numbers, whole_number
from epochwise.data.given import (
    ClassWeight,
    given_samples,
    given_validation,
    refuse_two_weights,
    weighed_by_class,
)
from epochwise.data.samples import Samples, leaves
from epochwise.engines.base import Engine
from epochwise.engines.rates import set_learning_rate
from epochwise.engines.select import (
    check_compiled,
    engine_for,
    import_framework,
    on_device,
)
from epochwise.errors import DataError, PlanError, RunError
from epochwise.events import Listener
from epochwise.exits import telling_exits
from epochwise.framework import import_keras, select_backend
from epochwise.models import check_learning_rate
from epochwise.record import Recorder, Run, RunFolder, Tally, json_text, read_run, run_path

FORMAT = 1
"""The version of the format of `SWEEP_FILE`."""

SWEEP_FILE = "sweep.json"
"""What is compared, in the folder of a sweep."""

RUNS = "runs"
"""Where its runs are, one folder each."""

DEFAULT_METRIC = "val_loss"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a sweep is asked to compare.

    Args:
        batch_sizes: samples per weight update, one or several.
        learning_rates: of the optimizer, one or several; `None` for its own.
        seeds: of weights, order and split, one or several.
        epochs: of a run that is never dropped [epochs].
        validation_split: the share of the samples held out.
        halving: whether poor settings are dropped early.

    Raises:
        PlanError: a list is empty or names something twice, or an element cannot be.
    """

    batch_sizes: tuple[int, ...] = (32,)
    learning_rates: tuple[float | None, ...] = (None,)
    seeds: tuple[int, ...] = (0,)
    epochs: int = 20
    validation_split: float = SPLIT_WITHOUT_TEST_PART
    halving: bool = True

    def __post_init__(self) -> None:
        """Check the lists once."""
        for name, least in (("batch_sizes", 1), ("seeds", 0)):
            numbers = tuple(
                whole_number(
                    name, one, least=least, remedy=f"use {name}=[{least}], for example."
                )
                for one in getattr(self, name)
            )
            object.__setattr__(self, name, numbers)
        lists: dict[str, Sequence[Any]] = {
            "batch_sizes": self.batch_sizes,
            "learning_rates": self.learning_rates,
            "seeds": self.seeds,
        }
        for name, values in lists.items():
            if not values or len(set(values)) != len(values):
                raise PlanError(
                    f"{name}={list(values)} does not name one or several different ones.",
                    f"use {name}=[{values[0] if values else 1}], or more, each once.",
                )
        for rate in self.learning_rates:
            if rate is not None:
                check_learning_rate(rate)
        hold_whole_numbers(self, "epochs")

    @property
    def trials(self) -> list[Trial]:
        """Every setting with every seed."""
        return trials(self.batch_sizes, self.learning_rates, self.seeds)

    def settings(self, trial: Trial) -> Settings:
        """Return how one of its runs is trained."""
        return Settings(
            batch_size=trial.setting.batch_size,
            epochs=Fraction(self.epochs),
            seed=trial.seed,
            validation_split=self.validation_split,
            checkpoint_every=None,
            **stopping_settings(None, best_metric=DEFAULT_METRIC, keep="best"),
        )


@dataclass(slots=True, kw_only=True, eq=False)
class SweepSetup:
    """What the runs of a sweep share: their data, how a network is made, one engine.

    Args:
        asked: what is compared.
        samples: the data set.
        held_out: validation samples that came apart from it; `None` to hold some out.
        labels: the class of each sample; `None` where there are none.
        build: makes the network of a seed, compiled; the rows are those it trains on.
        named: what people call the data and the model, for the record.
        source: what both can be made from anew; `None` for arrays.
        evaluated: the data set without the weights of classes; `None` where it is the same.
    """

    asked: Asked
    samples: Samples
    held_out: Samples | None
    labels: Any
    build: Callable[[int, Any], Any]
    named: tuple[str, str]
    source: Source | None = None
    evaluated: Samples | None = None
    _engine: Engine[Any, Any] | None = None
    _model: Any = None
    _fresh: dict[int, Any] = field(default_factory=dict)

    def job(self, trial: Trial) -> Job:
        """Return one of the runs, on the engine of all."""
        settings = self.asked.settings(trial)
        if self.held_out is not None:
            settings = replace(settings, validation_split=0.0)
        material = self._material(trial, settings)
        if self._engine is None:
            self._model = self._built(trial)
            check_compiled(self._model)
            check_targets(self._model, material.example, material.samples, material.held_out)
            self._engine = engine_for(
                self._model,
                example=material.example,
                resident=material.resident,
                validation=material.resident_validation,
            )
        return Job(
            model=self._model,
            engine=self._engine,
            course=course_of(settings, material),
            settings=settings,
            material=material,
            data_seconds=0.0,
        )

    def values(self, trial: Trial, job: Job) -> Any:
        """Return the engine's values that a run begins with."""
        from epochwise.engines.values import build, named, variables

        keras = import_keras()
        network = self._network(trial)
        build(network, job.material.example)
        if trial.setting.learning_rate is not None:
            set_learning_rate(network, trial.setting.learning_rate)
        arrays = {
            name: np.array(keras.ops.convert_to_numpy(variable))
            for name, variable in named(variables(network))
        }
        return job.engine.from_host(job.engine.take(), arrays)

    def _material(self, trial: Trial, settings: Settings) -> Material:
        """Return what a run trains on."""
        parted = None
        if self.held_out is None:
            parted = parted_samples(self.samples, self.labels, settings)
        return material_of_samples(
            self.samples,
            settings,
            partial(on_device, self._network(trial)),
            held_out=self.held_out,
            parted=parted,
            evaluated=self.evaluated,
        )

    def _network(self, trial: Trial) -> Any:
        """Return the network of the trial's seed as it was built; nobody trains it."""
        if trial.seed not in self._fresh:
            self._fresh[trial.seed] = self._built(trial)
        return self._fresh[trial.seed]

    def _built(self, trial: Trial) -> Any:
        """Build a network with the first weights of the trial's seed."""
        rows = None
        if self.held_out is None:
            settings = self.asked.settings(trial)
            rows = parted_samples(self.samples, self.labels, settings).train
        return self.build(trial.seed, rows)


@telling_exits()
def sweep(
    build: Callable[[], Any],
    x: Any,
    y: Any = None,
    *,
    batch_sizes: Sequence[int] = (32,),
    learning_rates: Sequence[float] | None = None,
    seeds: int | Sequence[int] = 3,
    epochs: int = 20,
    validation_split: float = SPLIT_WITHOUT_TEST_PART,
    validation_data: Any = None,
    sample_weight: Any = None,
    class_weight: ClassWeight | None = None,
    halving: bool = True,
    folder: str | os.PathLike[str] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Sweep:
    """Train with each batch size, learning rate and seed, and compare by validation loss.

    Every run is the one that `epochwise.fit` would make of it, with the best weights kept.
    One engine serves all, so the data lie on the device once and each program is compiled
    once. With `halving`, settings are compared after the same number of samples and one of
    three goes on.

    Args:
        build: returns a new compiled Keras model; called once for each seed, with Keras's
            random seed set to it.
        x: features, arrays as `fit` takes them.
        y: targets.
        batch_sizes: samples per weight update, one or several.
        learning_rates: of the optimizer, one or several; `None` for the model's own.
        seeds: how many, counted from 0, or which.
        epochs: of a run that is never dropped [epochs].
        validation_split: the share of the samples held out to compare by.
        validation_data: `(x, y)`, to compare by instead.
        sample_weight: a weight for each sample.
        class_weight: a weight for each class.
        halving: whether poor settings are dropped early.
        folder: where the runs are kept, in a folder each. A folder of the same sweep goes
            on where that was cut off: runs that ended are not run again.
        tell: is handed a sentence at each rung and for each run that ended.

    Returns:
        The table, best setting first, and all runs.

    Raises:
        PlanError: there is nothing to compare, or a count cannot be.
        DataError: the arrays are not what training needs.
        RunError: the folder is that of another sweep.

    Example:
        >>> import epochwise, keras, numpy as np
        >>> def build():
        ...     model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        ...     model.compile("sgd", "mse")
        ...     return model
        >>> x = np.random.default_rng(0).random((50, 4)).astype("float32")
        >>> found = sweep(
        ...     build, x, x.sum(axis=1), learning_rates=[1e-6, 0.1], seeds=2, epochs=4
        ... )
        >>> found.best.setting.learning_rate
        0.1
    """
    began = time.perf_counter()
    asked = Asked(
        batch_sizes=tuple(batch_sizes),
        learning_rates=(None,) if learning_rates is None else tuple(learning_rates),
        seeds=tuple(seeds_named(seeds)),
        epochs=epochs,
        validation_split=validation_split,
        halving=halving,
    )
    select_backend()
    refuse_two_weights(sample_weight, class_weight)
    plain = samples = given_samples(x, y, sample_weight)
    if isinstance(class_weight, str) and validation_data is None:
        raise DataError(
            f'class_weight="{class_weight}" follows from the samples that train, and each seed '
            "of a sweep holds out others.",
            "give validation_data=(x, y), or a weight for each class.",
        )
    if class_weight is not None:
        samples = weighed_by_class(plain, class_weight)
    targets = leaves(samples.y)

    def network(seed: int, rows: Any) -> Any:
        del rows
        import_keras().utils.set_random_seed(seed % 2**32)
        return build()

    held_out = None if validation_data is None else given_validation(validation_data, None)
    if held_out is not None and not isinstance(held_out, Samples):
        raise PlanError(
            "validation_data brings batches of its own, and a sweep compares on arrays.",
            "give validation_data=(x, y).",
        )
    here = SweepSetup(
        asked=asked,
        samples=samples,
        evaluated=plain,
        held_out=held_out,
        labels=targets[0][:] if len(targets) == 1 else None,
        build=network,
        named=("arrays", "model"),
    )
    return held(here, None if folder is None else run_path(folder), tell=tell, began=began)


@telling_exits()
def sweep_source(
    source: Source,
    asked: Asked,
    *,
    validation_split: float | None,
    folder: Path,
    tell: Callable[[str], None],
    arguments: Sequence[str] | None = None,
) -> Sweep:
    """Compare settings on a data source, and keep the runs.

    Args:
        source: the data and the model; its learning rate is not looked at.
        asked: what is compared; its share held out is not looked at.
        validation_split: the share held out; `None` for the default, or the validation
            part that came with the data.
        folder: where the runs are kept.
        tell: is handed a sentence at each rung and for each run that ended.
        arguments: the command line, for the record.

    Raises:
        EpochwiseError: anything that the user can repair.
    """
    began = time.perf_counter()
    dataset = read_data(source)
    asked = replace(asked, validation_split=share_held_out(dataset, validation_split))
    import_framework()
    for sentence in dataset.told():
        tell(sentence)

    def network(seed: int, rows: Any) -> Any:
        return source.build(dataset, seed=seed, rows=rows).model

    here = SweepSetup(
        asked=asked,
        samples=dataset.train,
        held_out=dataset.validation,
        labels=dataset.labels,
        build=network,
        named=(dataset.name, source.model),
        source=source,
    )
    return held(here, folder, tell=tell, began=began, arguments=arguments)


def held(
    here: SweepSetup,
    folder: Path | None,
    *,
    tell: Callable[[str], None],
    began: float,
    arguments: Sequence[str] | None = None,
) -> Sweep:
    """Carry a sweep out, or on, and return what it found.

    Args:
        here: what is compared, on what.
        folder: where the runs are kept; `None` for nowhere.
        tell: is handed sentences.
        began: when the caller began, by `time.perf_counter` [s].
        arguments: the command line, for the record.
    """
    asked = here.asked
    jobs = {trial: here.job(trial) for trial in asked.trials}
    first = jobs[asked.trials[0]]
    if folder is not None:
        _open(folder, here, first.material)
    with ExitStack() as stack, signals() as heard:
        entrants = [
            _entrant(here, trial, jobs[trial], folder, stack, arguments, tell)
            for trial in asked.trials
        ]
        carry_out(
            entrants,
            first.engine,
            metric=DEFAULT_METRIC,
            epochs=asked.epochs,
            halves=asked.halving,
            asked_to_stop=heard,
            tell=tell,
        )
        cut_off = heard()
    pass_on(cut_off)
    runs = tuple(
        SweptRun(trial=entrant.trial, run=entrant.run)
        for entrant in entrants
        if entrant.run is not None
    )
    return Sweep(
        metric=DEFAULT_METRIC,
        rows=table(runs, DEFAULT_METRIC),
        runs=runs,
        seconds=time.perf_counter() - began,
        folder=folder,
    )


def _entrant(
    here: SweepSetup,
    trial: Trial,
    job: Job,
    folder: Path | None,
    stack: ExitStack,
    arguments: Sequence[str] | None,
    tell: Callable[[str], None],
) -> Entrant:
    """Return one run of the sweep, or what is on the disk of it already."""
    path = None if folder is None else folder / RUNS / trial.name
    if path is not None and path.exists():
        stored = read_run(path).run
        if stored.stop is not None and stored.stop.rule not in CUT_OFF:
            return Entrant(trial=trial, run=stored)
        shutil.rmtree(path)  # a run of ours that was cut off, to be run anew
    recorders: list[Recorder] = []

    def opened() -> Sequence[Listener]:
        if path is None:
            return ()
        header = header_of(
            job,
            data_name=here.named[0],
            data={},
            model_name=here.named[1],
            source=None if here.source is None else here.source.to_json(),
            arguments=arguments,
        )
        recorders.append(stack.enter_context(Recorder(RunFolder.create(path), header)))
        return recorders

    def closed(tally: Tally) -> Run:
        job.model.optimizer.finalize_variable_values(job.model.trainable_weights)
        run = tally.run()
        for recorder in recorders:
            digest = recorder.write_weights(models.named_weights(job.model))
            run = recorder.close(replace(run, weights_sha256=digest))
        best = "" if run.best is None else f", {run.best.metric} {run.best.value:.4g}"
        tell(f"{trial.name}: {run.position.epochs_done:,} epochs{best}")
        return run

    return Entrant(
        trial=trial,
        course=job.course,
        values=partial(here.values, trial, job),
        open=opened,
        close=closed,
    )


def _open(folder: Path, here: SweepSetup, material: Material) -> None:
    """Make the folder of a sweep, or check that it is that of this one.

    Raises:
        RunError: it holds something else.
    """
    asked = here.asked
    told: dict[str, Any] = {
        "format": FORMAT,
        "batch_sizes": list(asked.batch_sizes),
        "learning_rates": list(asked.learning_rates),
        "seeds": list(asked.seeds),
        "epochs": asked.epochs,
        "validation_split": None if here.held_out is not None else asked.validation_split,
        "halving": asked.halving,
        "data": here.named[0],
        "data_sha256": material.described()["sha256"],
        "model": here.named[1],
        "source": None if here.source is None else here.source.to_json(),
    }
    told = json.loads(json_text(told))
    path = folder / SWEEP_FILE
    if path.exists():
        _require_same(path, told)
        return
    if folder.exists() and any(folder.iterdir()):
        raise RunError(
            f"{folder} is not empty, and holds no sweep.",
            "name a folder that is not there yet.",
        )
    kept = RunFolder.create(folder)
    kept.write(SWEEP_FILE, [json_text(told, indent=2).encode() + b"\n"])
    kept.close()


def _require_same(path: Path, told: Mapping[str, Any]) -> None:
    """Refuse a folder whose sweep compares something else.

    Raises:
        RunError: names what differs.
    """
    try:
        recorded = json.loads(path.read_bytes())
        differing = [name for name in told if recorded[name] != told[name]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path} is not what Epochwise writes ({type(error).__name__}: {error}).",
            "name another folder for this sweep.",
        ) from error
    if differing:
        named = "; ".join(
            f"{name} was {recorded[name]} and is {told[name]}" for name in differing
        )
        raise RunError(
            f"{path.parent} holds another sweep: {named}.",
            "name another folder, or ask for the same again to go on.",
        )
