"""End a run whose steps have stopped coming: name the rank that is missing, and keep what every rank was doing."""

import os
import shutil
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

from gbench.base.files import new_file
from gbench.errors import GbenchError, Hung
from gbench.pix2pix.end_watch import kill
from gbench.pix2pix.ranks.flight_records import write_flight_records
from gbench.pix2pix.ranks.heartbeat import STACKS_SIGNAL, Heartbeats
from gbench.runfolder.error_file import IS_BEHIND, IS_STOPPED, write_error
from gbench.runfolder.folder import RunFolder

POLL_S = 1.0
STACKS_S = 2.0  # from the request to the last line of a rank's stacks
PY_SPY_S = 20.0
STACKS = "stacks.txt"
STOPPED = "Tt"  # states of proc(5)


class HangWatch(threading.Thread):
    """Ends all ranks of this host if one of them is overdue by its own limit.

    It counts looks, not seconds: a pause of the machine or a stopped session takes one look, and ends no run.

    Args:
        ranks: rank by process id, of those that still run; another thread removes those that have ended.
    """

    def __init__(self, folder: RunFolder, ranks: dict[int, int], heartbeats: Heartbeats) -> None:
        super().__init__(daemon=True)
        self._folder, self._ranks, self._heartbeats = folder, ranks, heartbeats
        self._counts: dict[int, int] = {}
        self._idle_s: dict[int, float] = {}

    def run(self) -> None:
        while (limit_s := self._look()) is None:
            time.sleep(POLL_S)
        left = dict(self._ranks)
        error = Hung(
            f"hung: no rank has made a step for {limit_s:.0f} s, after step {self._step()}; {self._missing(left)}",
            f"read {self._folder.path / STACKS}, what each rank was doing; a slow run needs a longer "
            "--set measure.hang_seconds",
        )
        with suppress(OSError):
            self._write_stacks(left)
            write_flight_records(self._folder, [rank for pid, rank in left.items() if _state(pid) not in STOPPED])
        with suppress(GbenchError):  # a full disk: the log has it
            write_error(self._folder, error)
        print(f"gbench: error: {error}", flush=True)
        for pid in left:
            kill(pid)  # a rank that waits for another hears nothing else

    def _look(self) -> float | None:
        """The limit that all ranks' silence has passed; None: the run goes on."""
        silent = []
        for rank in self._ranks.copy().values():
            beat = self._heartbeats.last(rank)
            unchanged = self._counts.get(rank) == beat.count
            self._counts[rank] = beat.count
            self._idle_s[rank] = self._idle_s.get(rank, 0.0) + POLL_S if unchanged else 0.0
            silent.append(beat.limit_s if 0 < beat.limit_s <= self._idle_s[rank] else None)
        limits = [limit for limit in silent if limit is not None]
        return max(limits) if limits and len(limits) == len(silent) else None

    def _step(self) -> int:
        return min(self._heartbeats.last(rank).step for rank in self._ranks.copy().values())

    def _missing(self, left: dict[int, int]) -> str:
        """Which rank the others wait for: one that is stopped, or one that is behind."""
        names = {pid: f"rank {rank} (process {pid})" for pid, rank in left.items()}
        if stopped := [names[pid] for pid in left if _state(pid) in STOPPED]:
            return f"{' and '.join(stopped)} {IS_STOPPED}"
        counts = {pid: self._heartbeats.last(rank).count for pid, rank in left.items()}
        behind = [names[pid] for pid in left if counts[pid] < max(counts.values())]
        if behind:
            return f"{' and '.join(behind)} {IS_BEHIND}"
        return f"{' and '.join(names.values())} is in the same step"

    def _write_stacks(self, left: dict[int, int]) -> None:
        """Write every rank's Python stacks to STACKS; py-spy, if installed, reads a rank that answers no signal."""
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, STACKS_SIGNAL)
        time.sleep(STACKS_S)
        parts = []
        for pid, rank in sorted(left.items(), key=lambda item: item[1]):
            stacks = self._heartbeats.stacks_of(rank) or _by_py_spy(pid)
            parts.append(f"rank {rank} (process {pid}), state {_state(pid)}\n{stacks}\n")
        with new_file(self._folder.path / STACKS) as file:
            file.write("\n".join(parts).encode())


def _state(pid: int) -> str:
    """One letter of proc(5): R running, S sleeping, D waiting for a disk, T stopped; X: it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0]
    return "X"


def _by_py_spy(pid: int) -> str:
    """The stacks of a process that answers no signal."""
    path = shutil.which("py-spy")
    if path is None:
        return "it did not answer; py-spy, which reads a process that is stopped, is not installed"
    try:
        done = subprocess.run(
            [path, "dump", "--nonblocking", "--pid", str(pid)], capture_output=True, text=True, timeout=PY_SPY_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"it did not answer; py-spy neither ({error})"
    return done.stdout or f"it did not answer; py-spy neither ({done.stderr.strip()})"
