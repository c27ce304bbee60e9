"""SIGTERM and SIGHUP where no run has begun: a run handles its stops itself."""

import os
import signal
import sys
from types import FrameType
from typing import Any, NoReturn

from gbench.errors import ExitCode


def end_with_a_sentence() -> dict[int, Any]:
    """Let both signals end this process with a sentence. Returns the handlers before.

    A SIGHUP that is ignored, as under nohup, stays so.
    """
    nohup = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    return {one: signal.signal(one, _end) for one in ((signal.SIGTERM,) if nohup else (signal.SIGTERM, signal.SIGHUP))}


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """Say so, and exit."""
    try:
        os.write(2, f"gbench: error: stopped by {signal.Signals(number).name}; nothing was left running\n".encode())
    except OSError:  # the terminal has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    sys.exit(ExitCode.INTERRUPTED)
