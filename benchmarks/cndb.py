"""How fast records go into a database of 100,000, and how fast history and views answer, on SQLite and on PostgreSQL.

    python benchmarks/cndb.py [--records 100000] [--repeats 3] [--quick] [--uri postgresql://USER@HOST/DATABASE]

Fills an empty database with drawn records of a realistic size. Then, in turn: the newest 20 as `gbench cndb list` asks
for them beside one SELECT of whole rows; and `gbench cndb submit`'s work on records of new runs, each a transaction as
a launch makes it, beside the bare INSERT of the same rows, each a transaction. Last, without --quick, the median over
the repeats of each kind of query, connecting included.

SQLite lives in a temporary folder. PostgreSQL is a server that this starts and throws away, where it is installed; or
the empty database of --uri (its password from PGPASSWORD or ~/.pgpass), whose gbench tables are dropped at the end. The
server that this starts doesn't wait for the disk (fsync=off); SQLite does.
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

from cndb_rows import END, IMAGES, MACHINES, MODELS, RARE, RARE_MODEL, drawn
from command import at_least_one, run
from rows import Row, json_option, report
from sqlalchemy import Engine, delete, func, insert, select, text

from gbench.cndb.additions import INDEXES
from gbench.cndb.database import connect_or_create
from gbench.cndb.database_config import DatabaseConfig, parse_config
from gbench.cndb.identity import sealed
from gbench.cndb.queries import RecordFilter, entries, records
from gbench.cndb.record import Record
from gbench.cndb.schema import drop_all, upgrade
from gbench.cndb.store import submit
from gbench.cndb.tables import hardware_infos, models, software_infos, train_results

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "helpers"))
from postgres import Postgres

BATCH = 5000  # rows a statement
A_ROUND = 50  # records submitted in turn with as many bare rows
WANTED = {
    "none": RecordFilter(limit=20),
    "model": RecordFilter(model="pix2pix_unet_256", limit=20),
    "device": RecordFilter(device="a100", limit=20),
    "precision": RecordFilter(precision="TF32", limit=20),
    "all three": RecordFilter(model="pix2pix_unet_256", device="a100", precision="TF32", limit=20),
    "since a week ago": RecordFilter(since=END - timedelta(days=7), limit=20),
    f"a model of {RARE} records": RecordFilter(model=RARE_MODEL, limit=20),
    f"a device of {RARE} records": RecordFilter(device="gh200", limit=20),
    "a device that none has": RecordFilter(device="TPU", limit=20),
    "three that none has together": RecordFilter(model=RARE_MODEL, device="a100", precision="BF16", limit=20),
    "none, 1,000 records": RecordFilter(limit=1000),
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


def new_runs(engine: Engine, count: int) -> list[Record]:
    """Records of as many new runs: those of the newest rows that are of a launch, with run ids of their own."""
    found = []
    for number, record in records(engine, RecordFilter(limit=2 * count)):
        if record.run_id is not None and len(found) < count:
            extra = {**(record.extra or {}), "run_id": f"{record.run_id}-again-{number}"}
            found.append(sealed(record.model_copy(update={"extra": extra, "md5_val": None})))
    return found


def submissions(engine: Engine, name: str, rounds: int) -> Row:
    """Records a second, a record a transaction, beside bare rows a second; the database is left as it was."""
    rates: dict[str, list[float]] = {"ours": [], "bare": []}
    with engine.connect() as connection:
        last = connection.scalar(select(func.max(train_results.c.id)))
        columns = [column for column in train_results.c if column.name != "id"]
        newest = select(*columns).order_by(train_results.c.id.desc()).limit(A_ROUND)
        rows = [dict(row) for row in connection.execute(newest).mappings()]
    waiting = new_runs(engine, rounds * A_ROUND)
    for number in range(rounds):
        batch = waiting[number * A_ROUND : (number + 1) * A_ROUND]
        start = time.perf_counter()
        for record in batch:
            (stored,) = submit(engine, [record], "save")
            assert stored.action == "inserted"
        rates["ours"].append(A_ROUND / (time.perf_counter() - start))
        start = time.perf_counter()
        for row in rows:
            with engine.begin() as connection:
                connection.execute(insert(train_results), [row])
        rates["bare"].append(A_ROUND / (time.perf_counter() - start))
    with engine.begin() as connection:
        connection.execute(delete(train_results).where(train_results.c.id > last))
    return Row.of(f"submit, {name}", "a bare INSERT", "records/s", *rates.values())


def listings(engine: Engine, name: str, rounds: int) -> Row:
    """Milliseconds of the newest 20, beside a SELECT of the same rows, nothing translated."""
    times: dict[str, list[float]] = {"ours": [], "bare": []}
    newest = select(train_results).order_by(train_results.c.create_at.desc(), train_results.c.id.desc()).limit(20)

    def bare() -> int:
        with engine.connect() as connection:
            return len(connection.execute(newest).all())

    for _ in range(rounds):
        for way, query in (("ours", lambda: len(entries(engine, RecordFilter(limit=20)))), ("bare", bare)):
            times[way].append(1e3 * timed(query, 1)[1])
    return Row.of(f"list the newest 20 records, {name}", "a bare SELECT", "ms", *times.values())


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


def table(answers: dict[str, dict[str, tuple[int, float]]]) -> Iterator[str]:
    """The queries' rows and times, database by database, as Markdown."""
    yield "| query | rows |" + "".join(f" {name} |" for name in answers)
    yield "|---|---|" + "---|" * len(answers)
    for query in [*WANTED, WITHOUT_INDEXES, *VIEWS]:
        rows = {answer[query][0] for answer in answers.values()}
        cells = "".join(f" {1000 * answer[query][1]:,.0f} ms |" for answer in answers.values())
        yield f"| {query} | {', '.join(f'{count:,}' for count in sorted(rows))} |{cells}"


@contextmanager
def databases(uri: str | None, folder: Path) -> Iterator[dict[str, DatabaseConfig]]:
    """SQLite, and PostgreSQL where there is one."""
    found = {"SQLite": parse_config({"schema": "sqlite", "database": "cndb.sqlite"}, "sqlite", "sqlite", folder, {})}
    if uri is None and not any(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        print("PostgreSQL is not installed here, and no --uri given: SQLite alone", file=sys.stderr)
        yield found
        return
    with postgresql(uri, folder) as config:
        yield {**found, "PostgreSQL": config}


def main() -> None:
    """Fill the databases, and print what submitting and the queries took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=at_least_one, default=100_000)
    parser.add_argument("--repeats", type=at_least_one, default=3, help="of each query; the median is shown")
    parser.add_argument("--rounds", type=at_least_one, default=10, help=f"of {A_ROUND} records submitted, and of lists")
    parser.add_argument("--quick", action="store_true", help="submitting and the list of the newest alone")
    parser.add_argument("--uri", help="an empty PostgreSQL database to use, in place of a server of our own")
    json_option(parser)
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="gbench-cndb-"))
    folder.chmod(0o755)  # a server that root starts runs as another user
    answers, rows = {}, []
    try:
        with databases(arguments.uri, folder) as configs:
            for name, config in configs.items():
                engine, start = connect_or_create(config), time.perf_counter()
                fill(engine, arguments.records)
                filled_s = time.perf_counter() - start
                print(f"{name}: {arguments.records:,} records in {filled_s:.0f} s", file=sys.stderr)
                which = f"{name} of {arguments.records:,}"
                rows += [way(engine, which, arguments.rounds) for way in (listings, submissions)]
                if not arguments.quick:
                    answers[name] = measured(engine, arguments.repeats)
    finally:
        shutil.rmtree(folder)
    queries = {name: {query: {"rows": n, "s": s} for query, (n, s) in one.items()} for name, one in answers.items()}
    report(rows, table(answers) if answers else (), arguments.json, queries=queries)


if __name__ == "__main__":
    run(main)
