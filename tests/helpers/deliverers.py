"""Processes that deliver the records of many launches to one database; run as a program, all of them.

    python deliverers.py DATABASE CNDB_DIR PROCESSES RECORDS

Each queues and sends its own records, then any that wait as `cndb submit --pending` does, until none is left.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from pathlib import Path

from drawn_records import drawn
from gbench.cndb import database, schema, store  # before the fork
from gbench.cndb.database_config import DatabaseConfig, find_config
from gbench.cndb.upload import Target, queue, read_entry, send, waiting
from gbench.errors import InfrastructureError

__all__ = ["database", "schema", "store"]
FORK = multiprocessing.get_context("fork")
MOST_S = 900


def main() -> None:
    name, folder, processes, records = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    config = find_config(name, folder, os.environ)
    of_each = [range(number, records, processes) for number in range(processes)]
    started = [FORK.Process(target=_deliver, args=(config, folder, own)) for own in of_each]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0] * processes


def _deliver(config: DatabaseConfig, folder: Path, numbers: range) -> None:
    target = Target(config)
    for number in numbers:
        record = drawn(hyper_params={"seed": number}, extra={"run_id": f"run-{number:04}"})
        _sent(queue(folder, record, config, "save").path, target)
    until = time.monotonic() + MOST_S
    while (left := waiting(folder)) and time.monotonic() < until:
        for path in left:
            _sent(path, target)
        time.sleep(0.1)


def _sent(path: Path | None, target: Target) -> None:
    assert path is not None
    if (entry := read_entry(path)) is not None:
        try:
            send(entry, target)
        except InfrastructureError:
            time.sleep(0.05)  # it waits


if __name__ == "__main__":
    main()
