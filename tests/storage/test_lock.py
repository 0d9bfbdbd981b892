"""One training at a time in a folder, and a dead one holds nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from epochwise.errors import RunError
from epochwise.record import RunFolder, locked
from epochwise.storage.disk import Disk
from epochwise.storage.lock import LOCK_FILE

HOLD = """
import sys, time
from pathlib import Path
from epochwise.record import RunFolder, locked
with locked(RunFolder(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(path: Path, code: str = HOLD) -> subprocess.Popen[str]:
    """Return a process that holds the lock of a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    """Kill a process, and wait for its end."""
    process.kill()
    process.communicate()


def test_the_second_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    """Process, machine and time of the one that trains are in the error."""
    first = hold(tmp_path)
    try:
        with pytest.raises(RunError) as caught, locked(RunFolder(tmp_path)):
            pass
    finally:
        end(first)

    what = caught.value.problems[0].what
    assert f"is being trained by process {first.pid} on {socket.gethostname()}, since 2" in what
    assert f"kill {first.pid}" in caught.value.problems[0].remedy


def test_the_lock_of_a_dead_one_is_taken_over(tmp_path: Path) -> None:
    """SIGKILL leaves the file with a name in it, and the next one is not held up by it."""
    for _ in range(5):
        end(hold(tmp_path))
        assert json.loads((tmp_path / LOCK_FILE).read_text())["host"] == socket.gethostname()
        with locked(RunFolder(tmp_path)):
            said = json.loads((tmp_path / LOCK_FILE).read_text())
            assert said["pid"] == os.getpid()


def test_two_in_one_process_are_told_apart(tmp_path: Path) -> None:
    """The lock is not the process's but the training's."""
    with (
        locked(RunFolder(tmp_path)),
        pytest.raises(RunError, match="is being trained"),
        locked(RunFolder(tmp_path)),
    ):
        pass
    with locked(RunFolder(tmp_path)):
        pass
    assert (tmp_path / LOCK_FILE).read_bytes() == b""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_worker_does_not_keep_the_lock(tmp_path: Path) -> None:
    """A training that ended in good order lets go, also of what its children inherited."""
    code = HOLD.replace("time.sleep(60)", "child = os.fork() or time.sleep(60)").replace(
        "import sys", "import os, signal, sys"
    )
    code += "print(child, flush=True)\ntime.sleep(60)\n"
    parent = hold(tmp_path, code)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        with locked(RunFolder(tmp_path)):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        end(parent)


def test_a_file_system_without_locks_is_told_of(tmp_path: Path) -> None:
    """Training goes on there, with one warning."""

    class Lockless(Disk):
        def lock(self, path: Path) -> int | None:
            return None

    with (
        pytest.warns(UserWarning, match="has no locks: a second training"),
        locked(RunFolder(tmp_path, Lockless())),
    ):
        pass
