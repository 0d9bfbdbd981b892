"""What is written so that it survives: operations, growing files, a run's folder, its lock.

Nothing else in Epochwise changes a run's folder.
"""
