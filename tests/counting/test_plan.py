"""A plan states what will run: against a training simulated batch by batch."""

from __future__ import annotations

import copy
import math
import pickle
import re
from dataclasses import FrozenInstanceError, dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from epochwise.counting.counts import Remainder
from epochwise.counting.plan import Plan
from epochwise.errors import PlanError, RunError

SAMPLES = st.integers(1, 40)
BATCH_SIZES = st.integers(1, 45)
REMAINDERS: st.SearchStrategy[Remainder] = st.sampled_from(["keep", "drop"])
HUGE = 10**15


@dataclass(frozen=True)
class Done:
    """One iteration as it was run: its epoch and the samples in its microbatches."""

    epoch_index: int
    microbatches: tuple[int, ...]

    @property
    def samples(self) -> int:
        return sum(self.microbatches)


def run(
    samples: int,
    batch_size: int,
    remainder: Remainder,
    *,
    iterations: int,
    microbatch_size: int | None = None,
) -> list[Done]:
    """Train nothing, batch by batch, and list what happened: the brute-force model."""
    done: list[Done] = []
    epoch_index = 0
    while True:
        left = list(range(samples))
        while left:
            batch, left = left[:batch_size], left[batch_size:]
            if remainder == "drop" and len(batch) < batch_size:
                break
            size = microbatch_size or len(batch)
            parts = [batch[start : start + size] for start in range(0, len(batch), size)]
            done.append(Done(epoch_index, tuple(map(len, parts))))
            if len(done) == iterations:
                return done
        epoch_index += 1


def problems_of(**arguments: Any) -> str:
    """Return what a refused plan says."""
    with pytest.raises(PlanError) as caught:
        Plan(**arguments)
    return str(caught.value)


# Planned = run.


@given(SAMPLES, BATCH_SIZES, REMAINDERS, st.integers(1, 60), st.integers(1, 45))
def test_every_number_planned_is_the_number_run(
    samples: int, batch_size: int, remainder: Remainder, iterations: int, microbatch_size: int
) -> None:
    """All counts equal those of a training simulated sample by sample."""
    assume(remainder == "keep" or batch_size <= samples)
    assume(microbatch_size <= batch_size)
    plan = Plan(
        samples=samples,
        batch_size=batch_size,
        iterations=iterations,
        remainder=remainder,
        microbatch_size=microbatch_size,
    )
    done = run(
        samples,
        batch_size,
        remainder,
        iterations=iterations,
        microbatch_size=microbatch_size,
    )
    assert plan.iterations == len(done)
    assert plan.samples_seen == sum(one.samples for one in done)
    epochs_begun = done[-1].epoch_index + 1
    assert math.ceil(plan.epochs) == epochs_begun
    assert [plan.iterations_in_epoch(index) for index in range(epochs_begun)] == [
        sum(one.epoch_index == index for one in done) for index in range(epochs_begun)
    ]
    for index, one in enumerate(done):
        assert plan.batch_size_of(index) == one.samples
        assert plan.epoch_of(index) == one.epoch_index
        assert plan.samples_done_after(index) == sum(before.samples for before in done[:index])
    first = [one for one in done if one.epoch_index == 0]
    assert len(first[0].microbatches) == plan.microbatches_per_batch
    if len(first) == plan.iterations_per_epoch:
        assert first[-1].samples == plan.last_batch_size
        assert len(first[-1].microbatches) == plan.microbatches_in_last_batch
        assert samples - sum(one.samples for one in first) == plan.dropped_per_epoch


@given(SAMPLES, BATCH_SIZES, REMAINDERS, st.integers(1, 60))
def test_each_length_gives_back_the_others(
    samples: int, batch_size: int, remainder: Remainder, iterations: int
) -> None:
    """Epochs, iterations and samples seen are three names of one length."""
    assume(remainder == "keep" or batch_size <= samples)
    size: dict[str, Any] = {
        "samples": samples,
        "batch_size": batch_size,
        "remainder": remainder,
    }
    plan = Plan(**size, iterations=iterations)
    assert plan.epochs == Fraction(iterations, plan.iterations_per_epoch)
    assert Plan(**size, epochs=plan.epochs) == plan
    assert Plan(**size, samples_seen=plan.samples_seen) == plan
    together = Plan(
        **size,
        epochs=plan.epochs,
        iterations=iterations,
        samples_seen=plan.samples_seen,
    )
    assert together == plan
    assert Plan.from_json(plan.to_json()) == plan


@given(SAMPLES, BATCH_SIZES, REMAINDERS, st.integers(1, 60))
def test_positions_are_the_places_of_the_plan(
    samples: int, batch_size: int, remainder: Remainder, iterations: int
) -> None:
    """At every boundary the position counts what the simulated training has done."""
    assume(remainder == "keep" or batch_size <= samples)
    plan = Plan(
        samples=samples, batch_size=batch_size, remainder=remainder, iterations=iterations
    )
    done = run(samples, batch_size, remainder, iterations=iterations)
    for count in range(iterations + 1):
        here = plan.position(count)
        assert here.iterations_done == count
        assert here.samples_done == sum(one.samples for one in done[:count])
        assert here.epochs_done == sum(
            sum(one.epoch_index == epoch for one in done[:count]) == plan.iterations_per_epoch
            for epoch in range(iterations)
        )
        in_epoch = [one for one in done[:count] if one.epoch_index == here.epochs_done]
        assert here.iterations_in_epoch_done == len(in_epoch)
        assert here.samples_in_epoch_done == sum(one.samples for one in in_epoch)
        assert here.epochs_done_fraction(plan.iterations_per_epoch) == Fraction(
            count, plan.iterations_per_epoch
        )


@pytest.mark.parametrize(
    ("samples", "batch_size", "epochs", "per_epoch", "iterations", "last"),
    [
        (1000, 500, 3, 2, 6, 500),
        (60_000, 64, 5, 938, 4690, 32),
        (60_000, 128, 1, 469, 469, 96),
        (1, 1, 1, 1, 1, 1),
    ],
)
def test_known_plans(
    samples: int, batch_size: int, epochs: int, per_epoch: int, iterations: int, last: int
) -> None:
    """The examples that everyone computes by hand."""
    plan = Plan(samples=samples, batch_size=batch_size, epochs=epochs)
    assert (plan.iterations_per_epoch, plan.iterations) == (per_epoch, iterations)
    assert (plan.last_batch_size, plan.samples_seen) == (last, samples * epochs)


@pytest.mark.parametrize("samples", [HUGE - 1, HUGE, HUGE + 1])
@pytest.mark.parametrize("batch_size", [1, 64, 10**9 + 7])
def test_no_answer_counts_up_to_it(samples: int, batch_size: int) -> None:
    """At 10^15 samples every answer is exact and immediate; a loop would never end."""
    plan = Plan(samples=samples, batch_size=batch_size, epochs=10**6, devices=1)
    per_epoch, last = divmod(samples + batch_size - 1, batch_size)
    assert plan.iterations_per_epoch == per_epoch
    assert plan.last_batch_size == last + 1
    assert plan.samples_seen == samples * 10**6
    final = plan.iterations - 1
    assert plan.batch_size_of(final) == last + 1
    assert plan.epoch_of(final) == 10**6 - 1
    assert plan.iterations_in_epoch(10**6 - 1) == per_epoch
    assert plan.samples_done_after(final) == samples * 10**6 - (last + 1)
    assert plan.position(plan.iterations).epochs_done == 10**6
    assert plan.epochs == 10**6
    assert Plan.from_json(plan.to_json()) == plan
    assert isinstance(plan.warnings, tuple)
    assert len(plan.neighbours) <= 7


# The failures of other tools.


def test_a01_no_epoch_is_short() -> None:
    """A01: 2,010 samples at 32 make 63 iterations in each of six epochs, never 1."""
    plan = Plan(samples=2010, batch_size=32, epochs=6)
    assert [plan.iterations_in_epoch(index) for index in range(6)] == [63] * 6


def test_a03_more_iterations_than_the_data_has_is_an_error() -> None:
    """A03: one epoch of 100 iterations, where it has 63, names both numbers."""
    assert problems_of(samples=2010, batch_size=32, epochs=1, iterations=100) == (
        "epochs=1 (63 iterations) and iterations=100 (100 iterations) disagree, at 63 "
        "iterations an epoch.\n"
        "  Remedy: give only one of them: epochs=1 or iterations=100."
    )


def test_a09_length_is_in_batches() -> None:
    """A09: 100 samples at 4 are 25 iterations; 10 at 4 are 3, or 2 with drop."""
    assert Plan(samples=100, batch_size=4, epochs=1).iterations == 25
    assert Plan(samples=10, batch_size=4, epochs=1).iterations == 3
    assert Plan(samples=10, batch_size=4, epochs=1, remainder="drop").iterations == 2


def test_a11_dropping_everything_is_an_error() -> None:
    """A11: 100 samples at 1,024 with the remainder dropped cannot be planned."""
    text = problems_of(samples=100, batch_size=1024, epochs=1, remainder="drop")
    assert "batch_size=1024 exceeds the training set (100 samples)" in text
    assert 'Remedy: use batch_size=100 or less, or remainder="keep"' in text


def test_a12_a_last_batch_of_one_sample_is_told_before_training() -> None:
    """A12: 1,001 samples at 4 warn and offer what avoids it; at 7 nothing is said."""
    [warning] = Plan(samples=1001, batch_size=4, epochs=1).warnings
    assert warning == (
        "The last batch of each epoch holds 1 sample: BatchNormalization has no variance "
        "there, and the sample counts as much as the 4 of any other batch; use batch_size=3 "
        'or batch_size=6 or remainder="drop".'
    )
    assert Plan(samples=1001, batch_size=7, epochs=1).warnings == ()
    assert Plan(samples=1001, batch_size=4, epochs=1, remainder="drop").warnings == ()
    assert Plan(samples=1001, batch_size=4, iterations=250).warnings == ()


@given(st.integers(2, 500), st.integers(2, 60), st.sampled_from([1, 2, 3]))
def test_a12_the_sizes_offered_end_on_no_single_sample(
    samples: int, batch_size: int, devices: int
) -> None:
    """A12: every batch size that the warning offers is free of it."""
    assume(batch_size % devices == 0)
    plan = Plan(samples=samples, batch_size=batch_size, epochs=1, devices=devices)
    single = [warning for warning in plan.warnings if "holds 1 sample:" in warning]
    assert bool(single) == (samples > batch_size and samples % batch_size == 1)
    for warning in single:
        for size in re.findall(r"batch_size=(\d+)", warning):
            offered = plan.replace(batch_size=int(size))
            assert not any("1 sample:" in sentence for sentence in offered.warnings)


@pytest.mark.parametrize("microbatches", range(1, 13))
@pytest.mark.parametrize("per_batch", range(1, 6))
def test_b05_planned_updates_are_the_executed_ones(microbatches: int, per_batch: int) -> None:
    """B05: M microbatches, k in a batch: ceil(M/k) updates an epoch, M microbatches used."""
    size, epochs = 2, 3
    plan = Plan(
        samples=microbatches * size,
        batch_size=per_batch * size,
        microbatch_size=size,
        epochs=epochs,
    )
    done = run(
        plan.samples, plan.batch_size, "keep", iterations=plan.iterations, microbatch_size=size
    )
    assert plan.iterations == math.ceil(microbatches / per_batch) * epochs
    assert sum(len(one.microbatches) for one in done) == microbatches * epochs
    assert done[-1].epoch_index == epochs - 1
    full = plan.iterations_per_epoch - 1
    planned = full * plan.microbatches_per_batch + plan.microbatches_in_last_batch
    assert planned == microbatches


@pytest.mark.parametrize(
    ("microbatches", "per_batch", "epochs", "updates"),
    [(3, 4, 2, 2), (7, 4, 1, 2), (10, 4, 3, 9)],
)
def test_b02_b04_left_over_microbatches_make_an_update(
    microbatches: int, per_batch: int, epochs: int, updates: int
) -> None:
    """B02, B04: the tail of an epoch is its own update, and none crosses into the next."""
    plan = Plan(samples=microbatches, batch_size=per_batch, microbatch_size=1, epochs=epochs)
    assert plan.iterations == updates
    assert plan.samples_seen == microbatches * epochs


def test_i02_a_schedule_is_asked_at_0_to_14() -> None:
    """I02: 10 samples at 4 for 5 epochs are 15 iterations, the last batch counted."""
    plan = Plan(samples=10, batch_size=4, epochs=5)
    assert plan.iterations == 15
    assert plan.epoch_of(14) == 4
    with pytest.raises(PlanError, match="use iteration_index=0 to iteration_index=14"):
        plan.epoch_of(15)


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_i05_the_batch_size_is_over_all_devices(devices: int) -> None:
    """I03, I05: devices change no count, of updates or else, only what each of them holds."""
    alone = Plan(samples=1000, batch_size=64, epochs=3)
    shared = Plan(samples=1000, batch_size=64, epochs=3, devices=devices)
    assert shared.per_device_batch_size * devices == 64
    assert {**shared.to_json(), "devices": 1} == alone.to_json()


def test_i05_a_batch_must_divide_over_the_devices() -> None:
    """I05: a batch that the devices cannot share evenly is an error with the sizes nearby."""
    assert problems_of(samples=100, batch_size=10, epochs=1, devices=4) == (
        "batch_size=10 does not divide over devices=4.\n"
        "  Remedy: use batch_size=8 or batch_size=12, or devices=2."
    )


def test_j05_an_uneven_last_batch_is_told() -> None:
    """J05: the last batch may be uneven over the devices, and the plan says so."""
    [warning] = Plan(samples=10, batch_size=4, epochs=1, devices=4).warnings
    assert warning.startswith("The last batch of each epoch, 2 samples, does not divide")
    assert Plan(samples=12, batch_size=4, epochs=1, devices=4).warnings == ()


# What cannot be.


@pytest.mark.parametrize(
    ("arguments", "what", "remedy"),
    [
        ({"samples": 0}, "samples=0 is less than 1.", "use samples=1 or more."),
        ({"batch_size": -3}, "batch_size=-3 is less than 1.", "use batch_size=1 or more."),
        ({"epochs": 0}, "epochs=0 is less than 1.", "use epochs=1 or more."),
        ({"epochs": Fraction(-1, 2)}, "Fraction(-1, 2) is not more than 0", "use epochs=1"),
        ({"epochs": 2.5}, "epochs=2.5 is neither a whole", "use epochs=Fraction(5, 2)."),
        ({"epochs": 2.0}, "epochs=2.0 is neither a whole", "use epochs=2."),
        ({"epochs": math.nan}, "epochs=nan is not a whole number", "epochs=1 or more"),
        ({"epochs": "5/2"}, "epochs='5/2' is not a whole number", "as an integer"),
        ({"epochs": True}, "epochs=True is not a whole number", "as an integer"),
        ({"epochs": Fraction(1, 10**40)}, "epochs lies beyond 10^30", "a smaller epochs"),
        ({"samples": 10.5}, "samples=10.5 is not a whole number.", "samples=10 or samples=11."),
        ({"samples": 10.0}, "samples=10.0 is a float;", "use samples=10."),
        ({"samples": np.float64(10)}, "is a float64;", "use samples=10."),
        ({"samples": Fraction(21, 2)}, "is not a whole number", "samples=10 or samples=11."),
        ({"samples": math.inf}, "samples=inf is not a whole", "samples=1 or more."),
        ({"samples": "ten"}, "samples='ten' is not a whole", "give samples as an integer"),
        ({"samples": np.True_}, "is not a whole number", "give samples as an integer"),
        ({"samples": 10**31}, "samples lies beyond 10^30", "use a smaller samples"),
        ({"samples": -(10**5000)}, "samples lies beyond 10^30", "use a smaller samples"),
        ({"batch_size": None}, "batch_size=None is not a whole", "give batch_size as"),
        ({"devices": 0}, "devices=0 is less than 1.", "use devices=1 or more."),
        ({"devices": 3}, "batch_size=4 does not divide over", "or batch_size=6, or devices=1."),
        ({"devices": 8}, "batch_size=4 does not divide over", "batch_size=8, or devices=4."),
        ({"microbatch_size": 0}, "microbatch_size=0 is less", "use microbatch_size=1 or more."),
        (
            {"microbatch_size": 5},
            "microbatch_size=5 exceeds batch_size=4.",
            "use microbatch_size=4 or less, or batch_size=5.",
        ),
        (
            {"microbatch_size": 3, "devices": 2},
            "microbatch_size=3 does not divide over devices=2.",
            "use microbatch_size=2 or microbatch_size=4; it is counted over all devices",
        ),
        ({"remainder": "pad"}, "remainder='pad' is neither", 'remainder="keep" or remainder='),
        ({"epochs": None}, "Nothing says how long to train.", "epochs=1, iterations=1000 or"),
        ({"epochs": None, "iterations": 0}, "iterations=0 is less", "iterations=1 or more."),
        (
            {"epochs": Fraction(5, 2)},
            "epochs=Fraction(5, 2) would be 15/2 iterations at 3 an epoch",
            "iterations=7 (epochs=Fraction(7, 3)) or iterations=8 (epochs=Fraction(8, 3)).",
        ),
        (
            {"epochs": Fraction(1, 4)},
            "would be 3/4 iterations at 3 an epoch",
            "use iterations=1 (epochs=Fraction(1, 3)).",
        ),
        (
            {"epochs": None, "samples_seen": 13},
            "samples_seen=13 ends inside a batch",
            "use samples_seen=10 or samples_seen=14.",
        ),
        (
            {"epochs": None, "samples_seen": 3},
            "samples_seen=3 ends inside a batch",
            "use samples_seen=4.",
        ),
        (
            {"samples_seen": 24},
            "epochs=3 (9 iterations) and samples_seen=24 (7 iterations) disagree",
            "epochs=3 or samples_seen=24.",
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_cannot_be_is_said_with_its_values_and_a_remedy(
    arguments: dict[str, Any], what: str, remedy: str
) -> None:
    """One wrong argument is one problem, told with the value and what to type."""
    sound: dict[str, Any] = {"samples": 10, "batch_size": 4, "epochs": 3}
    assert Plan(**sound)
    with pytest.raises(PlanError) as caught:
        Plan(**{**sound, **arguments})
    [problem] = caught.value.problems
    assert what in problem.what
    assert remedy in problem.remedy


def test_all_problems_are_told_together() -> None:
    """Six wrong arguments are six problems in one error."""
    with pytest.raises(PlanError) as caught:
        Plan(
            samples=10.5,  # type: ignore[arg-type]
            batch_size=-1,
            epochs=0,
            remainder="pad",  # type: ignore[arg-type]
            microbatch_size=True,
            devices=0,
        )
    named = [problem.what.partition("=")[0] for problem in caught.value.problems]
    assert named == [
        "samples",
        "batch_size",
        "remainder",
        "microbatch_size",
        "devices",
        "epochs",
    ]


@given(
    SAMPLES, BATCH_SIZES, REMAINDERS, st.integers(1, 200), st.integers(1, 9), st.integers(1, 9)
)
def test_the_lengths_offered_can_be_typed(
    samples: int, batch_size: int, remainder: Remainder, seen: int, above: int, below: int
) -> None:
    """Where a length ends inside a batch, each of those offered instead makes a plan."""
    assume(remainder == "keep" or batch_size <= samples)
    size: dict[str, Any] = {
        "samples": samples,
        "batch_size": batch_size,
        "remainder": remainder,
    }
    lengths: list[dict[str, Any]] = [
        {"samples_seen": seen},
        {"epochs": Fraction(above, below)},
    ]
    for length in lengths:
        try:
            Plan(**size, **length)
        except PlanError as error:
            [problem] = error.problems
            offered = re.findall(r"(iterations|samples_seen)=(\d+)", problem.remedy)
            assert offered
            for name, value in offered:
                typed: dict[str, Any] = {name: int(value)}
                assert Plan(**size, **typed).iterations >= 1


def test_places_outside_the_plan_are_errors() -> None:
    """There is no iteration, epoch or position beyond the end or before the start."""
    plan = Plan(samples=10, batch_size=4, epochs=2)
    assert plan.position(6) == plan.position(np.int64(6))
    for ask, outside in (
        (plan.batch_size_of, 6),
        (plan.epoch_of, -1),
        (plan.iterations_in_epoch, 2),
        (plan.samples_done_after, 7),
        (plan.position, 7),
    ):
        with pytest.raises(PlanError, match=f"={outside} is outside the plan of 6 iterations"):
            ask(outside)


# What is possible but seldom meant.


@pytest.mark.parametrize(
    ("arguments", "warning"),
    [
        ({"batch_size": 2000}, "batch_size=2000 exceeds the training set, so one batch holds"),
        ({"batch_size": 1000}, "One batch holds the whole training set (1,000 samples)"),
        ({"batch_size": 99}, "The last batch of each epoch holds 10 samples, which together"),
        ({"batch_size": 300, "microbatch_size": 23}, "ends on a microbatch of 1 sample"),
        ({"batch_size": 600, "remainder": "drop"}, "leaves out 400 of 1,000 samples"),
    ],
)
def test_what_is_seldom_meant_is_a_warning(arguments: dict[str, Any], warning: str) -> None:
    """The plan stands, and a sentence says what follows from it."""
    plan = Plan(**{"samples": 1000, "epochs": 3, **arguments})
    assert plan.iterations >= 3
    [said] = plan.warnings
    assert warning in said


def test_an_ordinary_plan_has_no_warning() -> None:
    """MNIST at the usual sizes is said without a word of caution."""
    for batch_size in (16, 32, 64, 128, 256):
        assert Plan(samples=60_000, batch_size=batch_size, epochs=5).warnings == ()


@given(st.integers(1, 2000), st.integers(1, 300), REMAINDERS, st.sampled_from([1, 2, 4]))
def test_neighbours_are_plans_nearby(
    samples: int, batch_size: int, remainder: Remainder, devices: int
) -> None:
    """Each is a plan of one epoch that devices can share; the plan's own size is there."""
    assume(remainder == "keep" or batch_size <= samples)
    assume(batch_size % devices == 0)
    plan = Plan(
        samples=samples, batch_size=batch_size, epochs=2, remainder=remainder, devices=devices
    )
    sizes = [neighbour.batch_size for neighbour in plan.neighbours]
    assert sizes == sorted(set(sizes))
    assert batch_size in sizes
    for neighbour in plan.neighbours:
        assert neighbour.epochs == 1
        assert neighbour.batch_size <= max(samples, batch_size)
        assert (neighbour.samples, neighbour.remainder) == (samples, remainder)


# As a value.


def test_numpy_integers_become_python_integers() -> None:
    """Counts from NumPy are taken, and kept exact."""
    plan = Plan(samples=np.int32(2**31 - 1), batch_size=np.int64(64), epochs=np.uint8(200))
    assert plan == Plan(samples=2**31 - 1, batch_size=64, epochs=200)
    assert plan.samples_seen == (2**31 - 1) * 200
    assert type(plan.samples) is int


def test_a_plan_is_a_value() -> None:
    """Equal, hashed, pickled, copied and shown by what it says; never changed."""
    plan = Plan(samples=10, batch_size=4, epochs=2, microbatch_size=2)
    assert plan == Plan(samples=10, batch_size=4, iterations=6, microbatch_size=2)
    assert hash(plan) == hash(pickle.loads(pickle.dumps(plan)))
    assert copy.deepcopy(plan) == plan != Plan(samples=10, batch_size=4, epochs=2)
    assert eval(repr(plan)) == plan
    with pytest.raises(FrozenInstanceError):
        plan.samples = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        Plan(10, 4, 2)  # type: ignore[call-arg]


def test_replacing_keeps_the_epochs() -> None:
    """A changed batch size trains for as many epochs; a changed length replaces them."""
    plan = Plan(samples=1000, batch_size=500, epochs=3, microbatch_size=250)
    assert plan.replace(batch_size=250).epochs == 3
    assert plan.replace(samples=2001).iterations == 15
    assert plan.replace(iterations=4).epochs == 2
    assert plan.replace(samples_seen=500).epochs == Fraction(1, 2)
    assert plan.replace(microbatch_size=None).microbatches_per_batch == 1
    assert plan.replace() == plan
    assert replace(plan, batch_size=250).iterations == plan.iterations
    with pytest.raises(PlanError, match="microbatch_size=250 exceeds batch_size=100"):
        plan.replace(batch_size=100)


def test_json_has_exactly_the_keys_promised() -> None:
    """Keys, their order and their values are those of the command line."""
    assert list(Plan(samples=1000, batch_size=300, iterations=10).to_json().items()) == [
        ("samples", 1000),
        ("batch_size", 300),
        ("epochs", "5/2"),
        ("remainder", "keep"),
        ("microbatch_size", None),
        ("devices", 1),
        ("iterations_per_epoch", 4),
        ("iterations", 10),
        ("last_batch_size", 100),
        ("samples_seen", 2600),
        ("dropped_per_epoch", 0),
    ]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"iterations": 7}, "contradicts itself in epochs, samples_seen;"),
        ({"samples_seen": [1]}, "contradicts itself in samples_seen;"),
        ({"steps": None}, "contradicts itself in steps;"),
        ({"batch_size": 0}, "The recorded plan cannot be: batch_size=0 is less than 1."),
    ],
)
def test_a_damaged_record_is_an_error(damage: dict[str, Any], said: str) -> None:
    """A recorded plan whose numbers do not belong together is refused."""
    recorded = Plan(samples=10, batch_size=4, epochs=2).to_json()
    assert Plan.from_json(recorded)
    with pytest.raises(RunError) as caught:
        Plan.from_json({**recorded, **damage})
    assert said in str(caught.value)
    del recorded["devices"]
    with pytest.raises(RunError, match="The recorded plan has no devices"):
        Plan.from_json(recorded)
