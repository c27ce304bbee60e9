"""The spool: a record waits for its database, and is stored once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from drawn_records import record
from gbench.cndb import upload
from gbench.cndb.database import connect
from gbench.cndb.database_config import DatabaseConfig, embedded
from gbench.cndb.queries import RecordFilter, entries
from gbench.cndb.record_file import write_record
from gbench.errors import InfrastructureError, RecordError, UsageError
from gbench.settings.literals import DB_TIMEOUT_S


def unreachable(tmp_path: Path) -> DatabaseConfig:
    (tmp_path / "file").write_text("")
    return DatabaseConfig("blocked", f"sqlite:///{tmp_path}/file/cndb.sqlite")


def test_an_entry_is_there_until_the_database_has_the_record(tmp_path: Path) -> None:
    entry = upload.queue(tmp_path, record(run_id="r1"), unreachable(tmp_path), "save")
    with pytest.raises(InfrastructureError, match="can't write"):
        upload.send(entry, upload.Target(unreachable(tmp_path)))
    assert upload.waiting(tmp_path) == [entry.path]
    assert upload.read_entry(entry.path) == entry

    assert upload.send(entry, upload.Target(embedded(tmp_path))) == "record 1 inserted"
    assert upload.waiting(tmp_path) == []


def test_a_record_stored_before_its_entry_went_is_stored_once(tmp_path: Path) -> None:
    config = embedded(tmp_path)
    entry = upload.queue(tmp_path, record(run_id="r1"), config, "save")
    upload.send(entry, upload.Target(config))
    again = upload.queue(tmp_path, record(run_id="r1"), config, "save")
    assert upload.send(again, upload.Target(config)) == "record 1 already there"
    assert [one.run_id for one in entries(connect(config), RecordFilter())] == ["r1"]


def test_a_record_that_cant_be_queued_is_sent_all_the_same(tmp_path: Path) -> None:
    path, said = write_record(record(run_id="r1"), tmp_path, "r1"), []
    (tmp_path / upload.SPOOL).write_text("in the way")
    config = unreachable(tmp_path)
    stored, not_stored = upload.deliver(path, tmp_path, upload.Target(config), said.append)
    assert stored is None
    assert not_stored is not None
    assert not_stored.endswith(f"; later: gbench cndb submit {path} --db blocked --cndb-dir {tmp_path}")
    assert len(said) == 1 and said[0].startswith(f"warning: can't write {tmp_path / upload.SPOOL}")

    stored, not_stored = upload.deliver(path, tmp_path, upload.Target(embedded(tmp_path)), said.append)
    assert (stored, not_stored) == (f"record 1 inserted in {tmp_path / 'cndb.sqlite'}", None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "EOF while parsing a value at line 1 column 0"),
        ("{", "EOF while parsing an object at line 1 column 1"),
        ("[]", "it is no mapping"),
        ("{}", "it has no version"),
        ('{"version": 99, "database": "x", "store_type": "save", "record": {}}', "version 99"),
        ('{"version": 1, "database": "x"}', "it has no store_type"),
        pytest.param("[" * 100_000, "recursion limit exceeded at line 1 column 202", id="deep"),
    ],
)
def test_a_broken_entry_says_so_and_stays(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "spool" / "x.json"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(RecordError) as raised:
        upload.read_entry(path)
    assert raised.value.what == f"{path} is no spool entry of this gbench ({why})"
    assert path.exists()


def test_a_folder_in_the_place_of_an_entry(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match=r"is no spool entry of this gbench \(Is a directory\)"):
        upload.read_entry(tmp_path)


def test_the_spool_holds_no_credentials(tmp_path: Path) -> None:
    config = DatabaseConfig("gpu-performance", "postgresql+psycopg://user:secret@host/db")
    entry = upload.queue(tmp_path, record(run_id="r1"), config, "save")
    text = entry.path.read_text()
    assert "secret" not in text and "user" not in text
    assert json.loads(text)["database"] == "gpu-performance"


def test_a_launch_never_drops_a_database(tmp_path: Path) -> None:
    (tmp_path / "db.yaml").write_text("schema: sqlite\ndatabase: x.sqlite\nrebuild: 1\n")
    path = str(tmp_path / "db.yaml")
    with pytest.raises(UsageError) as caught:
        upload.config_of_run(path, tmp_path, {})
    assert caught.value.what == f"database config {path} says `rebuild: 1`, which would drop all records"
    assert caught.value.hint == "set `rebuild: 0`; to rebuild, use gbench cndb submit --yes"
    Path(path).write_text("schema: sqlite\ndatabase: x.sqlite\n")
    assert upload.config_of_run(path, tmp_path, {}, 7.5).deadline_s == 7.5
    assert upload.config_of_run(path, tmp_path, {}).deadline_s == DB_TIMEOUT_S


def test_an_entry_has_all_that_sends_it(tmp_path: Path) -> None:
    config = DatabaseConfig("/home/me/db.yaml", "sqlite:///x")
    entry = upload.queue(tmp_path, record(run_id="r1", tags=["\N{MICRO SIGN}"]), config, "save")
    assert entry.path == tmp_path / "spool/r1@db.json"
    text = entry.path.read_text()
    assert text.startswith('{\n  "version": 1,\n  "database": "/home/me/db.yaml",\n  "store_type": "save",\n')
    assert text.endswith("}\n") and "\N{MICRO SIGN}" in text
    for name in ("r0@db.json", "r2@db.json.new", "notes"):
        (tmp_path / "spool" / name).touch()
    assert [path.name for path in upload.waiting(tmp_path)] == ["r0@db.json", "r1@db.json"]
    entry.path.unlink()
    assert upload.read_entry(entry.path) is None
    assert upload.waiting(tmp_path / "nothing") == []


def test_other_content_of_a_run_is_told(tmp_path: Path) -> None:
    target = upload.Target(embedded(tmp_path))
    said = [
        upload.send(upload.Pending(None, "embedded", "save", record(run_id="r1", throughput=figure)), target)
        for figure in (1.5, 1.5, 2.5)
    ]
    assert said == ["record 1 inserted", "record 1 already there", "record 1 already there with other content"]
