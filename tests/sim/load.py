"""Launches that begin at the same time, on one Docker engine, with one database and one folder of results:

.venv/bin/python tests/sim/load.py 50               # into a SQLite file
.venv/bin/python tests/sim/load.py 50 --postgres    # into a PostgreSQL server of its own
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from gbench.cndb.record_file import read_record
from world import Ended, Launch, Place, World, state_of_process, told, world

sys.path.append(str(Path(__file__).resolve().parents[1] / "helpers"))
RUN_ID = "train_results.extra ->> 'run_id'"
LOOK_S = 0.5


@dataclass
class Load:
    """What became of launches that began at the same time."""

    ended: list[Ended]
    place: Place
    builds: int
    """How often the image was built."""
    left: list[str]
    """Containers, processes and temporary files that were left."""
    most_gib: float
    """The most memory that all their processes had together, shared pages counted once."""

    @property
    def codes(self) -> dict[int, int]:
        """How many ended with an exit code."""
        return dict(Counter(one.code for one in self.ended))

    @property
    def sentences(self) -> set[str]:
        return {told(one.sentence, self.place) for one in self.ended} - {""}

    @property
    def complete(self) -> list[str]:
        """The names of the run folders with figures and a page."""
        folders = self.place.run_folders()
        return [one.path.name for one in folders if one.has("result.json") and one.has("report.html")]

    @property
    def logs(self) -> list[str]:
        return sorted(path.stem for path in (self.place.here / "logs").glob("*.log"))

    @property
    def recorded(self) -> list[str]:
        """The run of each record file."""
        return sorted(str(read_record(path).run_id) for path in self.place.records())

    def stored(self) -> list[str]:
        """The run of each row of the embedded database."""
        with closing(sqlite3.connect(self.place.here / "cndb" / "cndb.sqlite")) as connection:
            return sorted(str(run) for (run,) in connection.execute(f"SELECT {RUN_ID} FROM train_results"))

    def require_each_once(self, stored: list[str]) -> None:
        """Each launch has its folder, log, record and row, and nothing else is there. stored: the run of each row."""
        assert self.codes == {0: len(self.ended)}, self.sentences
        assert len(set(stored)) == len(self.ended)
        assert self.complete == self.recorded == self.logs == stored
        assert self.builds == 1
        assert self.place.waiting() == [] and self.left == []


def launch_at_once(world: World, count: int, database: str = "embedded", config: str = "") -> Load:
    """Start `count` launches and wait for all. config: the text of the config file `database`; empty: it is a name."""
    place = world.new_place()
    engine = world.new_engine(place)
    if config:
        (place.here / database).write_text(config)
    arguments = [database if word == "embedded" else word for word in world.launch_arguments(runner="docker")]
    launches = [world.start(place, *arguments, "--from-image", "base:1") for _ in range(count)]
    most = watch(place, launches)
    ended = [launch.wait() for launch in launches]
    left = [f"container {one.name}" for one in engine.containers.values()]
    left += [f"process {line}" for line in place.left_running()]
    left += [f"file {name}" for name in place.leftovers()]
    builds = sum(request == "POST /build" for request in engine.asked)
    engine.close()
    return Load(ended, place, builds, left, most)


def watch(place: Place, launches: list[Launch]) -> float:
    """Look at them until they have ended; returns the most memory seen, in GiB."""
    most = 0.0
    while any(state_of_process(launch.pid) not in "ZX" for launch in launches):
        held = 0
        for pid in place.running():
            with suppress(psutil.Error):
                held += psutil.Process(pid).memory_full_info().pss
        most = max(most, held / 2**30)
        time.sleep(LOOK_S)
    return most


def summary(load: Load, stored: list[str], seconds: float) -> str:
    runs = len(load.ended)
    equal = load.complete == load.recorded == stored == load.logs and len(set(stored)) == runs
    lines = [
        f"{runs} launches: exit codes {load.codes}, {len(load.complete)} complete run folders",
        f"{len(load.recorded)} record files, {len(stored)} rows of {len(set(stored))} runs, the same runs: {equal}",
        f"{load.builds} builds, {len(load.place.waiting())} in the spool, left: {load.left or 'nothing'}",
        f"{seconds:.0f} s, at most {load.most_gib:.1f} GiB, load {os.getloadavg()[0]:.0f}",
    ]
    return "\n".join([*lines, *sorted(load.sentences)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("launches", type=int)
    parser.add_argument("--postgres", action="store_true")
    given, began = parser.parse_args(), time.monotonic()
    with world() as own:
        if not given.postgres:
            load = launch_at_once(own, given.launches)
            print(summary(load, load.stored(), time.monotonic() - began))
            return
        from postgres import served

        with served() as server:
            uri = f"uri: {server.uri('load')}\n"
            load = launch_at_once(own, given.launches, "db.yaml", uri)
            stored = [str(run) for (run,) in server.query("load", f"SELECT {RUN_ID} FROM train_results ORDER BY 1")]
            print(summary(load, stored, time.monotonic() - began))


if __name__ == "__main__":
    main()
