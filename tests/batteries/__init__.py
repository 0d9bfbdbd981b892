"""Long tests, each a program that prints its counts: `python tests/batteries/NAME.py`.

The test suite runs a part of each; `make batteries` runs all of them whole.
"""
