"""The installed compiler computes right results, and unsafe ones are refused."""

from __future__ import annotations

from importlib import metadata

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from epochwise.errors import BackendError
from epochwise.framework import select_backend


def test_a_vmapped_matrix_vector_product_and_sum_is_right() -> None:
    """What jaxlib 0.10.2 gets wrong on CPUs (jax issue 39103) is right here."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=(16, 32, 8)).astype(np.float32)
    b = rng.normal(size=(16, 8)).astype(np.float32)

    found = jax.jit(jax.vmap(lambda m, v: jnp.sum(m @ v)))(a, b)

    np.testing.assert_allclose(found, np.einsum("nij,nj->n", a, b), rtol=2e-4, atol=1e-4)


def test_a_version_that_miscompiles_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the version and what to install."""
    monkeypatch.setattr(metadata, "version", lambda name: "0.10.2")

    with pytest.raises(BackendError, match=r"0\.10\.2(.|\n)*pip install"):
        select_backend()
