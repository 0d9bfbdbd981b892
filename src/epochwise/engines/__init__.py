"""What runs the iterations: compiled on JAX, or one call at a time on any backend."""
