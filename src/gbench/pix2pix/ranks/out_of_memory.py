"""Is it for want of memory that a rank failed? What allocators raise becomes one sentence."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gbench.errors import OutOfMemory

# What a RuntimeError says where the allocator that failed has no exception of its own: the CUDA runtime's, those within
# cuBLAS and cuDNN (8 and 9), NCCL's; on the host torch's (c10/core/impl/alloc_cpu.cpp) and C++'s.
DEVICE_SAYS = re.compile(
    r"CUDA error: out of memory|CU(?:BLAS|DNN)_\w*ALLOC\w*_FAILED|[Cc]uda failure.* 'out of memory'"
)
HOST_SAYS = re.compile(r"DefaultCPUAllocator: can't allocate memory|std::bad_alloc|Cannot allocate memory")


@contextmanager
def memory_told(device: torch.device, batch: int) -> Iterator[None]:
    """Turn whatever is raised in here for want of memory into an OutOfMemory.

    Args:
        batch: images of this device.
    """
    try:
        yield
    except Exception as error:
        place = out_of_memory(error, device)
        if place is None:
            raise
        raise OutOfMemory(
            f"{place} is out of memory with {batch} images a device", "take a smaller batch or more devices"
        ) from error


def out_of_memory(error: Exception, device: torch.device) -> str | None:
    """What an exception says is out of memory: the device or the host; None where it says something else."""
    if isinstance(error, torch.OutOfMemoryError):
        return str(device)
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return "the host"
    if not isinstance(error, RuntimeError):
        return None
    if DEVICE_SAYS.search(str(error)):
        return str(device)
    return "the host" if HOST_SAYS.search(str(error)) else None
