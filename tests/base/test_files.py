"""Files that others made: a pipe, a device or an endless file where a file should be is one sentence, and no wait."""

from __future__ import annotations

import contextlib
import errno
import html
import json
import os
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from support import Answer

from drawn_records import PLAIN
from gbench.base import files
from gbench.base.files import read_file
from gbench.errors import InfrastructureError
from gbench.measure.telemetry.stream import StreamWriter
from gbench.pix2pix import checkpoint
from gbench.pix2pix.data import pair_file
from gbench.pix2pix.images import write_png
from gbench.runfolder.json_lines import JsonLinesWriter
from gbench.runfolder.log import RunLog
from gbench.runfolder.own import mark_own

Gbench = Callable[..., Answer]
KEPT = Path(__file__).resolve().parents[1] / "fixtures" / "run-folders-v1"
RUN = "20261129T090254Z-pix2pix_resnet_9blocks-02c16d"


def pipe(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(files.MOST_CHARACTERS + 1)


def connection(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(here)


def loop(path: Path) -> None:
    path.symlink_to(path.name)


def to_nowhere(path: Path) -> None:
    path.symlink_to("nowhere")


KINDS = {
    **dict.fromkeys((pipe, device, connection), "it is a pipe, a socket or a device"),
    huge: "File too large",
}
ALL_KINDS = {
    **KINDS,
    loop: "Too many levels of symbolic links",
    to_nowhere: "No such file or directory",
    Path.mkdir: "Is a directory",
}
OF_A_RUN = {
    "spec.json": ["summary", RUN],
    "host.json": ["summary", RUN],
    "environment.json": ["summary", RUN],
    "steps-rank0.jsonl": ["summary", RUN],
    "checkpoints/best.json": ["eval", RUN, "--best"],
}
NOT_NEEDED = ("alarms.jsonl", "benchmark.log", "error.json", "result.json", "telemetry.jsonl")  # by `gbench summary`
OF_A_USER = {
    "a record": ["cndb", "verify", "bad"],
    "a compared record": ["compare", "bad", "bad"],
    "an imported record": ["cndb", "import", "bad"],
    "a spec file": ["launch", "bad.yaml"],
    "a log": ["converge", "--check", "bad"],
    "a checkpoint": ["eval", "bad"],
    "a sweep": ["sweep", "--resume", "sweep"],
    "a session": ["ab", "--resume", "session"],
    "a run script": ["launch", "pix2pix_resnet_9blocks", 1, 1, "FP32", "--run-model-file", "bad", "--dry-run"],
}


@pytest.fixture(autouse=True)
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_CHARACTERS", 2**20)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(KEPT / "results" / RUN, tmp_path / "results" / RUN))


@pytest.mark.parametrize("make", ALL_KINDS)
@pytest.mark.parametrize("name", OF_A_RUN)
def test_no_file_in_a_run_folder(gbench: Gbench, run: Path, name: str, make: Callable[[Path], None]) -> None:
    put(run / name, make)
    answer = gbench(*OF_A_RUN[name])
    assert answer.code in (1, 2, 4) and len(answer.err.splitlines()) == 1, answer
    absent = name == "spec.json" and make is to_nowhere
    assert make is huge or absent or ALL_KINDS[make] in answer.err or name == "checkpoints/best.json"
    [row] = gbench("runs", "--json").json
    assert row["state"] == "damaged" or "/" in name or make is huge


@pytest.mark.parametrize("make", ALL_KINDS.keys() - {huge})
@pytest.mark.parametrize("name", NOT_NEEDED)
def test_no_file_where_none_is_needed(gbench: Gbench, run: Path, name: str, make: Callable[[Path], None]) -> None:
    put(run / name, make)
    answer = gbench("summary", RUN)
    assert (answer.code, "9.229 img/s" in answer.out) == (0, True)
    assert answer.err == f"gbench: warning: {run / name} can't be read ({ALL_KINDS[make]})\n"
    [row] = gbench("runs", "--json").json
    assert (row["state"], row["problem"]) == ("damaged", f"{name} can't be read ({ALL_KINDS[make]})")


def test_a_page_and_a_comparison_say_what_they_lack(gbench: Gbench, run: Path, tmp_path: Path) -> None:
    other = shutil.copytree(run, tmp_path / "other")
    spec = json.loads((other / "spec.json").read_text())
    (other / "spec.json").write_text(json.dumps({**spec, "run_id": "other"}))
    put(run / "telemetry.jsonl", loop)
    said = f"{run / 'telemetry.jsonl'} can't be read (Too many levels of symbolic links)"
    assert f"note: {said}\n" in gbench("compare", RUN, other).out
    assert gbench("report", RUN).code == 0
    assert said in html.unescape((run / "report.html").read_text())


@pytest.mark.parametrize("make", [pipe, loop, to_nowhere])
@pytest.mark.parametrize(
    ("name", "arguments", "code"),
    [
        ("cndb/baselines/night.yaml", ["cndb", "baseline", "show"], 4),
        ("cndb/baselines/night.yaml", ["compare", "baseline:night", RUN], 4),
        ("cndb/baselines", ["cndb", "baseline", "show"], 4),
        ("cndb/spool/run@db.json", ["cndb", "submit", "--pending"], 1),
        ("cndb/spool", ["cndb", "submit", "--pending"], 4),
        ("cndb/cndb.sqlite", ["cndb", "list"], 4),
        ("records/night.yaml", ["compare", "records", RUN], None),
        ("results/20270101T000000Z-ab-1a2b3c/ab.json", ["ab", "--resume", "latest"], 4),
        ("results/20270101T000000Z-sweep-1a2b3c/sweep.json", ["sweep", "--resume", "latest"], 4),
        ("gbench.yaml", ["runs"], 2),
        ("here", ["summary", "here"], None),
    ],
)
@pytest.mark.usefixtures("run")
def test_no_file_in_a_list(
    gbench: Gbench, tmp_path: Path, name: str, arguments: list[str], code: int | None, make: Callable[[Path], None]
) -> None:
    put(tmp_path / name, make)
    answer = gbench(
        *arguments, CNDB_DIR=str(tmp_path / "cndb"), GBENCH_DEFAULTS="gbench.yaml" if name[0] == "g" else ""
    )
    assert answer.code in ((2, 4) if code is None else (code,)), answer
    assert len(answer.err.splitlines()) == 1
    assert name in answer.err or Path(name).parent.name in answer.err


@pytest.mark.parametrize("make", [loop, to_nowhere])
def test_a_link_in_place_of_a_run_is_listed(gbench: Gbench, run: Path, make: Callable[[Path], None]) -> None:
    shutil.rmtree(run)
    make(run)
    [row] = gbench("runs", "--json").json
    assert (row["state"], "spec.json" in row["problem"]) == ("damaged", True)
    assert gbench("runs", "prune", "--keep", 0).code == 0 and run.is_symlink()


@pytest.mark.parametrize("write", [JsonLinesWriter, StreamWriter, lambda path: RunLog([path], print)])
@pytest.mark.parametrize(
    ("make", "why"), [(pipe, files.NO_FILE), (connection, files.NO_FILE), (Path.mkdir, "Is a directory")]
)
def test_nothing_waits_for_the_reader_of_a_pipe(
    tmp_path: Path, write: Callable[[Path], object], make: Callable[[Path], None], why: str
) -> None:
    make(tmp_path / "stream")
    with pytest.raises((InfrastructureError, OSError), match=re.escape(why)):
        write(tmp_path / "stream")


def test_a_pipe_among_caches_and_checkpoints(tmp_path: Path) -> None:
    pipe(tmp_path / "set.pairs")
    assert pair_file.why_broken(tmp_path / "set.pairs", {"pairs": 1}).startswith("ValueError: ")
    pipe(tmp_path / "epoch-0001.pt")
    with pytest.raises(InfrastructureError, match=files.NO_FILE):
        checkpoint.last_whole(tmp_path)


def put(path: Path, make: Callable[[Path], None]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    make(path)


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("reader", OF_A_USER)
def test_no_file_on_the_command_line(gbench: Gbench, tmp_path: Path, reader: str, make: Callable[[Path], None]) -> None:
    for path in ("bad", "bad.yaml", "sweep/sweep.json", "session/ab.json"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        make(tmp_path / path)
    answer = gbench(*OF_A_USER[reader])
    assert answer.code in (1, 2, 4) and len(answer.err.splitlines()) == 1, answer
    assert KINDS[make] in answer.err or "is not a file" in answer.err or make is huge


def test_what_a_shell_gives_is_read(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("a\r\nb")
    assert read_file(tmp_path / "text") == "a\nb"
    reader, writer = os.pipe()
    os.write(writer, yaml.safe_dump(PLAIN).encode())
    os.close(writer)
    assert read_file(Path(f"/dev/fd/{reader}")) == yaml.safe_dump(PLAIN)
    os.close(reader)


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "free space there, or take another folder"),
        (errno.EROFS, "take a folder that you may write"),
        (errno.ENOENT, "its folder is not there: create it, or see what has removed it"),
    ],
)
def test_what_can_not_be_written_has_its_own_advice(number: int, hint: str) -> None:
    assert files.cant_write(Path("here"), OSError(number, os.strerror(number))).hint == hint


def test_a_stop_right_after_a_file_is_created_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def then_stopped(self: Path, *arguments: object, open: Callable[..., object] = Path.open, **more: object) -> None:
        open(self, *arguments, **more)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "open", then_stopped)
    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(tmp_path / "page.html", "text")
    assert list(tmp_path.iterdir()) == []


def held(path: Path) -> None:
    with files.locked(path, 0, "it"):
        pass


WRITERS: dict[str, Callable[[Path], object]] = {
    "log": lambda path: RunLog([path], str).line("text"),
    "steps": lambda path: JsonLinesWriter(path).write([{"a": 1}]),
    "telemetry": StreamWriter,
    "lock": held,
    ".epoch.pt.part": lambda path: checkpoint.save({"a": 1}, path.with_name("epoch.pt")),
    ".image.png": lambda path: write_png(np.zeros((4, 4, 3), np.uint8), path.with_name("image.png")),
    ".own": lambda path: mark_own(path.parent, [], environ={"HOME": str(path.parent)}),
}


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("name", WRITERS)
def test_nothing_is_written_through_a_link(tmp_path: Path, name: str, there: bool) -> None:
    """In a folder from elsewhere, or one that others may write to, it may lead to a file of this user's."""
    target, folder = tmp_path / "mine", tmp_path / "run"
    if there:
        target.write_text("mine")
    folder.mkdir()
    (folder / name).symlink_to(target)
    with contextlib.suppress(InfrastructureError, OSError):
        WRITERS[name](folder / name)
    assert (target.read_text() if target.exists() else None) == ("mine" if there else None)


def test_a_log_that_is_a_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "log.txt").symlink_to(tmp_path / "mine")
    with pytest.raises(InfrastructureError, match=r"can't write .*log\.txt \(it is a link\)"):
        RunLog([tmp_path / "log.txt"], str)
