"""Calls to a database that is silent: each ends in a sentence at the deadline."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from support import Answer

from drawn_records import record
from gbench.cndb.database_config import embedded, find_config
from gbench.cndb.record_file import save, write_record
from gbench.cndb.upload import Target, deliver, queue, waiting
from silent_server import accepting, config_of, never, only_the_start, trickling

LINE = (
    "network:pix2pix-resnet_9blocks, batch size:32, device count:1, dpf mode:Single, precision:FP32, "
    "throughput:20 img/s, device:V100-PCIE-32GB, dataset:facades, nv_web_perf:N/A, github_perf_data:N/A, "
    "driver:460.73.01"
)
Gbench = Callable[..., Answer]
LONGER = "give it longer with --db-timeout"
SILENT = f"no answer within 0.3 s; check that its server and the name service answer, or {LONGER}"


@pytest.mark.parametrize("serve", [never, only_the_start, trickling])
def test_a_silent_server_is_given_up_and_the_record_waits(
    serve: Callable[[socket.socket], None], tmp_path: Path
) -> None:
    path, said = write_record(record(run_id="r1"), tmp_path, "r1"), list[str]()
    with accepting(serve) as port:
        config = replace(find_config(config_of(port, tmp_path), tmp_path, {}), deadline_s=0.3)
        stored, why = deliver(path, tmp_path, Target(config), said.append)
    later = f"later: gbench cndb submit --pending --cndb-dir {tmp_path}"
    assert (stored, why) == (None, f"database d on 127.0.0.1:{port}: {SILENT}; {later}")
    assert len(waiting(tmp_path)) == 1
    assert not said


def test_a_run_waits_for_a_silent_database_once(tmp_path: Path) -> None:
    """What it asks for before its record is delivered, the delivery, and one sentence."""
    path, asked = write_record(record(run_id="r1"), tmp_path, "r1"), list[socket.socket]()
    with accepting(asked.append) as port:
        target = Target(replace(find_config(config_of(port, tmp_path), tmp_path, {}), deadline_s=0.3))
        assert [target.ask(lambda engine: 1) for _ in range(3)] == [None] * 3
        stored, why = deliver(path, tmp_path, target, print)
    assert len(asked) == 1
    assert stored is None and why is not None and why.count(SILENT) == 1
    assert len(waiting(tmp_path)) == 1


def test_a_database_that_refuses_a_question_gets_the_record(tmp_path: Path) -> None:
    path = write_record(record(run_id="r1"), tmp_path, "r1")
    target = Target(embedded(tmp_path))
    assert target.ask(lambda engine: 1) is None  # there is none yet
    stored, why = deliver(path, tmp_path, target, print)
    assert (stored, why) == (f"record 1 inserted in {tmp_path}/cndb.sqlite", None)


@pytest.mark.parametrize(
    "command",
    [
        "cndb submit record.yaml",
        "cndb import old.log",
        "cndb list",
        "cndb list --stale",
        "cndb show 1",
        "cndb export",
        "report --history",
        "compare last:3 record.yaml",
        "compare record.yaml record.yaml",
    ],
)
def test_every_command_of_a_database_gives_up(command: str, tmp_path: Path, gbench: Gbench) -> None:
    save(record(run_id="r1"), tmp_path / "record.yaml")
    (tmp_path / "old.log").write_text(LINE)
    with accepting(only_the_start) as port:
        done = gbench(*command.split(), "--db", config_of(port, tmp_path), "--db-timeout", "0.3")
    assert (done.code, done.out) == (4, ""), done.err
    assert done.err == f"gbench: error: database d on 127.0.0.1:{port}: {SILENT}\n"


def test_a_silent_database_is_asked_once_for_all_that_waits(tmp_path: Path, gbench: Gbench) -> None:
    with accepting(only_the_start) as port:
        config = find_config(config_of(port, tmp_path), tmp_path, {})
        for run_id in ("r1", "r2", "r3"):
            queue(tmp_path / "cndb", record(run_id=run_id), config, "save")
        done = gbench("cndb", "submit", "--pending", "--db-timeout", "0.3")
    assert (done.code, done.out) == (4, "0 sent, 3 still waiting in cndb/spool\n")
    assert done.err.count("\n") == done.err.count(SILENT) == 1


@pytest.mark.parametrize("command", ["cndb submit record.yaml", "cndb list", "cndb import old.log"])
def test_a_locked_sqlite_file_is_given_up(command: str, tmp_path: Path, gbench: Gbench) -> None:
    Target(embedded(tmp_path / "cndb")).store([record(run_id="r1")], "save")
    save(record(run_id="r2"), tmp_path / "record.yaml")
    (tmp_path / "old.log").write_text(LINE)
    with closing(sqlite3.connect(tmp_path / "cndb/cndb.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        done = gbench(*command.split(), "--db-timeout", "0.3")
    why = f"database is locked; wait for the process that writes to it, or {LONGER}"
    assert (done.code, done.err) == (4, f"gbench: error: database {tmp_path}/cndb/cndb.sqlite: {why}\n")
