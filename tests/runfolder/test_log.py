"""The run's log: written to two files, shown without failure reports, only one error on a full disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from gbench.errors import InfrastructureError
from gbench.runfolder.log import RunLog

FAILURE = [
    "(epoch: 1, iters: 4, time: 0.1, data: 0.0) G_GAN: 1.000",
    "gbench: error: said by the worker",
    "W1122 20:33:00.123000 99 torch/distributed/elastic.py:900] Sending process 1 closing signal",
    "[rank0]: Traceback (most recent call last):",
    '[rank0]:   File "x.py", line 1, in <module>',
    "[rank0]: torch.AcceleratorError: CUDA error: out of luck",
    "torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ",
]
# A destructor of torch's after an error of CUDA.
ABORT = [
    "[rank0]:[W1129 21:47:18.156587244 CachingHostAllocator.cpp:26] Warning: Exception in pinned allocator free()",
    "terminate called after throwing an instance of 'c10::AcceleratorError'",
    "  what():  CUDA error: uncorrectable ECC error encountered",
    "frame #28: _start + 0x21 (0x55e582660081 in /usr/bin/python3)",
    "rank 0 (process 27795) ended by signal SIGABRT",
]


def test_the_log_keeps_all_and_the_terminal_no_failure_report(tmp_path: Path) -> None:
    shown: list[str] = []
    paths = [tmp_path / "a" / "log.txt", tmp_path / "b" / "run.log"]
    with RunLog(paths, shown.append) as log:
        for line in FAILURE:
            log.line(line)
    assert [path.read_text().splitlines() for path in paths] == [FAILURE, FAILURE]
    assert shown == FAILURE[:1]
    assert log.reason == "said by the worker"


def test_the_reason_is_found_in_a_traceback(tmp_path: Path) -> None:
    with RunLog([tmp_path / "log.txt"], print) as log:
        for line in FAILURE[2:]:
            log.line(line)
    assert log.reason == "torch.AcceleratorError: CUDA error: out of luck"


def test_the_reason_is_found_where_cpp_aborts(tmp_path: Path) -> None:
    shown: list[str] = []
    with RunLog([tmp_path / "log.txt"], shown.append) as log:
        for line in ABORT:
            log.line(line)
    assert log.reason == "CUDA error: uncorrectable ECC error encountered"
    assert shown == []


def test_a_log_that_cant_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(InfrastructureError, match=r"^can't write /proc/run\.log \("):
        RunLog([tmp_path / "log.txt", Path("/proc/run.log")], print)


def test_a_full_disk_is_said_once() -> None:
    shown: list[str] = []
    with pytest.raises(InfrastructureError, match="No space left"), RunLog([Path("/dev/full")], shown.append) as log:
        try:
            log.line("one")
        finally:
            log.line("what comes while the run is being ended")
    assert shown == []
