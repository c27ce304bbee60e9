"""The one family of expected errors, and the exit codes.

An expected error is answered with one sentence (what, where; what to do) and an exit code. Anything else is a bug,
keeps its traceback, and has an exit code of its own: a nightly must not take it for a regression.
"""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What a gbench process tells its caller."""

    OK = 0
    FAILED = 1  # the run, or what was checked, failed
    USAGE = 2  # the command line, a variable or a config is wrong; nothing was measured
    INCONCLUSIVE = 3  # ran, but the evidence decides nothing
    INFRASTRUCTURE = 4  # Docker, the dataset, the disk or the device stands in the way
    NOT_UPLOADED = 5  # the run ended well and its record is on disk, but the database did not take it
    BUG = 70  # gbench itself failed (EX_SOFTWARE of sysexits.h): never what is told of a run
    INTERRUPTED = 130  # Ctrl-C or SIGTERM
    NO_READER = 141  # stdout is a pipe whose reader has gone, as a shell has it of SIGPIPE


class GbenchError(Exception):
    """An expected failure.

    Args:
        what: what failed and where (the field, flag or file), without a full stop.
        hint: what to do about it: a flag, a command, a file to mend.
    """

    exit_code = ExitCode.FAILED

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what, hint)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}; {self.hint}"


class RunFailed(GbenchError):
    """The measured run itself ended badly."""


class OutOfMemory(RunFailed):
    """The measured run needed more memory than its device or its host has: it would again."""


class RecordError(GbenchError):
    """A record, or a line of a benchmark log, that can't be read."""


class UsageError(GbenchError):
    """Arguments, variables or config files that can't be meant."""

    exit_code = ExitCode.USAGE


class InfrastructureError(GbenchError):
    """Something the run needs (Docker, GPU, dataset, disk) is not there or does not work."""

    exit_code = ExitCode.INFRASTRUCTURE


class Interrupted(GbenchError):
    """The user or a scheduler asked gbench to stop."""

    exit_code = ExitCode.INTERRUPTED
