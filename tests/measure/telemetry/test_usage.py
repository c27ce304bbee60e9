"""Statistics of a given stream; readings of the real host."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from gbench.measure.telemetry import host_source
from gbench.measure.telemetry.host_source import HostReader
from gbench.measure.telemetry.sample_columns import Samples, Telemetry, Window
from gbench.measure.telemetry.samples import Header, HostSample, MissingLog, Sample
from gbench.measure.telemetry.usage import summarize
from gbench.runfolder.telemetry_result import MeanAndRange, Missing

NOBODY = 4_000_000_000  # above any process id that Linux gives


def telemetry(hosts: list[HostSample], ended: str | None = "the run said stop", period_s: float = 1.0) -> Telemetry:
    samples = [Sample(n * period_s, 0.0, 0.5 + n * period_s / 100, host=host) for n, host in enumerate(hosts)]
    return Telemetry(Header(1 / period_s, "", cpus=4), Samples.of(samples), ended=ended)


def test_host_figures_are_of_the_window_and_rss_of_all() -> None:
    hosts = [
        HostSample(rss_bytes=900, memory_used_bytes=5000, load_1m=9.0, cpu_percent=90.0, run_cpus=1.0),
        HostSample(rss_bytes=100, memory_used_bytes=1000, load_1m=1.0, cpu_percent=50.0, run_cpus=1.5),
        HostSample(rss_bytes=200, memory_used_bytes=2000, load_1m=3.0, cpu_percent=100.0, run_cpus=2.5),
    ]
    host = summarize(telemetry(hosts), Window(0.5, 2.5)).host
    assert host is not None
    assert host.load_1m == MeanAndRange(2.0, 1.0, 3.0)
    assert (host.rss_peak_bytes, host.memory_peak_bytes) == (900, 2000)
    assert host.run_cpus == pytest.approx(2.0)
    assert host.other_cpus == pytest.approx((0.5 + 1.5) / 2)  # of 4 CPUs 2 and 4 were busy
    assert host.cpu_mhz is None


def test_disk_reads_are_those_of_the_window() -> None:
    hosts = [HostSample(disk_read_bytes=read) for read in (0, 1000, 3000, 3000)]
    host = summarize(telemetry(hosts), Window(0.5, 1.5)).host
    assert host is not None and host.disk_read_bytes == pytest.approx(500 + 1000)


def test_the_samplers_own_rate_and_share() -> None:
    sampler = summarize(telemetry([HostSample()] * 11, period_s=0.5), Window(0.0, 5.0)).sampler
    assert sampler is not None
    assert (sampler.samples, sampler.asked_hz, sampler.reached_hz) == (11, 2.0, pytest.approx(2.0))
    assert sampler.cpu_share == pytest.approx(0.01)
    assert sampler.longest_gap_s == pytest.approx(0.5)


def test_a_sampler_that_died_is_named_with_what_it_did_not_see() -> None:
    missing = summarize(telemetry([HostSample()] * 3, ended=None), Window(0.0, 7.0)).missing
    assert missing == [
        Missing("the stream's end", "the sampler was killed, or still runs", 2.0),
        Missing("samples", "none for 5.0 s of the window", 2.0),
    ]


def test_a_bug_in_the_sampler_is_named() -> None:
    whole = telemetry([HostSample()] * 3)
    missing = summarize(replace(whole, ended="failed: ZeroDivisionError: x"), Window(0.0, 2.0)).missing
    assert [one.why for one in missing] == ["failed: ZeroDivisionError: x"]
    assert summarize(whole, Window(0.0, 2.0)).missing == []


@pytest.fixture
def family() -> Iterator[int]:
    """A process whose child holds 64 MiB."""
    hungry = "block = bytearray(64 << 20); print(flush=True); input()"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hungry!r}])"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline()
    yield process.pid
    process.communicate(b"\n")


def test_the_runs_processes_are_its_ranks_and_their_descendants(family: int) -> None:
    missing = MissingLog()
    assert HostReader([family], missing, host_pids=True).read(slow=True)["rss_bytes"] >= 64 << 20
    assert "rss_bytes" not in HostReader([NOBODY], missing, host_pids=True).read(slow=True)


def test_rates_need_two_readings(family: int) -> None:
    reader = HostReader([family], MissingLog(), host_pids=True)
    assert not {"run_cpus", "cpu_percent"} & reader.read(slow=True).keys()
    until_s = time.perf_counter() + 0.2
    while time.perf_counter() < until_s:
        pass
    second = reader.read(slow=True)
    assert 0 <= second["run_cpus"] < 1  # they sleep; this process, which does not, is not theirs
    assert 0 < second["cpu_percent"] <= second["cpu_busiest_percent"] <= 100


def test_what_this_kernel_counts_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = [SimpleNamespace(current=mhz) for mhz in (2000.0, 3000.5)]
    monkeypatch.setattr(psutil, "cpu_freq", lambda percpu: clocks)
    monkeypatch.setattr(psutil, "disk_io_counters", lambda: SimpleNamespace(read_bytes=4096))
    missing = MissingLog()
    values = HostReader([], missing, host_pids=True).read(slow=True)
    assert (values["cpu_mhz"], values["disk_read_bytes"], missing.drain()) == (2500.2, 4096, [])
    monkeypatch.setattr(psutil, "cpu_freq", lambda percpu: [])
    monkeypatch.setattr(psutil, "disk_io_counters", lambda: None)
    values = HostReader([], missing, host_pids=True).read(slow=True)
    assert not {"cpu_mhz", "disk_read_bytes"} & values.keys()
    assert [one.what for one in missing.drain()] == ["host cpu_mhz", "host disk_read_bytes"]


def test_only_the_hosts_own_namespace_has_its_pids(monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path("/proc/self/ns/pid").stat().st_ino
    for initial, sees in ((here, True), (here + 1, False)):
        monkeypatch.setattr(host_source, "INITIAL_PID_NAMESPACE", initial)
        assert host_source.sees_host_pids() is sees


def test_foreign_processes(family: int) -> None:
    missing = MissingLog()
    on_host = HostReader([os.getpid()], missing, host_pids=True)
    on_host.read(slow=True)
    assert on_host.foreign([family]) == []  # a child of this process
    assert on_host.foreign([family, NOBODY]) == [f"{NOBODY} ?"]
    assert on_host.foreign([os.getpid()]) != []  # as the sampler is no part of its run, so this process here
    assert on_host.foreign([]) == []
    in_container = HostReader([os.getpid()], missing, host_pids=False)
    in_container.read(slow=True)
    assert in_container.foreign([family, NOBODY]) == [f"{NOBODY} ?"]  # a driver that knows namespaces
    assert missing.drain() == []
    assert in_container.foreign([NOBODY]) == []  # one that does not: this is taken for the run's own
    assert in_container.foreign([NOBODY, NOBODY + 1]) == [f"{NOBODY + 1} ?"]
    assert [one.what for one in missing.drain()] == ["foreign processes"]
