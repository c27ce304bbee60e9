"""Uploads to a PostgreSQL that is down, hangs or refuses; and no leaked passwords."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest
import yaml
from sqlalchemy import make_url
from support import Answer

import deliverers
from drawn_records import record
from gbench.cndb.database import LOCK
from gbench.cndb.database_config import DatabaseConfig, find_config
from gbench.cndb.record_file import save
from gbench.cndb.upload import Pending, Target, deliver, queue, read_entry, send, waiting
from gbench.errors import InfrastructureError
from postgres import PASSWORD, Postgres
from silent_server import accepting, silent_after

pytestmark = pytest.mark.system
Gbench = Callable[..., Answer]
# of a server that is silent; or alive, on a busy machine
GIVEN_UP = re.compile("no answer within 0.4 s; check that its server|canceling statement due to|idle-in-transaction")


@pytest.fixture
def database(postgres: Postgres, tmp_path: Path) -> Iterator[str]:
    """A database that does not exist yet, and its config file `db.yaml`, which takes the password from a variable."""
    name = f"uploads {tmp_path.name}"  # a name that must be quoted
    config = {**postgres.config(name), "passwd": "${CNDB_PASSWORD}"}
    (tmp_path / "db.yaml").write_text(yaml.safe_dump(config))
    yield name
    postgres.drop(name)


def run_ids(postgres: Postgres, database: str) -> list[str]:
    rows = postgres.query(database, "SELECT extra ->> 'run_id' FROM train_results ORDER BY 1")
    return [str(row[0]) for row in rows]


def queue_runs(tmp_path: Path, count: int) -> list[str]:
    names = [f"r{number:03}" for number in range(count)]
    config = find_config(str(tmp_path / "db.yaml"), tmp_path / "cndb", {"CNDB_PASSWORD": PASSWORD})
    for name in names:
        queue(tmp_path / "cndb", record(run_id=name), config, "save")
    return names


def queued(tmp_path: Path, deadline_s: float) -> tuple[DatabaseConfig, Pending]:
    """A database with a deadline, and a record that waits for it, also in a file."""
    queue_runs(tmp_path, 1)
    (path,) = waiting(tmp_path / "cndb")
    entry = read_entry(path)
    assert entry is not None
    save(entry.record, tmp_path / "r000.yaml")
    config = find_config(str(tmp_path / "db.yaml"), tmp_path / "cndb", {"CNDB_PASSWORD": PASSWORD})
    return replace(config, deadline_s=deadline_s), entry


def begin(tmp_path: Path, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "gbench", *map(str, arguments)],
        cwd=tmp_path,
        env={**os.environ, "CNDB_PASSWORD": PASSWORD},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until_it_waits_for_the_lock(postgres: Postgres, database: str) -> None:
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    deadline = time.monotonic() + 180
    while postgres.query(database, query) == [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_server_that_stops_in_a_submission_costs_nothing(
    postgres: Postgres, database: str, tmp_path: Path, gbench: Gbench, small_launch: list[str]
) -> None:
    postgres.create(database)
    with psycopg.connect(postgres.uri(database), autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [LOCK])  # holds the submission up in its middle
        launch = begin(
            tmp_path,
            "launch",
            "pix2pix_resnet_6blocks",
            2,
            1,
            "FP32",
            "db.yaml",
            *small_launch,
            "--steps",
            3,
            "--warmup",
            1,
        )
        wait_until_it_waits_for_the_lock(postgres, database)
        records = list((tmp_path / "cndb" / "records").iterdir())
        assert len(records) == 1, "the record is on disk before the database is touched"
        postgres.stop("immediate")
    out, err = launch.communicate(timeout=120)
    try:
        assert launch.returncode == 5, err
        assert "img/s end to end" in out
        assert "not uploaded: database" in err and "gbench cndb submit --pending" in err
        assert "Traceback" not in err
        assert len(list((tmp_path / "cndb" / "spool").iterdir())) == 1
        down = gbench("cndb", "submit", "--pending", CNDB_PASSWORD=PASSWORD)
        assert down.code == 4 and "0 sent, 1 still waiting" in down.out
    finally:
        postgres.start()
    sent = gbench("cndb", "submit", "--pending", CNDB_PASSWORD=PASSWORD)
    assert sent.code == 0 and "1 sent, 0 still waiting" in sent.out
    assert run_ids(postgres, database) == [yaml.safe_load(records[0].read_text())["extra"]["run_id"]]
    assert gbench("cndb", "submit", "--pending", CNDB_PASSWORD=PASSWORD).out.startswith("0 sent, 0 still waiting")


def test_a_killed_sender_neither_loses_nor_doubles_a_record(
    postgres: Postgres, database: str, tmp_path: Path, gbench: Gbench
) -> None:
    names = queue_runs(tmp_path, 60)
    moments = random.Random(1)
    for _ in range(10):
        sender = begin(tmp_path, "cndb", "submit", "--pending")
        time.sleep(moments.uniform(0.3, 1.5))
        sender.kill()
        sender.communicate()
    assert gbench("cndb", "submit", "--pending", CNDB_PASSWORD=PASSWORD).code == 0
    assert run_ids(postgres, database) == names


def test_sixteen_senders_and_a_server_that_restarts_twice(postgres: Postgres, database: str, tmp_path: Path) -> None:
    """1,000 records; the second restart is a crash. Each record is stored once, and nothing is left to send."""
    queue_runs(tmp_path, 1)
    config = find_config(str(tmp_path / "db.yaml"), tmp_path / "cndb", {"CNDB_PASSWORD": PASSWORD})
    Target(config).store([record(run_id="r000")], "save")  # creates the tables
    program = [sys.executable, deliverers.__file__, tmp_path / "db.yaml", tmp_path / "cndb", 16, 1000]
    senders = subprocess.Popen(list(map(str, program)), env={**os.environ, "CNDB_PASSWORD": PASSWORD})
    for stored, mode in ((200, "fast"), (500, "immediate")):
        while len(run_ids(postgres, database)) < stored:
            assert senders.poll() is None
            time.sleep(0.1)
        postgres.stop(mode)
        time.sleep(0.3)  # some send meanwhile
        postgres.start()
    assert senders.wait(timeout=900) == 0
    assert run_ids(postgres, database) == ["r000", *(f"run-{number:04}" for number in range(1000))]
    assert waiting(tmp_path / "cndb") == []


def test_two_senders_at_once_send_each_record_once(postgres: Postgres, database: str, tmp_path: Path) -> None:
    names = queue_runs(tmp_path, 20)
    senders = [begin(tmp_path, "cndb", "submit", "--pending") for _ in range(2)]
    for sender in senders:
        _, err = sender.communicate(timeout=180)
        assert sender.returncode == 0, err
    assert run_ids(postgres, database) == names
    assert not list((tmp_path / "cndb" / "spool").iterdir())


def test_a_server_that_hangs_is_given_up(postgres: Postgres, database: str, tmp_path: Path) -> None:
    """Its processes are stopped, so the kernel takes the connection, and nobody answers."""
    config, entry = queued(tmp_path, deadline_s=1.0)
    pids = [int(pid) for pid in subprocess.check_output(["pgrep", "-f", str(postgres.folder)], text=True).split()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(InfrastructureError, match="no answer within 1 s"):
            send(entry, Target(config))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert send(entry, Target(config)) == "record 1 inserted"


@pytest.mark.parametrize(("new", "vanish"), [(True, False), (False, False), (False, True)])
def test_silence_neither_loses_nor_doubles_a_record(
    new: bool, vanish: bool, postgres: Postgres, database: str, tmp_path: Path
) -> None:
    """A relay swallows all that is sent after some messages: of the start, a migration, a query, the commit.

    vanish: the server is not notified that the client is gone, and has to free its lock itself.
    """
    config, _ = queued(tmp_path, deadline_s=0.4)
    if not new:
        Target(replace(config, deadline_s=60.0)).store([record(run_id="first")], "save")
    answered = 0
    for chunks in range(0, 60, 6) if new else range(14):
        with accepting(silent_after(chunks, postgres.port, vanish)) as port:
            silent = replace(config, uri=make_url(config.uri).set(port=port))
            stored, why = deliver(tmp_path / "r000.yaml", tmp_path / "cndb", Target(silent), print)
        assert stored or (why and GIVEN_UP.search(why)), (chunks, why)
        answered += bool(stored)
    assert answered < 14
    for path in waiting(tmp_path / "cndb"):
        entry = read_entry(path)
        assert entry and send(entry, Target(replace(config, deadline_s=60.0)))
    assert run_ids(postgres, database) == ["first", "r000"][new:]


SLOW = """
CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(2.5) FROM pg_event_trigger_ddl_commands() WHERE object_identity LIKE '%gbench_md5'; END $$;
CREATE EVENT TRIGGER slow ON ddl_command_end WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION slow();
"""
SLOWER = """
CREATE FUNCTION slower() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); END';
CREATE TRIGGER slower BEFORE INSERT ON train_results FOR EACH ROW EXECUTE FUNCTION slower();
"""


def test_only_a_migration_may_outlast_the_deadline(postgres: Postgres, database: str, tmp_path: Path) -> None:
    """An index takes longer than it, as on a large database."""
    config, entry = queued(tmp_path, deadline_s=2.0)
    postgres.create(database, SLOW)
    Target(config).store([record(run_id="first")], "save")
    postgres.query(database, SLOWER)
    with pytest.raises(InfrastructureError, match="canceling statement due to statement timeout; see what blocks it"):
        send(entry, Target(config))
    postgres.query(database, "DROP TRIGGER slower ON train_results")
    assert send(entry, Target(config)).endswith(" inserted")


def test_no_output_and_no_file_holds_the_password(
    postgres: Postgres, database: str, tmp_path: Path, gbench: Gbench, small_launch: list[str]
) -> None:
    """With the password in the config, in a variable, in a URI; with SQL shown; when it is wrong; when it is down."""
    plain, uri, wrong, down = ({**postgres.config(database), "passwd": PASSWORD, "verbose": 1} for _ in range(4))
    uri = {"uri": postgres.uri(database), "verbose": 1}
    wrong["passwd"] = f"not-{PASSWORD}"
    down["port"] = 1
    broken = f"passwd: {PASSWORD}\n  - [unbalanced"
    texts = {"plain": yaml.safe_dump(plain), "uri": yaml.safe_dump(uri), "wrong": yaml.safe_dump(wrong)}
    texts |= {"down": yaml.safe_dump(down), "broken": broken, "odd": yaml.safe_dump({**plain, "port": PASSWORD})}
    for name, text in texts.items():
        (tmp_path / f"{name}.yaml").write_text(text)
    (tmp_path / "record.yaml").write_text(yaml.safe_dump(record(run_id="r").model_dump()))

    launch = ["launch", "pix2pix_resnet_6blocks", 2, 1, "FP32", "uri.yaml", *small_launch, "--steps", 3, "--warmup", 1]
    answers = {"launch": gbench(*launch)}
    for name in texts:
        answers[name] = gbench("cndb", "submit", "record.yaml", "--db", f"{name}.yaml")
    answers["list"] = gbench("cndb", "list", "--db", "plain.yaml")
    answers["as DATABASE"] = gbench("launch", "pix2pix_resnet_6blocks", 2, 1, "FP32", postgres.uri(database))
    assert {name: answer.code for name, answer in answers.items()} == {
        "launch": 0,
        "plain": 0,
        "uri": 0,
        "wrong": 4,
        "down": 4,
        "broken": 2,
        "odd": 2,
        "list": 0,
        "as DATABASE": 2,
    }
    assert "SELECT" in answers["plain"].out + answers["plain"].err, "verbose shows the SQL"
    for name, answer in answers.items():
        assert PASSWORD not in answer.out + answer.err, name
        assert "Traceback" not in answer.err, name
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != tmp_path]
    assert len(written) > 5
    assert not [path for path in written if PASSWORD.encode() in path.read_bytes()]
