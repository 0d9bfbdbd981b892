"""Keras is imported without what training does not need, and loses nothing."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from epochwise.framework.postponing import PostponedModule, postponed
from programs import run_program

IMPORTED = """
import json, sys
from epochwise.engines.select import import_framework
import_framework()
import keras
"""


def test_training_does_not_import_what_it_does_not_need() -> None:
    """scikit-learn, h5py, SciPy's solvers and TPU kernels stay out, also of a training."""
    found = run_program(
        IMPORTED,
        """
        import numpy as np, epochwise
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.compile("adam", "mse")
        epochwise.fit(model, np.ones((8, 3)), np.ones(8), verbose=0)
        asked = (
            "sklearn", "h5py._hl", "scipy.sparse._base", "jax._src.pallas",
            "keras.applications.resnet", "jaxlib.mosaic.python._tpu_ops_gen",
        )
        print(json.dumps([name for name in asked if name in sys.modules]))
        """,
        needs="jax",
    )

    assert found == []


def test_what_was_postponed_is_there_when_somebody_looks(tmp_path: Path) -> None:
    """Wrappers, second names, networks, HDF5 files and TPU kernels work as ever."""
    found = run_program(
        IMPORTED,
        """
        import numpy as np
        from keras.src.backend.jax import nn
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
        model.save_weights("w.weights.h5")
        model.load_weights("w.weights.h5")
        import jax, scipy.sparse
        print(json.dumps([
            keras.wrappers.SKLearnClassifier.__name__,
            keras._tf_keras.keras.Model is keras.Model,
            nn.splash_attention_mask.CausalMask.__name__,
            callable(nn.splash_attention_kernel.make_splash_mha),
            scipy.sparse.csr_matrix(np.eye(3)).nnz,
            keras.applications.resnet50.ResNet50 is keras.applications.ResNet50,
            callable(jax._src.lib.tpu.BarrierOp),
            callable(jax._src.lib.mosaic_gpu_dialect.ArriveOp),
        ]))
        """,
        needs="jax",
        folder=tmp_path,
    )

    assert found == ["SKLearnClassifier", True, "CausalMask", True, 3, True, True, True]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of two modules that count how often they are run."""
    folder = tmp_path / "counted"
    folder.mkdir()
    (folder / "__init__.py").write_text("import sys\nsys.counted_runs.append('package')\n")
    (folder / "inner.py").write_text(
        "import sys, time\ntime.sleep(0.05)\nsys.counted_runs.append('inner')\nvalue = 7\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "counted_runs", [], raising=False)
    yield folder
    for name in ("counted", "counted.inner"):
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("package")
def test_a_module_inside_a_postponed_package_is_found_without_running_either() -> None:
    """Importing runs nothing; looking into the inner module runs each once, in order."""
    with postponed(frozenset({"counted", "counted.inner"})):
        from counted import inner

    assert sys.counted_runs == []
    assert isinstance(inner, PostponedModule)
    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(lambda _: inner.value, range(4))] == [7] * 4
    assert sys.counted_runs == ["package", "inner"]


@pytest.mark.usefixtures("package")
def test_modules_that_are_not_named_are_run_at_once() -> None:
    """Postponing one module leaves the import of all others as it is."""
    with postponed(frozenset({"counted.inner"})):
        import counted

    assert sys.counted_runs == ["package"]
    assert not isinstance(counted, PostponedModule)


@pytest.mark.usefixtures("package")
def test_a_missing_attribute_is_missing() -> None:
    """Looking for what a postponed module does not have fails as it would."""
    with postponed(frozenset({"counted.inner"})):
        from counted import inner

    with pytest.raises(AttributeError, match="nothing"):
        _ = inner.nothing
    assert inner.value == 7
