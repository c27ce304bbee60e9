"""A run's throughput against earlier ones: how much those of its configuration differ, and those of one device.

The interval of a run covers its own steps. What differs between two starts, such as memory layout, chosen convolutions,
temperature and neighbours, shows only between runs.
"""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from scipy.special import stdtrit

from gbench.cndb.record import Record
from gbench.cndb.upload import Target
from gbench.compare.change import MIN_HISTORY, one_run, spread_in_time, spread_of
from gbench.compare.earlier_records import Warn, earlier_files, earlier_runs
from gbench.compare.metrics import THROUGHPUT, RunFigure, common_throughput
from gbench.runfolder.host_facts import BetweenRuns, OneDevice

LEVEL = 0.95
MOST = 30  # earlier runs
AMONG = 300  # records of a database that are looked at for them


def find_between_runs(record: Record, cndb_dir: Path, database: Target | None, warn: Warn) -> BetweenRuns | None:
    """`between_runs` of the record files in `cndb_dir`, or of the database if that has more of them.

    warn: called with a sentence on each file that can't be used, as in `find_one_device`.
    """
    return between_runs(record, _earlier(record, cndb_dir, database, warn))


def find_one_device(record: Record, cndb_dir: Path, database: Target | None, warn: Warn) -> OneDevice | None:
    """The throughput of one device with this record's batch a device, from earlier runs on its machine.

    None: none is known, or the record is of one device.
    """
    own, extra = THROUGHPUT.read(record), record.extra or {}
    batch = extra.get("batch_size_per_device")
    if record.dev_num == 1 or own is None or not isinstance(batch, int):
        return None
    spec = {key: value for key, value in (extra.get("spec") or {}).items() if key != "nodes"}
    changes = {"dev_num": 1, "batch_size": batch, "dist_type": "Single", "extra": {**extra, "spec": spec}}
    alone = record.model_copy(update=changes)
    runs = [
        figure.value
        for one in _earlier(alone, cndb_dir, database, warn)
        if (figure := THROUGHPUT.read(one)) is not None
    ]
    if not runs:
        return None
    throughput = statistics.median(runs)
    return OneDevice(throughput=throughput, runs=len(runs), efficiency=own.value / record.dev_num / throughput)


def _earlier(record: Record, cndb_dir: Path, database: Target | None, warn: Warn) -> list[Record]:
    """Earlier runs of a configuration, from the record files, or from the database if that has more of them."""
    found = earlier_files(cndb_dir, record, MOST, warn).runs
    if len(found) < MIN_HISTORY and database is not None:
        stored = database.ask(lambda engine: earlier_runs(engine, record, (), [record], MOST, AMONG).runs)
        found = max(found, stored or [], key=len)
    return [run.record for run in found]


def between_runs(record: Record, earlier: Sequence[Record]) -> BetweenRuns | None:
    """The interval of the mean throughput over runs of this configuration, from this run and the spread of others.

    None: fewer than MIN_HISTORY of the earlier runs, oldest first, have a throughput, or the run has none.
    """
    own, metric = THROUGHPUT.read(record), common_throughput([record, *earlier])[0]
    runs = [figure for one in earlier if (figure := metric.read(one)) is not None]
    if own is None or len(runs) < MIN_HISTORY:
        return None
    low, high = interval(own, runs)
    return BetweenRuns(low=low, high=high, half_width_share=(high - low) / 2 / own.value, runs=len(runs), level=LEVEL)


def interval(own: RunFigure, earlier: Sequence[RunFigure]) -> tuple[float, float]:
    """Student's t of one run, whose variance is that of successive earlier runs, or more if its steps vary more."""
    spread = spread_in_time(earlier)
    half = float(stdtrit(spread.dof, (1 + LEVEL) / 2)) * math.sqrt(one_run(spread_of([own]), spread))
    return own.value * math.exp(-half), own.value * math.exp(half)
