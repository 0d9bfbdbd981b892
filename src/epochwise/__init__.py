"""Epochwise: train neural networks with epoch, batch and iteration under exact control."""
