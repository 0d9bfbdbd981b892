"""The split holds out what its rule says, of every class, and never leaves a part empty."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from epochwise.data.order import Order, position_seed
from epochwise.data.split import MOST_CLASSES, Split, split
from epochwise.errors import DataError, PlanError


def covers(parts: Split, count: int) -> bool:
    """Whether both parts ascend and together hold each of N samples once."""
    together = np.concatenate([parts.train, parts.held_out])
    return (
        bool((np.diff(parts.train) > 0).all())
        and bool((np.diff(parts.held_out) > 0).all())
        and np.array_equal(np.sort(together), np.arange(count))
        and {parts.train.dtype, parts.held_out.dtype} == {np.dtype(np.int64)}
    )


def classes_kept(parts: Split, labels: NDArray[Any]) -> bool:
    """Whether each class of two or more samples is in both parts, and others train."""
    values, sizes = np.unique(labels, return_counts=True)
    in_both = set(labels[parts.train].tolist()) & set(labels[parts.held_out].tolist())
    return in_both == set(values[sizes > 1].tolist())


# What is held out.


def test_d01_sorted_classes_are_in_both_parts() -> None:
    """D01: of five sorted classes of twenty, each gives four of the twenty held out."""
    labels = np.repeat(np.arange(5), 20)
    parts = split(100, 0.2, labels=labels, seed=0)

    assert covers(parts, 100)
    assert np.bincount(labels[parts.held_out]).tolist() == [4, 4, 4, 4, 4]


def test_d01_the_check_of_classes_refuses_a_split_in_time() -> None:
    """D01: the last fifth of sorted classes is one class, which the check refuses."""
    labels = np.repeat(np.arange(5), 20)

    assert not classes_kept(split(100, 0.2, labels=labels, order="time", seed=0), labels)


@given(
    labels=st.lists(st.integers(-3, 30), min_size=2, max_size=300),
    fraction=st.floats(0.01, 0.95),
    seed=st.integers(0, 2**64 - 1),
)
@settings(max_examples=300, deadline=None)
def test_d01_no_class_of_two_is_missing_from_either_part(
    labels: list[int], fraction: float, seed: int
) -> None:
    """D01: whatever the classes, one of two or more samples is in both parts."""
    array = np.array(labels)
    count = array.size
    sizes = np.unique(array, return_counts=True)[1]
    train = int(np.floor(count * (1.0 - fraction)))
    if train == 0 or (sizes == 1).all():
        return
    parts = split(count, fraction, labels=array, seed=seed)

    assert covers(parts, count)
    assert classes_kept(parts, array)
    parted = (sizes > 1).sum()
    if (sizes > 1).all() and parted <= count - train <= count - parted:
        assert parts.held_out.size == count - train


@given(
    sizes=st.lists(st.integers(20, 200), min_size=1, max_size=12), fraction=st.floats(0.1, 0.9)
)
@settings(max_examples=100, deadline=None)
def test_each_class_gives_its_share_within_one_sample(
    sizes: list[int], fraction: float
) -> None:
    """A class of n gives n·H/N rounded down or up, and the shares add up to H."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    held = split(labels.size, fraction, labels=labels, seed=1).held_out
    exact = np.array(sizes) * held.size / labels.size
    shares = np.bincount(labels[held], minlength=len(sizes))

    assert held.size == labels.size - int(np.floor(labels.size * (1.0 - fraction)))
    assert (np.abs(shares - exact) < 1).all()


def test_the_largest_remainders_are_rounded_up() -> None:
    """Of shares 3.75, 3 and 2.25 of nine, the first becomes four."""
    labels = np.repeat([0, 1, 2], [50, 40, 30])
    held = split(120, 9 / 120, labels=labels, seed=0).held_out

    assert np.bincount(labels[held]).tolist() == [4, 3, 2]


def test_a_held_out_part_too_small_for_the_classes_grows() -> None:
    """Ten classes at 5% of 100 hold out ten samples, and the rule says both numbers."""
    labels = np.tile(np.arange(10), 10)
    parts = split(100, 0.05, labels=labels, seed=0)

    assert np.bincount(labels[parts.held_out]).tolist() == [1] * 10
    assert parts.rule == (
        "10 of 100 samples are held out, drawn in proportion from each of 10 classes with "
        "seed 0, and the other 90 train; 5 held out would leave one of the parts without "
        "some class."
    )


def test_a_class_of_one_sample_trains() -> None:
    """Classes with a single sample are in training only, and the rule counts them."""
    labels = np.array([0] * 50 + [1] * 50 + [2, 3])
    parts = split(102, 0.2, labels=labels, seed=0)

    assert {100, 101} <= set(parts.train.tolist())
    assert np.bincount(labels[parts.held_out]).tolist() == [10, 10]
    assert "2 more with one sample each are in training only" in parts.rule


def test_members_are_drawn_from_the_whole_class() -> None:
    """Over 400 seeds each of 60 samples is held out about equally often."""
    labels = np.repeat([0, 1, 2], 20)
    seen = np.zeros(60, np.int64)
    for seed in range(400):
        seen[split(60, 0.25, labels=labels, seed=seed).held_out] += 1
    # Five of twenty are drawn, so the variance of a count is 400·(1/4)·(3/4), and the
    # counts of a class have one sum: chi-square with 19 degrees of freedom a class.
    statistic = float(((seen - 100) ** 2).sum() / (400 * 0.25 * 0.75) * 19 / 20)

    assert 1e-4 < stats.chi2.sf(statistic, 3 * 19) < 1 - 1e-4


LABELS_OF_ONE_MEANING = {
    "int64": np.tile([0, 1, 2], 40),
    "uint8": np.tile([0, 1, 2], 40).astype(np.uint8),
    "a column": np.tile([0, 1, 2], 40).reshape(-1, 1),
    "far apart": np.tile([-(2**60), 5, 2**60], 40),
    "text": np.tile(["ant", "bee", "cat"], 40),
    "bytes": np.tile([b"ant", b"bee", b"cat"], 40),
    "text objects": np.array(["ant", "bee", "cat"] * 40, dtype=object),
    "one-hot": np.eye(3, dtype=np.float32)[np.tile([0, 1, 2], 40)],
    "a list": ["ant", "bee", "cat"] * 40,
}


@pytest.mark.parametrize("kind", LABELS_OF_ONE_MEANING)
def test_how_classes_are_written_does_not_matter(kind: str) -> None:
    """Integers, text, columns and one-hot rows of the same classes give the same split."""
    wanted = split(120, 0.2, labels=LABELS_OF_ONE_MEANING["int64"], seed=4)
    found = split(120, 0.2, labels=LABELS_OF_ONE_MEANING[kind], seed=4)

    assert (found.digest, found.rule) == (wanted.digest, wanted.rule)


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (None, "there are no labels"),
        (np.linspace(0, 1, 50), "the labels do not name classes"),
        (np.arange(50), "the labels do not name classes"),
        (np.ones((50, 4), np.int32), "the labels do not name classes"),
        (np.full((50, 3), 1 / 3), "the labels do not name classes"),
        (np.array([None, 1] * 25, dtype=object), "the labels do not name classes"),
    ],
    ids=["none", "floats", "all different", "sequences", "soft rows", "objects"],
)
def test_without_class_labels_the_split_is_random(labels: Any, why: str) -> None:
    """Targets that name no class give a seeded random split, and the rule says why."""
    parts = split(50, 0.2, labels=labels, seed=6)

    assert covers(parts, 50)
    assert parts.held_out.tolist() != list(range(40, 50))
    assert parts.rule == (
        f"10 of 50 samples are held out, drawn at random with seed 6 because {why}, and the "
        "other 40 train."
    )
    assert parts.digest == split(50, 0.2, seed=6).digest


def test_many_distinct_integers_are_values_not_classes() -> None:
    """1,000 distinct labels name classes, 1,001 do not."""
    at_most = np.repeat(np.arange(MOST_CLASSES), 2)
    too_many = np.repeat(np.arange(MOST_CLASSES + 1), 2)

    assert "1000 classes" in split(at_most.size, 0.5, labels=at_most, seed=0).rule
    assert "at random" in split(too_many.size, 0.5, labels=too_many, seed=0).rule


# The rule is what was done.


@pytest.mark.parametrize(("count", "fraction"), [(10, 0.2), (97, 0.33), (60_000, 0.1)])
def test_d02_the_rule_in_time_gives_the_indices(count: int, fraction: float) -> None:
    """D02: the numbers in the sentence of a split in time are the indices held out."""
    parts = split(count, fraction, labels=np.zeros(count, int), order="time", seed=0)
    told = re.fullmatch(
        r"The last (\d+) of (\d+) samples are held out and the first (\d+) train, "
        r"as they stand\.",
        parts.rule,
    )

    assert told is not None
    last, of, first = map(int, told.groups())
    assert parts.held_out.tolist() == list(range(of - last, of))
    assert parts.train.tolist() == list(range(first))


def test_d02_the_rule_of_classes_gives_the_indices() -> None:
    """D02: the seed and the numbers in the sentence, done by hand, give the indices."""
    labels = np.random.default_rng(0).integers(0, 4, 203)
    parts = split(203, 0.3, labels=labels, seed=9)
    told = re.fullmatch(
        r"(\d+) of 203 samples are held out, drawn in proportion from each of 4 classes "
        r"with seed (\d+), and the other (\d+) train\.",
        parts.rule,
    )

    assert told is not None
    held, seed, train = map(int, told.groups())
    permuted = Order(samples=203, seed=position_seed(seed, "split")).indices(0, 0, 203)
    sizes = [int((labels == label).sum()) for label in range(4)]
    shares = [size * held // 203 for size in sizes]
    by_remainder = sorted(range(4), key=lambda c: -(sizes[c] * held % 203))
    for label in by_remainder[: held - sum(shares)]:
        shares[label] += 1
    by_hand = [
        i for c in range(4) for i in [i for i in permuted if labels[i] == c][: shares[c]]
    ]
    assert parts.held_out.tolist() == sorted(by_hand)
    assert parts.train.size == train


def test_a_split_in_time_is_that_of_keras() -> None:
    """With order="time" both parts are those of Keras's validation_split, or both refuse."""
    cases = [
        (count, fraction)
        for count in (1, 2, 3, 4, 7, 10, 97, 100, 1000, 60_000)
        for fraction in (0.001, 0.1, 0.2, 0.3, 1 / 3, 0.55, 0.7, 0.9, 0.999)
    ]
    program = (
        "import json, sys, numpy as np\n"
        "from keras.src.trainers.data_adapters.array_slicing import train_validation_split\n"
        "for count, fraction in json.load(sys.stdin):\n"
        "    try:\n"
        "        parts = train_validation_split((np.arange(count),), fraction)\n"
        "        print(json.dumps([[len(p), int(p[0]), int(p[-1])] for (p,) in parts]))\n"
        "    except ValueError:\n"
        "        print('null')\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(cases),
        env=os.environ | {"KERAS_BACKEND": "numpy"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    answers = [json.loads(line) for line in printed.splitlines()]

    assert len(answers) == len(cases)
    assert 0 < answers.count(None) < len(cases)
    for (count, fraction), answer in zip(cases, answers, strict=True):
        if answer is None:
            with pytest.raises(DataError, match="Remedy"):
                split(count, fraction, order="time", seed=0)
            continue
        parts = split(count, fraction, order="time", seed=0)
        found = [[p.size, p[0], p[-1]] for p in (parts.train, parts.held_out)]
        assert found == answer, (count, fraction)
        assert covers(parts, count)
        assert split(count, fraction, seed=0).held_out.size == parts.held_out.size


def test_the_digest_is_over_both_parts_and_their_lengths() -> None:
    """The digest hashes lengths and indices, so that moving the cut changes it."""
    parts = split(10, 0.3, order="time", seed=0)
    numbers = [7, *range(7), 3, *range(7, 10)]
    hashed = hashlib.sha256(b"".join(n.to_bytes(8, "little") for n in numbers))

    assert parts.digest == hashed.hexdigest()
    assert parts.digest != split(10, 0.4, order="time", seed=0).digest


def test_seeds_give_different_splits_and_the_same_again() -> None:
    """A split is a function of its seed and of nothing that was drawn before."""
    labels = np.tile(np.arange(10), 50)
    digests = [split(500, 0.2, labels=labels, seed=seed).digest for seed in (0, 1, 0)]

    assert digests[0] == digests[2] != digests[1]


def test_the_split_is_not_the_order_of_an_epoch() -> None:
    """The held-out samples are not those that the same seed's first epoch begins with."""
    first = Order(samples=5000, seed=3).indices(0, 0, 1000)
    held = split(5000, 0.2, seed=3).held_out

    # Of 1,000 samples of 5,000, unrelated draws share 200, give or take 11.3.
    assert abs(np.intersect1d(first, held).size - 200) < 5 * 11.3


def test_splits_are_the_same_in_every_process() -> None:
    """A fresh process with another PYTHONHASHSEED gives digests kept here for good."""
    program = (
        "import json, numpy as np\n"
        "from epochwise.data.split import split\n"
        "labels = np.array(['ant', 'bee', 'cat'])[np.arange(1797) ** 2 % 7 % 3]\n"
        "print(json.dumps([split(1797, 0.2, labels=labels, seed=0).digest,\n"
        "    split(60_000, 0.1, labels=np.arange(60_000) % 10, seed=1).digest,\n"
        "    split(60_000, 0.1, seed=1).digest]))\n"
    )
    printed = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert [digest[:16] for digest in json.loads(printed)] == [
        "c4874eb07588c9eb",
        "b395f364f75a4b5e",
        "46a409c3471fc30b",
    ]


# Refusals.


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan"), float("inf"), 1, 0])
def test_a_fraction_outside_0_to_1_is_refused(fraction: float) -> None:
    """A fraction that leaves a part empty or means nothing is an error with a remedy."""
    with pytest.raises(
        PlanError, match=r"(?s)held-out fraction.*Remedy: use a fraction between"
    ):
        split(10, fraction, seed=0)


@pytest.mark.parametrize("order", ["stratified", "time"])
def test_a19_a_small_set_keeps_its_training_part(order: Any) -> None:
    """A19: four samples at 0.2 are three that train and one held out, never none."""
    parts = split(4, 0.2, order=order, seed=0)

    assert (parts.train.size, parts.held_out.size) == (3, 1)


@pytest.mark.parametrize("order", ["stratified", "time"])
@pytest.mark.parametrize(("count", "fraction"), [(1, 0.2), (4, 0.9), (2, 0.6), (10, 1e-17)])
def test_a19_a_part_without_samples_is_refused(count: int, fraction: float, order: Any) -> None:
    """A19: a split that would leave either part empty says how many samples each has."""
    with pytest.raises(DataError, match=r"(?s)leaves \d+ to train on.*Remedy: "):
        split(count, fraction, order=order, seed=0)


@pytest.mark.parametrize("labels", [[0, 1, 2], np.zeros((3, 1)), 5, []])
def test_labels_of_another_length_are_refused(labels: Any) -> None:
    """One label a sample is asked for; the error names the shape and the number."""
    with pytest.raises(DataError, match=r"do not fit 4 samples"):
        split(4, 0.5, labels=labels, seed=0)


def test_unknown_orders_seeds_and_sizes_are_refused() -> None:
    """Other words for the order, seeds out of range and no samples are errors."""
    with pytest.raises(PlanError, match=r'use order="stratified" or order="time"'):
        split(10, 0.2, order="random", seed=0)  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="seed=-1"):
        split(10, 0.2, seed=-1)
    with pytest.raises(PlanError, match="samples=0"):
        split(0, 0.2, seed=0)
