"""Read the host of a run: load, CPUs, memory, disk, and the run's own share of them."""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psutil

from gbench.measure.telemetry.samples import MissingLog

T = TypeVar("T")
INITIAL_PID_NAMESPACE = 0xEFFFFFFC  # inode of the host's own, include/linux/proc_ns.h


class HostReader:
    """Reads the host, and the processes of a run with all their descendants except this one.

    pids: the run's ranks. missing: receives what can't be read. host_pids: whether process ids are those of the host
    (`sees_host_pids`). now: seconds on a monotonic clock.
    """

    def __init__(
        self,
        pids: Sequence[int],
        missing: MissingLog,
        host_pids: bool,
        now: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._pids, self._missing, self._host_pids, self._now = pids, missing, host_pids, now
        self._family: dict[int, psutil.Process] = {}
        self._family_cpu_s: dict[int, float] = {}
        self._cpus: list[Any] = []
        self._read_at = now()

    def read(self, slow: bool) -> dict[str, Any]:
        """One reading, by name, without what can't be read. slow: include the once-a-second readings."""
        values: dict[str, Any] = {}
        if slow:
            self._find_family()
            seconds, self._read_at = self._now() - self._read_at, self._now()
            values.update(self._attempt("cpu_percent", self._cpu_use) or {})
            values["run_cpus"] = self._family_cpu_use(seconds)
            values["load_1m"] = self._attempt("load_1m", lambda: os.getloadavg()[0])
            values["cpu_mhz"] = self._attempt("cpu_mhz", _cpu_mhz)
            values["disk_read_bytes"] = self._attempt("disk_read_bytes", _disk_read_bytes)
        values["rss_bytes"] = sum(self._of_family(lambda process: process.memory_info().rss).values()) or None
        values["memory_used_bytes"] = self._attempt("memory_used_bytes", lambda: psutil.virtual_memory().used)
        return {name: value for name, value in values.items() if value is not None}

    def foreign(self, gpu_pids: Iterable[int]) -> list[str]:
        """`PID NAME` of processes on a GPU that don't belong to the run.

        In a container older drivers return the host's pids, which can't be matched: there, assume that each GPU has one
        process of the run.
        """
        pids = list(gpu_pids)
        others = [pid for pid in pids if pid not in self._family]
        if pids and others == pids and not self._host_pids:
            self._missing.add("foreign processes", "in a container they are only counted, the run's being unknown")
            others = others[1:]
        return [f"{pid} {_process_name(pid)}" for pid in others]

    def _attempt(self, name: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except Exception as error:  # the sampler continues whatever this kernel lacks
            self._missing.add(f"host {name}", str(error) or type(error).__name__)
            return None

    def _find_family(self) -> None:
        parents = _parents()
        family = {pid for pid in self._pids if pid in parents}
        while more := {pid for pid, parent in parents.items() if parent in family} - family:
            family |= more
        family.discard(os.getpid())
        for pid in family - self._family.keys():
            with contextlib.suppress(psutil.Error):
                self._family[pid] = psutil.Process(pid)
        for pid in self._family.keys() - family:
            del self._family[pid]

    def _of_family(self, read: Callable[[psutil.Process], T]) -> dict[int, T]:
        values = {}
        for pid, process in self._family.items():
            with contextlib.suppress(psutil.Error):  # the process has ended
                values[pid] = read(process)
        return values

    def _family_cpu_use(self, seconds: float) -> float | None:
        """CPUs that the run kept busy since the last reading."""
        before = self._family_cpu_s
        self._family_cpu_s = self._of_family(lambda process: sum(process.cpu_times()[:2]))
        used_s = sum(max(0.0, cpu_s - before.get(pid, 0.0)) for pid, cpu_s in self._family_cpu_s.items())
        return round(used_s / seconds, 3) if before and seconds > 0 else None

    def _cpu_use(self) -> dict[str, float]:
        """Shares of the time since the last reading; empty in the first one, or if no time has passed."""
        before, self._cpus = self._cpus, psutil.cpu_times(percpu=True)
        deltas = [
            {name: new - getattr(old, name) for name, new in cpu._asdict().items()}
            for old, cpu in zip(before, self._cpus, strict=False)
        ]
        # user time includes guest time
        totals = [sum(delta.values()) - delta.get("guest", 0.0) - delta.get("guest_nice", 0.0) for delta in deltas]
        pairs = [(delta, total) for delta, total in zip(deltas, totals, strict=True) if total > 0]
        if not pairs:
            return {}
        busy = [100 * (total - delta["idle"] - delta.get("iowait", 0.0)) / total for delta, total in pairs]
        steal = [100 * delta.get("steal", 0.0) / total for delta, total in pairs]
        return {
            "cpu_percent": round(sum(busy) / len(busy), 2),
            "cpu_busiest_percent": round(max(busy), 2),
            "steal_percent": round(sum(steal) / len(steal), 2),
        }


def _parents() -> dict[int, int]:
    """The parent of every process. A single plain pass over /proc: psutil would make one per rank, and pathlib takes 4
    times as long."""
    parents = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):  # the process has ended
                file = os.open(f"{entry.path}/stat", os.O_RDONLY)
                try:
                    # pid (name) state parent ..., where the name may hold blanks and brackets
                    parents[int(entry.name)] = int(os.read(file, 512).rpartition(b")")[2].split()[1])
                finally:
                    os.close(file)
    return parents


def _cpu_mhz() -> float:
    frequencies = [cpu.current for cpu in psutil.cpu_freq(percpu=True)]
    if not any(frequencies):
        raise LookupError("this kernel does not report it")
    return round(sum(frequencies) / len(frequencies), 1)


def _disk_read_bytes() -> int:
    counters = psutil.disk_io_counters()
    if counters is None:
        raise LookupError("this kernel does not report it")
    return counters.read_bytes


def sees_host_pids() -> bool:
    """Whether this process is outside any container's process namespace."""
    try:
        return Path("/proc/self/ns/pid").stat().st_ino == INITIAL_PID_NAMESPACE
    except OSError:
        return False


def _process_name(pid: int) -> str:
    try:
        return psutil.Process(pid).name()
    except (psutil.Error, ValueError):
        return "?"
