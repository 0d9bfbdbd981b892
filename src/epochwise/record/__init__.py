"""What a run leaves behind: events in, files out; and files in, a typed run out.

A record holds JSON and raw numbers, never a pickle, and reading one runs nothing.
"""

from epochwise.record.arrays import data_described, data_sha256, read_weights, weights_sha256
from epochwise.record.header import Header, machine, versions
from epochwise.record.jsontext import json_text
from epochwise.record.naming import RUNS_FOLDER, run_name
from epochwise.record.reading import (
    StoredRun,
    find_run,
    read_run,
    read_series,
    read_tally,
    run_folders,
)
from epochwise.record.recorder import NOTHING_DONE, Recorder
from epochwise.record.run import Evaluation, Run, Seconds
from epochwise.record.tally import Tally
from epochwise.storage.folder import RunFolder, require_free, run_path
from epochwise.storage.lock import beginning, is_beginning, is_held, locked

__all__ = [
    "NOTHING_DONE",
    "RUNS_FOLDER",
    "Evaluation",
    "Header",
    "Recorder",
    "Run",
    "RunFolder",
    "Seconds",
    "StoredRun",
    "Tally",
    "beginning",
    "data_described",
    "data_sha256",
    "find_run",
    "is_beginning",
    "is_held",
    "json_text",
    "locked",
    "machine",
    "read_run",
    "read_series",
    "read_tally",
    "read_weights",
    "require_free",
    "run_folders",
    "run_name",
    "run_path",
    "versions",
    "weights_sha256",
]
