"""`gbench cndb submit --pending`: what waits in the spool is sent, whatever becomes of its neighbours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Engine
from support import Answer

from drawn_records import record
from gbench.cli.cndb import cndb
from gbench.cndb import schema, upload
from gbench.cndb.database import connect
from gbench.cndb.database_config import DatabaseConfig, embedded, find_config
from gbench.cndb.queries import RecordFilter, entries
from gbench.cndb.schema import prepared
from gbench.cndb.upload import queue

Gbench = Callable[..., Answer]


def test_pending_records_are_sent_to_their_own_database(gbench: Gbench, tmp_path: Path) -> None:
    spool = tmp_path / "cndb"
    queue(spool, record(run_id="r1"), embedded(spool), "save")
    (tmp_path / "gone.yaml").write_text("{schema: postgresql, host: 127.0.0.1, port: 1, database: x}")
    queue(spool, record(run_id="r2"), find_config(str(tmp_path / "gone.yaml"), spool, {}), "save")
    answer = gbench("cndb", "submit", "--pending")
    assert answer.code == 4
    assert "1 sent, 1 still waiting" in answer.out
    assert "r2@gone.json" in answer.err and "Connection refused" in answer.err
    assert [one["run_id"] for one in gbench("cndb", "list", "--json").json] == ["r1"]
    assert [path.name for path in (spool / "spool").iterdir()] == ["r2@gone.json"]


def test_each_database_is_contacted_once_up_or_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, port in (("gone", 1), ("broken", "x")):
        (tmp_path / f"{name}.yaml").write_text(f"{{schema: postgresql, host: 127.0.0.1, port: {port}, database: x}}")
    gone = find_config(str(tmp_path / "gone.yaml"), tmp_path, {})
    for number in range(3):
        queue(tmp_path, record(run_id=f"r{number}"), embedded(tmp_path), "save")
        queue(tmp_path, record(run_id=f"r{number}"), gone, "save")
        queue(tmp_path, record(run_id=f"r{number}"), replace(gone, name=str(tmp_path / "broken.yaml")), "save")
    asked = []

    def spied(config: DatabaseConfig) -> tuple[Engine, str | None]:
        asked.append(config.name)
        return prepared(config)

    monkeypatch.setattr(schema, "prepared", spied)
    answer = CliRunner().invoke(cndb, ["submit", "--pending", "--cndb-dir", str(tmp_path)])
    assert sorted(asked) == sorted(["embedded", str(tmp_path / "gone.yaml")])
    assert [line.partition(": ")[2][:15] for line in answer.stderr.splitlines()] == [
        "error: r0@broke",
        "error: r0@gone.",
    ]
    assert answer.stdout.endswith(f"3 sent, 6 still waiting in {tmp_path / 'spool'}\n")
    assert len(entries(connect(embedded(tmp_path)), RecordFilter())) == 3


def test_other_content_does_not_block_the_spool(gbench: Gbench, files: list[str], tmp_path: Path) -> None:
    gbench("cndb", "submit", *files)
    queue(tmp_path / "cndb", record(run_id="r1", throughput=99.5), embedded(tmp_path / "cndb"), "save")
    sent = gbench("cndb", "submit", "--pending")
    assert (sent.code, "record 1 already there with other content in " in sent.out) == (0, True)
    assert "1 sent, 0 still waiting" in sent.out


def test_an_entry_that_meets_a_bug_does_not_block_the_spool(
    gbench: Gbench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for run_id in ("r1", "r2", "r3"):
        queue(tmp_path / "cndb", record(run_id=run_id), embedded(tmp_path / "cndb"), "save")
    send = upload.send

    def broken(entry: upload.Pending, target: upload.Target) -> str:
        if entry.record.run_id == "r1":
            raise KeyError("a place that nobody thought of")
        return send(entry, target)

    monkeypatch.setattr(upload, "send", broken)
    answer = gbench("cndb", "submit", "--pending")
    assert (answer.code, "2 sent, 1 still waiting" in answer.out) == (70, True)
    assert "r1@embedded.json: KeyError" in answer.err
    monkeypatch.undo()
    assert gbench("cndb", "submit", "--pending").code == 0
