"""Run one command and never leave any of its processes behind, even if gbench itself is killed.

    python -m gbench.runners.supervise -- COMMAND ARG ...

The caller keeps this process's standard input open. When it closes (gbench stops or dies), all descendants end. As a
child subreaper, this process stays the ancestor of everything that the command starts, in whatever session or process
group (torchrun gives each worker its own).
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time

import psutil

from gbench.runners.stopping import STOPS

PR_SET_CHILD_SUBREAPER = 36
GRACE_S = 10.0  # from SIGTERM to SIGKILL: a rank writes its last steps, but one that waits in NCCL hears nothing
POLL_S = 0.05


def main(argv: list[str]) -> int:
    """Run the command after `--`; returns its exit code, 128 + signal when a signal ended it."""
    command = argv[argv.index("--") + 1 :]
    # The terminal sends Ctrl-C to its whole foreground group; only gbench decides when to stop.
    for ignored in STOPS:
        signal.signal(ignored, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_default_signals)
    code = wait(process)
    end_descendants()
    return code if code is not None and code >= 0 else 128 + (signal.SIGTERM if code is None else -code)


def wait(process: subprocess.Popen[bytes]) -> int | None:
    """Wait for the command to end (its return code) or standard input to close (None)."""
    ended = os.pidfd_open(process.pid)
    try:
        readable, _, _ = select.select([ended, sys.stdin], [], [])
    finally:
        os.close(ended)
    return process.wait() if ended in readable else None


def end_descendants(grace_s: float = GRACE_S) -> None:
    """End every descendant: SIGTERM, then SIGKILL to those that are left after the grace period."""
    for stop in (signal.SIGTERM, signal.SIGKILL):
        until_s = time.monotonic() + grace_s
        descendants = psutil.Process().children(recursive=True)
        for process in descendants:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(stop)
        while descendants and time.monotonic() < until_s:
            _, descendants = psutil.wait_procs(descendants, timeout=POLL_S)
            descendants = [process for process in descendants if not _has_ended(process)]


def _has_ended(process: psutil.Process) -> bool:
    """Whether a process is gone, or a zombie whose parent, such as a rank that hangs, has not read its exit code."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _default_signals() -> None:
    for ignored in STOPS:
        signal.signal(ignored, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
