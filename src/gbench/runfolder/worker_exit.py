"""End a process of a run: report an expected failure, and leave no child process."""

import atexit
import contextlib
import multiprocessing
import os
import sys
from typing import NoReturn

from gbench.base.faults import as_expected
from gbench.errors import GbenchError
from gbench.runfolder.error_file import write_error
from gbench.runfolder.folder import RunFolder


def report_failure(folder: RunFolder, error: Exception) -> int:
    """Print an expected failure on one line and write it to `error.json` for the host. Returns its exit code.

    Raises `error` itself if it is a bug.
    """
    expected = as_expected(error)
    if expected is None:
        raise error
    print(f"gbench: error: {expected}", file=sys.stderr, flush=True)
    with contextlib.suppress(GbenchError):  # no folder, or a full disk: then only the log has it
        write_error(folder, expected)
    return int(expected.exit_code)


def leave(code: int) -> NoReturn:
    """End this process after Python's teardown, but without that of the C++ libraries.

    With gloo the latter sometimes aborts ("terminate called without an active exception", torch 2.14), which would
    fail a run whose results are all on disk.
    """
    for child in multiprocessing.active_children():
        child.kill()  # a loader process ignores the SIGTERM that it would get now
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
