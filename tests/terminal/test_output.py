"""A training outlives its standard output; L12."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from epochwise.terminal.output import Output
from newcomer import run_as_newcomer

FULL, GONE, CLOSED = "No space left on device", "its reader has gone", "it is closed"


@contextmanager
def unwritable(kind: str) -> Iterator[dict[str, Any]]:
    """Yield the options of a process whose standard output cannot be written to."""
    if kind == FULL:
        with Path("/dev/full").open("w", encoding="utf-8") as full:
            yield {"stdout": full}
    elif kind == GONE:
        reader, writer = os.pipe()
        os.close(reader)
        try:
            yield {"stdout": writer}
        finally:
            os.close(writer)
    else:
        yield {"closed": [1]}


def told(reason: str, then: str = ", and the work goes on") -> str:
    """Return the one line of standard error."""
    return f"Standard output takes no more ({reason}): nothing more is shown{then}.\n"


def test_every_verb_that_trains_goes_on_without_its_output(tmp_path: Path) -> None:
    """L12: a full disk, a closed stream and a reader that left cost one line, and no run."""
    train = ["train", "digits", "--iterations", "12", "--run-dir", "kept"]
    extend = ["resume", "kept", "--extend-to-epochs", "2"]
    sweep = ["sweep", "--epochs", "1", "--seeds", "1", "--sweep-dir", "swept"]
    tune = ["tune", "--seconds", "1", "--sizes", "64", "--save", "advised"]
    verbs = ((train, FULL), (extend, CLOSED), (sweep, GONE), (tune, FULL))
    for command, reason in verbs:
        with unwritable(reason) as options:
            done = run_as_newcomer(command, folder=tmp_path, **options)
        assert done.stderr == told(reason), command
    runs = run_as_newcomer(["runs"], folder=tmp_path, home=tmp_path)
    assert runs.stdout
    assert '"rule":"plan"' in (tmp_path / "kept" / "events.jsonl").read_text().replace(" ", "")
    assert (tmp_path / "swept").is_dir()
    assert (tmp_path / "advised").is_dir()


def test_fit_goes_on_without_its_output(tmp_path: Path) -> None:
    """L12: in Python too, for each `verbose`, without any stream, and until the last print."""
    code = """
        import os, sys
        import epochwise
        import keras
        import numpy as np

        x, y = np.zeros((64, 2), "float32"), np.zeros(64, "int32")
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss)
        streams = sys.stdout, sys.stderr
        reader, writer = os.pipe()
        os.close(reader)
        for stdout in (None, open("/dev/full", "w"), os.fdopen(writer, "w"), streams[0]):
            for verbose in ("auto", 1, 2):
                sys.stdout = stdout
                run = epochwise.fit(model, x, y, epochs=2, batch_size=32, verbose=verbose)
                assert run.position.iterations_done == 4, run
        sys.stdout = sys.stderr = None
        epochwise.fit(model, x, y, epochs=1)
        sys.stdout, sys.stderr = streams
    """
    for reason in (FULL, GONE):
        with unwritable(reason) as options:
            done = run_as_newcomer(code, folder=tmp_path, **options)
        lines = done.stderr.splitlines(keepends=True)
        expected = [told(one) for one in (CLOSED, FULL, GONE, reason) for _ in range(3)]
        assert len(lines) <= len(expected)
        assert list(dict.fromkeys(lines)) == list(dict.fromkeys(expected))


@pytest.mark.parametrize(
    "command",
    ["runs --in .", "plan --samples 100 --batch-size 10 --epochs 3", "--help", "train --help"],
)
def test_a_verb_that_only_shows_ends_quietly_when_nobody_reads(command: str) -> None:
    """L12: `| head -1` is no failure, a full disk is one, and neither is a traceback."""
    with unwritable(GONE) as options:
        assert run_as_newcomer(command.split(), **options).stderr == ""
    for reason in (FULL, CLOSED):
        with unwritable(reason) as options:
            done = run_as_newcomer(command.split(), check=False, **options)
        assert (done.returncode, done.stderr) == (2, told(reason, ""))


def test_an_error_is_an_error_where_standard_error_is_full() -> None:
    """L12: the exit code is that of the mistake, with both streams full or closed."""
    slip = ["plan", "--samples", "0", "--batch-size", "1"]
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        assert run_as_newcomer(slip, stdout=full, stderr=full, check=False).returncode == 2

    done = run_as_newcomer(slip, check=False, closed=[0, 1, 2])
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


def test_what_cannot_be_encoded_is_written_as_an_escape() -> None:
    """L12: a stream of ASCII ends no training for a `±` in its line."""
    raw = io.BytesIO()
    output = Output(io.TextIOWrapper(raw, encoding="ascii"))
    assert output.write("0.5 ± 0.1\n") == 10
    output.flush()
    assert raw.getvalue() == b"0.5 \\xb1 0.1\n"
    assert output.lost is None


def test_the_loss_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Of a stream that was closed by the program itself, and of one that fails at a flush."""

    class Failing(io.StringIO):
        def flush(self) -> None:
            raise OSError(errno.EIO, "Input/output error")

    closed = io.StringIO()
    closed.close()
    for stream, reason in ((closed, CLOSED), (Failing(), "Input/output error")):
        output = Output(stream)
        for _ in range(3):
            output.write("text")
            output.flush()
        assert output.failed
        assert not output.isatty()
        assert capsys.readouterr().err == told(reason)
