"""Sources turned into samples, the order they are trained in, and their split."""
