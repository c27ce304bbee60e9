"""Uploads to a PostgreSQL that is down, hangs or refuses; and no leaked passwords."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
import yaml
from support import Answer

from drawn_records import record
from gbench.cndb.database import LOCK
from gbench.cndb.database_config import find_config
from gbench.cndb.upload import queue
from postgres import PASSWORD, Postgres

pytestmark = pytest.mark.system
Gbench = Callable[..., Answer]


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


def test_two_senders_at_once_send_each_record_once(postgres: Postgres, database: str, tmp_path: Path) -> None:
    names = queue_runs(tmp_path, 20)
    senders = [begin(tmp_path, "cndb", "submit", "--pending") for _ in range(2)]
    for sender in senders:
        _, err = sender.communicate(timeout=180)
        assert sender.returncode == 0, err
    assert run_ids(postgres, database) == names
    assert not list((tmp_path / "cndb" / "spool").iterdir())


def test_a_server_that_hangs_is_given_up(
    postgres: Postgres, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gbench.cndb import upload
    from gbench.errors import InfrastructureError

    monkeypatch.setattr(upload, "DEADLINE_S", 3.0)
    queue_runs(tmp_path, 1)
    (path,) = upload.waiting(tmp_path / "cndb")
    entry = upload.read_entry(path)
    assert entry is not None
    config = find_config(str(tmp_path / "db.yaml"), tmp_path / "cndb", {"CNDB_PASSWORD": PASSWORD})
    pids = [int(pid) for pid in subprocess.check_output(["pgrep", "-f", str(postgres.folder)], text=True).split()]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(InfrastructureError, match=r"did not answer within 3 s|timeout"):
            upload.send(entry, upload.Target(config))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert upload.send(entry, upload.Target(config)) == "record 1 inserted"


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
