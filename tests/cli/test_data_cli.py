"""`gbench data` as a user runs it: the installed command, its exit codes, stdout and stderr."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

GBENCH = str(Path(sys.executable).with_name("gbench"))


def gbench_data(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [GBENCH, "data", *map(str, arguments)], capture_output=True, text=True, cwd=cwd, timeout=300, check=False
    )


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn") / "set"
    ran = gbench_data("synth", "--out", root, "--count", 2, "--test", 1, "--size", 32)
    assert ran.returncode == 0, ran.stderr
    return root


@pytest.mark.parametrize("verb", ["prepare", "synth", "verify", "stats"])
def test_help_has_examples(verb: str) -> None:
    ran = gbench_data(verb, "-h")
    assert ran.returncode == 0
    assert f"gbench data {verb}" in ran.stdout and "Examples:" in ran.stdout and "--json" in ran.stdout


def test_synth_draws_what_was_asked_for(drawn: Path) -> None:
    assert sorted(path.relative_to(drawn).as_posix() for path in drawn.rglob("*.png")) == [
        "test/1.png",
        "train/1.png",
        "train/2.png",
        "val/1.png",
        "val/2.png",
    ]


def test_result_on_stdout_progress_on_stderr(tmp_path: Path) -> None:
    arguments = ("synth", "--out", tmp_path / "set", "--count", 1, "--size", 16, "--json")
    first, again = gbench_data(*arguments), gbench_data(*arguments)
    assert "drawing" in first.stderr and "3/3" in first.stderr
    result = json.loads(first.stdout)
    assert result["fresh"] and result["counts"] == {"train": 1, "val": 1, "test": 1}
    assert json.loads(again.stdout) == {**result, "fresh": False}
    assert again.stderr == ""


def test_ctrl_c_while_several_processes_draw_leaves_nothing(tmp_path: Path) -> None:
    command = [GBENCH, "data", "synth", "--out", str(tmp_path / "set"), "--size", "256"]
    with_ctrl_c = partial(
        signal.signal, signal.SIGINT, signal.default_int_handler
    )  # a job in the background ignores it
    drawing = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=with_ctrl_c
    )
    while not list(tmp_path.glob(".set.*/set/train/*.png")):
        assert drawing.poll() is None
        time.sleep(0.05)
    os.killpg(drawing.pid, signal.SIGINT)  # as a terminal does
    _, said = drawing.communicate(timeout=300)
    assert drawing.returncode == 130 and "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.killpg(drawing.pid, 0)


def test_a_disk_that_takes_no_more_leaves_nothing(tmp_path: Path) -> None:
    command = f"ulimit -f 40; exec {GBENCH} data synth --out {tmp_path}/set --count 40 --size 256"  # 40 KiB a file
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=300, check=False)
    assert ran.returncode == 4, ran.stderr
    assert f"can't write {tmp_path}/set (File too large)" in ran.stderr and "Traceback" not in ran.stderr
    assert list(tmp_path.iterdir()) == []


def test_drawn_pictures_do_not_land_where_the_real_ones_belong(tmp_path: Path) -> None:
    assert gbench_data("synth", "--count", 1, "--size", 16, cwd=tmp_path).returncode == 0
    ran = gbench_data("verify", "data/synthetic", cwd=tmp_path)
    assert ran.returncode == 0 and ran.stdout.startswith("data/synthetic: 3 images match the manifest, sha256 ")
    assert "data/facades" in gbench_data("verify", cwd=tmp_path).stderr


def test_verify_lists_problems_and_exits_1(drawn: Path, tmp_path: Path) -> None:
    assert json.loads(gbench_data("verify", drawn, "--json").stdout)["intact"] is True
    copy = tmp_path / "set"
    shutil.copytree(drawn, copy)
    (copy / "train/1.png").write_bytes(b"changed")
    (copy / "val/1.png").rename(copy / "val/9.png")
    ran = gbench_data("verify", copy)
    assert ran.returncode == 1
    assert ran.stdout.splitlines() == ["changed: train/1.png", "missing: val/1.png", "extra: val/9.png"]
    assert ran.stderr.startswith(f"gbench: error: the dataset in {copy} differs from its manifest in 3 place(s); ")
    ran = gbench_data("verify", copy, "--json")
    assert ran.returncode == 1
    assert json.loads(ran.stdout)["problems"][0] == {"kind": "changed", "path": "train/1.png"}


def test_stats(drawn: Path) -> None:
    text = gbench_data("stats", drawn).stdout
    assert "train: 2 images" in text and "(2 of 64x32)" in text and "B by class: " in text
    result = json.loads(gbench_data("stats", drawn, "--json").stdout)
    assert result["phases"]["test"]["images"] == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["prepare", "maps"], 2, "'maps' is not 'facades'"),
        (["prepare", "facades", "--url", "a", "--archive", __file__], 2, "not both"),
        (["prepare", "facades", "--url", "ftp://host/f.tar.gz"], 2, "http://"),
        (
            ["prepare", "facades", "--archive", "none.tar.gz"],
            2,
            "none.tar.gz can't be read (No such file or directory)",
        ),
        (["synth", "--count", "0"], 2, "no images requested"),
        (["synth", "--size", "8"], 2, "16<=x<=4096"),
        (["synth", "--count", "-1"], 2, "--count"),
        (["verify", "nowhere"], 2, "nowhere can't be read"),
        (["stats", "nowhere"], 2, "nowhere can't be read"),
    ],
)
def test_wrong_invocations_get_one_sentence(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    ran = gbench_data(*arguments, cwd=tmp_path)
    assert ran.returncode == code
    assert ran.stdout == ""
    assert words in ran.stderr and "Traceback" not in ran.stderr
    assert ran.stderr.startswith("gbench: error: ") and len(ran.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())
