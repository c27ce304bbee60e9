"""Handle SIGTERM in a training: end the run at the next reading if checkpoints are kept, otherwise at once."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Records SIGTERM while a training runs, in `received`.

    at_once: raise SystemExit when it arrives, so that the last steps are still written. False: the run saves a
    checkpoint and ends after its next reading.
    """

    def __init__(self, at_once: bool) -> None:
        self._at_once = at_once
        self.received = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle SIGTERM in here; restore the previous handler at the end."""
        before = signal.signal(signal.SIGTERM, self._on_sigterm)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)

    def _on_sigterm(self, number: int, frame: FrameType | None) -> None:
        self.received = True
        if self._at_once:
            signal.signal(number, signal.SIG_IGN)  # torchrun may send it again: write the steps first
            sys.exit(128 + number)
