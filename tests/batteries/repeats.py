"""Is the same run the same run, wherever it is cut and whoever looks?

Each training runs in a process of its own: twice alike; with checkpoints after every
iteration, every 7, every 100, every epoch and never, which cut it into segments of those
lengths; with every iteration looked at; and with a log. All digests must be equal.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from survivor import Training, import_everything, in_new_process

WAYS = {
    "every ten seconds": Training(folder="", checkpoint_every="10s"),
    "the same again": Training(folder="", checkpoint_every="10s"),
    "checkpoints and segments of 1": Training(folder="", checkpoint_every="1it"),
    "checkpoints and segments of 7": Training(folder="", checkpoint_every="7it"),
    "checkpoints and segments of 100": Training(folder="", checkpoint_every="100it"),
    "checkpoints every epoch": Training(folder="", checkpoint_every="1ep"),
    "checkpoints never": Training(folder="", checkpoint_every="never"),
    "every iteration looked at": Training(
        folder="", checkpoint_every="never", callback_every_iteration=True
    ),
    "with a log": Training(folder="", checkpoint_every="1ep", verbose=2),
}


def main() -> int:
    """Run the battery; return how many trainings differed."""
    from dataclasses import replace

    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        import_everything(root / "cache")
        digests = {}
        for number, (way, training) in enumerate(WAYS.items()):
            asked = replace(training, folder=str(root / str(number)))
            digests[way] = in_new_process(asked)[1].get("digest")
    differing = [way for way in WAYS if digests[way] != digests["every ten seconds"]]
    print(f"{len(WAYS)} trainings, {len(WAYS) - len(differing)} identical digests", differing)
    return len(differing) + (None in digests.values())


if __name__ == "__main__":
    sys.exit(min(1, main()))
