"""`gbench cndb list` as a user runs it: what it shows, filters, and calls overdue."""

from __future__ import annotations

import csv
import io
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from support import Answer

from drawn_records import LOG_LINE, record
from gbench.cndb.record_file import save
from gbench.errors import printable

Gbench = Callable[..., Answer]


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


def test_the_list_goes_by_when_a_run_started(gbench: Gbench, tmp_path: Path) -> None:
    """Not by when its record was stored; old results that are imported today are no measurement of today."""
    hours = {"a": 2, "b": 1, "c": 900}
    for run_id, ago in hours.items():
        began = (datetime.now(timezone.utc) - timedelta(hours=ago)).isoformat(timespec="milliseconds")
        save(record(run_id=run_id, extra={"started_utc": began}), tmp_path / f"{run_id}.yaml")
    (tmp_path / "old.log").write_text(f"{LOG_LINE}\n{LOG_LINE.replace('44.5', '45.5')}\n")
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


def test_csv_has_no_formulas(gbench: Gbench, tmp_path: Path) -> None:
    names = ['=HYPERLINK("http://x","y")', "+1+1", "@SUM(1)", "-2+3", "\t=1", "=\x07\x1b]0;t"]
    paths = [tmp_path / f"{number}.yaml" for number in range(len(names))]
    for path, name in zip(paths, names, strict=True):
        save(record(model=name, run_id=path.stem), path)
    assert gbench("cndb", "submit", *paths).code == 0
    rows = list(csv.DictReader(gbench("cndb", "list", "--csv").out.splitlines(keepends=True)))
    assert sorted(row["model"] for row in rows) == sorted(f"'{printable(name)}" for name in names)
    assert all(float(row["throughput"]) > 0 for row in rows)
