"""`one_pass`: is one pass over the data enough, and what is a repeated sample worth?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from epochwise import loop
from epochwise.api.job import check_targets
from epochwise.api.settings import Settings, seeds_named
from epochwise.api.training import (
    SPLIT_WITHOUT_TEST_PART,
    Source,
    read_data,
    share_held_out,
)
from epochwise.choosing.one_pass import Answer, answer, measure, planned
from epochwise.counting.numbers import whole_number
from epochwise.counting.plan import Plan
from epochwise.data.feed import ArrayFeed
from epochwise.data.given import given_samples, given_validation, in_order
from epochwise.data.order import Indices, Order, position_seed
from epochwise.data.samples import Samples, leaves
from epochwise.data.split import split
from epochwise.engines.base import Engine
from epochwise.engines.select import (
    check_compiled,
    engine_for,
    import_framework,
    on_device,
)
from epochwise.errors import PlanError, TrainingError
from epochwise.events import Evaluated
from epochwise.exits import telling_exits
from epochwise.framework import import_keras, select_backend
from epochwise.rules import AnyOf

EVALUATED_AT_ONCE = 250
"""Samples in a batch of evaluation [samples]."""


@dataclass(slots=True, kw_only=True, eq=False)
class Passes:
    """The runs of one network on parts of one data set, on one engine.

    Args:
        build: makes the network of a seed, compiled.
        samples: the data set.
        rows: of the samples that may be trained on.
        held_out: what is evaluated: rows of the data set, or samples of their own.
        batch_size: samples per weight update.
    """

    build: Callable[[int], Any]
    samples: Samples
    rows: Indices
    held_out: Indices | Samples
    batch_size: int
    _engine: Engine[Any, Any] | None = None
    _validation: Any = None
    _gathers: bool = False
    _fresh: dict[int, Any] = field(default_factory=dict)

    def run(
        self, seed: int, unique: int, passes: int, look_every: int | None
    ) -> Sequence[float]:
        """Train on the first `unique` samples of the seed's order; see `measuring.Run`.

        Raises:
            TrainingError: the loss is not finite.
        """
        engine = self._begin() if self._engine is None else self._engine
        if seed not in self._fresh:
            self._fresh[seed] = self._first_values(seed)
        engine.give_back(engine.from_host(engine.take(), self._fresh[seed]))
        order = Order(samples=self.rows.size, seed=position_seed(seed, "parts"))
        part = self.rows[order.indices(0, 0, unique)]
        plan = Plan(samples=unique, batch_size=self.batch_size, epochs=passes)
        course = loop.Course(
            feed=ArrayFeed(
                train=self.samples,
                part=part,
                order=Order(samples=unique, seed=seed),
                plan=plan,
                gather=self._gathers,
            ),
            plan=plan,
            epochs=passes,
            iterations=None,
            validation=self._validation,
            evaluate_every_epochs=None if look_every else 1,
            evaluate_every_iterations=look_every and look_every // self.batch_size,
            stop=AnyOf(()),
        )
        losses = [
            event.metrics["loss"]
            for event in loop.train(engine, course)
            if isinstance(event, Evaluated)
        ]
        if not all(map(math.isfinite, losses)):
            raise TrainingError(
                f"With {unique:,} samples the validation loss became {losses[-1]}.",
                "use a smaller learning rate, such as a tenth of the model's.",
            )
        return losses

    def _begin(self) -> Engine[Any, Any]:
        """Make the engine, and the feed of what is evaluated."""
        model = self.build(0)
        check_compiled(model)
        example = self.samples.rows(self.rows[: self.batch_size])
        apart = self.held_out if isinstance(self.held_out, Samples) else None
        check_targets(model, example, self.samples, apart)
        parts = [self.samples] if apart is None else [self.samples, apart]
        here = on_device(model, example, parts)
        evaluated = self.samples if apart is None else apart
        self._gathers = self.samples not in here
        self._validation = in_order(
            evaluated,
            EVALUATED_AT_ONCE,
            part=None if isinstance(self.held_out, Samples) else self.held_out,
            gather=evaluated not in here,
        )
        self._engine = engine_for(
            model,
            example=example,
            resident=None if self._gathers else self.samples,
            validation=evaluated if evaluated in here else None,
        )
        return self._engine

    def _first_values(self, seed: int) -> dict[str, Any]:
        """Return what a run of this seed begins with, by the engine's names."""
        from epochwise.engines.values import build, named, variables

        keras = import_keras()
        network = self.build(seed)
        build(network, self.samples.rows(self.rows[: self.batch_size]))
        return {
            name: np.array(keras.ops.convert_to_numpy(variable))
            for name, variable in named(variables(network))
        }


@telling_exits()
def one_pass(
    build: Callable[[], Any],
    x: Any,
    y: Any = None,
    *,
    batch_size: int = 32,
    seeds: int | Sequence[int] = 5,
    validation_split: float = SPLIT_WITHOUT_TEST_PART,
    validation_data: Any = None,
    max_samples: int | None = None,
    seed: int = 0,
    tell: Callable[[str], None] = lambda _: None,
) -> Answer:
    """Tell whether one pass over the data is enough, by training on parts of it.

    At equal iterations, K passes over an eighth, a quarter and a half of the samples are
    held against one pass over fresh ones, and the whole is passed over twice. All of it
    takes the iterations of five epochs for each seed.

    Args:
        build: returns a new compiled Keras model; called once for each seed, with Keras's
            random seed set to it.
        x: features, arrays as `fit` takes them.
        y: targets.
        batch_size: samples per weight update [samples / iteration].
        seeds: how many, counted from 0, or which; at least two.
        validation_split: the share of the samples held out to measure the loss on.
        validation_data: `(x, y)`, to measure it on instead.
        max_samples: how many samples to train on at most, drawn at random: for data so
            long that the question is asked inside one epoch [samples].
        seed: of the split and of that draw.
        tell: is handed a sentence for each seed.

    Returns:
        The verdict with its confidence, and what it stands on.

    Raises:
        PlanError: too few samples or seeds.
        DataError: the arrays are not what training needs.
        TrainingError: the loss is not finite.

    Example:
        A line through little noise, learnt well within one pass:

        >>> import epochwise, keras, numpy as np
        >>> def build():
        ...     model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        ...     model.compile(keras.optimizers.SGD(0.1), "mse")
        ...     return model
        >>> rng = np.random.default_rng(0)
        >>> x = rng.normal(size=(4000, 2)).astype("float32")
        >>> y = x @ [1.0, 2.0] + 0.3 * rng.normal(size=4000)
        >>> one_pass(build, x, y, batch_size=20, seeds=3).verdict
        'one pass is enough'
    """
    batch_size = whole_number("batch_size", batch_size)
    seed = whole_number("seed", seed, least=0)
    if max_samples is not None:
        max_samples = whole_number("max_samples", max_samples)
    seeds = seeds_named(seeds)
    select_backend()
    samples = given_samples(x, y, None, None)
    targets = leaves(samples.y)
    held_out: Any = None
    if validation_data is not None:
        held_out = given_validation(validation_data, None)
        if not isinstance(held_out, Samples):
            raise PlanError(
                "validation_data brings batches of its own, and losses are measured on arrays.",
                "give validation_data=(x, y).",
            )

    def network(seed: int) -> Any:
        import_keras().utils.set_random_seed(seed % 2**32)
        return build()

    return _answered(
        network,
        samples,
        held_out,
        targets[0][:] if len(targets) == 1 else None,
        batch_size=batch_size,
        seeds=seeds,
        validation_split=validation_split,
        max_samples=max_samples,
        seed=seed,
        tell=tell,
    )


@telling_exits()
def one_pass_of_source(
    source: Source,
    *,
    batch_size: int,
    seeds: int,
    validation_split: float | None,
    max_samples: int | None,
    tell: Callable[[str], None],
) -> Answer:
    """Answer the same for a data source and a model by its name.

    Args:
        source: the data and the model.
        batch_size: samples per weight update.
        seeds: how many.
        validation_split: the share held out; `None` for the default, or the validation
            part that came with the data.
        max_samples: how many samples to train on at most; `None` for all.
        tell: is handed a sentence for each seed.

    Raises:
        EpochwiseError: anything that the user can repair.
    """
    dataset = read_data(source)
    validation_split = share_held_out(dataset, validation_split)
    import_framework()
    for sentence in dataset.told():
        tell(sentence)
    return _answered(
        lambda seed: source.build(dataset, seed=seed, rows=None).model,
        dataset.train,
        dataset.validation,
        dataset.labels,
        batch_size=batch_size,
        seeds=range(seeds),
        validation_split=validation_split,
        max_samples=max_samples,
        seed=0,
        tell=tell,
    )


def _answered(
    build: Callable[[int], Any],
    samples: Samples,
    held_out: Samples | None,
    labels: Any,
    *,
    batch_size: int,
    seeds: Sequence[int],
    validation_split: float,
    max_samples: int | None,
    seed: int,
    tell: Callable[[str], None],
) -> Answer:
    """Part the samples, measure, and say what it means."""
    rows: Indices = np.arange(samples.count)
    evaluated: Indices | Samples | None = held_out
    if evaluated is None:
        parted = split(samples.count, validation_split, labels=labels, seed=seed)
        rows, evaluated = parted.train, parted.held_out
    if max_samples is not None and max_samples < rows.size:
        drawn = Order(samples=rows.size, seed=position_seed(seed, "parts")).indices
        rows = rows[drawn(0, 0, max_samples)]
    Settings(batch_size=batch_size).plan(rows.size)
    runs = Passes(
        build=build,
        samples=samples,
        rows=rows,
        held_out=evaluated,
        batch_size=batch_size,
    )
    return answer(measure(planned(rows.size, batch_size), list(seeds), runs.run, tell))
