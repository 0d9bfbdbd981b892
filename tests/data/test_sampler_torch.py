"""The sampler under the real `DataLoader`, with 0, 1 and 4 workers."""

from __future__ import annotations

from typing import Any

from epochwise.counting.plan import Plan
from epochwise.data.iterations import iterate
from programs import run_program

SHARED = """
import json
import torch
from torch.utils.data import DataLoader, Dataset
from epochwise import EpochSampler, Plan, Position

class Numbers(Dataset):
    def __len__(self):
        return 23
    def __getitem__(self, i):
        return torch.full((3,), float(i)), i

data = Numbers()
plan = Plan(samples=23, batch_size=4, epochs=3)

def sampler_of(**options):
    return EpochSampler(plan, seed=7, **options)

def loader_of(sampler, workers, **options):
    return DataLoader(data, batch_sampler=sampler, num_workers=workers, **options)

def rows(y):
    return y.tolist()
"""

PLAN = Plan(samples=23, batch_size=4, epochs=3)
WHOLE = [batch.indices.tolist() for batch in iterate(PLAN, seed=7)]


def run(*parts: str) -> Any:
    """Run a program that uses the shared definitions."""
    return run_program(SHARED, *parts, needs="torch")


def test_a10_the_order_is_the_same_for_any_number_of_workers() -> None:
    """A10: 0, 1 and 4 workers, kept or started anew, by batches or one by one."""
    found = run(
        """
        told = {}
        for workers in (0, 1, 4):
            sampler = sampler_of()
            loader = loader_of(sampler, workers, persistent_workers=workers == 4)
            told[f"batches {workers}"] = [rows(y) for _, (x, y) in sampler.follow(loader)]
        sampler = sampler_of()
        size = sampler.flat.batch_size
        loader = DataLoader(data, sampler=sampler.flat, batch_size=size, num_workers=1)
        told["one by one"] = [rows(y) for _, (x, y) in sampler.follow(loader)]
        own, loader = [], loader_of(sampler_of(), 1)
        for epoch_index in range(3):
            loader.batch_sampler.set_epoch(epoch_index)
            own.append([len(loader), [rows(y) for x, y in loader]])
        print(json.dumps({"told": told, "own": own}))
        """
    )

    assert found["told"] == dict.fromkeys(
        ["batches 0", "batches 1", "batches 4", "one by one"], WHOLE
    )
    assert [length for length, _ in found["own"]] == [6, 6, 6]
    assert [rows for _, epoch in found["own"] for rows in epoch] == WHOLE


def test_f01_f08_four_workers_draw_ahead_and_the_place_stays_exact() -> None:
    """F01, F08: stopped after 9 of 18 iterations, the rest is trained on, each once."""
    found = run(
        """
        drawn = 0
        class Counting(EpochSampler):
            def __iter__(self):
                for batch in super().__iter__():
                    global drawn
                    drawn += 1
                    yield batch

        sampler = Counting(plan, seed=7)
        seen = []
        for batch, (x, y) in sampler.follow(loader_of(sampler, 4, prefetch_factor=1)):
            seen.append(rows(y))
            saved = json.dumps(batch.after.to_json())
            if batch.iteration == 9:
                break
        ahead = drawn - len(seen)
        again = sampler_of(position=Position.from_json(json.loads(saved)))
        seen += [rows(y) for _, (x, y) in again.follow(loader_of(again, 1))]
        print(json.dumps({"seen": seen, "ahead": ahead}))
        """
    )

    assert found["seen"] == WHOLE
    assert found["ahead"] > 0  # a place counted where batches are drawn would be wrong


def test_d05_j04_j05_processes_share_every_batch() -> None:
    """D05, J04, J05: three processes, each with workers: disjoint, complete, as many updates.

    The last batch of 3 is one for each; padding to four processes is told, with weight 0.
    """
    found = run(
        """
        def parts(shards, pad):
            told = []
            for index in range(shards):
                sampler = sampler_of(shards=shards, shard_index=index, pad=pad)
                told.append([
                    [rows(y), batch.sample_weights.tolist(), batch.padding]
                    for batch, (x, y) in sampler.follow(loader_of(sampler, index % 2))
                ])
            return told
        print(json.dumps([parts(3, False), parts(4, True)]))
        """
    )

    for shards, padding in zip(found, (0, 1), strict=True):
        assert {len(parts) for parts in shards} == {18}
        for iteration, samples in enumerate(WHOLE):
            real = [
                row
                for parts in shards
                for row, weight in zip(*parts[iteration][:2], strict=True)
                if weight
            ]
            assert real == samples
        assert {parts[5][2] for parts in shards} == {padding}
