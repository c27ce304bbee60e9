"""How a gbench process ends."""

from __future__ import annotations

import subprocess
import sys

import pytest

# A command that ends with code 4; `AtTeardown` says whether Python's teardown ran.
COMMAND = """
import atexit, gbench.cli, sys, threading, time
from gbench.__main__ import main
from gbench.base.threads import within

class AtTeardown:
    def __del__(self):
        print("teardown")

def command():
    print("said", end=" ", flush=False)
    {lines}
    sys.exit(4)

atexit.register(lambda: print("exit functions"))
here = AtTeardown()
gbench.cli.main = command
main()
"""
ABANDON = """try:
        within(0.01, lambda: time.sleep(600))
    except TimeoutError:
        pass"""


@pytest.mark.parametrize(("lines", "teardown"), [("pass", "teardown\n"), (ABANDON, "")])
def test_a_thread_that_never_returns_is_left_without_a_teardown(lines: str, teardown: str) -> None:
    done = subprocess.run([sys.executable, "-c", COMMAND.format(lines=lines)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (4, f"said exit functions\n{teardown}", "")


def test_a_second_ctrl_c_adds_nothing() -> None:
    lines = """atexit.register(lambda: signal.raise_signal(signal.SIGINT))
    import signal"""
    done = subprocess.run([sys.executable, "-c", COMMAND.format(lines=lines)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (4, "")
