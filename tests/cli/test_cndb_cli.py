"""`gbench cndb` as a user runs it, on the embedded database."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from sqlalchemy import Engine
from support import Answer

from drawn_records import record
from gbench.cli.cndb import cndb
from gbench.cndb import schema, upload
from gbench.cndb.database import connect
from gbench.cndb.database_config import DatabaseConfig, embedded, find_config
from gbench.cndb.queries import RecordFilter, entries
from gbench.cndb.record_file import save
from gbench.cndb.schema import prepared
from gbench.cndb.upload import queue
from gbench.settings.spec import RunSpec
from run_folders import write_run

Gbench = Callable[..., Answer]
LINE = (
    "network:pix2pix-resnet_9blocks, batch size:32, device count:1, dpf mode:Single, precision:TF32, "
    "throughput:44.5 img/s, device:A100-SXM4-40GB, dataset:facades"
)


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Three record files: two runs, and a record of another tool. They ran a moment ago, in this order."""
    ran = [{"started_utc": (datetime.now(timezone.utc) - timedelta(minutes=3 - n)).isoformat()} for n in range(3)]
    made = [
        record(run_id="r1", throughput=20.5, extra=ran[0]),
        record(run_id="r2", throughput=21.5, tags=["nightly"], extra=ran[1]),
        record(model="resnet50", dev="MLU270-X5K", train_type="O1", perf_data={"mean": 56.9}, extra=ran[2]),
    ]
    for number, one in enumerate(made):
        save(one, tmp_path / f"{number}.yaml")
    return [str(tmp_path / f"{number}.yaml") for number in range(len(made))]


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


def test_the_list_says_what_a_throughput_is_of(gbench: Gbench, tmp_path: Path) -> None:
    ours = {"throughput": 17.0, "throughput_unit": "img/s", "data_share": 0.1, "data_source": "synthetic"}
    made = [record(run_id="ours", perf_data=ours), record(perf_data={"throughput": "22.9 img/s"})]
    for number, one in enumerate(made):
        save(one, tmp_path / f"{number}.yaml")
    gbench("cndb", "submit", "0.yaml", "1.yaml")
    assert [one["throughput_of"] for one in gbench("cndb", "list", "--json").json] == ["launch.sh", "end to end"]
    listed = gbench("cndb", "list").out
    assert "22.9 launch.sh" in listed and "17 synthetic, first rule" in listed
    assert "22.9 img/s as launch.sh: steps 3 to 7, data excluded" in gbench("cndb", "show", 2).out
    assert "data excluded" not in gbench("cndb", "show", 1).out
    gbench("report", "--history", "-o", "history.html")
    assert (tmp_path / "history.html").read_text().count("as launch.sh: steps 3 to 7, data excluded") >= 1
    save(record(run_id="again", perf_data={**ours, "statistics": 3}), tmp_path / "2.yaml")
    gbench("cndb", "submit", "2.yaml")
    assert [one["statistics"] for one in gbench("cndb", "list", "--json").json if one["run_id"]] == [3, 1]


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
    gbench: Gbench, files: list[str], tmp_path: Path
) -> None:
    (tmp_path / "db.yaml").write_text("{schema: sqlite, database: cndb.sqlite, verbose: 1}")
    answer = gbench("cndb", "submit", *files, "--db", "db.yaml", "--json")
    assert answer.json["inserted"] == 3
    assert "INSERT INTO train_results" in answer.err


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        (["--model", "pix2pix_resnet_9blocks"], [2, 1]),
        (["--model", "pix2pix-resnet_9blocks", "--limit", "1"], [2]),
        (["--device", "mlu"], [3]),
        (["--precision", "fp32"], [2, 1]),
        (["--since", "1h"], [3, 2, 1]),
        (["--since", "2100-01-01"], []),
    ],
)
def test_the_history_is_filtered(gbench: Gbench, files: list[str], filters: list[str], ids: list[int]) -> None:
    gbench("cndb", "submit", *files)
    rows = csv.DictReader(io.StringIO(gbench("cndb", "list", "--csv", *filters).out))
    assert [int(row["id"]) for row in rows] == ids


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_table_is_never_wider_than_the_terminal(gbench: Gbench, files: list[str], columns: int) -> None:
    gbench("cndb", "submit", *files)
    lines = gbench("cndb", "list", COLUMNS=str(columns)).out.splitlines()
    assert len(lines) == 4
    assert max(map(len, lines)) <= columns
    assert columns < 80 or "21.5" in lines[2]


def test_a_narrow_terminal_shows_whose_figure_it_is(gbench: Gbench, files: list[str]) -> None:
    gbench("cndb", "submit", *files)
    lines = gbench("cndb", "list", COLUMNS="30").out.splitlines()
    assert [line.split() for line in lines] == [
        ["id", "model", "device", "img/s"],
        ["3", "resnet50", "MLU270-…", "-"],
        ["2", "pix2pix…", "V100-PC…", "21.5"],
        ["1", "pix2pix…", "V100-PC…", "20.5"],
    ]


def test_a_name_does_not_move_the_cursor(gbench: Gbench, tmp_path: Path) -> None:
    save(record(dev="V100\n\x1b[2J\x9b31m", model="a\tb\u2028c"), tmp_path / "odd.yaml")
    gbench("cndb", "submit", "odd.yaml")
    _, line = gbench("cndb", "list").out.split("\n")[:-1]
    assert r"a\tb\u2028c" in line and r"V100\n\x1b[2J\x9b31m" in line
    assert r"on 8 x V100\n\x1b[2J\x9b31m" in gbench("cndb", "show", 1).out.split("\n")[1]


@pytest.mark.parametrize("command", [["list"], ["list", "--csv"]])
def test_a_full_disk_behind_stdout_is_told(
    gbench: Gbench, files: list[str], tmp_path: Path, command: list[str]
) -> None:
    gbench("cndb", "submit", *files)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gbench", "cndb", *command], cwd=tmp_path, stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 4
    assert done.stderr == b"gbench: error: can't write to stdout (No space left on device); free space there\n"


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
    (tmp_path / "benchmark.log").write_text(f"{LINE}\nnonsense\n{LINE.replace('44.5', '45.5')}\n")
    answer = gbench("cndb", "import", "benchmark.log")
    assert answer.code == 1
    assert "benchmark.log line 2: not a benchmark log line" in answer.err
    assert "2 inserted; 1 could not be read" in answer.out
    assert [one["throughput"] for one in gbench("cndb", "list", "--json").json] == [45.5, 44.5]
    assert "2 already there" in gbench("cndb", "import", "benchmark.log").out


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
    (tmp_path / "mine.sh").write_text(f'echo "{LINE}" >> "$BENCHMARK_LOG"\n')  # what measures makes no difference here
    answer = gbench(*launch, "down.yaml", *rest, "--run-model-file", "mine.sh")
    assert answer.code == 5
    assert "Connection refused" in answer.json["database"]["not_stored"]
    assert "gbench cndb submit --pending" in answer.err
    assert Path(answer.json["paths"]["record"]).is_file()
    (waiting,) = (tmp_path / "cndb" / "spool").iterdir()
    assert json.loads(waiting.read_text())["record"] == yaml.safe_load(text_of(Path(answer.json["paths"]["record"])))


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_the_list_goes_by_when_a_run_started(gbench: Gbench, tmp_path: Path) -> None:
    """Not by when its record was stored; old results that are imported today are no measurement of today."""
    hours = {"a": 2, "b": 1, "c": 900}
    for run_id, ago in hours.items():
        began = (datetime.now(timezone.utc) - timedelta(hours=ago)).isoformat(timespec="milliseconds")
        save(record(run_id=run_id, extra={"started_utc": began}), tmp_path / f"{run_id}.yaml")
    (tmp_path / "old.log").write_text(f"{LINE}\n{LINE.replace('44.5', '45.5')}\n")
    gbench("cndb", "import", "a.yaml", "b.yaml", "c.yaml", "old.log")
    listed = gbench("cndb", "list", "--json")
    assert [one["run_id"] for one in listed.json] == ["b", "a", "c", None, None]
    assert [one["ran"] is None for one in listed.json] == [False, False, False, True, True]
    head, first = (line.split() for line in gbench("cndb", "list").out.splitlines()[:2])
    assert (head[1], head[-2], first[-1], first[1]) == ("ran", "run", "b", listed.json[0]["ran"][:10])
    for command in ("list", "export"):
        recent = gbench("cndb", command, "--since", "30d")
        assert recent.out.count("V100-PCIE-32GB") == 2
        assert recent.err == "gbench: warning: left out 2 that don't say when they ran\n"
    fresh = gbench("cndb", "list", "--stale")
    assert (fresh.code, fresh.out, fresh.err) == (0, "nothing is overdue\n", "")
    assert gbench("cndb", "list", "--stale", "2h").code == 0
    assert gbench("cndb", "list", "--stale", "1h").code == 1
    nothing = gbench("cndb", "list", "--stale", "--model", "mobilenet")
    assert (nothing.code, "has no such record since 30d" in nothing.err) == (1, True)


def test_what_is_overdue_is_listed(gbench: Gbench, files: list[str], tmp_path: Path) -> None:
    none = gbench("cndb", "submit", *files[:2])
    assert none.code == 0
    fresh = gbench("cndb", "list", "--stale")
    assert (fresh.code, fresh.out) == (0, "nothing is overdue\n")
    gbench("cndb", "submit", files[2])
    with closing(sqlite3.connect(tmp_path / "cndb" / "cndb.sqlite")) as database:
        old = "json_set(extra, '$.started_utc', strftime('%Y-%m-%dT%H:%M:%S', 'now', '-27 hours'))"
        database.execute(f"UPDATE train_results SET extra = {old} WHERE id < 3")
        database.commit()
    late = gbench("cndb", "list", "--stale", "--json")
    assert late.code == 1
    assert [one["id"] for one in late.json] == [2]  # the newest of its configuration; the other tool's is not late
    assert late.err.startswith("overdue: 1, not measured since 20")
    assert gbench("cndb", "list", "--stale", "28h").code == 0
    nothing = gbench("cndb", "list", "--stale", "--precision", "TF32")
    assert nothing.code == 1 and "has no such record since 30d" in nothing.err
    assert "--stale 'soon' isn't a valid time" in gbench("cndb", "list", "--stale", "soon").err
    assert "--limit and --stale contradict" in gbench("cndb", "list", "--stale", "--limit", 5).err


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
    custom.benchmark_log.write_text(f"{LINE}\n")
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


def test_other_content_does_not_block_the_spool(gbench: Gbench, files: list[str], tmp_path: Path) -> None:
    gbench("cndb", "submit", *files)
    queue(tmp_path / "cndb", record(run_id="r1", throughput=99.5), embedded(tmp_path / "cndb"), "save")
    sent = gbench("cndb", "submit", "--pending")
    assert (sent.code, "record 1 already there with other content in " in sent.out) == (0, True)
    assert "1 sent, 0 still waiting" in sent.out


def test_csv_has_no_formulas(gbench: Gbench, tmp_path: Path) -> None:
    names = ['=HYPERLINK("http://x","y")', "+1+1", "@SUM(1)", "-2+3", "\t=1"]
    paths = [tmp_path / f"{number}.yaml" for number in range(len(names))]
    for path, name in zip(paths, names, strict=True):
        save(record(model=name, run_id=path.stem), path)
    assert gbench("cndb", "submit", *paths).code == 0
    rows = list(csv.DictReader(gbench("cndb", "list", "--csv").out.splitlines(keepends=True)))
    assert sorted(row["model"] for row in rows) == sorted(f"'{name}" for name in names)
    assert all(float(row["throughput"]) > 0 for row in rows)


def test_a_figure_that_nothing_can_have_is_not_stored(gbench: Gbench, tmp_path: Path) -> None:
    save(record(throughput=-5.0), tmp_path / "a.yaml")
    answer = gbench("cndb", "submit", "a.yaml")
    assert answer.code == 1 and "perf_data.throughput -5 is not above 0" in answer.err


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
