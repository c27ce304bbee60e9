"""What it costs to read a long run or a long history, and how that grows with its length.

    python benchmarks/reading.py [--steps 10000 100000] [--records 10000 100000] [--rounds 5] [--json]

Writes runs of two ranks with the project's own writers: steps with an autocorrelated time, ten samples of telemetry a
second. Then alternates commands, each a process of its own, on the shorter and the longer one. Shown are processor
time and peak memory of a command on the longer one, and the exponent by which the time grows from the shorter: 1 is
linear, and the start of a process makes it less. The reference parses every line of the run; or selects every row.
"""

from __future__ import annotations

import math
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import NamedTuple

from command import at_least_one, parser_of, run
from rows import Row, report
from timing import alternate, columns

from cndb import fill
from gbench.cndb.database import connect_or_create
from gbench.cndb.database_config import embedded
from gbench.measure.telemetry.samples import Header, HostSample, Sample
from gbench.measure.telemetry.stream import NAME, StreamWriter
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.steps import Step, StepWriter

RUNS = Path(__file__).resolve().parents[1] / "tests" / "fixtures" / "run-folders-v1" / "results"
TWO_RANKS = RUNS / "20261129T082503Z-pix2pix_resnet_9blocks-f68435"
A_WRITE, STEPS_PER_EPOCH = 200, 400
PLAIN_READER = """
import json, pathlib, sys
kept = [json.loads(line) for path in pathlib.Path(sys.argv[1]).glob("*.jsonl") for line in path.open()]
"""
PLAIN_SELECT = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('SELECT * FROM train_results').fetchall()"

# A process of its own, since the peak of a new process starts at the size of the one that it was forked from.
METER = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(code)
"""


class Cost(NamedTuple):
    """What a process took."""

    cpu_s: float
    peak_mib: float


def drawn_steps(count: int, images: int, draw: random.Random) -> Iterator[Step]:
    """Steps of 35 ms, the first 20 slower, as a run writes them."""
    end_s, wave = 100.0, 0.0
    for number in range(1, count + 1):
        wave = 0.6 * wave + draw.gauss(0, 0.0008)
        step_s = 0.06 if number <= 20 else 0.035 + wave
        end_s += step_s
        losses = {"G_GAN": draw.random(), "G_L1": draw.gauss(20, 3), "D_real": draw.random(), "D_fake": draw.random()}
        waits = {"data_s": draw.uniform(0, 3e-3), "ahead_s": draw.uniform(0, 1e-3), "between_s": draw.uniform(0, 1e-4)}
        epoch = 1 + (number - 1) // STEPS_PER_EPOCH
        yield Step(number, epoch, images, step_s=step_s, end_s=end_s, warmup=number <= 2, losses=losses, **waits)


def write_telemetry(folder: RunFolder, until_s: float, draw: random.Random) -> None:
    """Samples of a host without GPUs, most fields once a second."""
    writer = StreamWriter(folder.path / NAME)
    writer.header(Header(10.0, "2026-01-02T03:04:05.000+00:00", cpus=64), [])
    for number in range(round((until_s - 98) * 10)):
        t_s = 98 + number / 10 + draw.uniform(0, 1e-3)
        rare = {name: draw.uniform(5, 20) for name in ("load_1m", "cpu_percent", "cpu_busiest_percent", "run_cpus")}
        host = HostSample(rss_bytes=8 << 30, memory_used_bytes=30 << 30, **({} if number % 10 else rare))
        writer.sample(Sample(round(t_s, 6), 0.0005, round(0.0005 * number, 6), host=host))
    writer.end("the run said stop", until_s)
    writer.close()


def write_run(path: Path, count: int) -> Path:
    """A complete run of two ranks."""
    path.mkdir()
    for name in ("spec.json", "host.json"):
        shutil.copy(TWO_RANKS / name, path)
    folder, draw = RunFolder(path), random.Random(1)
    facts = RunFolder(TWO_RANKS).read("environment.json") or {}
    ended = {"planned_steps": count, "ended": {"steps": count, "because": "all steps are done"}}
    folder.write("environment.json", {**facts, **ended})
    spec = folder.spec()
    for rank in range(spec.world_size):
        steps = drawn_steps(count, spec.batch_per_device, draw)
        with StepWriter(path, rank) as writer:
            while part := list(islice(steps, A_WRITE)):
                writer.append(part)
                end_s = part[-1].end_s
    write_telemetry(folder, end_s, draw)
    return path


def write_history(path: Path, count: int) -> Path:
    """An embedded database."""
    fill(connect_or_create(embedded(path)), count)
    return path


def cost(*command: str | Path) -> Cost:
    """Run a command of Python. Raises SystemExit: it failed."""
    measured = [sys.executable, "-c", METER, sys.executable, *map(str, command)]
    done = subprocess.run(measured, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"exit code {done.returncode}: {' '.join(map(str, command))}")
    cpu_s, peak_kib = done.stdout.split()
    return Cost(float(cpu_s), int(peak_kib) / 1024)


def compared(
    what: str,
    against: str,
    commands: dict[int, Sequence[str | Path]],
    plain: Sequence[str | Path],
    rounds: int,
    goal_s: float | None,
) -> list[Row]:
    """Time and memory of the command on the longer one of two. commands: by length; plain: the reference."""
    small, large = sorted(commands)
    ways = {name: partial(cost, *command) for name, command in (*commands.items(), (0, plain))}
    found = columns(list(alternate(ways, rounds)))
    times, memory = ({name: [one[part] for one in costs] for name, costs in found.items()} for part in (0, 1))
    growth = math.log(median(times[large]) / median(times[small])) / math.log(large / small)
    named, grown = what.format(f"{large:,}"), f"grows with exponent {growth:.2f}"
    return [
        Row.of(f"{named}, processor time; {grown}", against, "s", times[large], times[0], goal_s),
        Row.of(f"{named}, peak memory", against, "MiB", memory[large], memory[0], goal=500.0),
    ]


def main() -> None:
    """Write the runs and the databases, and print what reading them takes."""
    parser = parser_of(__doc__, json=True)
    parser.add_argument("--steps", type=at_least_one, nargs=2, default=[10_000, 100_000], help="of the two runs")
    parser.add_argument("--records", type=at_least_one, nargs=2, default=[10_000, 100_000], help="of the two histories")
    parser.add_argument("--rounds", type=at_least_one, default=5)
    arguments = parser.parse_args()
    goals = {100_000: (1.0, 3.0)}.get(max(arguments.steps), (None, None))
    with tempfile.TemporaryDirectory(prefix="gbench-reading-") as name:
        folder = Path(name)
        runs = {count: write_run(folder / f"{count} steps", count) for count in arguments.steps}
        rows = []
        for verb, goal_s in zip(("summary", "report"), goals, strict=True):
            commands = {count: ("-m", "gbench", verb, path) for count, path in runs.items()}
            plain = ("-c", PLAIN_READER, runs[max(runs)])
            what = f"gbench {verb} of 2 ranks of {{}} steps"
            rows += compared(
                what, "json.loads of every line, kept in a list", commands, plain, arguments.rounds, goal_s
            )
        stores = {count: write_history(folder / f"{count} records", count) for count in arguments.records}
        history = ("-m", "gbench", "report", "--history", "--cndb-dir")
        commands = {count: (*history, path) for count, path in stores.items()}
        (database,) = stores[max(stores)].glob("*.sqlite")
        plain = ("-c", PLAIN_SELECT, database)
        what = "gbench report --history of {} records in SQLite"
        goal_s = 2.0 if max(stores) == 100_000 else None
        rows += compared(what, "a bare SELECT of all rows", commands, plain, arguments.rounds, goal_s)
    report(rows, [], arguments.json)


if __name__ == "__main__":
    run(main)
