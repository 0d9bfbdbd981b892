"""A slip on the command line is answered with what was meant, in its own words; L38."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from epochwise import cli
from epochwise.cli.console import as_options
from epochwise.data.sources import NAMES
from epochwise.errors import near
from newcomer import run_as_newcomer


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(command: str) -> str:
    """Return what is said on standard error, without the lines on usage."""
    result = CliRunner().invoke(cli.app, command.split())
    assert result.exit_code == 2
    assert result.stdout == ""
    return result.stderr


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("train --lr 0.1", "--learning-rate"),
        ("train --bs 32", "--batch-size"),
        ("train --batchsize 32", "--batch-size"),
        ("train --epoch 3", "--epochs"),
        ("train --val-split 0.1", "--validation-split"),
        ("train --max-min 3", "--max-minutes"),
        ("tune --lr 0.1", "--learning-rate"),
        ("sweep --learning-rates 0.1,0.2", "--learning-rate"),
        ("sweep --seed 3", "--seeds"),
        ("resume x --extend 3", "--extend-to-epochs"),
        ("plan --sample 3", "--samples"),
        ("worth --onepass digits", "--one-pass"),
        ("report x --out a.html", "--output"),
        ("runs show x --jsn", "--json"),
        ("watch --prot 3", "--port"),
    ],
)
def test_an_option_that_is_not_there_names_the_one_that_was_meant(
    typed: str, meant: str
) -> None:
    """L38: spelled alike, abbreviated, or by its initials; never `--help`."""
    said = refused(typed)
    assert re.search(rf"Possible options: .*{meant}\b", said), said
    assert "--help" not in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("trian mnist", "'train'"),
        ("rseume x", "'resume'"),
        ("run", "'runs'"),
        ("wacth", "'watch'"),
        ("runs shwo x", "'show'"),
        ("train mnits", "'mnist'"),
        ("train fashion", "'fashion_mnist'"),
        ("train --model mpl", "--model mlp"),
        ("train --optimizer adm", "--optimizer adam"),
        ("worth --one-pass digts", "'digits'"),
        ("tune cifar", "'cifar10'"),
    ],
)
def test_a_name_that_is_not_there_is_answered_with_the_one_that_was_meant(
    typed: str, meant: str
) -> None:
    """L38: verbs, data sets, networks and optimizers alike."""
    assert meant in refused(typed)


def test_a_word_like_nothing_is_answered_with_no_guess() -> None:
    """A wrong guess is worse than none."""
    assert "Did you mean" not in refused("xyzzy")
    assert "Possible" not in refused("train --xyzzy 3")
    assert near("", NAMES) == near("--", ["--a"]) == []


@pytest.mark.parametrize(
    "typed",
    [
        "train --epochs x",
        "train --epochs 0 --batch-size 0",
        "train --validation-split 1.5 --seed -1",
        "train --patience 3 --validation-split 0",
        "train --target val_accuracy=0.9 --validation-split 0",
        "train --max-epochs 4 --epochs 3",
        "train --target speed=3",
        "train --learning-rate -1 --microbatch-size 100",
        "train --run-dir .",
        "train table.csv",
        "train table.csv --label prise",
        "train digits --label price",
        "tune --seconds -1",
        "tune --sizes 0",
        "tune --save .",
        "sweep --seeds 0",
        "sweep --batch-size x",
        "plan --samples 10 --batch-size 20 --epochs 3 --remainder drop",
        "plan --samples 10 --batch-size 4 --epochs 3 --samples-seen 3",
        "plan --samples 10 --batch-size 4 --epochs 3 --devices 3",
        "report x --output page.txt",
        "watch --port 99999999",
    ],
)
def test_remedies_are_in_the_words_of_the_command_line(typed: str, here: Path) -> None:
    """L38: no argument is told as Python has it."""
    (here / "table.csv").write_text("width,price\n1,2\n2,3\n")
    (here / "x").mkdir()
    said = refused(typed)
    assert "Remedy:" in said
    python = re.findall(r"\b[a-z_]+=(?!VALUE|0\.)[^ ]*|\bepochwise\.\w+\(", said)
    assert [one for one in python if not one.startswith("val_")] == [], said


def test_a_python_argument_is_spelled_as_an_option() -> None:
    """L38: numbers, words, truths, lists, targets, names alone; and what is none stays."""
    options = {"run_dir", "in_order", "sizes", "target", "label", "batch_size", "epochs"}
    for told, spelled in (
        ("add in_order=True.", "add --in-order."),
        ("use sizes=[16, 64, 256] or more.", "use --sizes 16,64,256 or more."),
        ('use target={"val_accuracy": 0.975}.', "use --target val_accuracy=0.975."),
        ("leave out label=; or name it.", "leave out --label; or name it."),
        ("use label='unit price'.", "use --label 'unit price'."),
        (
            "give another run_dir, or batch_size= more.",
            "give another --run-dir, or --batch-size more.",
        ),
        ("use more epochs or epochs=5.", "use more epochs or --epochs 5."),
        ("epochwise.fit(x, epochs=5)", "epochwise.fit(x, --epochs 5)"),
        (
            "--batch-size 4 stays; data_batch_size=4 too.",
            "--batch-size 4 stays; data_batch_size=4 too.",
        ),
    ):
        assert as_options(told, options) == spelled
    assert as_options('use run_dir="my-run".', {"sweep_dir"}) == "use --sweep-dir my-run."
    assert as_options('use run_dir="my-run".', {"save"}) == "use --save my-run."


CHANGES = """
import json, sys
import epochwise, keras
import numpy as np

random = np.random.default_rng(0)
x, y = random.normal(size=(96, 4)).astype("float32"), random.integers(0, 2, 96)
def model(width=4):
    made = keras.Sequential([keras.Input((width,)), keras.layers.Dense(2)])
    made.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return made

epochwise.fit(model(), x, y, epochs=1, run_dir="kept", verbose=0, validation_split=0.25)
other_x, other_y = x.copy(), y.copy()
other_x[5, 1] += 1
other_y[:] = 1 - other_y
for data in ((x[:-1], y[:-1]), (other_x, y), (x, other_y), (other_x, other_y),
             (x.astype("int8"), y), (np.hstack([x, x]), y)):
    try:
        epochwise.resume("kept", model(data[0].shape[1]), *data, extend_to_epochs=2, verbose=0)
    except epochwise.errors.RunError as error:
        print(json.dumps(error.problems[0].what))
"""


def test_data_that_changed_is_told_in_words() -> None:
    """L38: how many samples, what shape and type, or the values of which part; no digests."""
    told = run_as_newcomer(CHANGES).stdout.splitlines()
    expected = [
        "96 samples then, 95 now",
        "the same count and shape, other values in x",
        "the same count and shape, other values in y",
        "the same count and shape, other values in x and y",
        "x had numbers of type float32 then, int8 now",
        "x had samples of shape [4] then, [8] now",
    ]
    assert len(told) == len(expected)
    for line, words in zip(told, expected, strict=True):
        assert words in line
        assert not re.search("[0-9a-f]{12}", line)


def test_a_file_that_changed_is_named(here: Path) -> None:
    """L38: on the command line with the path, and a remedy of its own language."""
    x, y = np.arange(200.0).reshape(50, 4), np.arange(50) % 2
    np.savez(here / "data.npz", x=x, y=y)
    train = ["train", "data.npz", "--epochs", "1", "--run-dir", "kept", "--quiet"]
    run_as_newcomer(train, folder=here)
    np.savez(here / "data.npz", x=x[1:], y=y[1:])
    resume = ["resume", "kept", "--extend-to-epochs", "2"]
    done = run_as_newcomer(resume, folder=here, check=False)
    assert done.returncode == 2
    assert f"The data ({here / 'data.npz'}) is not what it was: 50 samples then, 49 now" in (
        done.stderr
    )
    assert not re.search("[0-9a-f]{12}", done.stderr)
