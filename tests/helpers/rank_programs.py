"""Two ranks that start_ranks.py forks, and that run given lines in place of the worker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

from spawned_ranks import FORKSERVER

PRINTED = "printed.txt"

# Runs the given lines as every rank, in place of the worker.
RANKS = """
import os, signal, sys, time
from pathlib import Path
from gbench.pix2pix import end_watch, hang_watch, start_ranks

def run_rank(argv, heartbeat):
    rank, folder = int(os.environ["RANK"]), Path(argv[1])
{lines}

start_ranks.load = lambda count, run_dir, node: run_rank
start_ranks.GRACE_S = {grace_s}
end_watch.PATIENCE_S, end_watch.POLL_S, hang_watch.POLL_S, hang_watch.STACKS_S = 0.2, 0.05, 0.05, 0.5
sys.exit(start_ranks.main(["--nproc-per-node", "2", "--run-dir", {folder!r}]))
"""
WAIT = """
    (folder / f"ready{rank}").touch()
    time.sleep(600)
"""


def program(folder: Path, lines: str, grace_s: float = 30) -> str:
    """Starts two ranks that run `lines` as a function's body, with `rank` and `folder`."""
    return RANKS.format(lines=lines, grace_s=grace_s, folder=str(folder))


@dataclass(frozen=True)
class Started:
    """A program in a process of its own, and the file of what it prints."""

    process: BaseProcess
    printed: Path

    def end(self) -> tuple[int | None, str]:
        """Wait for it: exit code and output."""
        self.process.join()
        return self.process.exitcode, self.printed.read_text()


@contextmanager
def ranks(folder: Path, lines: str, grace_s: float = 30) -> Iterator[Started]:
    """The program, as an import of PyTorch leaves a process; no rank outlives the context."""
    started = Started(FORKSERVER.Process(target=_run, args=(program(folder, lines, grace_s), folder)), folder / PRINTED)
    started.process.start()
    try:
        yield started
    finally:
        started.process.kill()


def _run(text: str, folder: Path) -> None:
    with (folder / PRINTED).open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    exec(text, {})
