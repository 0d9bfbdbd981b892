"""A sampler's place is where the training is, whatever a loader draws in advance.

The loader here is a stand-in that draws ahead as `DataLoader` does with workers; the real
one is in test_sampler_torch.py.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator

import pytest

import epochwise
from epochwise.counting.plan import Plan
from epochwise.counting.position import START
from epochwise.data.iterations import iterate
from epochwise.data.sampler import EpochSampler
from epochwise.errors import DataError, PlanError


class AheadLoader:
    """Draws some batches ahead of its reader."""

    def __init__(self, sampler: object, ahead: int = 8) -> None:
        self.sampler, self.ahead = sampler, ahead
        self.drawn = 0

    def __iter__(self) -> Iterator[list[int]]:
        """Begin a pass."""
        waiting: deque[list[int]] = deque()
        rows = iter(self.sampler)
        while True:
            for batch in itertools.islice(rows, self.ahead + 1 - len(waiting)):
                self.drawn += 1
                waiting.append(batch)
            if not waiting:
                return
            yield waiting.popleft()


PLAN = Plan(samples=23, batch_size=4, epochs=3)
WHOLE = [batch.indices.tolist() for batch in iterate(PLAN, seed=7)]


def test_follow_goes_through_the_plan_and_pairs_each_batch() -> None:
    """All epochs, each batch of the loader beside its iteration."""
    sampler = EpochSampler(PLAN, seed=7)
    seen = list(sampler.follow(AheadLoader(sampler)))

    assert [data for _, data in seen] == WHOLE
    assert [batch.indices.tolist() for batch, _ in seen] == WHOLE
    assert sampler.position == PLAN.position(PLAN.iterations)
    assert list(sampler.follow(AheadLoader(sampler))) == []


@pytest.mark.parametrize("cut", range(PLAN.iterations + 1))
def test_f08_what_is_drawn_ahead_moves_no_position(cut: int) -> None:
    """F08: saved after any iteration, with eight batches drawn ahead, the rest follows."""
    sampler = EpochSampler(PLAN, seed=7)
    loader = AheadLoader(sampler)
    position = START
    for batch, _ in itertools.islice(sampler.follow(loader), cut):
        position = batch.after
    # What was handed out is no measure of what was trained on.
    assert cut in (0, 6, 12, 18) or loader.drawn > cut

    other = EpochSampler(PLAN, seed=7, position=position)
    rest = [data for _, data in other.follow(AheadLoader(other, ahead=2))]

    assert position == PLAN.position(cut)
    assert rest == WHOLE[cut:]


def test_a_loop_of_its_own_says_the_epoch() -> None:
    """D05: with `set_epoch` each pass is its epoch; without it the second pass is refused."""
    sampler = EpochSampler(PLAN, seed=7)
    seen = []
    for epoch_index in range(3):
        sampler.set_epoch(epoch_index)
        seen += list(AheadLoader(sampler))
    assert seen == WHOLE

    forgetful = EpochSampler(PLAN, seed=7)
    list(AheadLoader(forgetful))
    with pytest.raises(DataError, match=r"Epoch 1 was handed out already(.|\n)*set_epoch"):
        list(AheadLoader(forgetful))


def test_a_loop_of_its_own_resumes_where_it_was() -> None:
    """The pass of the epoch under way holds what is left of it, the next are whole."""
    sampler = EpochSampler(PLAN, seed=7, position=PLAN.position(8))
    assert sampler.position_after(3) == PLAN.position(11)

    lengths, seen = [], []
    for epoch_index in range(sampler.position.epochs_done, 3):
        sampler.set_epoch(epoch_index)
        lengths.append(len(sampler))
        seen += list(AheadLoader(sampler))

    assert lengths == [4, 6]
    assert seen == WHOLE[8:]


def test_looking_at_a_batch_changes_nothing() -> None:
    """The first batch of a loader can be looked at before training."""
    sampler = EpochSampler(PLAN, seed=7)
    assert next(iter(AheadLoader(sampler, ahead=2))) == WHOLE[0]

    assert [data for _, data in sampler.follow(AheadLoader(sampler))] == WHOLE


def test_a_loop_that_ends_inside_an_iteration_has_to_say_what_became_of_it() -> None:
    """After `break` nobody but the loop knows if the update was made: both are possible."""
    for was_made in (True, False):
        sampler = EpochSampler(PLAN, seed=7)
        seen = []
        for batch, data in sampler.follow(AheadLoader(sampler)):
            if batch.iteration == 3:
                break
            seen.append(data)
        with pytest.raises(DataError, match=r"inside iteration 3(.|\n)*batch\.after"):
            next(sampler.follow(AheadLoader(sampler)))
        sampler.set_epoch(0)
        with pytest.raises(DataError, match="inside iteration 3"):
            iter(sampler)

        sampler.position = batch.after if was_made else batch.before
        seen += [data for _, data in sampler.follow(AheadLoader(sampler))]

        assert seen == (WHOLE[:2] + WHOLE[3:] if was_made else WHOLE)


def test_an_error_of_the_loader_leaves_the_place_before_it() -> None:
    """What the data set raises comes through, and the batch counts as not trained on."""

    class Failing(AheadLoader):
        def __iter__(self) -> Iterator[list[int]]:
            """Fail at the third batch."""
            for number, rows in enumerate(super().__iter__()):
                if number == 2:
                    raise OSError("the disk is gone")
                yield rows

    sampler = EpochSampler(PLAN, seed=7)
    with pytest.raises(OSError, match="the disk is gone"):
        list(sampler.follow(Failing(sampler)))

    assert sampler.position == PLAN.position(2)
    assert [data for _, data in sampler.follow(AheadLoader(sampler))] == WHOLE[2:]


def test_a_loader_that_is_not_of_this_sampler_is_refused() -> None:
    """A list of batches, or a loader of another sampler, is not the plan's order."""
    sampler, other = EpochSampler(PLAN, seed=7), EpochSampler(PLAN, seed=7)

    for loader in (WHOLE, AheadLoader(other)):
        with pytest.raises(DataError, match="does not draw from this sampler"):
            list(sampler.follow(loader))


def test_a11_a_loader_of_another_length_is_refused() -> None:
    """A batch too few or too many is an error, never a short epoch."""

    class Short(AheadLoader):
        def __iter__(self) -> Iterator[list[int]]:
            """End early."""
            return itertools.islice(super().__iter__(), 5)

    class Long(AheadLoader):
        def __iter__(self) -> Iterator[list[int]]:
            """Go on."""
            return itertools.chain(super().__iter__(), [[0]])

    sampler = EpochSampler(PLAN, seed=7)
    with pytest.raises(DataError, match="ended after 5 of the 6 batches"):
        list(sampler.follow(Short(sampler)))
    sampler = EpochSampler(PLAN, seed=7)
    with pytest.raises(DataError, match="goes on after all of the 6 batches"):
        list(sampler.follow(Long(sampler)))


@pytest.mark.parametrize("shards", [1, 2, 3])
@pytest.mark.parametrize("pad", [True, False])
def test_flat_has_the_same_samples_one_by_one(shards: int, pad: bool) -> None:
    """Sample by sample it is the same order, with the length that it says."""
    for index in range(shards):
        sharing = {"shards": shards, "shard_index": index, "pad": pad}
        sampler = EpochSampler(PLAN, seed=7, position=PLAN.position(4), **sharing)
        batches = [b.indices.tolist() for b in iterate(PLAN, seed=7, **sharing)][4:6]

        assert len(sampler.flat) == sum(map(len, batches))
        assert sampler.flat.batch_size == len(batches[0])
        assert list(sampler.flat) == [row for rows in batches for row in rows]


def test_lengths_are_those_of_what_is_left() -> None:
    """A part of an epoch at the end, and nothing after it."""
    plan = Plan(samples=10, batch_size=4, iterations=4)
    lengths = [len(EpochSampler(plan, position=plan.position(done))) for done in range(5)]
    finished = EpochSampler(plan, position=plan.position(4))

    assert lengths == [3, 2, 1, 1, 0]
    assert len(finished.flat) == 0


def test_what_cannot_be_is_refused_at_once() -> None:
    """Epochs, positions and shards that are not there are errors of the call."""
    sampler = EpochSampler(PLAN)

    with pytest.raises(PlanError, match="epoch_index=3"):
        sampler.set_epoch(3)
    with pytest.raises(PlanError, match="belongs to another plan"):
        sampler.position = Plan(samples=22, batch_size=4, epochs=3).position(7)
    with pytest.raises(PlanError, match="belongs to another plan"):
        EpochSampler(PLAN, position=Plan(samples=22, batch_size=4, epochs=3).position(7))
    with pytest.raises(PlanError, match="without a sample"):
        EpochSampler(PLAN, shards=4)


def test_it_is_public() -> None:
    """`epochwise.EpochSampler` is this one."""
    assert epochwise.EpochSampler is EpochSampler
