"""The real sampler on a real process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from gbench.measure.telemetry.reader import read_stream
from gbench.measure.telemetry.sample_columns import Telemetry, Window
from gbench.measure.telemetry.sampler_process import TelemetryProcess
from gbench.measure.telemetry.stream import NAME
from gbench.measure.telemetry.usage import summarize

PATIENCE_S = 30.0


def wait_for(folder: Path, enough: Callable[[Telemetry], bool]) -> Telemetry:
    until = time.perf_counter() + PATIENCE_S
    while time.perf_counter() < until:
        telemetry = read_stream(folder / NAME)
        if enough(telemetry):
            return telemetry
        time.sleep(0.02)
    raise AssertionError(f"not within {PATIENCE_S} s: {read_stream(folder / NAME)}")


def test_a_second_beside_this_process(tmp_path: Path) -> None:
    before_s, before = time.perf_counter(), set(psutil.Process().children())
    with TelemetryProcess(tmp_path, [os.getpid()], hz=20) as telemetry_process:
        (sampler,) = set(psutil.Process().children()) - before
        wait_for(tmp_path, lambda telemetry: len(telemetry.samples) >= 5)
        telemetry_process.mark("training")
        wait_for(tmp_path, lambda telemetry: len(telemetry.samples) >= 25)
        stopped_s = time.perf_counter()
    telemetry = read_stream(tmp_path / NAME)
    times = [sample.t_s for sample in telemetry.samples]
    assert telemetry.ended == "the run said stop"
    assert times == sorted(times)
    assert before_s < times[0] < telemetry.marks["training"] < stopped_s < times[-1] < time.perf_counter()
    summary = summarize(telemetry, Window(telemetry.marks["training"], stopped_s))
    assert summary.host is not None and summary.sampler is not None
    assert summary.host.rss_peak_bytes is not None
    assert summary.host.rss_peak_bytes >= psutil.Process().memory_info().rss * 0.5
    assert summary.host.run_cpus is not None and summary.host.memory_peak_bytes is not None
    assert summary.sampler.cpu_share is not None and 0 < summary.sampler.cpu_share < 0.5
    assert summary.sampler.reached_hz is not None and 1 < summary.sampler.reached_hz < 25
    assert telemetry.header is not None and telemetry.header.clock == "CLOCK_MONOTONIC"
    header = telemetry.header
    assert (header.pid, header.run_pids, header.cpus) == (sampler.pid, [os.getpid()], psutil.cpu_count())
    assert time.get_clock_info("perf_counter").implementation == "clock_gettime(CLOCK_MONOTONIC)"


def test_the_sampler_runs_on_the_cpus_that_it_is_given(tmp_path: Path) -> None:
    """Otherwise it would run on the cores to which the rank is bound."""
    last, before = max(os.sched_getaffinity(0)), set(psutil.Process().children())
    with TelemetryProcess(tmp_path, [os.getpid()], cpus=[last]):
        (sampler,) = set(psutil.Process().children()) - before
        assert sampler.cpu_affinity() == [last]


def test_a_missing_gpu_is_named_and_idle_takes_no_time(tmp_path: Path) -> None:
    with TelemetryProcess(tmp_path, [os.getpid()], gpus=["GPU-that-nobody-has"]) as telemetry_process:
        started_s = time.perf_counter()
        telemetry = wait_for(tmp_path, lambda telemetry: telemetry.header is not None)
        if telemetry.header is not None and not telemetry.header.rapl:
            telemetry_process.measure_idle(60.0)
            assert time.perf_counter() - started_s < PATIENCE_S
    telemetry = read_stream(tmp_path / NAME)
    assert {one.what for one in telemetry.missing} & {"nvml", "gpu 0"}
    assert telemetry.samples[-1].gpus[0].power_w is None


def test_a_sampler_that_is_killed_stops_nothing_and_is_named(tmp_path: Path) -> None:
    with TelemetryProcess(tmp_path, [os.getpid()]) as telemetry_process:
        header = wait_for(tmp_path, lambda telemetry: bool(telemetry.samples)).header
        assert header is not None
        os.kill(header.pid, signal.SIGKILL)
        psutil.wait_procs([psutil.Process(header.pid)], timeout=PATIENCE_S)
        telemetry_process.mark("training")
        telemetry_process.measure_idle(60.0)
    telemetry = read_stream(tmp_path / NAME)
    now_s = time.perf_counter()
    missing = summarize(telemetry, Window(telemetry.samples[-1].t_s, now_s)).missing
    assert "the stream's end" in [one.what for one in missing]


def test_a_sampler_that_can_not_start_stops_nothing(tmp_path: Path) -> None:
    with TelemetryProcess(tmp_path / "nowhere", [os.getpid()]) as telemetry_process:
        telemetry_process.measure_idle(60.0)
        telemetry_process.mark("training")
    assert read_stream(tmp_path / "nowhere" / NAME).missing


def test_it_ends_with_its_parent_though_a_fork_holds_the_pipe(tmp_path: Path) -> None:
    """Forked data loaders inherit the run's end of the pipe, and outlive a run that is killed for a while."""
    script = f"""
import os, sys, time
from pathlib import Path
from gbench.measure.telemetry.sampler_process import TelemetryProcess
with TelemetryProcess(Path({str(tmp_path)!r}), [os.getpid()]):
    loader = os.fork()
    if loader == 0:
        time.sleep({PATIENCE_S * 2})
        os._exit(0)
    print(loader, flush=True)
    time.sleep({PATIENCE_S * 2})
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    loader = int(parent.stdout.readline())
    try:
        wait_for(tmp_path, lambda telemetry: bool(telemetry.samples))
        parent.kill()
        assert wait_for(tmp_path, lambda telemetry: telemetry.ended is not None).ended == "SIGTERM"
    finally:
        os.kill(loader, signal.SIGKILL)
        parent.kill()
        parent.communicate()


def test_it_ends_with_its_standard_input(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gbench.measure.telemetry", "--run-dir", str(tmp_path), "--hz", "20"]
    sampler = subprocess.Popen(command, stdin=subprocess.PIPE)
    wait_for(tmp_path, lambda telemetry: bool(telemetry.samples))
    sampler.communicate(b"mark half-way 1.5\nmark la", timeout=PATIENCE_S)
    assert sampler.returncode == 0
    telemetry = read_stream(tmp_path / NAME)
    assert telemetry.ended == "the run closed the pipe"
    assert telemetry.marks == {"half-way": 1.5}


def test_a_bug_that_ends_it_leaves_its_traceback(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "gbench.measure.telemetry", "--run-dir", str(tmp_path)]
    assert subprocess.run(command, input=b"mark without-a-time\n", timeout=PATIENCE_S).returncode == 1
    telemetry = read_stream(tmp_path / NAME)
    assert telemetry.ended == "failed: IndexError: list index out of range"
    assert "Traceback" in (tmp_path / NAME).read_text().splitlines()[-1]
    assert "sampler" in [one.what for one in summarize(telemetry, Window(0.0, 1.0)).missing]


def test_nothing_heavy_is_imported() -> None:
    code = (
        "import sys, gbench.measure.telemetry.__main__, gbench.measure.telemetry.sampler_process; "
        "print(*{'torch', 'numpy', 'pydantic'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "\n"
