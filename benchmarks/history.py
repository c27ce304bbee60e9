"""How fast the history and the dashboards' views answer over 100,000 records, on SQLite and on PostgreSQL.

    python benchmarks/history.py [--records 100000] [--repeats 3] [--uri postgresql://USER@HOST/DATABASE]

Fills an empty database with drawn records of a realistic size, then prints the median over the repeats of each query,
connecting included. SQLite lives in a temporary folder; PostgreSQL is a server that this starts and throws away, or the
empty database of --uri (its password from PGPASSWORD or ~/.pgpass), whose gbench tables are dropped at the end.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from pathlib import Path

from history_rows import END, IMAGES, MACHINES, MODELS, RARE, RARE_MODEL, drawn
from sqlalchemy import Engine, func, insert, select, text

from gbench.cndb.additions import INDEXES
from gbench.cndb.config import DatabaseConfig, parse_config
from gbench.cndb.database import connect_or_create
from gbench.cndb.history import Wanted, entries
from gbench.cndb.schema import drop_all, upgrade
from gbench.cndb.tables import hardware_infos, models, software_infos, train_results

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "system"))
from postgres import Postgres

BATCH = 5000  # rows a statement
WANTED = {
    "none": Wanted(limit=20),
    "model": Wanted(model="pix2pix_unet_256", limit=20),
    "device": Wanted(device="a100", limit=20),
    "precision": Wanted(precision="TF32", limit=20),
    "all three": Wanted(model="pix2pix_unet_256", device="a100", precision="TF32", limit=20),
    "since a week ago": Wanted(since=END - timedelta(days=7), limit=20),
    f"a model of {RARE} records": Wanted(model=RARE_MODEL, limit=20),
    f"a device of {RARE} records": Wanted(device="gh200", limit=20),
    "a device that none has": Wanted(device="TPU", limit=20),
    "three that none has together": Wanted(model=RARE_MODEL, device="a100", precision="BF16", limit=20),
    "none, 1,000 records": Wanted(limit=1000),
}
WITHOUT_INDEXES = "none, without gbench's indexes"
VIEWS = {
    "gbench_results, run in the last 7 days": "SELECT * FROM gbench_results WHERE age_days <= 7",
    "gbench_results, stored in the last 7 days": (
        f"SELECT * FROM gbench_results WHERE stored_at >= '{END - timedelta(days=7):%Y-%m-%d %H:%M:%S}'"
    ),
    "gbench_latest": "SELECT * FROM gbench_latest",
    "gbench_trend of one model": "SELECT * FROM gbench_trend WHERE model = 'pix2pix-unet_256' AND age_days <= 90",
    "gbench_regressions": "SELECT * FROM gbench_regressions",
    "gbench_fleet": "SELECT * FROM gbench_fleet",
}


def fill(engine: Engine, count: int) -> None:
    """Make the schema and put the rows in, straight into the tables."""
    upgrade(engine)
    with engine.begin() as connection:
        if connection.scalar(select(func.count()).select_from(train_results)):
            raise SystemExit("the database holds records already: give an empty one")
        for table, names in ((models, [*MODELS, RARE_MODEL]), (software_infos, IMAGES), (hardware_infos, MACHINES)):
            connection.execute(insert(table), [{"id": place, "name": name} for place, name in enumerate(names, 1)])
        rows = drawn(count)
        while batch := list(islice(rows, BATCH)):
            connection.execute(insert(train_results), batch)
    if engine.dialect.name == "postgresql":  # what autovacuum does a minute later
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def timed(query: Callable[[], int], repeats: int) -> tuple[int, float]:
    """Rows of the answer, and the median of its seconds."""
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        rows = query()
        seconds.append(time.perf_counter() - start)
    return rows, statistics.median(seconds)


def measured(engine: Engine, repeats: int) -> dict[str, tuple[int, float]]:
    """Rows and seconds of each query; the indexes are gone afterwards."""

    def viewed(sql: str) -> int:
        with engine.connect() as connection:
            return len(connection.execute(text(sql)).all())

    lists = {name: timed(lambda found=found: len(entries(engine, found)), repeats) for name, found in WANTED.items()}
    views = {name: timed(lambda sql=sql: viewed(sql), repeats) for name, sql in VIEWS.items()}
    with engine.begin() as connection:
        for index in INDEXES:
            connection.execute(text(f"DROP INDEX {index}"))
    bare = timed(lambda: len(entries(engine, WANTED["none"])), repeats)
    return {**lists, WITHOUT_INDEXES: bare, **views}


@contextmanager
def postgresql(uri: str | None, folder: Path) -> Iterator[DatabaseConfig]:
    """The database of `uri`, or one of a server of our own."""
    server = None
    if uri is None:
        (place := folder / "pg").mkdir()
        server = Postgres(place)
        server.start()
        uri = server.uri("history")
    config = parse_config({"uri": uri}, "--uri", "--uri", folder, {})
    try:
        yield config
        if server is None:
            drop_all(connect_or_create(config))
    finally:
        if server is not None:
            server.stop("immediate")


def main() -> None:
    """Fill both databases, and print what the queries took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=3, help="of each query; the median is shown")
    parser.add_argument("--uri", help="an empty PostgreSQL database to use, in place of a server of our own")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="gbench-history-"))
    folder.chmod(0o755)  # a server that root starts runs as another user
    answers = {}
    try:
        with postgresql(arguments.uri, folder) as config:
            sqlite = parse_config({"schema": "sqlite", "database": "history.sqlite"}, "sqlite", "sqlite", folder, {})
            for name, database in (("SQLite", sqlite), ("PostgreSQL", config)):
                engine, start = connect_or_create(database), time.perf_counter()
                fill(engine, arguments.records)
                filled_s = time.perf_counter() - start
                print(f"{name}: {arguments.records:,} records in {filled_s:.0f} s", file=sys.stderr)
                answers[name] = measured(engine, arguments.repeats)
    finally:
        shutil.rmtree(folder)
    print("| query | rows |" + "".join(f" {name} |" for name in answers) + "\n|---|---|" + "---|" * len(answers))
    for query in [*WANTED, WITHOUT_INDEXES, *VIEWS]:
        rows = {answer[query][0] for answer in answers.values()}
        cells = "".join(f" {1000 * answer[query][1]:,.0f} ms |" for answer in answers.values())
        print(f"| {query} | {', '.join(f'{count:,}' for count in sorted(rows))} |{cells}")


if __name__ == "__main__":
    main()
