"""The log of a run: every line it prints, written to two files and shown as it arrives."""

import os
import re
from collections.abc import Callable
from contextlib import ExitStack
from io import FileIO
from pathlib import Path

from gbench.base.files import cant_write, make_folder, open_file, without_waiting, write_all, write_errors

# The start of a failure report by torchrun or Python. From there on, lines go to the log but not to the terminal.
FAILURE_REPORT = re.compile(
    r"Traceback \(most recent call last\)|(?:\[rank\d+\]:\[)?[WE]\d{4} \d\d:\d\d:\d\d|\[rank\d+\]: *Traceback|"
    r"terminate called after throwing"
)
# A worker's own sentence, the last line of a Python traceback, with a failed rank's prefix, or what C++ says as it
# aborts: after an error of CUDA the next destructor of a tensor may do so, before Python has reported anything.
REASON = re.compile(
    r"gbench: error: (.+)|(?:\[rank\d+\]: *)?((?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Interrupt)\b: .+)|"
    r" +what\(\): +(.+)"
)
# How torchrun and torch's loader report a process that was killed.
KILLED = re.compile(r"Signal 9 \(SIGKILL\) received by PID|exitcode *: -9\b|is killed by signal: Killed")

TAIL_BYTES = 4096  # of a log, in which its last line is looked for
EXIT_CODE = re.compile(r"\bexitcode *: ([1-9]\d{0,9})\b")  # in torchrun's report of the rank that failed first


def last_line(path: Path) -> str:
    """The last whole line of a log, while it is written; empty without one."""
    try:
        with open_file(path) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return lines[-2] if len(lines) > 1 else ""


class RunLog(ExitStack):
    """Writes lines to files, whose folders it creates, and shows them."""

    def __init__(self, paths: list[Path], show: Callable[[str], None]) -> None:
        super().__init__()
        self._show, self._paths, self._failing, self._broken = show, paths, False, False
        self.reason: str | None = None  # the first reason for a failure that the run printed
        self.exit_code: int | None = None  # of the rank that failed first, as torchrun reports it
        self.killed = False  # whether it reported that one of its processes was killed
        for path in paths:
            make_folder(path.parent)
        self._files = []
        for path in paths:
            with write_errors(path):
                # unbuffered: data that a full disk rejected must not be written again on close
                self._files.append(self.enter_context(FileIO(path, "a", opener=without_waiting)))

    def line(self, text: str) -> None:
        """Write one line and show it. Raises InfrastructureError, once: it can't be written."""
        if self.reason is None and (match := REASON.match(text)):
            self.reason = match[1] or match[2] or match[3]
        if self.exit_code is None and (code := EXIT_CODE.search(text)):
            self.exit_code = int(code[1])
        self.killed = self.killed or KILLED.search(text) is not None
        if self._broken:
            return
        for path, file in zip(self._paths, self._files, strict=True):
            try:
                write_all(file, f"{text}\n".encode())
            except OSError as error:
                self._broken = True  # raise once: later lines come from a run that is already being stopped
                raise cant_write(path, error) from error
        self._failing = self._failing or FAILURE_REPORT.match(text) is not None
        if not self._failing and not text.startswith("gbench: error: "):
            self._show(text)
