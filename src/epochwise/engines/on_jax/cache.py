"""Compiled programs kept between processes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import jax


def keep_compiled_programs(versions: Mapping[str, str]) -> None:
    """Let JAX keep every compiled program in a folder named by the versions.

    Without a program of its own version a cache could hand out one that an unsafe
    compiler made.

    Args:
        versions: of `jax` and `keras`, by name.
    """
    name = "-".join(f"{part}{versions[part]}" for part in ("jax", "keras") if part in versions)
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    jax.config.update("jax_compilation_cache_dir", str(Path(home) / "epochwise" / name))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
