"""Draw the picture of a run in the README: what a real `epochwise train` printed.

python docs/draw_run.py        writes docs/run.svg
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

PICTURE = Path(__file__).parent / "run.svg"
WIDTH = 120
COMMAND = ("train",)


def main() -> None:
    """Train the built-in digits and draw what was printed."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "epochwise", *COMMAND],
            capture_output=True,
            text=True,
            check=True,
            cwd=folder,
        )
    console = Console(file=io.StringIO(), record=True, width=WIDTH)
    console.print(Text.assemble(("$ ", "dim"), (f"epochwise {' '.join(COMMAND)}", "bold")))
    for line in done.stdout.splitlines():
        console.print(styled(line))
    picture = console.export_svg(title="epochwise train", unique_id="run")
    # The reader's own monospaced font will do; nothing is to be fetched for a picture.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    PICTURE.write_text(picture, encoding="utf-8")


def styled(line: str) -> Text:
    """A line with the counts of epochs and iterations in bold and accuracies in green."""
    text = Text(line)
    text.highlight_regex(r"(?:epoch|iteration) [\d,]+/[\d,]+", "bold cyan")
    text.highlight_regex(r"val_accuracy \S+", "green")
    text.highlight_regex(r"^[\d,]+ iterations = [\d,]+ weight updates", "bold")
    return text


if __name__ == "__main__":
    main()
