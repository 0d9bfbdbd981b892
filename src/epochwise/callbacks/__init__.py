"""Keras callbacks: ours inside somebody else's `fit`."""

from epochwise.callbacks.epoch_counter import EpochCounter

__all__ = ["EpochCounter"]
