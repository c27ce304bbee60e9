"""Upstream's train.py run to the line of its last step, each line timed as it comes."""

from __future__ import annotations

import contextlib
import math
import runpy
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from gbench.errors import GbenchError, RunFailed
from gbench.runfolder.loss_line import LossLine, read_loss_line


class AllSteps(BaseException):
    """The last step's line is there. Not an Exception: no handler of upstream's may take it for an error."""


@dataclass(frozen=True)
class Timed:
    """A line, and when it was printed, in seconds of a monotonic clock. It holds losses: the device is done by then."""

    line: LossLine
    end_s: float


class Watch:
    """A standard output that notes the lines of steps, and ends the program at the last one."""

    def __init__(self, out: TextIO, steps: int) -> None:
        self.out, self.steps, self.lines = out, steps, list[Timed]()

    def write(self, text: str) -> int:
        """Pass on, and look."""
        now_s = time.perf_counter()
        written = self.out.write(text)
        line = read_loss_line(text)
        if line is not None:
            self.lines.append(Timed(line, now_s))
            if len(self.lines) == self.steps:
                self.out.write("\n")  # which print would have written
                raise AllSteps
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self.out, name)


def run(
    train: Path, arguments: Sequence[str], steps: int, told: AbstractContextManager[None] | None = None
) -> list[Timed]:
    """Run `train` in this process as a shell would, until it has printed the lines of `steps` steps.

    Args:
        told: turns what it raises into sentences that are known.

    Raises:
        RunFailed: it failed, ended before, or printed times that no step can take.
    """
    watch = Watch(sys.stdout, steps)
    sys.argv, sys.dont_write_bytecode = [str(train), *arguments], True
    sys.path.insert(0, str(train.parent))
    failed = None
    try:
        with contextlib.redirect_stdout(watch), told or contextlib.nullcontext():
            runpy.run_path(str(train), run_name="__main__")
    except AllSteps:
        return _with_times(watch.lines)
    except SystemExit as error:
        if error.code:
            failed = f"exit code {' '.join(str(error.code).split())}"
    except GbenchError:
        traceback.print_exc()
        raise
    except Exception as error:
        traceback.print_exc()  # for the log
        failed = " ".join(f"{type(error).__name__}: {error}".split())
    if failed is not None:
        raise RunFailed(f"{train} failed ({failed})", "the log holds all it said")
    said = f"{len(watch.lines)} of the {steps} log lines" if watch.lines else "no log line"
    raise RunFailed(
        f"{train} ended with {said} like (epoch: 1, iters: 32, time: 0.043, data: 0.233) G_GAN: ...",
        "give a clone of pytorch-CycleGAN-and-pix2pix at the commit of the model's CODE_LINK",
    )


def _with_times(lines: list[Timed]) -> list[Timed]:
    for number, timed in enumerate(lines, 1):
        line = timed.line
        if not all(math.isfinite(one) and one >= 0 for one in (line.compute_s, line.data_s)):
            raise RunFailed(
                f"the log line of step {number} says time: {line.compute_s:g}, data: {line.data_s:g}, "
                "which no step takes",
                "see whether this machine's clock is being set, and run again",
            )
    return lines
