"""Processes that submit the same records at the same time; run as a program, all of them."""

from __future__ import annotations

import json
import multiprocessing
import random
import subprocess
import sys
from collections import Counter
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from typing import Any

from sqlalchemy import make_url

from drawn_records import drawn
from gbench.cndb.database import connect_or_create
from gbench.cndb.database_config import DatabaseConfig
from gbench.cndb.record import Record
from gbench.cndb.schema import upgrade
from gbench.cndb.store import submit

PROCESSES, RECORDS, A_TIME = 8, 200, 20


def same_records(of_runs: bool) -> list[Record]:
    """RECORDS records of different configurations, which share models and info names (with different details)."""
    return [
        drawn(
            model=f"model-{number % 3}",
            hyper_params={"seed": number},
            metric_data={f"metric-{number % 3}": number},
            soft_info={"name": f"software-{number % 5}", "build": number % 2},
            hard_info={"name": f"hardware-{number % 7}", "mem": number},
            extra={"run_id": f"run-{number}"} if of_runs else None,
        )
        for number in range(RECORDS)
    ]


def submit_together(database: DatabaseConfig, store_type: str, of_runs: bool) -> Counter[str]:
    """Submit the records from PROCESSES processes, each in a different order; returns the counts of actions.

    The database does not exist yet, so they also compete to create it.
    """
    uri = make_url(database.uri).render_as_string(hide_password=False)
    task = json.dumps({"uri": uri, "store_type": store_type, "of_runs": of_runs})
    program = [sys.executable, __file__]
    done = subprocess.run(program, input=task, stdout=subprocess.PIPE, text=True, check=True, timeout=300)
    return Counter(json.loads(done.stdout))


FORK = multiprocessing.get_context("fork")


def main() -> None:
    """Fork the processes, now that all is imported; standard input has the task."""
    task, together = json.load(sys.stdin), FORK.Barrier(PROCESSES)
    counts = FORK.SimpleQueue()
    processes = [FORK.Process(target=_submit, args=(task, seed, together, counts)) for seed in range(PROCESSES)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * PROCESSES
    print(json.dumps(sum((counts.get() for _ in processes), Counter())))


def _submit(task: dict[str, Any], seed: int, together: Barrier, counts: SimpleQueue[Counter[str]]) -> None:
    records = same_records(task["of_runs"])
    random.Random(seed).shuffle(records)
    together.wait()
    engine = connect_or_create(DatabaseConfig("raced for", task["uri"]))
    upgrade(engine)
    actions: Counter[str] = Counter()
    for start in range(0, len(records), A_TIME):
        actions.update(stored.action for stored in submit(engine, records[start : start + A_TIME], task["store_type"]))
    counts.put(actions)


if __name__ == "__main__":
    main()
