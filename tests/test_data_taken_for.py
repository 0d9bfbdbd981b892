"""What the data of a newcomer are taken for: classes, labels, numbers, parts, a header.

Each test is one child process, set up as a newcomer's, that runs `epochwise` several times.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from newcomer import run_as_newcomer

CASES = Path(__file__).parent / "cases"

CALLS = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout

from epochwise.cli import main

ended = []
for arguments in json.loads(sys.stdin.read()):
    sys.argv = ["epochwise", *arguments]
    code, out, err = 0, io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main()
        except SystemExit as left:
            code = left.code or 0
    ended.append([code, out.getvalue(), err.getvalue()])
json.dump(ended, sys.stdout)
"""


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def epochwise(folder: Path, *commands: str) -> list[Ended]:
    """Run commands one after the other in one process of a newcomer's."""
    told = json.dumps([command.split() for command in commands])
    done = run_as_newcomer(CALLS, folder=folder, input=told)
    ended = [Ended(*each) for each in json.loads(done.stdout)]
    assert "Traceback" not in "".join(each.err for each in ended)
    return ended


def head(folder: Path) -> dict[str, Any]:
    """Return the header of a run's record."""
    read: dict[str, Any] = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    return read


def last_layer(folder: Path) -> int:
    """Return the parameters of a run's last layer."""
    return int(head(folder)["model"]["layers"][-1]["parameters"])


def refused(ended: Sequence[Ended], *told: str) -> None:
    """Check that each command ended with 2 and its sentence, and trained nothing."""
    for each, text in zip(ended, told, strict=True):
        assert (each.code, each.out) == (2, ""), each
        assert text in " ".join(each.err.split())


def digits(count: int) -> tuple[Any, Any]:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.images[:count].astype(np.uint8), bunch.target[:count]


def test_l03_a_network_has_as_many_outputs_as_the_targets_have_columns(tmp_path: Path) -> None:
    """L03: one-hot, several labels and several numbers get their outputs, loss and metric.

    The same holds in `cnn`, in a sweep and after a resume; `--task` takes rows of 0 and 1
    as numbers; a network of the user's with another number of outputs is refused.
    """
    x, y = digits(300)
    labels = np.stack([y % 2, y > 4, y == 3], axis=1).astype(np.float32)
    np.savez(tmp_path / "onehot.npz", x=x, y=np.eye(10, dtype=np.float32)[y])
    np.savez(tmp_path / "labels.npz", x=x, y=labels)
    np.savez(tmp_path / "numbers.npz", x=x.reshape(300, 64), y=x[:, 2, 2:6] / 16)
    (tmp_path / "own.py").write_text(
        "import keras\n"
        "def one(shape, classes):\n"
        "    return keras.Sequential([keras.Input(shape), keras.layers.Flatten(),\n"
        "                             keras.layers.Dense(1)])\n"
    )
    *ended, one = epochwise(
        tmp_path,
        "train onehot.npz --epochs 4 --run-dir onehot",
        "resume onehot --extend-to-epochs 5",
        "train labels.npz --model cnn --epochs 1 --run-dir labels",
        "train numbers.npz --epochs 1 --run-dir numbers",
        "train onehot.npz --task regression --epochs 1 --run-dir asked",
        "sweep labels.npz --seeds 1 --learning-rate 0.001,0.01 --epochs 1 --sweep-dir sweep",
        "train numbers.npz --model own.py:one --run-dir own",
    )

    assert [each.code for each in ended] == [0] * 6, ended
    assert last_layer(tmp_path / "onehot") == 128 * 10 + 10
    assert last_layer(tmp_path / "labels") == 128 * 2 * 2 * 3 // 2 + 3
    assert last_layer(tmp_path / "numbers") == 128 * 4 + 4
    assert last_layer(tmp_path / "asked") == 128 * 10 + 10
    for folder in (tmp_path / "sweep" / "runs").iterdir():
        assert last_layer(folder) == 128 * 3 + 3
    losses = {name: head(tmp_path / name)["model"]["loss"] for name in ("onehot", "labels")}
    assert losses == {"onehot": "categorical_crossentropy", "labels": "binary_crossentropy"}
    assert head(tmp_path / "numbers")["model"]["loss"] == "mean_squared_error"
    said = " ".join(ended[0].out.split())
    before, after = said.split("epoch 1/4")
    assert "each row of y holds a single 1 among zeros" in before
    assert "mlp ends in 10 softmax outputs" in before
    assert "val_accuracy" in after
    assert (
        "drawn in proportion from each of 10 classes"
        in head(tmp_path / "onehot")["split"]["rule"]
    )
    assert "cnn ends in 3 sigmoid outputs" in " ".join(ended[2].out.split())
    assert "val_binary_accuracy" in ended[2].out
    assert "each of its 3 columns is a label of its own" in " ".join(ended[5].out.split())
    assert "val_mae" in ended[3].out
    refused([one], "would repeat one over the other")


def test_l04_whole_numbers_that_are_no_classes_are_a_regression(tmp_path: Path) -> None:
    """L04: 150 different prices are a regression, said with the flag that changes it.

    Ratings are classes, said likewise; what a network of the user's is compiled for and the
    targets are not is refused with the flag; classes of one sample each can be split.
    """
    rng = np.random.default_rng(0)
    rows = "".join(
        f"{x:.3f},{r}\n" for x, r in zip(rng.random(80), rng.integers(3, 9, 80), strict=True)
    )
    (tmp_path / "wine.csv").write_text("acid,quality\n" + rows)
    (tmp_path / "own.py").write_text(
        "import keras\n"
        "def network(loss, outputs):\n"
        "    model = keras.Sequential([keras.Input((2 if outputs > 1 else 1,)),\n"
        "                              keras.layers.Dense(outputs, activation='softmax')])\n"
        "    model.compile('adam', loss)\n"
        "    return model\n"
        "def classes(*_): return network('sparse_categorical_crossentropy', 150)\n"
        "def numbers(*_): return network('mse', 1)\n"
    )
    prices = f"{CASES / 'whole_price.csv'} --label price"
    *ended, no_numbers, no_classes, text = epochwise(
        tmp_path,
        f"train {prices} --epochs 1 --run-dir prices --json",
        f"train {prices} --epochs 1 --task classification --run-dir asked",
        "train wine.csv --label quality --epochs 1 --run-dir wine",
        "train wine.csv --label quality --model own.py:numbers --epochs 1 --task regression "
        "--run-dir own",
        f"worth --one-pass {prices} --seeds 2 --batch-size 3",
        f"train {prices} --model own.py:classes",
        "train wine.csv --label quality --model own.py:numbers",
        f"train {CASES / 'labels_like_numbers.csv'} --label code --task wrong",
    )

    assert [each.code for each in ended] == [0] * 5, ended
    assert head(tmp_path / "prices")["data"]["task"] == "regression"
    assert last_layer(tmp_path / "prices") == 129
    assert "accuracy" not in ended[0].out
    evidence = (
        "Regression: price has 150 different whole numbers in 150 samples; "
        "--task classification makes them classes."
    )
    assert evidence in " ".join(ended[0].err.split())
    assert evidence in " ".join((ended[4].out + ended[4].err).split())
    assert last_layer(tmp_path / "asked") == 129 * 150
    assert head(tmp_path / "asked")["split"]["rule"].startswith("30 of 150 samples")
    assert head(tmp_path / "wine")["data"]["classes"] == [str(n) for n in range(3, 9)]
    assert "quality has 6 different whole numbers (3 to 8) in 80 samples" in ended[2].out
    refused([no_numbers, no_classes], "add --task classification", "with --task regression")
    assert text.code == 2


def test_l05_a_validation_part_that_comes_with_the_data_is_used(tmp_path: Path) -> None:
    """L05: `x_val` and `y_val` are evaluated, whole, by every verb, and all else trains.

    On images of zeros the accuracy is that of a constant answer, whatever is trained.
    """
    x, y = digits(300)
    parts = {"x_train": x[:200], "y_train": y[:200], "x_test": x[250:], "y_test": y[250:]}
    counts = np.bincount(y[200:250], minlength=10)
    np.savez(
        tmp_path / "data.npz", **parts, x_val=np.zeros_like(x[:50]), y_val=y[200:250], ids=y
    )
    np.savez(tmp_path / "half.npz", **parts, x_val=x[:50])
    *ended, split, half, misspelled = epochwise(
        tmp_path,
        "train data.npz --epochs 2 --run-dir run --json",
        "resume run --extend-to-epochs 3 --json",
        "train data.npz --epochs auto --max-epochs 2 --validation-split 0 --json "
        "--run-dir auto",
        "sweep data.npz --seeds 1 --learning-rate 0.001,0.01 --epochs 1 --sweep-dir sweep",
        "tune data.npz --seconds 1 --sizes 50,100 --epochs 1",
        "report run",
        "train data.npz --validation-split 0.2",
        "train half.npz",
        "sweep data.npz --validation-split 0.1",
    )

    assert [each.code for each in ended] == [0] * 6, ended
    runs = [json.loads(each.out.splitlines()[-1]) for each in ended[:3]]
    for run in runs:
        for epoch in run["history"]["val_accuracy"]:
            assert round(epoch * 50) in counts.tolist()
    for name in ("run", "auto"):
        data = head(tmp_path / name)["data"]
        assert (data["samples"], data["validation_samples"], data["test_samples"]) == (
            200,
            50,
            50,
        )
        assert data["validation_sha256"]
    said = " ".join(ended[0].err.split())
    assert "The validation part, 50 samples, came with the data" in said
    assert "Not used: 'ids'." in said
    page = next((tmp_path / "run").glob("*.html")).read_text(encoding="utf-8")
    assert "The validation part, 50 samples, came with the data" in page
    for folder in (tmp_path / "sweep" / "runs").iterdir():
        assert head(folder)["data"]["validation_samples"] == 50
    refused(
        [split, half, misspelled],
        "brings a validation part of 50 samples, and --validation-split 0.2 asks for another",
        "key 'x_val' is there without its partner",
        "leave --validation-split out",
    )


def test_l30_labels_like_numbers_and_a_missing_header(tmp_path: Path) -> None:
    """L30: 001, 01 and 1 are three classes; a first line of numbers is asked about."""
    table = CASES / "no_header.csv"
    *ended, asked, unlabelled, named = epochwise(
        tmp_path,
        f"train {CASES / 'labels_like_numbers.csv'} --label code --epochs 1 --run-dir codes",
        f"train {table} --no-header --label 3 --epochs 1 --run-dir headless",
        "resume headless --extend-to-epochs 2",
        f"train {table} --header --label c --epochs 1 --run-dir named",
        f"train {table} --label c",
        f"train {table}",
        "train digits --no-header",
    )

    assert [each.code for each in ended] == [0] * 4, ended
    assert head(tmp_path / "codes")["data"]["classes"] == ["001", "01", "1"]
    data = head(tmp_path / "headless")["data"]
    assert (data["samples"] + data["validation_samples"], data["columns"]) == (120, ["1", "2"])
    assert head(tmp_path / "named")["data"]["columns"] == ["0.75", "1.44"]
    refused(
        [asked, unlabelled, named],
        "'0.75,1.44,c', may be a header or a sample",
        "add --no-header if it is a sample",
        "only .csv and .tsv files have a header line",
    )
