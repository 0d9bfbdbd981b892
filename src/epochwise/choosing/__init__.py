"""What to choose: arithmetic over runs, and the probes that measure what it needs."""
