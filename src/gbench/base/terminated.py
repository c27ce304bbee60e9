"""SIGTERM where no run has begun: a run handles its stops itself."""

import os
import sys
from types import FrameType
from typing import NoReturn

from gbench.errors import ExitCode


def on_sigterm(number: int, frame: FrameType | None) -> NoReturn:
    """Say so, and exit."""
    os.write(2, b"gbench: error: stopped by SIGTERM; nothing was left running\n")
    sys.exit(ExitCode.INTERRUPTED)
