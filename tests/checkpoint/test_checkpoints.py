"""What is saved is what is loaded; what is not kept is removed."""

from __future__ import annotations

import errno
import math
from pathlib import Path
from typing import Any

import pytest

from epochwise.checkpoint import Checkpoints
from epochwise.record import RunFolder
from faulty import Do, FaultyDisk
from saved import assert_same, state_at


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    """Checkpoints in an empty folder."""
    return Checkpoints(RunFolder.create(tmp_path / "run"))


def save(checkpoints: Checkpoints, *places: int, best: int | None = None) -> None:
    """Save a state at each of the places."""
    for place in places:
        checkpoints.save(state_at(place), fits={}, record_lengths={}, best=best)


def test_a_state_is_loaded_as_it_was_saved(checkpoints: Checkpoints) -> None:
    """Arrays bit for bit with their dtypes and shapes, memories with NaN and infinity."""
    memories = {"best": math.inf, "seen": [1, None, True, "x", {"worst": -math.inf}], "e": 1e-9}
    saved = checkpoints.save(
        state_at(7, **memories), fits={"seed": 3}, record_lengths={"events.jsonl": 12}
    )

    newest = checkpoints.newest()
    assert newest == saved

    assert_same(checkpoints.load(newest), state_at(7, **memories))
    assert newest.fits == {"seed": 3}
    assert newest.record_lengths == {"events.jsonl": 12}


def test_not_a_number_is_remembered_as_such(checkpoints: Checkpoints) -> None:
    """A NaN among the memories comes back as a NaN."""
    checkpoints.save(state_at(1, last=math.nan), fits={}, record_lengths={})
    newest = checkpoints.newest()
    assert newest is not None

    assert math.isnan(checkpoints.load(newest).memories["last"])


def test_without_a_checkpoint_there_is_none(checkpoints: Checkpoints) -> None:
    """A run that was never saved has no newest."""
    assert checkpoints.newest() is None
    assert checkpoints.committed() == []


def test_the_last_and_the_best_are_kept(checkpoints: Checkpoints) -> None:
    """The latest three places stay, and that of the best weights."""
    save(checkpoints, 1, 2, 3, 4, best=1)
    assert checkpoints.committed() == [f"{n:012d}" for n in (1, 2, 3, 4)]
    save(checkpoints, 5, best=4)

    assert checkpoints.committed() == [f"{n:012d}" for n in (3, 4, 5)]


def test_a_place_can_be_saved_again(checkpoints: Checkpoints) -> None:
    """The later one is the newest, and the earlier one goes only when it is there."""
    save(checkpoints, 5, 5, 5)

    assert checkpoints.committed() == ["000000000005.3"]
    newest = checkpoints.newest()
    assert newest is not None
    assert newest.name == "000000000005.3"


def test_loaded_arrays_cannot_be_written_to(checkpoints: Checkpoints) -> None:
    """They look into the file that was verified."""
    save(checkpoints, 1)
    found = checkpoints.load_newest()
    assert found is not None

    assert not any(array.flags.writeable for array in found[1].arrays.values())


def test_what_a_killed_process_left_is_removed(checkpoints: Checkpoints) -> None:
    """The next save removes folders half written and half removed, and nothing else."""
    save(checkpoints, 1)
    folder = checkpoints.folder.path / "checkpoints"
    for left in ("000000000002.part", "000000000000.part", "000000000001.damaged"):
        (folder / left).mkdir()
        (folder / left / "state.safetensors").touch()
    save(checkpoints, 2)

    assert checkpoints.folder.names("checkpoints") == [
        "000000000001", "000000000001.damaged", "000000000002",
    ]  # fmt: skip


def test_a_checkpoint_that_cannot_be_removed_is_told(
    tmp_path: Path,
) -> None:
    """The new one is saved all the same, and the removal is tried again later."""
    disk = FaultyDisk()
    checkpoints = Checkpoints(RunFolder.create(tmp_path / "run", disk), keep_last=1)
    save(checkpoints, 1)

    def refuse(place: int, name: str, do: Do, arguments: tuple[Any, ...]) -> Any:
        if name == "rename" and arguments[1].name.startswith("000000000001"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return do(*arguments)

    disk.watch(refuse)
    with pytest.warns(UserWarning, match="Could not remove .*000000000001: Permission"):
        save(checkpoints, 2)
    disk.watch(None)
    assert checkpoints.committed() == ["000000000001", "000000000002"]
    save(checkpoints, 3)

    assert checkpoints.committed() == ["000000000003"]


def test_keeping_none_is_refused(tmp_path: Path) -> None:
    """At least one checkpoint is kept."""
    with pytest.raises(ValueError, match="keep_last=0"):
        Checkpoints(RunFolder(tmp_path), keep_last=0)
