"""Is every damage to a checkpoint found before an array is handed out?

Each file of the newest of three checkpoints is cut at every 4 KiB, removed, emptied,
zeroed as a whole and page by page, lengthened with junk, and has single bits flipped, at
random and, in the manifest, each one. After each the checkpoint before is loaded, one
warning is given, and the damaged one is kept under another name.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from crashing import ImageDisk
from epochwise.checkpoint import Checkpoints
from epochwise.record import RunFolder
from saved import assert_same, state_at

PAGE_BYTES = 4096
NEWEST, BEFORE = "000000000003", "000000000002"
SCALE = 600
FILES = ("state.safetensors", "manifest.json")


def three_checkpoints() -> dict[Path, bytes | None]:
    """Return the files of a run with checkpoints at iterations 1, 2 and 3."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "run"
        checkpoints = Checkpoints(RunFolder.create(root))
        for iteration in (1, 2, 3):
            checkpoints.save(state_at(iteration, scale=SCALE), fits={}, record_lengths={})
        return {
            Path("/run") / path.relative_to(root): path.read_bytes() if path.is_file() else None
            for path in [root, *root.rglob("*")]
        }


def damages(
    content: bytes, rng: random.Random, *, flips: int, each: bool
) -> Iterator[tuple[str, bytes | None]]:
    """Yield what may become of a file, with a name for the kind of it.

    Args:
        content: what it held.
        rng: chooses bits.
        flips: how many bits are flipped at random, each alone.
        each: whether each of them is flipped.
    """
    yield "removed", None
    yield "emptied", b""
    yield "zeroed", bytes(len(content))
    for begin in range(0, len(content), PAGE_BYTES):
        end = min(begin + PAGE_BYTES, len(content))
        if begin:
            yield "cut", content[:begin]
        if any(content[begin:end]):
            yield "page zeroed", content[:begin] + bytes(end - begin) + content[end:]
    yield "cut", content[:-1]
    for junk in (b"\0", b"\n", b" " * 8, bytes(PAGE_BYTES), rng.randbytes(100), content):
        yield "junk appended", content + junk
    bits = range(8 * len(content)) if each else rng.sample(range(8 * len(content)), flips)
    for bit in bits:
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        yield "bit flipped", bytes(flipped)


def find(nodes: dict[Path, bytes | None], file: str, damaged: bytes | None) -> None:
    """Check that a damage is found, told once, and that the checkpoint before is loaded.

    Args:
        nodes: the files of the run as they were.
        file: which one of the newest checkpoint is damaged.
        damaged: what became of it; `None` if it is gone.
    """
    left = dict(nodes)
    path = Path("/run/checkpoints") / NEWEST / file
    left.pop(path)
    if damaged is not None:
        left[path] = damaged
    disk = ImageDisk(left)
    checkpoints = Checkpoints(RunFolder(Path("/run"), disk))
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = checkpoints.load_newest()
    assert found is not None, "no checkpoint was loaded"
    assert found[0].name == BEFORE, "the damage was not found"
    assert_same(found[1], state_at(2, scale=SCALE))
    assert len(warned) == 1, "the damage was not told once"
    assert f"The checkpoint {NEWEST}" in str(warned[0].message)
    assert checkpoints.committed() == ["000000000001", BEFORE]
    kept = Path("/run/checkpoints") / f"{NEWEST}.damaged" / file
    assert disk.nodes.get(kept) == damaged, "the damaged checkpoint was not kept"


def find_all(*, flips: int, each: bool, seed: int = 0) -> Counter[str]:
    """Damage the files in every way.

    Args:
        flips: bits flipped at random in each file.
        each: whether each bit of the manifest is flipped as well.
        seed: chooses them.

    Returns:
        How many damages of each kind were made, all of them found.
    """
    nodes, rng = three_checkpoints(), random.Random(seed)
    counts: Counter[str] = Counter()
    for file in FILES:
        content = nodes[Path("/run/checkpoints") / NEWEST / file]
        assert content is not None
        all_bits = each and file == "manifest.json"
        for kind, damaged in damages(content, rng, flips=flips, each=all_bits):
            find(nodes, file, damaged)
            counts[kind] += 1
    return counts


def main() -> None:
    """Make all damages, and count them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--flips", type=int, default=10_000, help="of random bits a file")
    counts = find_all(flips=parser.parse_args().flips, each=True)
    for kind, count in counts.items():
        print(f"{kind}: {count}, all found")
    print(f"{counts.total()} damages, all found before an array was handed out")


if __name__ == "__main__":
    main()
