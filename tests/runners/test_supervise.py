"""What the supervisor does with processes that do not end by SIGTERM, or that nobody waits for."""

from __future__ import annotations

import os
import subprocess
import sys

import psutil

from gbench.runners.supervise import _has_ended

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); input()"
# In a process of its own, as it ends all descendants.
PROGRAM = f"""
import psutil, subprocess, sys
from gbench.runners.supervise import end_descendants
child = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
process = psutil.Process(child.pid)
end_descendants(grace_s=0.2)
print(len(psutil.wait_procs([process], timeout=600)[1]))
"""


def test_a_process_that_ignores_sigterm_is_killed() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=900)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_process_has_ended_as_a_zombie_and_after() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = psutil.Process(child.pid)
    assert not _has_ended(process)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert _has_ended(process)
    child.communicate()
    assert _has_ended(process)
