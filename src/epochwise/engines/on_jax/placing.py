"""Bringing samples to the device, and what the device is."""

from __future__ import annotations

import jax

from epochwise.data.samples import ALIGNMENT, Array, Samples
from epochwise.engines.memory import free_host_bytes
from epochwise.engines.values import Batch


def to_device(samples: Samples) -> Batch:
    """Bring samples to the device as they are: a copy, unless it can read them in place."""
    batch = Batch(samples.x, samples.y, samples.weight)
    in_place = samples.private and jax.default_backend() == "cpu"
    placed: Batch = jax.tree.map(_read_in_place if in_place else jax.device_put, batch)
    return placed


def _read_in_place(array: Array) -> jax.Array:
    """Return an array on the CPU that shares the host's memory, or a copy where it cannot.

    XLA reads in place what is contiguous, aligned, and of a type of its own.
    """
    own_type = array.dtype.kind in "biuf"
    own_type = own_type and jax.dtypes.canonicalize_dtype(array.dtype) == array.dtype
    aligned = array.size > 0 and array.ctypes.data % ALIGNMENT == 0
    if own_type and aligned and array.flags.c_contiguous and array.flags.writeable:
        return jax.dlpack.from_dlpack(array)
    return jax.device_put(array)


def device_name() -> str:
    """Return the kind and number of devices that JAX computes on."""
    devices = jax.devices()
    kind = devices[0].platform
    name = kind if kind == "cpu" else f"{kind} ({devices[0].device_kind})"
    return name if len(devices) == 1 else f"{len(devices)} x {name}"


def free_device_bytes() -> int | None:
    """Return what is free on the device that computes [bytes]; `None` if nobody tells."""
    device = jax.devices()[0]
    told = device.memory_stats()
    if told and "bytes_limit" in told:
        return int(told["bytes_limit"]) - int(told.get("bytes_in_use", 0))
    return free_host_bytes() if device.platform == "cpu" else None
