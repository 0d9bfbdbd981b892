"""What people read on a terminal: numbers and times as text, the progress of a run."""
