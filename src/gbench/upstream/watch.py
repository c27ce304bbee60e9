"""Run upstream's train.py up to the log line of its last step, and time each line as it is printed."""

import contextlib
import math
import runpy
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.abc import PathEntryFinder
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path
from typing import Any, TextIO

from gbench.errors import GbenchError, RunFailed
from gbench.runfolder.loss_line import LossLine, read_loss_line


class AllSteps(BaseException):
    """The last step's line was printed. Not an Exception, so that no handler of upstream's catches it."""


@dataclass(frozen=True)
class TimedLine:
    """A log line and the time of its print on a monotonic clock; by then the device has finished the step."""

    line: LossLine
    end_s: float


class StepOutput:
    """A standard output that records the log lines of steps, and ends the program after the last one."""

    def __init__(self, out: TextIO, steps: int) -> None:
        self.out, self.steps, self.lines = out, steps, list[TimedLine]()

    def write(self, text: str) -> int:
        """Write `text`, and record it if it is the line of a step. Raises AllSteps: it was the last one."""
        now_s = time.perf_counter()
        written = self.out.write(text)
        line = read_loss_line(text)
        if line is not None:
            self.lines.append(TimedLine(line, now_s))
            if len(self.lines) == self.steps:
                self.out.write("\n")  # `print` would have added it
                raise AllSteps
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self.out, name)


class SourceOnly(SourceFileLoader):
    """Loads a module from its source. Compiled code may be of another source: no check of a clone covers it."""

    def get_data(self, path: str) -> bytes:
        """The content of a file. Raises OSError: as for a missing one, also if it is compiled code."""
        if path.endswith(".pyc"):
            raise FileNotFoundError(path)
        return super().get_data(path)


def sources_of(folder: Path) -> Callable[[str], PathEntryFinder]:
    """A hook for `sys.path_hooks` that finds only source below a folder."""

    def find(path: str) -> PathEntryFinder:
        if not (Path(path).is_relative_to(folder) and Path(path).is_dir()):
            raise ImportError(f"{path} is none of its folders")
        return FileFinder(path, (SourceOnly, SOURCE_SUFFIXES))

    return find


def run(
    train: Path, arguments: Sequence[str], steps: int, convert_errors: AbstractContextManager[None] | None = None
) -> list[TimedLine]:
    """Run the script `train` in this process until it has printed the lines of `steps` steps.

    Raises RunFailed: it failed, ended too early, or printed impossible times; and what `convert_errors` raises.
    """
    output = StepOutput(sys.stdout, steps)
    sys.argv, sys.dont_write_bytecode = [str(train), *arguments], True
    sys.path.insert(0, str(train.parent))
    sys.path_hooks.insert(0, sources_of(train.parent))
    failed = None
    try:
        with contextlib.redirect_stdout(output), convert_errors or contextlib.nullcontext():
            runpy.run_path(str(train), run_name="__main__")
    except AllSteps:
        return _with_times(output.lines)
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
        raise RunFailed(f"{train} failed ({failed})", "see the log for its output")
    printed = f"{len(output.lines)} of the {steps} log lines" if output.lines else "no log line"
    raise RunFailed(
        f"{train} ended with {printed} like (epoch: 1, iters: 32, time: 0.043, data: 0.233) G_GAN: ...",
        "give a clone of pytorch-CycleGAN-and-pix2pix at the commit of the model's CODE_LINK",
    )


def _with_times(lines: list[TimedLine]) -> list[TimedLine]:
    for number, timed in enumerate(lines, 1):
        line = timed.line
        if not all(math.isfinite(one) and one >= 0 for one in (line.compute_s, line.data_s)):
            raise RunFailed(
                f"the log line of step {number} says time: {line.compute_s:g}, data: {line.data_s:g}, "
                "which is impossible",
                "check whether this machine's clock is being adjusted, and run again",
            )
    return lines
