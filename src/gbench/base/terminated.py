"""The end of a gbench process, also by SIGTERM and SIGHUP where no run has begun: a run handles its stops itself."""

import atexit
import os
import signal
import sys
import threading
from contextlib import suppress
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


def leave(end: SystemExit) -> NoReturn:
    """End this process, whose sentence is said: a second Ctrl-C adds nothing.

    A thread that is left in a call of a C++ library which never returns would make Python's teardown abort.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if any(one.daemon for one in threading.enumerate()):
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # its reader has gone, or it is closed
                stream.flush()
        os._exit(end.code if isinstance(end.code, int) else 0 if end.code is None else 1)
    raise end
