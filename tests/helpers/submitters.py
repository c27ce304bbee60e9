"""Processes that submit the same records at the same time; run as a program, one of them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter

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
    processes = [
        subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    uri = make_url(database.uri).render_as_string(hide_password=False)
    for seed, process in enumerate(processes):
        assert process.stdin is not None
        task = {"uri": uri, "store_type": store_type, "of_runs": of_runs, "seed": seed}
        process.stdin.write(json.dumps(task) + "\n")
        process.stdin.flush()
    said = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * PROCESSES
    return sum((Counter(json.loads(actions)) for actions in said), Counter())


def main() -> None:
    """Submit as the first line of standard input specifies."""
    print("ready", flush=True)  # all is imported
    task = json.loads(sys.stdin.readline())
    records = same_records(task["of_runs"])
    random.Random(task["seed"]).shuffle(records)
    engine = connect_or_create(DatabaseConfig("raced for", task["uri"]))
    upgrade(engine)
    actions: Counter[str] = Counter()
    for start in range(0, len(records), A_TIME):
        actions.update(stored.action for stored in submit(engine, records[start : start + A_TIME], task["store_type"]))
    print(json.dumps(actions))


if __name__ == "__main__":
    main()
