"""Launches that a signal ends, and launches at the same time."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from support import Answer, two_ranks

from shared_runs import the_run

Gbench = Callable[..., Answer]


def started(small_launch: list[str], folder: Path, until: str) -> subprocess.Popen[str]:
    """A long run on two processes that has printed a line that starts with `until`."""
    arguments = ["pix2pix_resnet_9blocks", "4", "2", "FP32", "false", "ignore_check", *small_launch]
    command = [sys.executable, "-m", "gbench", "launch", *arguments]
    process = subprocess.Popen(
        [*command, "--steps", "100000"], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(until):
            break
    return process


def errors_of(process: subprocess.Popen[str], code: int) -> str:
    """What a launch prints to stderr until it ends with this exit code."""
    _, err = process.communicate(timeout=300)
    assert process.returncode == code, err
    return err


@two_ranks
@pytest.mark.slow
def test_ctrl_c_keeps_the_samples_and_leaves_nothing_running(small_launch: list[str], tmp_path: Path) -> None:
    process = started(small_launch, tmp_path, until="(epoch: 3")  # 4 steps an epoch: 10 are warm-up
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 130
    folder = the_run(tmp_path)
    assert err.splitlines()[-1] == f"gbench: error: stopped by Ctrl-C; its run folder is {folder.path}"
    assert out == ""
    result = folder.read("result.json")
    assert result is None or result["complete"] is False
    assert len(list(folder.steps(0))) >= 8
    assert not (tmp_path / "cndb").exists()
    assert not _mentions(folder.path)


@two_ranks
@pytest.mark.slow
def test_a_rank_that_is_killed_is_told_of(small_launch: list[str], tmp_path: Path) -> None:
    process = started(small_launch, tmp_path, until="(epoch: 3")
    folder = the_run(tmp_path)
    ranks = _ranks(folder.path)
    assert len(ranks) == 2
    ranks[1].kill()
    err = errors_of(process, 1)
    last = err.splitlines()[-1]
    assert last.startswith("gbench: error: a process of the run was killed (SIGKILL): perhaps for lack of memory")
    assert "Traceback" not in err
    assert not (folder.path / "error.json").exists()
    assert not _mentions(folder.path)


@two_ranks
@pytest.mark.slow
def test_a_rank_that_is_stopped_ends_the_run(gbench: Gbench, small_launch: list[str], tmp_path: Path) -> None:
    process = started([*small_launch, "--set", "measure.hang_seconds=5"], tmp_path, until="(epoch: 3")
    folder = the_run(tmp_path)
    stopped = _ranks(folder.path)[1]
    stopped.suspend()
    last = errors_of(process, 4).splitlines()[-1]
    assert re.match(r"gbench: error: hung: no rank has made a step for \d+ s, after step \d+; rank 1 ", last), last
    assert f"(process {stopped.pid}) is stopped (SIGSTOP); read {folder.path / 'stacks.txt'}" in last
    assert "gbench/pix2pix/trainer.py" in (folder.path / "stacks.txt").read_text()  # where rank 0 waits
    assert len(list(folder.steps(0))) >= 1
    assert [run["state"] for run in gbench("runs", "--json").json] == ["hung"]
    assert not _mentions(folder.path)


@two_ranks
@pytest.mark.slow
def test_a_run_that_is_stopped_as_a_whole_ends(gbench: Gbench, small_launch: list[str], tmp_path: Path) -> None:
    process = started([*small_launch, "--set", "measure.hang_seconds=5"], tmp_path, until="(epoch: 3")
    folder = the_run(tmp_path)
    below = psutil.Process(process.pid).children(recursive=True)
    for one in below:
        one.suspend()
    last = errors_of(process, 4).splitlines()[-1]
    assert last.startswith("gbench: error: hung: all processes of the run are stopped (SIGSTOP) for 5 s: ")
    assert {str(one.pid) for one in below} >= set(last.partition(" s: ")[2].partition(";")[0].split(", "))
    assert len(list(folder.steps(0))) >= 1
    assert [run["state"] for run in gbench("runs", "--json").json] == ["hung"]
    assert not _mentions(folder.path)


def _ranks(run_dir: Path) -> list[psutil.Process]:
    """The ranks of a run: children, with the same command line, of the process that forked them."""
    start = {"gbench.pix2pix.start_ranks", str(run_dir)}
    processes = {
        process.pid: process
        for process in psutil.process_iter(["cmdline", "ppid"])
        if start <= set(process.info["cmdline"] or [])
    }
    return [process for process in processes.values() if process.info["ppid"] in processes]


@two_ranks
@pytest.mark.slow
def test_a_run_whose_gbench_was_killed_still_yields_statistics(
    gbench: Gbench, small_launch: list[str], tmp_path: Path
) -> None:
    process = started(small_launch, tmp_path, until="(epoch: 6")
    process.kill()
    process.wait()
    folder = the_run(tmp_path)
    deadline = time.monotonic() + 60
    while _mentions(folder.path):
        assert time.monotonic() < deadline, "its processes are still there"
        time.sleep(0.1)
    assert folder.read("result.json") is None
    summary = gbench("summary", folder.path, "--json")
    assert summary.code == 0, summary.err
    assert summary.json["complete"] is False
    assert summary.json["steps"] >= 10
    assert summary.json["limits"]["flop_per_image"] > 0
    assert len(summary.json["memory"]) == 2
    assert "INCOMPLETE" in gbench("summary", folder.path).out


def _mentions(path: Path) -> list[str]:
    """Command lines of running processes that name the path."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                found.append((process / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
    return [line for line in found if str(path) in line]


@two_ranks
@pytest.mark.slow
def test_two_runs_at_once_do_not_meet(gbench: Gbench, small_launch: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gbench", "launch", "pix2pix_resnet_9blocks", "4", "1", "FP32", *small_launch]
    runs = [
        subprocess.Popen([*command, "--steps", "4", "--warmup", "1", "-q"], cwd=tmp_path, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [run.wait(timeout=240) for run in runs] == [0, 0]
    for folder in ("results", "logs", "cndb/records"):
        assert len(list((tmp_path / folder).iterdir())) == 2


def test_the_page_of_a_killed_run_says_why(gbench: Gbench, small_launch: list[str], tmp_path: Path) -> None:
    (tmp_path / "mine.sh").write_text("kill -9 $$\n")
    run = ["pix2pix_resnet_9blocks", 4, 1, "FP32", *small_launch, "--run-model-file", "mine.sh"]
    answer = gbench("launch", *run)
    assert answer.code == 1 and "was killed (SIGKILL): perhaps for lack of memory" in answer.err, answer.err
    assert gbench("report", the_run(tmp_path).path).code == 0
    assert "A process of the run was killed (SIGKILL)" in (the_run(tmp_path).path / "report.html").read_text()
