"""Exact arithmetic of samples, batches, iterations and epochs; standard library only."""
