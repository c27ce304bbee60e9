"""Faults of the operating system and of libraries that are no bug of gbench: each as one sentence.

The command line and the worker convert whatever reaches them, so that exit code 70 means a bug.
"""

import errno
import os
import sys
from pathlib import Path
from subprocess import TimeoutExpired

from gbench.errors import GbenchError, InfrastructureError, UsageError

BUGS = frozenset({errno.EBADF, errno.EINVAL, errno.EFAULT, errno.ECHILD, errno.ESRCH})  # a wrong call of our own
AGAIN = "see whether something else removes or changes it, then try again"
HINTS = {
    **dict.fromkeys((errno.EACCES, errno.EPERM), "fix its permissions, or take another place"),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free space there, or take another place"),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "raise the limit of open files: ulimit -n"),
    **dict.fromkeys((errno.EIO, errno.ESTALE), "look for faults of its disk or network mount, such as in dmesg"),
    errno.ENXIO: "put a file in its place",
    errno.ELOOP: "fix the link",
    errno.EROFS: "take a place that can be written",
    errno.EFBIG: "raise the limit of a file's size: ulimit -f",
    errno.ENOMEM: "free memory",
    errno.EAGAIN: "raise the limit of processes: ulimit -u",
}
# Package of an exception's class -> who failed, and what to do
LIBRARIES = {
    "docker": ("Docker failed", "see docker info, and the engine's own log"),
    "requests": ("Docker's engine did not answer as expected", "see docker info, and the engine's own log"),
    "urllib3": ("Docker's engine did not answer as expected", "see docker info, and the engine's own log"),
    "pynvml": ("the NVIDIA driver's library failed", "look at nvidia-smi, and at gbench check"),
    "PIL": ("an image can't be decoded", "fix or remove it"),
}


def as_expected(error: BaseException) -> GbenchError | None:
    """The expected failure that an exception is; None for a bug."""
    if isinstance(error, GbenchError):
        return error
    for kind in type(error).__mro__:
        if named := LIBRARIES.get(kind.__module__.partition(".")[0]):
            return InfrastructureError(f"{named[0]} ({_text(error)})", named[1])
    if isinstance(error, OSError):
        return _of_system(error)
    if (name := _not_utf_8(error)) is not None:
        return InfrastructureError(f"{name} has bytes that are not UTF-8", "rename what has such a name")
    if isinstance(error, UnicodeError) and "'idna' codec" in str(error):  # of the system's look-up
        return InfrastructureError("a host name is none: a part of it is empty or too long", "fix the name")
    if isinstance(error, RuntimeError) and str(error).startswith("Symlink loop from"):  # pathlib, before Python 3.13
        return InfrastructureError(f"{_text(error)}: it leads to itself", "fix the link")
    if isinstance(error, MemoryError):
        return InfrastructureError("this machine has no memory left for gbench", "free some")
    if isinstance(error, TimeoutExpired):
        command = error.cmd if isinstance(error.cmd, str) else " ".join(map(str, error.cmd))
        return InfrastructureError(f"{command} gave no answer within {error.timeout:g} s", "see what it waits for")
    return None


def remedy_of(error: OSError, of_permission: str, otherwise: str = AGAIN) -> str:
    """What to do about an error of the system. of_permission: if this user may not, or nobody may write there."""
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return of_permission
    return HINTS.get(error.errno or 0, otherwise)


def shown_name(name: str | bytes | int) -> str:
    """A file name with each byte that is not UTF-8 as `\\xNN`; a file descriptor as its number."""
    return os.fsencode(str(name) if isinstance(name, int) else name).decode("utf-8", "backslashreplace")


def _not_utf_8(error: BaseException) -> str | None:
    """The name, or a part of it, whose surrogate-escaped bytes can't be written as UTF-8; None for another error."""
    if isinstance(error, UnicodeEncodeError) and error.encoding.startswith("utf"):
        return f"'{shown_name(error.object[max(error.start - 40, 0) : error.end + 20])}'"
    if type(error).__name__ == "PydanticSerializationError" and "surrogates not allowed" in str(error):
        return next((f"'{shown_name(one)}'" for one in sys.argv if shown_name(one) != one), "a name")
    return None


def _of_system(error: OSError) -> GbenchError | None:
    why = error.strerror or _text(error)
    if error.errno in BUGS:
        return None
    if error.errno == errno.ENAMETOOLONG:
        return UsageError(f"{error.filename} is too long for a path", "give a shorter one")
    if error.errno == errno.ENOENT and error.filename is None and _without_folder():
        return InfrastructureError("the working folder has been removed", "go to another folder: cd")
    if error.filename is None:
        return InfrastructureError(f"the system refused ({why})", HINTS.get(error.errno or 0, "try again"))
    return InfrastructureError(
        f"{shown_name(error.filename)} can't be used ({why})", HINTS.get(error.errno or 0, AGAIN)
    )


def _without_folder() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return True
    return False


def _text(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
