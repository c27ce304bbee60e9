"""Read files that others made; write files atomically, so that no reader and no crash sees half of one; locks."""

import contextlib
import errno
import fcntl
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from io import FileIO, TextIOWrapper
from pathlib import Path
from typing import BinaryIO

from gbench.base.faults import remedy_of
from gbench.errors import InfrastructureError

STREAM = re.compile(r"/dev/(stdin|fd/\d+)|/proc/self/fd/\d+")  # what a shell gives for `< FILE` and `<(COMMAND)`
MOST_CHARACTERS = 64 * 2**20  # of a file that is read as a whole
NO_FILE = "it is a pipe, a socket or a device"


def without_waiting(path: str, flags: int) -> int:
    """The opener for `open`.

    Raises OSError: also for a socket; to write, also for a pipe that nobody reads, and for a link, which may lead to
    another file of this user's.
    """
    writes = flags & os.O_CREAT
    try:
        return os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC | (os.O_NOFOLLOW if writes else 0), 0o666)
    except OSError as error:
        if error.errno == errno.ENXIO:
            error.strerror = NO_FILE
        if error.errno == errno.ELOOP and writes:
            error.strerror = "it is a link"
        raise


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading. Raises OSError: also for a device, and for a pipe, which could block for ever."""
    streamed = STREAM.fullmatch(str(path)) is not None
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC) if streamed else without_waiting(str(path), os.O_RDONLY)
    mode = os.fstat(handle).st_mode
    if streamed or stat.S_ISREG(mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    code, why = (errno.EISDIR, os.strerror(errno.EISDIR)) if stat.S_ISDIR(mode) else (errno.ENXIO, NO_FILE)
    raise OSError(code, why, str(path))


def read_file(path: Path, encoding: str = "utf-8", errors: str = "strict") -> str:
    """The text of a whole file. Raises OSError: as `open_file`, or it is too large; UnicodeDecodeError."""
    with TextIOWrapper(open_file(path), encoding, errors) as file:
        text = file.read(MOST_CHARACTERS + 1)
    if len(text) > MOST_CHARACTERS:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return text


def is_there(path: Path) -> bool:
    """Whether a folder has this name, also for a link that leads nowhere. Raises OSError: it can't be determined."""
    try:
        path.lstat()
    except ValueError:  # a character that no name can have
        return False
    except (FileNotFoundError, NotADirectoryError):
        if any(folder.is_symlink() and not folder.exists() for folder in path.parents):
            raise
        return False
    return True


def entries(folder: Path, pattern: str) -> list[Path]:
    """The entries of a folder whose names fit, sorted, of whatever kind; none without the folder.

    Raises OSError: it can't be listed.
    """
    return sorted(path for path in folder.iterdir() if fnmatch(path.name, pattern)) if is_there(folder) else []


def taken_for(path: Path) -> str:
    """What a file is that was saved in place of the wanted one, in words; empty if that can't be told."""
    with contextlib.suppress(OSError), open_file(path) as file:
        start = file.read(512).lstrip().lower()
        if not start:
            return "the file is empty"
        if start.startswith((b"<!doctype html", b"<html")):
            return "it is a web page: the download was refused, or its link leads to a page"
        if start.startswith(b"version https://git-lfs"):
            return "it is a pointer of Git LFS: run git lfs pull"
    return ""


def new_file(path: Path) -> BinaryIO:
    """Create a file and open it for writing; a file or link at this path is removed first. Raises OSError.

    A link in a folder from elsewhere may lead to another file of this user's.
    """
    path.unlink(missing_ok=True)
    return path.open("xb")


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to a temporary file in the same folder, sync it, rename it. Raises InfrastructureError."""
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}"
    with write_errors(path):
        try:  # from before it exists: a signal may come right after
            with temporary.open("x", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise


def sync_folder(path: Path) -> None:
    """Make a rename in a folder durable, even after a power loss; ignored on file systems that can't sync a folder."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_all(file: FileIO, data: bytes) -> None:
    """Write all of `data` to an unbuffered file, which may accept only a part per write. Raises OSError."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


@contextmanager
def locked(path: Path, patience_s: float, what: str) -> Iterator[int]:
    """Hold a file lock while the context is open; yields its descriptor, through which a child process can keep it.

    patience_s: how long to wait for another holder. what: what the lock is of, for the error.

    Raises InfrastructureError: another process holds it, or the file can't be created.
    """
    with write_errors(path):
        handle = without_waiting(str(path), os.O_RDWR | os.O_CREAT)
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


def is_locked(path: Path) -> bool:
    """Whether a process holds the file lock `path`. Creates nothing, and blocks others for a moment only.

    Raises InfrastructureError: it is there, and can't be opened.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        why = f"{path} can't be read ({error.strerror})"
        raise InfrastructureError(why, remedy_of(error, "fix its permissions")) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Convert an OSError in this context. Raises InfrastructureError: `path` can't be written."""
    try:
        yield
    except OSError as error:
        raise cant_write(path, error) from error


def make_folder(path: Path) -> None:
    """Create a folder and its parents, if missing. Raises InfrastructureError: it can't be created."""
    with write_errors(path):
        path.mkdir(parents=True, exist_ok=True)


def require_writable(folder: Path) -> None:
    """Check that files can be created in a folder, or in its nearest existing parent. Raises InfrastructureError."""
    existing = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    with write_errors(folder):
        tempfile.TemporaryFile(dir=existing).close()


def free_bytes(folder: Path) -> int:
    """What this user may still write into a folder, or its nearest existing parent. Raises OSError: it is unknown."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free


def cant_write(path: Path, error: OSError) -> InfrastructureError:
    """The error for a file or folder that can't be written."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    may = "take a folder that you may write"
    hint = "free space there, or take another folder" if full else remedy_of(error, may, may)
    if error.errno == errno.ENOENT:
        hint = "its folder is not there: create it, or see what has removed it"
    return InfrastructureError(f"can't write {path} ({error.strerror or error})", hint)
