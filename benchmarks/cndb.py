"""How fast records go into a database of 100,000, and how fast history and views answer, on SQLite and on PostgreSQL.

    python benchmarks/cndb.py [--records 100000] [--repeats 3] [--quick] [--uri postgresql://USER@HOST/DATABASE]

Fills an empty database with generated records of a realistic size, first with a tenth of them, then with all. Then
alternates: the queries of the views, against computing what the views know of each record; the newest 20 as `gbench
cndb list` queries them, against one SELECT of whole rows; and `gbench cndb submit`'s work on records of new runs,
against the bare INSERT of the same rows, a statement each, by a plain script with SQLAlchemy: one record a connection
and transaction, as after a launch; and 500, as for many files. Then imports a benchmark log of as many lines as there
are records (a tenth with --quick), against the plain script's executemany of its rows. Last, without --quick, the
median over the repeats of each kind of query, connecting included.

SQLite uses a temporary folder. PostgreSQL is a temporary server that this script starts if it is installed; or the
empty database of --uri on this machine (its password from PGPASSWORD or ~/.pgpass), whose gbench tables are dropped at
the end. The temporary server doesn't wait for the disk (fsync=off); SQLite does.
"""

from __future__ import annotations

import math
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import psutil
from cndb_rows import END, IMAGES, MACHINES, MODELS, RARE, RARE_MODEL, drawn, log_lines
from command import at_least_one, parser_of, run
from rows import Row, report
from sqlalchemy import Engine, create_engine, delete, func, insert, select, text
from sqlalchemy.pool import NullPool
from timing import alternate, columns, seconds

from gbench.cndb.database import connect_or_create
from gbench.cndb.database_config import DatabaseConfig, parse_config
from gbench.cndb.identity import sealed
from gbench.cndb.importing import read_results
from gbench.cndb.queries import RecordFilter, entries, records
from gbench.cndb.record import Record
from gbench.cndb.schema import INDEXES, drop_all, upgrade
from gbench.cndb.store import BATCH as BATCH_OF_SUBMIT
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
COMPUTED = "all rows computed from the tables"
WITHOUT_INDEXES = "none, without gbench's indexes"
VIEWS = {
    "gbench_results, run in the last 7 days": "SELECT * FROM gbench_results WHERE age_days <= 7",
    "gbench_results, stored in the last 7 days": (
        f"SELECT * FROM gbench_results WHERE stored_at >= '{END - timedelta(days=7):%Y-%m-%d %H:%M:%S}'"
    ),
    "gbench_latest": "SELECT * FROM gbench_latest",
    "gbench_trend of one model": "SELECT * FROM gbench_trend WHERE model = 'pix2pix-unet_256' AND age_days <= 90",
    "gbench_trend": "SELECT * FROM gbench_trend",
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
            connection.execute(insert(table), [{"name": name} for name in names])
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
    newest = [record for _, record in records(engine, RecordFilter(limit=2 * BATCH_OF_SUBMIT)) if record.run_id]
    found = []
    for number, record in enumerate(islice(cycle(newest), count)):
        extra = {**(record.extra or {}), "run_id": f"{record.run_id}-again-{number}"}
        found.append(sealed(record.model_copy(update={"extra": extra, "md5_val": None})))
    return found


def rows_since(engine: Engine, last: int) -> list[dict[str, Any]]:
    """The rows with higher ids, without ids; removes them."""
    kept = [column for column in train_results.c if column.name != "id"]
    with engine.begin() as connection:
        rows = connection.execute(select(*kept).where(train_results.c.id > last).order_by(train_results.c.id))
        found = [dict(row) for row in rows.mappings()]
        connection.execute(delete(train_results).where(train_results.c.id > last))
    return found


def last_id(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.max(train_results.c.id))) or 0


def bare_inserts(engine: Engine, rows: list[dict[str, Any]], a_transaction: int, together: bool = False) -> None:
    """Insert rows as a plain script does: a statement a row or, `together`, all of a transaction in one call."""
    plain = create_engine(engine.url, poolclass=NullPool)
    for start in range(0, len(rows), a_transaction):
        with plain.begin() as connection:
            batch = rows[start : start + a_transaction]
            for one in [batch] if together else ([row] for row in batch):
                connection.execute(insert(train_results), one)


def submissions(engine: Engine, name: str, rounds: int, a_transaction: int) -> Row:
    """Records per second against bare rows per second, in transactions of as many; leaves the database as it was."""
    last, count = last_id(engine), max(A_ROUND, a_transaction)
    waiting = iter(new_runs(engine, (rounds + 1) * count))

    def ours() -> None:
        records = list(islice(waiting, count))
        for start in range(0, count, a_transaction):
            stored = submit(engine, records[start : start + a_transaction], "save")
            assert {one.action for one in stored} == {"inserted"}

    ours()
    rows = rows_since(engine, last)
    bare = partial(bare_inserts, engine, rows, a_transaction)
    found = list(alternate({"ours": partial(seconds, ours), "bare": partial(seconds, bare)}, rounds))
    rates = ([count / taken_s for taken_s in values] for values in columns(found).values())
    rows_since(engine, last)
    return Row.of(
        f"submit, {a_transaction} a transaction, {name}", "a bare INSERT", "records/s", *rates, ratio_least=0.9
    )


def imports(engine: Engine, name: str, count: int, folder: Path) -> Row:
    """Seconds of the import of a log, against a bare executemany of its rows; leaves the database as it was."""
    last = last_id(engine)
    (log := folder / "benchmark.log").write_text("".join(f"{line}\n" for line in log_lines(count)))

    def ours() -> None:
        records = [one for one in read_results(log, {"framework": "PyTorch"}) if isinstance(one, Record)]
        assert len(submit(engine, records, "save")) == count

    ours_s = seconds(ours)
    rows = rows_since(engine, last)
    bare_s = seconds(partial(bare_inserts, engine, rows, BATCH_OF_SUBMIT, together=True))
    rows_since(engine, last)
    goal_s = 60 if count >= 100_000 else None
    return Row.of(f"import {count:,} lines, {name}", "a bare executemany", "s", [ours_s], [bare_s], goal=goal_s)


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


def used_s(server: psutil.Process | None) -> float:
    """Processor seconds so far of this process, and of a server with all its connections."""
    total_s = time.process_time()
    if server is not None:
        total_s += sum(server.cpu_times()[:4])  # with the children that ended
        for child in server.children():
            with suppress(psutil.NoSuchProcess):
                total_s += sum(child.cpu_times()[:2])
    return total_s


def viewed(engine: Engine, rounds: int) -> dict[str, list[float]]:
    """Processor seconds of each query of the views, and of COMPUTED; PostgreSQL must run on this machine."""
    computed = "gbench_computed()" if engine.dialect.name == "postgresql" else "gbench_computed"
    queries = {**VIEWS, COMPUTED: f"SELECT max(throughput), max(configuration) FROM {computed}"}
    with engine.connect() as connection:  # one for all: what a connection that ends has used would be counted later
        server = None
        if engine.dialect.name == "postgresql":
            server = psutil.Process(connection.scalar(text("SELECT pg_backend_pid()"))).parent()

        cursor = connection.connection.cursor()  # the driver's, as a dashboard's: SQLAlchemy's rows take 0.2 s more

        def ask(sql: str) -> float:
            before_s = used_s(server)
            cursor.execute(sql)
            cursor.fetchall()
            return used_s(server) - before_s

        return columns(list(alternate({name: partial(ask, sql) for name, sql in queries.items()}, rounds)))


def views(name: str, small: dict[str, list[float]], large: dict[str, list[float]]) -> Iterator[Row]:
    """Each query of the views on all records, against COMPUTED, with its growth from a tenth of them."""
    for query in VIEWS:
        growth = math.log10(statistics.median(large[query]) / statistics.median(small[query]))
        named = f"{query}, {name}, processor time; grows with exponent {growth:.2f}"
        yield Row.of(named, COMPUTED, "s", large[query], large[COMPUTED], goal=1.0)


def measured(engine: Engine, repeats: int) -> dict[str, tuple[int, float]]:
    """Rows and seconds of each query; drops the indexes."""
    lists = {name: timed(lambda found=found: len(entries(engine, found)), repeats) for name, found in WANTED.items()}
    with engine.begin() as connection:
        for index in INDEXES:
            connection.execute(text(f"DROP INDEX {index}"))
    bare = timed(lambda: len(entries(engine, WANTED["none"])), repeats)
    return {**lists, WITHOUT_INDEXES: bare}


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
    for query in [*WANTED, WITHOUT_INDEXES]:
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
    parser.add_argument(
        "--repeats", type=at_least_one, default=3, help="repeats of each query of the views and of the list"
    )
    parser.add_argument("--rounds", type=at_least_one, default=10, help=f"of {A_ROUND} submitted records, and of lists")
    parser.add_argument("--quick", action="store_true", help="without the queries of the list")
    parser.add_argument("--uri", help="an empty PostgreSQL database on this machine, instead of a temporary server")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="gbench-cndb-"))
    folder.chmod(0o755)  # a server that root starts runs as another user
    answers, rows = {}, []
    try:
        with databases(arguments.uri, folder) as configs:
            for name, config in configs.items():
                engine = connect_or_create(config)
                fill(engine, max(arguments.records // 10, 2 * RARE))
                small = viewed(engine, arguments.repeats)
                drop_all(engine)
                filled_s = seconds(partial(fill, engine, arguments.records))
                print(f"{name}: {arguments.records:,} records in {filled_s:.0f} s", file=sys.stderr)
                which = f"{name} of {arguments.records:,}"
                rows += views(which, small, viewed(engine, arguments.repeats))
                rows.append(listings(engine, which, arguments.rounds))
                rows += [submissions(engine, which, arguments.rounds, size) for size in (1, BATCH_OF_SUBMIT)]
                lines = arguments.records // 10 if arguments.quick else arguments.records
                rows.append(imports(engine, which, lines, folder))
                if not arguments.quick:
                    answers[name] = measured(engine, arguments.repeats)
    finally:
        shutil.rmtree(folder)
    queries = {name: {query: {"rows": n, "s": s} for query, (n, s) in one.items()} for name, one in answers.items()}
    report(rows, table(answers) if answers else (), arguments.json, queries=queries)


if __name__ == "__main__":
    run(main)
