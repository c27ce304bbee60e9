"""How fast records go into a database of 100,000, and how fast history and views answer, on SQLite and on PostgreSQL.

    python benchmarks/cndb.py [--records 100000] [--repeats 3] [--quick] [--uri postgresql://USER@HOST/DATABASE]

Fills an empty database with generated records of a realistic size. Then alternates: the newest 20 as `gbench cndb list`
queries them, against one SELECT of whole rows; and `gbench cndb submit`'s work on records of new runs, one transaction
each as after a launch, against the bare INSERT of the same rows, one transaction each. Last, without --quick, the
median over the repeats of each kind of query, connecting included.

SQLite uses a temporary folder. PostgreSQL is a temporary server that this script starts if it is installed; or the
empty database of --uri (its password from PGPASSWORD or ~/.pgpass), whose gbench tables are dropped at the end. The
temporary server doesn't wait for the disk (fsync=off); SQLite does.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path

from cndb_rows import END, IMAGES, MACHINES, MODELS, RARE, RARE_MODEL, drawn
from command import at_least_one, parser_of, run
from rows import Row, report
from sqlalchemy import Engine, delete, func, insert, select, text
from timing import alternate, columns, seconds

from gbench.cndb.database import connect_or_create
from gbench.cndb.database_config import DatabaseConfig, parse_config
from gbench.cndb.identity import sealed
from gbench.cndb.queries import RecordFilter, entries, records
from gbench.cndb.record import Record
from gbench.cndb.schema import INDEXES, drop_all, upgrade
from gbench.cndb.store import submit
from gbench.cndb.tables import hardware_infos, models, software_infos, train_results
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
    """Create the schema, and insert the rows directly into the tables."""
    upgrade(engine)
    with engine.begin() as connection:
        if connection.scalar(select(func.count()).select_from(train_results)):
            raise SystemExit("the database is not empty: give an empty one")
        for table, names in ((models, [*MODELS, RARE_MODEL]), (software_infos, IMAGES), (hardware_infos, MACHINES)):
            connection.execute(insert(table), [{"id": place, "name": name} for place, name in enumerate(names, 1)])
        rows = drawn(count)
        while batch := list(islice(rows, BATCH)):
            connection.execute(insert(train_results), batch)
    if engine.dialect.name == "postgresql":  # what autovacuum does a minute later
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))


def timed(query: Callable[[], int], repeats: int) -> tuple[int, float]:
    """Rows of the answer, and its median seconds."""
    taken_s, rows = [], 0
    for _ in range(repeats):
        start_s = time.perf_counter()
        rows = query()
        taken_s.append(time.perf_counter() - start_s)
    return rows, statistics.median(taken_s)


def new_runs(engine: Engine, count: int) -> list[Record]:
    """Records of `count` new runs: the newest launches, with new run ids."""
    found = []
    for number, record in records(engine, RecordFilter(limit=2 * count)):
        if record.run_id is not None and len(found) < count:
            extra = {**(record.extra or {}), "run_id": f"{record.run_id}-again-{number}"}
            found.append(sealed(record.model_copy(update={"extra": extra, "md5_val": None})))
    return found


def submissions(engine: Engine, name: str, rounds: int) -> Row:
    """Records per second, one per transaction, against bare rows per second; leaves the database as it was."""
    with engine.connect() as connection:
        last = connection.scalar(select(func.max(train_results.c.id)))
        kept = [column for column in train_results.c if column.name != "id"]
        newest = select(*kept).order_by(train_results.c.id.desc()).limit(A_ROUND)
        rows = [dict(row) for row in connection.execute(newest).mappings()]
    waiting = iter(new_runs(engine, rounds * A_ROUND))

    def ours() -> None:
        for record in islice(waiting, A_ROUND):
            (stored,) = submit(engine, [record], "save")
            assert stored.action == "inserted"

    def bare() -> None:
        for row in rows:
            with engine.begin() as connection:
                connection.execute(insert(train_results), [row])

    found = list(alternate({"ours": partial(seconds, ours), "bare": partial(seconds, bare)}, rounds))
    rates = ([A_ROUND / taken_s for taken_s in values] for values in columns(found).values())
    with engine.begin() as connection:
        connection.execute(delete(train_results).where(train_results.c.id > last))
    return Row.of(f"submit, {name}", "a bare INSERT", "records/s", *rates)


def listings(engine: Engine, name: str, rounds: int) -> Row:
    """Milliseconds of the newest 20, against a SELECT of the same rows without translation."""
    newest = select(train_results).order_by(train_results.c.create_at.desc(), train_results.c.id.desc()).limit(20)

    def ours() -> None:
        entries(engine, RecordFilter(limit=20))

    def bare() -> None:
        with engine.connect() as connection:
            connection.execute(newest).all()

    found = list(alternate({"ours": partial(seconds, ours), "bare": partial(seconds, bare)}, rounds))
    times = ([1e3 * taken_s for taken_s in values] for values in columns(found).values())
    return Row.of(f"list the newest 20 records, {name}", "a bare SELECT", "ms", *times)


def measured(engine: Engine, repeats: int) -> dict[str, tuple[int, float]]:
    """Rows and seconds of each query; drops the indexes."""

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
    """The database of `uri`, or one on a temporary server."""
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
    """SQLite, and PostgreSQL if available."""
    found = {"SQLite": parse_config({"schema": "sqlite", "database": "cndb.sqlite"}, "sqlite", "sqlite", folder, {})}
    if uri is None and not any(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        print("PostgreSQL is not installed here, and no --uri given: SQLite alone", file=sys.stderr)
        yield found
        return
    with postgresql(uri, folder) as config:
        yield {**found, "PostgreSQL": config}


def main() -> None:
    """Fill the databases, and print what submitting and the queries took."""
    parser = parser_of(__doc__, json=True)
    parser.add_argument("--records", type=at_least_one, default=100_000)
    parser.add_argument("--repeats", type=at_least_one, default=3, help="repeats of each query; the median is printed")
    parser.add_argument("--rounds", type=at_least_one, default=10, help=f"of {A_ROUND} submitted records, and of lists")
    parser.add_argument("--quick", action="store_true", help="only submit and list the newest")
    parser.add_argument("--uri", help="an empty PostgreSQL database to use instead of a temporary server")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="gbench-cndb-"))
    folder.chmod(0o755)  # a server that root starts runs as another user
    answers, rows = {}, []
    try:
        with databases(arguments.uri, folder) as configs:
            for name, config in configs.items():
                engine = connect_or_create(config)
                filled_s = seconds(partial(fill, engine, arguments.records))
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
