from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from gbench.base.process_pool import AHEAD, in_processes
from gbench.errors import InfrastructureError


def pid_and_square(number: int) -> tuple[int, int]:
    return os.getpid(), number**2


def refuse_3(number: int) -> int:
    if number == 3:
        raise OSError(28, "No space left on device", "3.png")
    return number


def kill_itself_at_3(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def children() -> set[psutil.Process]:
    """Those that run; one that a test before this one has left may end at any time."""
    there = set()
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):
            if child.status() != psutil.STATUS_ZOMBIE:
                there.add(child)
    return there


@pytest.mark.parametrize("processes", [1, 2])
def test_the_results_are_those_of_map(processes: int) -> None:
    before = children()
    found = list(in_processes(pid_and_square, range(20), processes))
    assert [square for _, square in found] == [number**2 for number in range(20)]
    assert ({pid for pid, _ in found} == {os.getpid()}) == (processes == 1)
    assert not children() - before


@pytest.mark.parametrize(
    ("work", "kind", "words"),
    [(refuse_3, OSError, "No space left on device: '3.png'"), (kill_itself_at_3, InfrastructureError, "was killed")],
)
def test_a_failure_ends_all_processes(
    work: Callable[[int], int], kind: type[Exception], words: str, tmp_path: Path
) -> None:
    before = children()
    with pytest.raises(kind, match=words):
        list(in_processes(work, range(20), 2))
    assert not children() - before


def test_only_a_few_items_are_under_way() -> None:
    taken = []
    results = in_processes(refuse_3, (taken.append(number) or number for number in range(4, 100)), 2)
    next(results)
    assert len(taken) == 2 * AHEAD
    before = children()
    results.close()
    assert len(taken) == 2 * AHEAD and len(children()) == len(before) - 2
