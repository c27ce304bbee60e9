"""Start, control and stop the sampler from a worker. Its failures never stop the run."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType

from gbench.base.python import module_argv
from gbench.measure.telemetry.samples import IDLE_ENDS, IDLE_STARTS, Header
from gbench.measure.telemetry.stream import NAME

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0


class TelemetryProcess:
    """The sampler's process, from `__enter__` to `__exit__`, and not longer than the thread that started it.

    run_dir: receives telemetry.jsonl. pids: every rank on this node; descendants are included automatically.
    gpus: UUID or NVML index of each rank's GPU, in order of rank; empty on a CPU. hz: samples a second, 1 to 100.
    cpus: CPUs that it may run on; None: those of this process.
    """

    def __init__(
        self,
        run_dir: Path,
        pids: Sequence[int],
        gpus: Sequence[str] = (),
        hz: float = 10.0,
        cpus: Collection[int] | None = None,
    ) -> None:
        self._path, self._cpus = run_dir / NAME, cpus
        self._command = [
            *(*module_argv("gbench.measure.telemetry"), "--run-dir", str(run_dir), "--hz", str(hz)),
            *("--pids", ",".join(map(str, pids)), "--gpus", ",".join(gpus)),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> TelemetryProcess:
        with contextlib.suppress(OSError):  # the reader reports the missing stream
            self._process = subprocess.Popen(
                self._command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            if self._cpus is not None:
                os.sched_setaffinity(self._process.pid, self._cpus)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._say("stop")  # closing the pipe is not enough: forked data loaders hold it open as well
        if self._process is None:
            return
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:  # stuck in the driver
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_S)

    def measure_idle(self, seconds: float) -> None:
        """Leave the devices idle for this time and mark it, if energy can be read. Every rank must wait meanwhile."""
        header = self._wait_for_header()
        if header is None or not (any(gpu.index is not None for gpu in header.gpus) or header.rapl):
            return
        self.mark(IDLE_STARTS)
        time.sleep(seconds)
        self.mark(IDLE_ENDS)

    def mark(self, name: str) -> None:
        """Write the current time to the stream as `name`, a single word."""
        self._say(f"mark {name} {time.perf_counter()!r}")

    def _say(self, words: str) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(OSError):  # the sampler is gone
                self._process.stdin.write(f"{words}\n".encode())

    def _wait_for_header(self) -> Header | None:
        """The first line of the stream; None after a timeout."""
        from gbench.measure.telemetry.reader import read_stream  # loads numpy and pydantic

        until = time.perf_counter() + START_TIMEOUT_S
        while self._process is not None and self._process.poll() is None and time.perf_counter() < until:
            header = read_stream(self._path).header
            if header is not None:
                return header
            time.sleep(0.02)
        return None
