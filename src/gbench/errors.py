"""The hierarchy of expected errors, and the exit codes.

An expected error is reported as one sentence (what, where; what to do) and an exit code. Anything else is a bug: it
keeps its traceback, and has a separate exit code, so that a nightly job does not mistake it for a regression.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every gbench process."""

    OK = 0
    FAILED = 1  # the run or the check failed
    USAGE = 2  # the command line, a variable or a config is wrong; nothing was measured
    INCONCLUSIVE = 3  # it ran, but the evidence is not sufficient for a verdict
    INFRASTRUCTURE = 4  # a problem of Docker, the dataset, the disk or the device
    NOT_UPLOADED = 5  # the run succeeded and its record is on disk, but the upload failed
    BUG = 70  # gbench itself failed (EX_SOFTWARE of sysexits.h); never used for a failed run
    INTERRUPTED = 130  # Ctrl-C or SIGTERM
    NO_READER = 141  # the reader of stdout has gone (as a shell reports SIGPIPE)


MOST_CHARACTERS = 1000  # of what failed
IN_ADDRESS = re.compile(r"(https?://)[^\s/@'\"]+@", re.IGNORECASE)  # user and password


def printable(text: str, keep: str = "\n\t") -> str:
    """Text for a terminal: each control character but those of `keep` as its escape sequence, such as `\\x1b`."""
    return "".join(one if one.isprintable() or one in keep else ascii(one)[1:-1] for one in text)


def without_password(text: str) -> str:
    """Text without the user and password of the web addresses in it: `https://***@example.org`."""
    return IN_ADDRESS.sub(r"\1***@", text)


def shortened(what: str) -> str:
    """What failed, without the middle of a quoted value that is thousands of characters long."""
    cut = MOST_CHARACTERS // 2
    return what if len(what) <= MOST_CHARACTERS else f"{what[:cut]} ... {what[-cut:]}"


def sentence(what: str, hint: str) -> str:
    """What failed, and what to do about it, if anything, in one line for a terminal, without a password."""
    what = without_password(what)
    if what.endswith("?"):  # such as `did you mean list?`
        return printable(f"{shortened(what)} {hint[:1].upper()}{hint[1:]}".rstrip())
    return printable("; ".join(filter(None, (shortened(what), hint))))


class GbenchError(Exception):
    """An expected failure.

    Args:
        what: what failed and where (the field, flag or file), without a full stop.
        hint: what to do about it: a flag, a command, a file to fix.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what, hint)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return sentence(self.what, self.hint)


@contextmanager
def verdicts_only() -> Iterator[None]:
    """Where exit code 1 is a verdict: what else has it, such as a failed run or a broken record, has 4."""
    try:
        yield
    except GbenchError as error:
        if error.exit_code is ExitCode.FAILED:
            error.exit_code = ExitCode.INFRASTRUCTURE
        raise


class RunFailed(GbenchError):
    """The measured run itself failed."""


class OutOfMemory(RunFailed):
    """The measured run needed more memory than its device or host has; a retry would fail too."""


class RecordError(GbenchError):
    """Records, or lines of a benchmark log, that can't be read, and how many they are."""

    def __init__(self, what: str, hint: str, count: int = 1) -> None:
        super().__init__(what, hint)
        self.count = count


class UsageError(GbenchError):
    """Invalid arguments, variables or config files."""

    exit_code = ExitCode.USAGE


class InfrastructureError(GbenchError):
    """Something the run needs (Docker, GPU, dataset, disk) is missing or does not work."""

    exit_code = ExitCode.INFRASTRUCTURE


class Hung(InfrastructureError):
    """The steps of a run stopped coming."""


class Interrupted(GbenchError):
    """The user or a scheduler asked gbench to stop."""

    exit_code = ExitCode.INTERRUPTED
