"""Freed memory stays in the process: counted in page faults of a real one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gbench.pix2pix.ranks.heap import keep_freed_memory

FREE_AND_TAKE_AGAIN = """
import ctypes, resource, sys
from gbench.pix2pix.ranks.heap import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory({}) is not None
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
def step():
    blocks = [libc.malloc(40 << 20) for _ in range(3)]
    for block in blocks:
        ctypes.memset(block, 1, 40 << 20)
    for block in blocks:
        libc.free(block)
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    command = [sys.executable, "-c", FREE_AND_TAKE_AGAIN, how]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_freed_memory_is_taken_again_without_page_faults() -> None:
    pages = 3 * (40 << 20) // 4096
    assert faults("default") > pages / 2
    assert faults("keep") < pages / 100


@pytest.mark.parametrize("name", ["MALLOC_TRIM_THRESHOLD_", "MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_settings_of_ones_own_are_left_alone(name: str) -> None:
    assert keep_freed_memory({name: "1"}) is None
