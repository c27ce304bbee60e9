"""`gbench cndb` as a user runs it, on the embedded database: submit, import, export, show, verify."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from support import Answer

from drawn_records import LOG_LINE, record
from gbench.cndb.database import SQL_LOG
from gbench.cndb.record_file import save
from gbench.settings.spec import RunSpec
from run_folders import write_run

Gbench = Callable[..., Answer]


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_records_go_in_once_and_come_out_as_they_were(gbench: Gbench, files: list[str], tmp_path: Path) -> None:
    assert "3 inserted" in gbench("cndb", "submit", *files).out
    assert "3 already there" in gbench("cndb", "submit", *files).out
    (database,) = tmp_path.glob("cndb/*.sqlite")
    assert database.name == "cndb.sqlite"

    listed = gbench("cndb", "list", "--json").json
    assert [one["id"] for one in listed] == [3, 2, 1]
    assert [one["throughput"] for one in listed] == [None, 21.5, 20.5]

    paths = gbench("cndb", "export", "--out", "out").out.split()
    assert sorted(map(text_of, (tmp_path / path for path in paths))) == sorted(map(text_of, map(Path, files)))
    assert gbench("cndb", "export", 2).out == f"---\n{text_of(Path(files[1]))}"


def test_an_export_never_overwrites(gbench: Gbench, files: list[str], tmp_path: Path) -> None:
    gbench("cndb", "submit", *files)
    (path,) = gbench("cndb", "export", 1, "--out", "out").out.split()
    assert gbench("cndb", "export", 1, "--out", "out").code == 0
    for mine in (b"mine", b"\xff"):
        (tmp_path / path).write_bytes(mine)
        answer = gbench("cndb", "export", 1, "--out", "out")
        assert answer.code == 1
        assert "exists with other contents" in answer.err
        assert (tmp_path / path).read_bytes() == mine
    (tmp_path / path).unlink()
    (tmp_path / path).mkdir()
    assert "exists with other contents" in gbench("cndb", "export", 1, "--out", "out").err


def test_an_export_leaves_out_what_is_no_record_and_says_so(gbench: Gbench, files: list[str], tmp_path: Path) -> None:
    gbench("cndb", "submit", *files)
    with closing(sqlite3.connect(tmp_path / "cndb" / "cndb.sqlite")) as connection:
        connection.execute("UPDATE train_results SET dev_num = 0 WHERE id = 2")
        connection.commit()
    answer = gbench("cndb", "export")
    assert (answer.code, len(list(yaml.safe_load_all(answer.out)))) == (1, 2)
    assert answer.err.startswith("gbench: error: record 2: dev_num: input should be greater than 0")
    assert answer.err.count("\n") == 1


def test_the_sql_of_a_verbose_database_is_no_part_of_the_result(
    gbench: Gbench, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SQL_LOG, "handlers", [])  # one of an earlier test writes to that test's stderr
    (tmp_path / "db.yaml").write_text("{schema: sqlite, database: cndb.sqlite, verbose: 1}")
    answer = gbench("cndb", "submit", *files, "--db", "db.yaml", "--json")
    assert answer.json["inserted"] == 3
    assert "INSERT INTO train_results" in answer.err


def test_a_file_without_our_tables_says_what_makes_them(gbench: Gbench, tmp_path: Path) -> None:
    (tmp_path / "cndb").mkdir()
    (tmp_path / "cndb" / "cndb.sqlite").touch()
    answer = gbench("cndb", "list")
    assert answer.code == 4
    assert answer.err.endswith("no such table: train_results; gbench cndb submit RECORD creates its tables\n")


def test_show_prints_the_whole_record(gbench: Gbench, files: list[str]) -> None:
    gbench("cndb", "submit", *files)
    shown = gbench("cndb", "show", 2).out
    assert shown.startswith("record 2  md5 ")
    assert yaml.safe_load(shown.split("\n\n", 1)[1])["perf_data"]["throughput"] == 21.5
    assert gbench("cndb", "show", 2, "--json").json["record"]["tags"] == ["nightly"]


def test_import_reads_logs_and_names_the_bad_line(gbench: Gbench, tmp_path: Path) -> None:
    (tmp_path / "benchmark.log").write_text(f"{LOG_LINE}\nnonsense\n{LOG_LINE.replace('44.5', '45.5')}\n")
    answer = gbench("cndb", "import", "benchmark.log")
    assert answer.code == 1
    assert "benchmark.log line 2: not a benchmark log line" in answer.err
    assert "2 inserted; 1 could not be read" in answer.out
    assert [one["throughput"] for one in gbench("cndb", "list", "--json").json] == [45.5, 44.5]
    assert "2 already there" in gbench("cndb", "import", "benchmark.log").out


def test_a_rebuild_is_refused_unless_it_is_confirmed(gbench: Gbench, files: list[str], tmp_path: Path) -> None:
    gbench("cndb", "submit", *files)
    (tmp_path / "db.yaml").write_text("{schema: sqlite, database: cndb.sqlite, rebuild: 1}")
    refused = gbench("cndb", "submit", files[0], "--db", "db.yaml")
    assert refused.code == 2
    assert "rebuild: 1" in refused.err and "--yes" in refused.err
    assert len(gbench("cndb", "list", "--json").json) == 3
    assert gbench("cndb", "submit", files[0], "--db", "db.yaml", "--yes").code == 0
    assert len(gbench("cndb", "list", "--json").json) == 1


def test_verify_tells_an_edited_record(gbench: Gbench, files: list[str]) -> None:
    assert gbench("cndb", "verify", files[0]).code == 0
    assert gbench("cndb", "verify", files[2]).code == 3
    path = Path(files[0])
    path.write_text(path.read_text().replace("20.5", "25.5"))
    answer = gbench("cndb", "verify", files[0], "--json")
    assert answer.code == 1
    assert answer.json == {"holds": False, "seal": "broken", "differences": None}


@pytest.mark.slow
def test_a_launch_uploads_and_a_down_database_is_an_exit_code(
    gbench: Gbench, small_launch: list[str], tmp_path: Path
) -> None:
    launch = ["launch", "pix2pix_resnet_6blocks", 2, 1, "FP32"]
    rest = [*small_launch, "--steps", 3, "--warmup", 1, "--json"]
    answer = gbench(*launch, "gpu-demo", *rest)
    assert answer.code == 0, answer.err
    assert answer.json["database"]["stored"].startswith("record 1 inserted in ")
    run_id = answer.json["record"]["extra"]["run_id"]
    assert [one["run_id"] for one in gbench("cndb", "list", "--json").json] == [run_id]
    assert gbench("cndb", "verify", answer.json["paths"]["record"], "--run", answer.json["paths"]["run"]).code == 0

    (tmp_path / "down.yaml").write_text("{schema: postgresql, host: 127.0.0.1, port: 1, database: x}")
    (tmp_path / "mine.sh").write_text(f'echo "{LOG_LINE}" >> "$BENCHMARK_LOG"\n')  # any measurement will do
    answer = gbench(*launch, "down.yaml", *rest, "--run-model-file", "mine.sh")
    assert answer.code == 5
    assert "Connection refused" in answer.json["database"]["not_stored"]
    assert "gbench cndb submit --pending" in answer.err
    assert Path(answer.json["paths"]["record"]).is_file()
    (waiting,) = (tmp_path / "cndb" / "spool").iterdir()
    assert json.loads(waiting.read_text())["record"] == yaml.safe_load(text_of(Path(answer.json["paths"]["record"])))


@pytest.mark.parametrize("command", [("cndb", "submit"), ("cndb", "baseline", "set", "one", "--reason", "r")])
def test_half_a_run_is_no_result(gbench: Gbench, make_spec: Callable[..., RunSpec], command: tuple[str, ...]) -> None:
    stopped = write_run(make_spec(), steps=5, host={"exit_code": None})
    closed = write_run(make_spec(), steps=5, host={"exit_code": None})
    closed.write("environment.json", write_run(make_spec()).read("environment.json"))
    truncated = write_run(make_spec())
    stream = truncated.path / "steps-rank0.jsonl"
    stream.write_text("".join(stream.read_text().splitlines(keepends=True)[:-3]))
    for run, steps in ((stopped, 5), (closed, 5), (truncated, 9)):
        answer = gbench(*command, run.path)
        assert (answer.code != 0, answer.out) == (True, "")
        assert f"{run.path} did not come to its end: it has {steps} of 12 steps; " in answer.err
    custom = write_run(make_spec(), steps=0, host={"exit_code": None})
    custom.benchmark_log.write_text(f"{LOG_LINE}\n")
    assert f"{custom.path} failed or was stopped; read " in gbench(*command, custom.path).err


def test_a_complete_run_that_lacks_its_end_is_stored(gbench: Gbench, make_spec: Callable[..., RunSpec]) -> None:
    run = write_run(make_spec(), host={"ended_utc": None, "exit_code": None})
    assert "1 inserted" in gbench("cndb", "submit", run.path).out


def test_a_run_stored_with_other_content_is_told(gbench: Gbench, files: list[str]) -> None:
    forged = files[1].replace("1.yaml", "forged.yaml")
    save(record(run_id="r1", throughput=99.5), Path(forged))
    assert gbench("cndb", "submit", forged).code == 0
    for command in ("submit", "import"):
        answer = gbench("cndb", command, *files[:2])
        assert answer.code == 1
        assert answer.err == (
            "gbench: error: run r1 is stored as record 1 with other content: perf_data, extra; "
            "--store-type update overwrites it\n"
        )
    assert (gbench("cndb", "submit", files[0], "--store-type", "update").code) == 0
    assert [one["throughput"] for one in gbench("cndb", "list", "--json").json] == [21.5, 20.5]
    again = gbench("cndb", "submit", *files)
    assert (again.code, again.err) == (0, "")


def test_an_edited_record_that_kept_its_hash_is_told(gbench: Gbench, files: list[str]) -> None:
    assert gbench("cndb", "submit", files[0]).code == 0
    edited = Path(files[0])
    edited.write_text(edited.read_text().replace("dataset: facades", "dataset: other"))
    answer = gbench("cndb", "submit", str(edited))
    assert answer.code == 1 and "is stored as record 1 with other content: dataset" in answer.err


def test_a_figure_that_nothing_can_have_is_not_stored(gbench: Gbench, tmp_path: Path) -> None:
    save(record(throughput=-5.0), tmp_path / "a.yaml")
    answer = gbench("cndb", "submit", "a.yaml")
    assert answer.code == 1 and "perf_data.throughput -5 is not above 0" in answer.err
