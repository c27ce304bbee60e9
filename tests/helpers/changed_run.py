"""Run tests of a copy of the project with one file changed, in a fork: what this process has imported saves time.

The fork is in a PID namespace of its own. A fault in what ends processes ends none of this machine's, and whatever a
fault leaves running ends with the tests.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

NEW_NAMESPACES = {"mount": 0x20000, "pid": 0x20000000, "user": 0x10000000}  # of unshare(2)
PRIVATE = 0x4000 | 0x40000  # MS_REC | MS_PRIVATE of mount(2)


class Recorder:
    """A pytest plugin that notes whether each test passed, as it ends."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.failed = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.failed += report.failed
        if report.failed or (report.when == "call" and not report.skipped):
            with self._file.open("a") as file:
                file.write(json.dumps([report.nodeid, not report.failed]) + "\n")


def run(copy: Path, tests: list[str], limit_s: float, stop_at_first: bool) -> tuple[str, dict[str, bool]]:
    """Run tests: "killed", "timed out" or "survived", and whether each passed that ended."""
    arguments = ["-q", "-p", "no:cacheprovider", *(["-x"] if stop_at_first else []), *tests]
    return isolated(copy, lambda recorder: int(pytest.main(arguments, plugins=[recorder])), limit_s)


def isolated(copy: Path, work: Callable[[Recorder], int], limit_s: float) -> tuple[str, dict[str, bool]]:
    """Run tests by `work`, which returns their exit code, in a namespace of its own; return what `run` does."""
    outcomes = copy.parent / f"outcomes-{os.getpid()}.jsonl"
    outcomes.write_text("")
    temporary = Path(tempfile.mkdtemp(prefix="gbench-"))  # whatever a fault leaves there goes with it
    temporary.chmod(0o755)  # for the user of a PostgreSQL

    def inside() -> int:
        enter(copy, temporary)
        return work(Recorder(outcomes))

    child = forked(lambda: _in_namespace(inside))
    limit = time.monotonic() + limit_s
    status = None
    while status is None and time.monotonic() < limit:
        ended, code = os.waitpid(child, os.WNOHANG)
        status = code if ended else None
        time.sleep(0.02)
    if status is None:
        _kill(child)
    shutil.rmtree(temporary, ignore_errors=True)
    passed: dict[str, bool] = {}
    for line in outcomes.read_text().splitlines():
        name, well = json.loads(line)
        passed[name] = passed.get(name, True) and well
    outcomes.unlink()
    return "timed out" if status is None else "killed" if status else "survived", passed


def can_isolate() -> bool:
    """Whether this user may make the namespaces that `run` needs."""
    return os.waitpid(forked(lambda: _in_namespace(lambda: 0)), 0)[1] == 0


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


def forked(work: Callable[[], int]) -> int:
    """The id of a fork that ends with the exit code of `work`."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        code = work()
    finally:
        os._exit(code)


def _in_namespace(work: Callable[[], int]) -> int:
    """The exit code of `work` in a PID namespace with a first process that reaps what others leave."""
    libc, user, group = ctypes.CDLL(None, use_errno=True), os.getuid(), os.getgid()
    kinds = NEW_NAMESPACES["mount"] | NEW_NAMESPACES["pid"] | (NEW_NAMESPACES["user"] if user else 0)
    if libc.unshare(kinds):
        raise OSError(ctypes.get_errno(), "unshare")
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")

    def first() -> int:
        if libc.mount(b"none", b"/", None, PRIVATE, None) or libc.mount(b"proc", b"/proc", b"proc", 0, None):
            raise OSError(ctypes.get_errno(), "mount")
        child = forked(work)
        while True:
            ended, status = os.wait()
            if ended == child:
                return int(status != 0)

    return int(os.waitpid(forked(first), 0)[1] != 0)


def enter(copy: Path, temporary: Path) -> None:
    """Let this process run tests of the copy: their code is the copy's, nothing is printed or left elsewhere."""
    os.setsid()
    os.chdir(copy)
    nothing, output = os.open(os.devnull, os.O_RDONLY), os.open(copy.parent / "output.txt", os.O_WRONLY | os.O_CREAT)
    for descriptor, target in enumerate((nothing, output, output)):
        os.dup2(target, descriptor)
    sys.path[0] = str(copy / "src")
    sys.dont_write_bytecode = True
    os.environ.update(PYTHONPATH=f"{copy}/src", PYTHONDONTWRITEBYTECODE="1", TMPDIR=str(temporary))
    tempfile.tempdir = None  # read TMPDIR again


def _kill(child: int) -> None:
    """Kill a fork and, with the first process of its namespace, all in there."""
    for process in [*psutil.Process(child).children(recursive=True), psutil.Process(child)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    os.waitpid(child, 0)
