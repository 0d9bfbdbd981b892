"""Which batch size, and the learning rate that goes with it: measured, not guessed."""
