"""Does a run stop where a number stops being finite, and lose nothing?

The first, a middle and the last iteration get an input, a loss or a gradient that is not
finite. The run must stop at that iteration and say what was not finite first; its weights
and its newest checkpoint must be finite, and training must go on from them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from survivor import ITERATIONS, Training, import_everything, in_new_process

SAYS = {
    "input": "the input of its batch",
    "loss": "its loss",
    "gradient": "its gradient",
}


def checkpoint_is_finite(folder: Path) -> bool:
    """Tell whether the newest checkpoint verifies and holds finite numbers only."""
    from epochwise.checkpoint import Checkpoints
    from epochwise.record import RunFolder

    found = Checkpoints(RunFolder(folder)).load_newest()
    return found is not None and all(
        np.isfinite(array).all()
        for array in found[1].arrays.values()
        if array.dtype.kind == "f"
    )


def main() -> int:
    """Run the battery; return how many runs were not stopped as they should be."""
    failures = []
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        import_everything(root / "cache")
        for poison, says in SAYS.items():
            for place in (1, ITERATIONS // 3 // 2, ITERATIONS // 3):
                folder = root / f"{poison}-{place}"
                asked = Training(
                    folder=str(folder),
                    checkpoint_every="5it",
                    epochs=1,
                    poison=poison,
                    poison_at=place,
                )
                _, told = in_new_process(asked)
                right = (
                    told.get("ended") == "non_finite"
                    and told["iterations"] == place
                    and says in told["sentence"]
                    and told["finite"]
                    and told["trains_on"]
                    and checkpoint_is_finite(folder)
                )
                if not right:
                    failures.append(
                        (poison, place, told.get("sentence"), told.get("iterations"))
                    )
    print(f"9 poisoned runs, {9 - len(failures)} stopped as they should", *failures, sep="\n")
    return len(failures)


if __name__ == "__main__":
    sys.exit(min(1, main()))
