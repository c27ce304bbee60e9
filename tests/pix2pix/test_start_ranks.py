"""Ranks forked from one process that has loaded torch, in real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from gbench.pix2pix import end_watch
from gbench.runfolder.folder import RunFolder
from gbench.settings.spec import ProfileConfig, RunSpec
from rank_programs import WAIT, program, ranks


def wait_for(*paths: Path) -> None:
    while not all(path.exists() for path in paths):
        time.sleep(0.02)


@pytest.mark.parametrize("count", [1, 2])
def test_ranks_fork_from_one_thread_without_cuda(count: int) -> None:
    code = f"""
import os, sys
from pathlib import Path
from gbench.pix2pix import start_ranks
import numpy
pool = len(os.listdir("/proc/self/task"))
start_ranks.load({count}, Path("nowhere"))
import torch
print(start_ranks.unsafe_to_fork(), torch.cuda.is_initialized(), len(os.listdir("/proc/self/task")), pool)
print("gbench.pix2pix.trainer" in sys.modules, "torch._dynamo" in sys.modules)
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["None", "False", "1", "2", "True", "False"]
    # the pool: one thread of OpenBLAS


def test_ranks_meet_in_a_process_group(tmp_path: Path) -> None:
    lines = """
    import torch, torch.distributed as dist
    dist.init_process_group("gloo")
    value = torch.tensor([rank + 1.0])
    dist.all_reduce(value)
    (folder / str(rank)).write_text(f"{value.item()} {os.environ['MASTER_ADDR']}")
    return 0
"""
    with ranks(tmp_path, lines) as started:
        code, output = started.end()
    assert code == 0, output
    assert [(tmp_path / name).read_text() for name in "01"] == ["3.0 127.0.0.1"] * 2


def test_the_first_failed_rank_ends_the_others(tmp_path: Path) -> None:
    lines = """
    if rank == 1:
        while not (folder / "ready0").exists():
            time.sleep(0.01)
        return 7
    def stop(number, frame):
        (folder / "stopped").touch()
        os._exit(0)
    signal.signal(signal.SIGTERM, stop)
"""
    with ranks(tmp_path, lines + WAIT) as started:
        code, output = started.end()
    assert code == 7, output
    assert (tmp_path / "stopped").exists()


def test_an_exception_is_printed_and_is_exit_code_1(tmp_path: Path) -> None:
    with ranks(tmp_path, "    raise ValueError(f'no rank like {rank}')") as started:
        code, output = started.end()
    assert code == 1
    assert "ValueError: no rank like " in output


def test_a_killed_rank_is_named_with_its_signal(tmp_path: Path) -> None:
    lines = """
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
"""
    with ranks(tmp_path, lines + WAIT, grace_s=0.2) as started:
        code, output = started.end()
    assert code == 128 + signal.SIGKILL
    assert "rank 1 (process " in output and "ended by signal SIGKILL" in output


def test_ended_processes_of_ranks_are_not_waited_for(tmp_path: Path) -> None:
    """An orphan goes to the supervisor, which reads its exit code only once the run has ended."""
    lines = """
    if rank == 1:
        while not (folder / "ready0").exists():
            time.sleep(0.01)
        return 7
    import subprocess
    subprocess.Popen(["sleep", "600"])
"""
    ranks_argv = [sys.executable, "-c", program(tmp_path, lines + WAIT, grace_s=3600)]
    argv = [sys.executable, "-m", "gbench.runners.supervise", "--", *ranks_argv]
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as process:
        assert process.wait(timeout=300) == 7


@pytest.mark.parametrize("kind", ["training", "profile", "evaluation", "tuning"])
def test_ranks_that_hang_at_their_end_are_killed(kind: str, tmp_path: Path, make_spec: Callable[..., RunSpec]) -> None:
    profiling = ProfileConfig(steps=1) if kind == "profile" else None
    spec = make_spec().model_copy(update={"profiling": profiling, "results_dir": str(tmp_path)})
    folder = RunFolder.create(spec)
    lines = """
    from gbench.runfolder.folder import RunFolder
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if rank == 1:
        return 0
    if KIND in ("evaluation", "tuning"):
        import psutil
        while len(psutil.Process(os.getppid()).children()) > 1:
            time.sleep(0.01)
        (folder / f"{KIND}.json").touch()
        time.sleep(600)
    RunFolder(folder).write("environment.json", {})
    time.sleep(0.2)
    RunFolder(folder).write("environment.json", {"ended": {"steps": 3, "because": "all steps are done"}})
    if KIND == "profile":
        time.sleep(1)
        (folder / "profile.json").touch()
    time.sleep(600)
""".replace("KIND", repr(kind))
    with ranks(folder.path, lines) as started:
        code, output = started.end()
    assert (code, output) == (
        0,
        "warning: the run is complete and its results are written, but rank 0 did not end within 0.2 s and is killed\n",
    )
    assert folder.has("profile.json") == (kind == "profile")


def test_a_pause_of_the_machine_kills_no_rank(
    tmp_path: Path, make_spec: Callable[..., RunSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder.create(make_spec().model_copy(update={"results_dir": str(tmp_path)}))
    folder.write("environment.json", {"ended": {"steps": 3, "because": "all steps are done"}})
    ranks, slept_s, killed = {7: 0}, list[float](), list[int]()

    def sleep(seconds: float) -> None:
        slept_s.append(seconds)  # a pause ends the sleep at which it began
        if len(slept_s) == 2:
            ranks.clear()

    monkeypatch.setattr(end_watch.time, "sleep", sleep)
    monkeypatch.setattr(end_watch.os, "kill", lambda pid, number: killed.append(pid))
    end_watch.EndWatch(folder, ranks).run()
    assert killed == [] and sum(slept_s) == end_watch.PATIENCE_S


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_reaches_every_rank(number: signal.Signals, tmp_path: Path) -> None:
    lines = """
    def stop(number, frame):
        (folder / f"stopped{rank}").touch()
        os._exit(3)
    signal.signal(signal.SIGTERM, stop)
"""
    with ranks(tmp_path, lines + WAIT) as started:
        wait_for(tmp_path / "ready0", tmp_path / "ready1")
        os.kill(started.process.pid or 0, number)
        code, output = started.end()
    assert code == 128 + number, output
    assert sorted(path.name for path in tmp_path.glob("stopped*")) == ["stopped0", "stopped1"]


def test_no_rank_outlives_its_parent(tmp_path: Path) -> None:
    with ranks(tmp_path, WAIT) as started:
        wait_for(tmp_path / "ready0", tmp_path / "ready1")
        children = psutil.Process(started.process.pid).children()
        started.process.kill()
    gone, alive = psutil.wait_procs(children)
    assert (len(gone), alive) == (2, [])


def test_torchrun_starts_ranks_where_a_thread_runs(tmp_path: Path) -> None:
    """A profiler or a preloaded library may start a thread in every Python process."""
    thread = "import threading, time; threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"
    (tmp_path / "sitecustomize.py").write_text(thread)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    argv = [sys.executable, "-m", "gbench.pix2pix.start_ranks", "--nproc-per-node", "1"]
    arguments = ["--run-dir", str(tmp_path / "none"), "--data-dir", str(tmp_path)]
    done = subprocess.run([*argv, *arguments], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 1
    assert "torchrun starts the ranks: the process that loaded PyTorch has 2 threads" in done.stdout
    assert (tmp_path / "none" / "torchrun").is_dir()  # and not below $TMPDIR
    assert "gbench: error: " in done.stderr  # the worker's own sentence: there is no spec
