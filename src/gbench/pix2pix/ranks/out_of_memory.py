"""Out of memory: the exceptions of all allocators as one error."""

import errno
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from traceback import clear_frames

import torch

from gbench.base.size import GIB, size_text
from gbench.errors import OutOfMemory

# Messages of a RuntimeError from allocators without an exception class: the CUDA runtime's, those within cuBLAS and
# cuDNN (8 and 9), NCCL's; on the host torch's (c10/core/impl/alloc_cpu.cpp) and C++'s.
DEVICE_SAYS = re.compile(
    r"CUDA error: out of memory|CU(?:BLAS|DNN)_\w*ALLOC\w*_FAILED|[Cc]uda failure.* 'out of memory'"
)
HOST_SAYS = re.compile(r"DefaultCPUAllocator: can't allocate memory|std::bad_alloc|Cannot allocate memory")


@contextmanager
def convert_memory_errors(
    device: torch.device, batch: int, need_gib: Callable[[], float | None] = lambda: None
) -> Iterator[None]:
    """Convert every out-of-memory exception raised in here. Raises OutOfMemory.

    batch: images per device. need_gib: counts what a rank needs; called once its memory has run out.
    """
    try:
        yield
    except Exception as error:
        place = out_of_memory(error, device)
        if place is None:
            raise
        clear_frames(error.__traceback__)  # frees what the failed step holds: counting takes memory too
        need = None
        with suppress(Exception):  # there may be no memory left to count in
            need = need_gib()
        about = "" if need is None else f", for which a rank needs about {size_text(need * GIB)}"
        raise OutOfMemory(
            f"{place} is out of memory with {batch} images per device{about}", "take a smaller batch or more devices"
        ) from error


def out_of_memory(error: Exception, device: torch.device) -> str | None:
    """What is out of memory by this exception, the device or the host; None for any other exception."""
    if isinstance(error, torch.OutOfMemoryError):
        return str(device)
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return "the host"
    if not isinstance(error, RuntimeError):
        return None
    if DEVICE_SAYS.search(str(error)):
        return str(device)
    return "the host" if HOST_SAYS.search(str(error)) else None
