"""A damaged checkpoint is found, told, set aside, and the one before is used."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from batteries import damage
from epochwise.checkpoint import Checkpoints
from epochwise.checkpoint.manifest import FileDigest
from epochwise.errors import RunError
from epochwise.record import RunFolder
from saved import state_at


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    """Checkpoints at iterations 1, 2 and 3."""
    checkpoints = Checkpoints(RunFolder.create(tmp_path / "run"))
    for iteration in (1, 2, 3):
        checkpoints.save(state_at(iteration), fits={}, record_lengths={})
    return checkpoints


def test_every_damage_is_found() -> None:
    """G02, G03: cut, removed, zeroed, lengthened files and flipped bits, 0 overlooked."""
    counts = damage.find_all(flips=1500, each=False)

    assert counts["bit flipped"] == 3000
    assert counts["cut"] >= 8
    assert counts["removed"] == counts["emptied"] == counts["zeroed"] == 2


def test_without_verifying_damage_is_overlooked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above can fail: sizes and digests are what finds the damage."""
    monkeypatch.setattr(FileDigest, "verify", lambda self, data: None)

    with pytest.raises(AssertionError, match="the damage was not found"):
        damage.find_all(flips=100, each=False)


def test_several_damaged_ones_are_passed_over(checkpoints: Checkpoints) -> None:
    """G02: each is told, and the newest that is whole is used."""
    folder = checkpoints.folder.path / "checkpoints"
    (folder / "000000000003/manifest.json").unlink()
    (folder / "000000000002/state.safetensors").write_bytes(b"")

    with pytest.warns(UserWarning, match="is damaged") as warned:
        newest = checkpoints.newest()

    assert newest is not None
    assert newest.name == "000000000001"
    assert [str(w.message).split(" in ")[0] for w in warned] == [
        "The checkpoint 000000000003", "The checkpoint 000000000002",
    ]  # fmt: skip
    assert "manifest.json is missing" in str(warned[0].message)
    assert "holds 0 bytes instead of" in str(warned[1].message)


def test_when_all_are_damaged_there_is_none(checkpoints: Checkpoints) -> None:
    """None is handed out, and all are kept aside."""
    for name in checkpoints.committed():
        (checkpoints.folder.path / f"checkpoints/{name}/manifest.json").write_text("{}")

    with pytest.warns(UserWarning, match="set aside"):
        assert checkpoints.newest() is None

    assert checkpoints.folder.names("checkpoints") == [
        f"00000000000{n}.damaged" for n in (1, 2, 3)
    ]


def test_the_same_place_can_be_saved_and_set_aside_again(checkpoints: Checkpoints) -> None:
    """A second damaged checkpoint of one place has a name of its own."""
    for _ in range(2):
        path = checkpoints.folder.path / "checkpoints/000000000003/state.safetensors"
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.warns(UserWarning, match="set aside"):
            checkpoints.newest()
        checkpoints.save(state_at(3), fits={}, record_lengths={})

    assert checkpoints.folder.names("checkpoints")[-3:] == [
        "000000000003", "000000000003.damaged", "000000000003.damaged.2",
    ]  # fmt: skip


def test_a_checkpoint_under_another_name_is_found(checkpoints: Checkpoints) -> None:
    """A folder copied to a later name is not a later checkpoint."""
    folder = checkpoints.folder.path / "checkpoints"
    shutil.copytree(folder / "000000000003", folder / "000000000099")

    with pytest.warns(UserWarning, match="is that of another checkpoint"):
        newest = checkpoints.newest()

    assert newest is not None
    assert newest.name == "000000000003"


def test_one_that_is_asked_for_and_damaged_is_refused(checkpoints: Checkpoints) -> None:
    """`load` hands out nothing of it, and sets nothing aside."""
    newest = checkpoints.newest()
    assert newest is not None
    path = checkpoints.folder.path / "checkpoints" / newest.name / "state.safetensors"
    path.write_bytes(path.read_bytes() + b"junk")

    with pytest.raises(RunError, match=r"000000000003 in .* is damaged: it holds"):
        checkpoints.load(newest)
    assert checkpoints.committed()[-1] == newest.name


def test_a_later_format_is_not_damage(checkpoints: Checkpoints) -> None:
    """A checkpoint of a newer version is refused with a remedy, and left where it is."""
    import hashlib

    path = checkpoints.folder.path / "checkpoints/000000000003/manifest.json"
    text = path.read_bytes().replace(b'"format": 1', b'"format": 2')
    text = text[: text.index(b',\n  "sha256"', -100)]
    end = f',\n  "sha256": "{hashlib.sha256(text).hexdigest()}"\n}}\n'
    path.write_bytes(text + end.encode())

    with pytest.raises(RunError, match="has format 2; this Epochwise reads format 1"):
        checkpoints.newest()
    assert checkpoints.committed()[-1] == "000000000003"
