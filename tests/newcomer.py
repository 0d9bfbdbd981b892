"""Programs run as a newcomer's are: a process of its own, an empty home, nothing set.

Its environment is built from scratch, so that no setting of the tests (a backend, a folder of
compiled programs) or of the developer reaches it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def newcomer_environment(home: Path) -> dict[str, str]:
    """Return all that is set where a newcomer works."""
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    return {"HOME": str(home), "PATH": path, "LANG": "C.UTF-8"}


def run_as_newcomer(
    what: str | Path | Sequence[object],
    *,
    folder: Path | None = None,
    home: Path | None = None,
    environment: Mapping[str, str] | None = None,
    check: bool = True,
    closed: Sequence[int] = (),
    **options: Any,
) -> subprocess.CompletedProcess[str]:
    """Run code (a string), a script (a path) or `epochwise` (its arguments); return its end.

    Args:
        what: what to run; code becomes a script outside the working folder.
        folder: the working folder; a new, empty one unless given.
        home: likewise.
        environment: what the user has set, beside `HOME`, `PATH` and `LANG`.
        closed: streams that are closed when it begins, by their numbers.
        check: whether another exit code than 0 fails the test and shows stderr.
        **options: of `subprocess.run`, such as `input=` or `stdout=`.
    """
    with tempfile.TemporaryDirectory(prefix="newcomer-", ignore_cleanup_errors=True) as place:
        new = {name: Path(place) / name for name in ("home", "folder")}
        for path in new.values():
            path.mkdir()
        if isinstance(what, str):
            script = Path(place) / "script.py"
            script.write_text(textwrap.dedent(what), encoding="utf-8")
            what = script
        arguments = [what] if isinstance(what, Path) else ["-m", "epochwise", *what]
        command = [sys.executable, *map(str, arguments)]
        if closed:  # by a shell, since a function run before the program would need a fork
            closing = " ".join(f"{stream}>&-" for stream in closed)
            command = ["sh", "-c", f'exec "$@" {closing}', "sh", *command]
        done = subprocess.run(
            command,
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options,
            cwd=folder or new["folder"],
            env=newcomer_environment(home or new["home"]) | dict(environment or {}),
            check=False,
        )
    assert not check or done.returncode == 0, f"exit code {done.returncode}\n{done.stderr}"
    return done
