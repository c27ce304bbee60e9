"""How a process of a run ends: with its sentence where it failed, and with no other process left."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import sys
from typing import NoReturn

from gbench.errors import GbenchError
from gbench.runfolder.error_file import write_error
from gbench.runfolder.folder import RunFolder


def tell(folder: RunFolder, error: GbenchError) -> int:
    """Say an expected failure in one line and leave it to the host as `error.json`; gives its exit code."""
    print(f"gbench: error: {error}", file=sys.stderr, flush=True)
    with contextlib.suppress(GbenchError):  # no folder or a full disk: then the sentence stands in the log alone
        write_error(folder, error)
    return int(error.exit_code)


def leave(code: int) -> NoReturn:
    """End this process without the teardown of the C++ libraries, once Python's own is done.

    With gloo that teardown aborts now and then ("terminate called without an active exception", torch 2.14), and so
    makes a failure of a run whose results are all on disk.
    """
    for child in multiprocessing.active_children():
        child.kill()  # a loader's process does not heed the SIGTERM that it would get now
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
