"""End ranks that stay although their run is complete: a library's teardown may hang when all results are on disk."""

import math
import os
import signal
import threading
import time
from contextlib import suppress

from gbench.errors import GbenchError
from gbench.runfolder import evaluation_result, tuning_result
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.step_profile import NAME as PROFILE

PATIENCE_S = 60.0  # from the last file of a run to the end of its processes
POLL_S = 1.0
RESULTS = (evaluation_result.NAME, tuning_result.NAME)


class EndWatch(threading.Thread):
    """Kills the ranks that are left PATIENCE_S after the run is complete, and says so.

    A training is complete when environment.json says `ended` and, for a profile, profile.json exists; an evaluation or
    a tuning when its result exists. Rank 0 writes these once every rank has written all of its files.

    Args:
        ranks: rank by process id, of those that still run; another thread removes those that have ended.

    Attributes:
        killed: process ids.
    """

    def __init__(self, folder: RunFolder, ranks: dict[int, int]) -> None:
        super().__init__(daemon=True)
        self._folder, self._ranks = folder, ranks
        self._read_ns: int | None = None
        self._ended = False
        self.killed: set[int] = set()

    def run(self) -> None:
        while not self._complete():
            time.sleep(POLL_S)
        for _ in range(math.ceil(PATIENCE_S / POLL_S)):  # a pause of the machine, or SIGSTOP, takes one look, not all
            time.sleep(POLL_S)
        left = dict(self._ranks)
        if left:
            names = ", ".join(map(str, sorted(left.values())))
            print(
                f"warning: the run is complete and its results are written, but rank {names} did not end within "
                f"{PATIENCE_S:g} s and is killed",
                flush=True,
            )
        for pid in left:
            self.killed.add(pid)
            kill(pid)

    def _complete(self) -> bool:
        """Whether the run's last file is written. Reads environment.json only after a change, to disturb no step."""
        if any(self._folder.has(name) for name in RESULTS):
            return True
        with suppress(OSError, GbenchError):
            changed_ns = (self._folder.path / "environment.json").stat().st_mtime_ns
            if changed_ns != self._read_ns:
                self._read_ns = changed_ns
                self._ended = self._folder.environment().ended is not None
            return self._ended and (self._folder.spec().profiling is None or self._folder.has(PROFILE))
        return False


def kill(pid: int) -> None:
    """Kill a rank that may have ended by itself."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
