"""Requests to stop: Ctrl-C, SIGTERM, SIGHUP, SIGUSR1 and --timeout raise one exception in the main thread."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from gbench.errors import Interrupted, RunFailed

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)  # SIGUSR1: Slurm's --signal=USR1@60


@contextmanager
def stoppable(timeout_s: float | None, began_s: float | None = None) -> Iterator[None]:
    """Raise an exception in the block if the run is asked to stop, or its time is up.

    After the first such signal, further ones are ignored until the end of the block, so that a second Ctrl-C does not
    interrupt the clean-up. A SIGHUP that is ignored, as under nohup, stays so.

    began_s: when the run began, on the monotonic clock. None: now.

    Raises:
        Interrupted: one of STOPS arrived.
        RunFailed: `timeout_s` seconds have passed since the run began.
    """

    def ignore_the_rest() -> None:
        for number in (*STOPS, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)

    def on_stop(number: int, frame: FrameType | None) -> None:
        ignore_the_rest()
        name = "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name
        if os.isatty(2):  # the processes of the run may take seconds to end
            with suppress(OSError):
                os.write(2, f"\r\ngbench: {name}: stopping\n".encode())
        raise Interrupted(f"stopped by {name}", "what the run had written is kept")

    def on_timeout(number: int, frame: FrameType | None) -> None:
        ignore_the_rest()
        raise RunFailed(f"the run was not done after --timeout {timeout_s:g}s", "give it longer, or less to do")

    ignored = signal.getsignal(signal.SIGHUP) == signal.SIG_IGN  # by nohup
    before = {number: signal.signal(number, on_stop) for number in STOPS if number != signal.SIGHUP or not ignored}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, on_timeout)
    if timeout_s is not None:
        left_s = timeout_s if began_s is None else began_s + timeout_s - time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, max(left_s, 0.001))  # 0 would be no timeout
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
