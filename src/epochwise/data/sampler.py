"""The order of a plan for PyTorch's `DataLoader`, on any number of workers and processes.

A `DataLoader` draws from its sampler ahead of the training loop: with four workers about
eight batches. A sampler that counted what it hands out would save a place that the loop
has not come to. Here the place is counted where the training is: each batch is paired
with its `Iteration`, whose `after` is the place to save once its update is made.

Imports no PyTorch: a sampler is an object that can be iterated over and has a length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

from epochwise.counting.plan import Plan
from epochwise.counting.position import START, Position
from epochwise.data.iterations import Iteration, Share, check_position, iterate
from epochwise.errors import DataError

Data = TypeVar("Data")


class EpochSampler:
    """Hands the batches of a plan to a `DataLoader`, epoch by epoch, from any place on.

        sampler = EpochSampler(plan, seed=0, position=position)
        loader = DataLoader(data, batch_sampler=sampler, num_workers=4)
        for batch, (x, y) in sampler.follow(loader):
            ...                      # one weight update
            save(batch.after)        # where a new process goes on

    `follow` goes through all epochs that are left. A loop that iterates over the loader
    itself gets one epoch at a time and says which, as it does with PyTorch's samplers:

        for epoch_index in range(sampler.position.epochs_done, epochs):
            sampler.set_epoch(epoch_index)
            for x, y in loader:
                ...

    The same samples form the same iteration for any number of workers and processes.

    Args:
        plan: how many iterations there are, and of how many samples; its batch size is
            over all processes together.
        seed: keys the order, 0 to 2**64 - 1.
        position: what is done already; the `after` of the last iteration trained.
        shuffle: whether each epoch is a new permutation.
        shards: D, how many processes share each batch (PyTorch's world size).
        shard_index: which of them this is, 0 to D - 1 (PyTorch's rank).
        pad: where a batch does not divide over the processes, give all as many samples
            as the longest part has; see `iterate`, and `Iteration.sample_weights` for
            what is padding.

    Raises:
        PlanError: the position is not one of this plan, there is no such shard, or a
            shard would get no sample.

    Example:
        Two epochs of 5 samples at 2 an iteration; any iterable of batches will do.

        >>> sampler = EpochSampler(Plan(samples=5, batch_size=2, epochs=2), seed=0)
        >>> letters = ["a", "b", "c", "d", "e"]
        >>> class Loader:
        ...     def __iter__(self):
        ...         return ([letters[i] for i in rows] for rows in sampler)
        >>> for batch, data in sampler.follow(Loader()):
        ...     print(batch.epoch, batch.iteration, data)
        1 1 ['b', 'd']
        1 2 ['c', 'e']
        1 3 ['a']
        2 4 ['e', 'a']
        2 5 ['c', 'd']
        2 6 ['b']
    """

    def __init__(
        self,
        plan: Plan,
        *,
        seed: int = 0,
        position: Position = START,
        shuffle: bool = True,
        shards: int = 1,
        shard_index: int = 0,
        pad: bool = False,
    ) -> None:
        """Check that there are such iterations."""
        self.plan = plan
        self._seed, self._shuffle = seed, shuffle
        self.share = Share(shards=shards, shard_index=shard_index, pad=pad)
        self._passes = 0
        self._handed_out: Position | None = None
        self._under_way: Iteration | None = None
        self._position = position
        self._from(position)

    @property
    def position(self) -> Position:
        """The place where the next pass over the loader begins.

        It moves by `follow`, by `set_epoch` and by being set, never by what a
        `DataLoader` draws in advance. Inside an iteration it is still the place before.
        """
        return self._position

    @position.setter
    def position(self, position: Position) -> None:
        check_position(self.plan, position)
        self._position = position
        self._handed_out = self._under_way = None

    def set_epoch(self, epoch_index: int) -> None:
        """Begin the next pass with this epoch, or go on in it if it is under way.

        Args:
            epoch_index: zero-based.

        Raises:
            PlanError: the plan has no such epoch.
        """
        self.plan.iterations_in_epoch(epoch_index)
        if epoch_index == self._position.epochs_done:
            self._handed_out = None
        else:
            self.position = self.plan.position(epoch_index * self.plan.iterations_per_epoch)

    def position_after(self, iterations: int) -> Position:
        """Return the place once the loop has trained on the first batches of this pass.

        For a loop that counts its own batches and iterates over the loader itself.

        Args:
            iterations: how many it has trained on in this pass [iterations].

        Raises:
            PlanError: the plan has fewer.

        Example:
            >>> sampler = EpochSampler(Plan(samples=5, batch_size=2, epochs=2))
            >>> sampler.position_after(2).samples_done
            4
        """
        return self.plan.position(self._position.iterations_done + iterations)

    def __len__(self) -> int:
        """Return how many batches the next pass has: what is left of its epoch."""
        done = self._position.iterations_done
        if done == self.plan.iterations:
            return 0
        in_epoch = self.plan.iterations_in_epoch(self._position.epochs_done)
        return in_epoch - self._position.iterations_in_epoch_done

    def __iter__(self) -> Iterator[list[int]]:
        """Return what is left of the epoch under way, a list of samples for each batch.

        Raises:
            DataError: it was handed out already and nobody said that it was trained on,
                or the last `follow` ended inside an iteration.
        """
        if self._under_way is not None:
            raise DataError(
                "The last loop ended inside iteration "
                f"{self._under_way.iteration:,}, and only the loop knows whether its update "
                "was made.",
                "set sampler.position = batch.after if it was, or sampler.position = "
                "batch.before to train on this batch again.",
            )
        if self._handed_out == self._position:
            raise DataError(
                f"Epoch {self._position.epochs_done + 1:,} was handed out already: this "
                "pass would train on the same batches in the same order.",
                "call sampler.set_epoch(epoch_index) before each epoch, or loop with "
                "`for batch, data in sampler.follow(loader)`.",
            )
        self._passes += 1
        return self._rows(self._position, len(self))

    def follow(self, loader: Iterable[Data]) -> Iterator[tuple[Iteration, Data]]:
        """Yield each batch of the loader with its iteration, through all epochs left.

        Args:
            loader: draws from this sampler, by `batch_sampler=sampler` or by
                `sampler=sampler.flat`.

        Returns:
            An iterator of `(iteration, data)`. When the body of the loop is done with
            one, `position` moves to its `after`.

        Raises:
            DataError: the loader does not draw from this sampler, or has fewer or more
                batches than there are iterations.
        """
        while expected := len(self):
            passes, batches = self._passes, iter(loader)
            for done, batch in enumerate(islice(self._from(self._position), expected)):
                try:
                    data = next(batches)
                except StopIteration:
                    raise _other_length(f"ended after {done:,}", expected) from None
                if self._passes == passes:
                    raise _not_drawn()
                self._under_way = batch
                yield batch, data
                self.position = batch.after
            for _ in batches:
                raise _other_length("goes on after all", expected)

    @property
    def flat(self) -> FlatSampler:
        """The same samples one by one, for `DataLoader(sampler=…, batch_size=…)`."""
        return FlatSampler(self)

    def _from(self, position: Position) -> Iterator[Iteration]:
        """Return the iterations from a place on."""
        return iterate(
            self.plan,
            seed=self._seed,
            position=position,
            shuffle=self._shuffle,
            shards=self.share.shards,
            shard_index=self.share.shard_index,
            pad=self.share.pad,
        )

    def _rows(self, start: Position, count: int) -> Iterator[list[int]]:
        """Yield the rows of one pass, then note that all of them were handed out."""
        for batch in islice(self._from(start), count):
            yield batch.indices.tolist()
        self._handed_out = start


class FlatSampler:
    """The samples of an `EpochSampler` one by one, for a loader that forms the batches.

        DataLoader(data, sampler=sampler.flat, batch_size=sampler.flat.batch_size)

    The loader has to form them with this batch size and with `drop_last=False`, else its
    batches are not the plan's; `EpochSampler.follow` notices.

    Args:
        batches: where they come from.
    """

    def __init__(self, batches: EpochSampler) -> None:
        """Keep the sampler."""
        self._batches = batches

    @property
    def batch_size(self) -> int:
        """Samples of a full batch in this process [samples / iteration]."""
        return self._batches.share.count(self._batches.plan.batch_size_of(0))

    def __len__(self) -> int:
        """Return how many samples the next pass has in this process."""
        left, done = len(self._batches), self._batches.position.iterations_done
        if not left:
            return 0
        last = self._batches.plan.batch_size_of(done + left - 1)
        return (left - 1) * self.batch_size + self._batches.share.count(last)

    def __iter__(self) -> Iterator[int]:
        """Return what is left of the epoch under way, sample by sample."""
        for rows in self._batches:
            yield from rows


def _not_drawn() -> DataError:
    return DataError(
        "The loader does not draw from this sampler, so its batches are not the plan's.",
        "build it with DataLoader(data, batch_sampler=sampler).",
    )


def _other_length(what: str, expected: int) -> DataError:
    return DataError(
        f"The loader {what} of the {expected:,} batches that are left in this epoch.",
        "build it with DataLoader(data, batch_sampler=sampler), without drop_last.",
    )
