"""Whether the data fit beside the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from epochwise.data.samples import Samples
from epochwise.engines.memory import free_host_bytes, parts_that_fit


def of_bytes(count: int) -> Samples:
    return Samples(x=np.zeros((count, 1), np.uint8))


def test_parts_fit_as_long_as_half_of_what_the_model_leaves_is_enough() -> None:
    """1,000 free bytes less 5 times 40 of weights leave 400 for data; the next does not fit."""
    first, second, third = of_bytes(300), of_bytes(101), of_bytes(100)

    fitting = parts_that_fit([first, second, third], weight_bytes=40, free_bytes=1_000)

    assert fitting == [first, third]


def test_where_nobody_tells_what_is_free_everything_fits() -> None:
    """Without a figure the data go to the device; a failure there is the device's to tell."""
    part = of_bytes(10**6)

    assert parts_that_fit([part], weight_bytes=10**12, free_bytes=None) == [part]


def test_mapped_arrays_stay_in_their_file(tmp_path: Path) -> None:
    """A memory map never fits, whether it is the features, the targets or the weights."""
    np.save(tmp_path / "a.npy", np.zeros(4))
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    plain = np.zeros(4)

    for part in (
        Samples(x=mapped, y=plain),
        Samples(x=plain, y=(plain, mapped)),
        Samples(x=plain, y=plain, weight={"a": mapped}),
    ):
        assert parts_that_fit([part], weight_bytes=0, free_bytes=None) == []


def test_free_memory_is_the_least_of_the_system_and_of_the_groups(tmp_path: Path) -> None:
    """A control group's limit above the process counts, and so does what it used."""
    meminfo, membership = tmp_path / "meminfo", tmp_path / "cgroup"
    groups = tmp_path / "groups"
    inner = groups / "outer" / "inner"
    inner.mkdir(parents=True)
    meminfo.write_text("MemTotal: 9000 kB\nMemAvailable:    5000 kB\n")
    membership.write_text("0::/outer/inner\n")
    assert free_host_bytes(meminfo, groups, membership) == 5000 * 1024

    (inner / "memory.max").write_text("max\n")
    (inner / "memory.current").write_text("1000\n")
    (groups / "outer" / "memory.max").write_text("3000000\n")
    (groups / "outer" / "memory.current").write_text("1000000\n")
    assert free_host_bytes(meminfo, groups, membership) == 2_000_000


def test_a_system_that_tells_nothing_has_no_figure(tmp_path: Path) -> None:
    """Without Linux's files the answer is None, not 0."""
    missing = tmp_path / "missing"

    assert free_host_bytes(missing, missing, missing) is None
