"""Writing files so that a reader, or a crash, never sees half of one."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from gbench.errors import InfrastructureError


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to `path` by a temporary file beside it, synced and renamed.

    Raises:
        InfrastructureError: the folder can't be written, or the disk is full.
    """
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            umask = os.umask(0)
            os.umask(umask)
            Path(temporary).chmod(0o666 & ~umask)  # mkstemp makes it private
            Path(temporary).replace(path)
            sync_folder(path.parent)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise cant_write(path, error) from error


def sync_folder(path: Path) -> None:
    """Make a rename in a folder last, power loss included; some network file systems can't, and need not."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_all(file: FileIO, data: bytes) -> None:
    """Write to an unbuffered file, which may take only a part at a time. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


@contextmanager
def locked(path: Path, patience_s: float, what: str) -> Iterator[int]:
    """Hold the lock of a file while in here; gives its descriptor, with which a child process can go on holding it.

    Args:
        patience_s: how long to wait for another holder. what: what is in use then.

    Raises:
        InfrastructureError: someone else holds it, or the file can't be made.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise cant_write(path, error) from error
    deadline = time.monotonic() + patience_s
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise InfrastructureError(
                        f"{what} is in use by another process", "wait until it has ended"
                    ) from error
                time.sleep(0.1)
        yield handle
    finally:
        os.close(handle)


def make_folder(path: Path) -> None:
    """Make a folder and its parents; one that is there is fine.

    Raises:
        InfrastructureError: it can't be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cant_write(path, error) from error


def require_writable(folder: Path) -> None:
    """Make sure that files can be made in a folder, or in what is there of its path. Raises InfrastructureError."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    try:
        tempfile.TemporaryFile(dir=there).close()
    except OSError as error:
        raise cant_write(folder, error) from error


def cant_write(path: Path, error: OSError) -> InfrastructureError:
    """The sentence for a file or folder that can't be written."""
    return InfrastructureError(
        f"can't write {path} ({error.strerror or error})", "free space there, or take a folder you may write"
    )
