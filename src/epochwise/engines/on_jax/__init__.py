"""The compiled engine: a segment of iterations is one program on the device."""

from epochwise.engines.on_jax.engine import JaxEngine as JaxEngine
from epochwise.engines.on_jax.placing import free_device_bytes as free_device_bytes
from epochwise.engines.on_jax.probing import JaxProbe as JaxProbe
