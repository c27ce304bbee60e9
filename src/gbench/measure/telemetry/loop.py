"""The sampler's loop: read everything, write a line, wait for the next turn or a command from the run."""

import os
import select
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timezone

import psutil

from gbench.measure.telemetry.energy_counters import RaplReader
from gbench.measure.telemetry.gpu_source import GpuReader
from gbench.measure.telemetry.host_source import HostReader
from gbench.measure.telemetry.samples import GpuSample, Header, HostSample, MissingLog, Sample
from gbench.measure.telemetry.stream import StreamWriter

SLOW_S = 1.0  # between readings that cost more, or change less: processes, PCIe link, ECC, CPU shares and frequency


class Sampler:
    """Takes samples of the GPUs, the host and RAPL. now: seconds on CLOCK_MONOTONIC."""

    def __init__(
        self,
        gpus: GpuReader,
        host: HostReader,
        rapl: RaplReader,
        missing: MissingLog,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.gpus, self.host, self.rapl, self.missing, self.now = gpus, host, rapl, missing, now
        self._slow_at = float("-inf")

    def header(self, hz: float, run_pids: list[int]) -> Header:
        """The facts that all samples share."""
        return Header(
            hz=hz,
            started_utc=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            pid=os.getpid(),
            run_pids=run_pids,
            cpus=psutil.cpu_count(),
            gpus=self.gpus.facts,
            rapl=self.rapl.domains,
        )

    def sample(self) -> Sample:
        """Read everything once, the energy counters first, as close to the sample's time as possible."""
        t_s = self.now()
        slow = t_s - self._slow_at >= SLOW_S
        if slow:
            self._slow_at = t_s
        rapl_uj = self.rapl.read()
        gpus = self.gpus.read(slow)
        host = self.host.read(slow)
        for gpu in gpus:
            processes = gpu.pop("processes", None)
            if processes is not None:
                gpu["foreign"] = self.host.foreign(processes)
        return Sample(
            t_s=round(t_s, 6),
            took_s=round(self.now() - t_s, 6),
            own_cpu_s=round(time.process_time(), 6),
            gpus=[GpuSample(**gpu) for gpu in gpus],
            host=HostSample(**host),
            rapl_uj=rapl_uj,
        )


class Control:
    """The pipe from the run, with lines `mark NAME T_S` and `stop`; the end of the pipe also means stop."""

    def __init__(self, pipe: int, on_mark: Callable[[str, float], None]) -> None:
        self._pipe, self._on_mark = pipe, on_mark
        self._rest = b""
        self.stop: str | None = None  # why to stop

    def wait(self, seconds: float) -> None:
        """Wait for this time, or until told to stop, and handle commands."""
        until = time.perf_counter() + seconds
        while self.stop is None:
            left = until - time.perf_counter()
            if not select.select([self._pipe], [], [], max(0.0, left))[0]:
                return
            self._take(os.read(self._pipe, 4096))

    def _take(self, received: bytes) -> None:
        if not received:
            self.stop = "the run closed the pipe"
        *lines, self._rest = (self._rest + received).split(b"\n")
        for line in lines:
            word, *arguments = line.decode().split()
            if word == "mark":
                self._on_mark(arguments[0], float(arguments[1]))
            else:
                self.stop = "the run said stop"


def run(sampler: Sampler, writer: StreamWriter, control: Control, header: Header) -> None:
    """Sample `header.hz` times a second until `control.stop` is set, and then once more; a delay is not caught up."""
    period_s = 1 / header.hz
    turn = sampler.now()
    sample = sampler.sample()
    writer.header(header, sampler.missing.drain())
    while True:
        for missing in sampler.missing.drain():
            writer.missing(replace(missing, t_s=sample.t_s))
        writer.sample(sample)
        if control.stop is not None:
            return
        turn = max(turn + period_s, sampler.now() + period_s / 2)
        control.wait(turn - sampler.now())
        sample = sampler.sample()
