"""Run tests of a copy of the project with one file changed, in a fork: what this process has imported saves time."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest


class Recorder:
    """A pytest plugin that notes whether each test passed, as it ends."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed or (report.when == "call" and not report.skipped):
            with self._file.open("a") as file:
                file.write(json.dumps([report.nodeid, not report.failed]) + "\n")


def run(copy: Path, tests: list[str], limit_s: float, stop_at_first: bool) -> tuple[str, dict[str, bool]]:
    """Run tests: "killed", "timed out" or "survived", and whether each passed that ended."""
    outcomes = copy.parent / "outcomes.jsonl"
    outcomes.write_text("")
    child = os.fork()
    if child == 0:
        _run_pytest(copy, ["-q", "-p", "no:cacheprovider", *(["-x"] if stop_at_first else []), *tests], outcomes)
    limit = time.monotonic() + limit_s
    status = None
    while status is None and time.monotonic() < limit:
        ended, code = os.waitpid(child, os.WNOHANG)
        status = code if ended else None
        time.sleep(0.02)
    if status is None:
        _kill(child)
    passed: dict[str, bool] = {}
    for line in outcomes.read_text().splitlines():
        name, well = json.loads(line)
        passed[name] = passed.get(name, True) and well
    return "timed out" if status is None else "killed" if status else "survived", passed


@contextlib.contextmanager
def changed(path: Path, text: str) -> Iterator[None]:
    """A file with another text for a while; its compiled file is valid again afterwards."""
    before, times = path.read_text(), path.stat()
    path.write_text(text)
    try:
        yield
    finally:
        path.write_text(before)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def _run_pytest(copy: Path, arguments: list[str], outcomes: Path) -> None:
    code = 1
    try:
        os.setsid()
        os.chdir(copy)
        nothing, output = (
            os.open(os.devnull, os.O_RDONLY),
            os.open(copy.parent / "output.txt", os.O_WRONLY | os.O_CREAT),
        )
        for descriptor, target in enumerate((nothing, output, output)):
            os.dup2(target, descriptor)
        sys.path[0] = str(copy / "src")
        sys.dont_write_bytecode = True
        os.environ.update(PYTHONPATH=f"{copy}/src", PYTHONDONTWRITEBYTECODE="1")
        code = int(pytest.main(arguments, plugins=[Recorder(outcomes)]))
    finally:
        os._exit(code)


def _kill(child: int) -> None:
    for process in [*psutil.Process(child).children(recursive=True), psutil.Process(child)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    os.waitpid(child, 0)
