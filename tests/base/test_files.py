"""Files that others made: a pipe, a device or an endless file where a file should be is one sentence, and no wait."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from support import Answer

from drawn_records import PLAIN
from gbench.base import files
from gbench.base.files import read_file

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


KINDS = {pipe: "it is a pipe or a device", device: "it is a pipe or a device", huge: "File too large"}
OF_A_RUN = {
    "spec.json": ["summary", RUN],
    "host.json": ["summary", RUN],
    "environment.json": ["summary", RUN],
    "alarms.jsonl": ["summary", RUN],
    "telemetry.jsonl": ["summary", RUN],
    "steps-rank0.jsonl": ["summary", RUN],
    "checkpoints/best.json": ["eval", RUN, "--best"],
}
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


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("name", OF_A_RUN)
def test_no_file_in_a_run_folder(gbench: Gbench, tmp_path: Path, name: str, make: Callable[[Path], None]) -> None:
    folder = shutil.copytree(KEPT / "results" / RUN, tmp_path / "results" / RUN)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    answer = gbench(*OF_A_RUN[name])
    left_out = name in ("alarms.jsonl", "telemetry.jsonl")  # the figures are printed without them
    assert answer.code in ((0,) if left_out else (1, 2, 4)), answer
    assert len(answer.err.splitlines()) == (not left_out)
    assert make is huge or left_out or KINDS[make] in answer.err or name == "checkpoints/best.json"
    assert gbench("runs", "--json").code == 0


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
