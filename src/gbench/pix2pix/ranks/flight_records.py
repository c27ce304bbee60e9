"""NCCL's flight record of each rank: its last collectives, which PyTorch keeps in memory and writes on request.

A thread of PyTorch in each rank looks at a pipe, so it also writes while the rank waits for another in a collective.
Source: DumpPipe in torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp, PyTorch 2.7 to 2.14.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path

from gbench.base.files import is_locked, locked
from gbench.errors import InfrastructureError
from gbench.runfolder.folder import RunFolder

NAME = "nccl-flight-rank"  # and the number of the rank: a pickle, which `torchfrtrace` compares between ranks
COLLECTIVES = "2000"  # that each rank keeps; PyTorch 2.7 keeps none by default
BUFFER, FILE = "TORCH_FR_BUFFER_SIZE", "TORCH_FR_DUMP_TEMP_FILE"
# Of PyTorch 2.7; later ones warn of them.
FORMER_NAMES = {BUFFER: "TORCH_NCCL_TRACE_BUFFER_SIZE", FILE: "TORCH_NCCL_DEBUG_INFO_TEMP_FILE"}
PIPE = "TORCH_NCCL_DEBUG_INFO_PIPE_FILE"
PIPES, LOCK = "gbench-nccl-", "lock"  # a folder of a run's pipes: not in the run folder, as an archive takes no pipe
NEW_S = 60.0  # from a folder's creation to its lock, at most
WRITE_S = 30.0  # PyTorch looks at the pipe once a second
POLL_S = 0.1


@contextmanager
def flight_records_on_request(folder: RunFolder) -> Iterator[None]:
    """Let the ranks that are forked in this context write theirs to the run folder. Without a GPU there are none."""
    if not _uses_nccl(folder):
        yield
        return
    _remove_left()
    with tempfile.TemporaryDirectory(prefix=PIPES) as pipes, locked(Path(pipes) / LOCK, 0, pipes):
        former = metadata.version("torch").startswith("2.7.")
        for name, value in ((BUFFER, COLLECTIVES), (FILE, str(folder.path / NAME))):
            os.environ.setdefault(FORMER_NAMES[name] if former else name, value)
        os.environ[PIPE] = f"{pipes}/rank"
        yield


def _uses_nccl(folder: RunFolder) -> bool:
    with suppress(InfrastructureError):  # no spec: the ranks say so
        return folder.spec().device == "cuda"
    return False


def _remove_left() -> None:
    """Remove the folders of pipes of processes that were killed."""
    for left in Path(tempfile.gettempdir()).glob(f"{PIPES}*"):
        with suppress(OSError, InfrastructureError):  # another user's
            if time.time() - left.lstat().st_mtime > NEW_S and not is_locked(left / LOCK):
                shutil.rmtree(left)


def write_flight_records(folder: RunFolder, ranks: Collection[int]) -> None:
    """Ask these ranks of this host to write theirs, and wait for it. Without NCCL there is none."""
    pipes = os.environ.get(PIPE)
    if pipes is None:
        return
    asked = []
    for rank in ranks:
        with suppress(OSError):  # no NCCL, or nobody reads any more
            pipe = os.open(f"{pipes}{rank}.pipe", os.O_WRONLY | os.O_NONBLOCK)
            with os.fdopen(pipe, "wb") as file:
                file.write(b"1\n")
            asked.append(folder.path / f"{NAME}{rank}")
    until = time.monotonic() + WRITE_S
    while time.monotonic() < until and not all(path.exists() and path.stat().st_size for path in asked):
        time.sleep(POLL_S)
