"""Why a run ended: from its run script's exit code, its worker's error file, its log and the kernel."""

import contextlib
import re
import signal
from pathlib import Path

from gbench.errors import ExitCode, InfrastructureError, OutOfMemory, RunFailed
from gbench.runfolder.error_file import read_error
from gbench.runfolder.folder import RunFolder
from gbench.runfolder.log import RunLog
from gbench.runners.plan import Outcome

# Errors of CUDA that are the GPU's or its driver's, not the program's.
GPU_FAILED = re.compile(
    r"CUDA error: (uncorrectable (ECC|NVLink) error|unknown error|no CUDA-capable|CUBLAS_STATUS_EXECUTION_FAILED)"
)
KILLED = 128 + signal.SIGKILL  # exit code of a shell, or a container, after its command was killed


def oom_kills() -> int | None:
    """Number of processes that this kernel has killed for lack of memory; None if the kernel does not report it."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return None


def require_success(folder: RunFolder, outcome: Outcome, log: RunLog, oom_kills_before: int | None) -> None:
    """Raise the error that explains why a run script failed; return if it succeeded.

    oom_kills_before: `oom_kills` at the start of the run.

    Raises:
        OutOfMemory: the worker or the kernel reports a lack of memory.
        UsageError, InfrastructureError: as the worker reports; InfrastructureError also when a GPU failed.
        RunFailed: any other failure.
    """
    if outcome.exit_code == ExitCode.OK:
        return
    if (error := read_error(folder)) is not None:
        raise error.to_raise()
    if outcome.out_of_memory:
        raise OutOfMemory("the container ran out of memory and was killed", f"take a smaller batch; see {folder.log}")
    if log.killed or outcome.exit_code == KILLED:
        if oom_kills_before is not None and (oom_kills() or 0) > oom_kills_before:
            raise OutOfMemory(
                "the kernel killed a process of the run for lack of memory",
                f"take a smaller batch or fewer devices; see {folder.log}",
            )
        raise RunFailed(
            "a process of the run was killed (SIGKILL): perhaps for lack of memory, though not by the kernel",
            f"see who ends processes here, a scheduler, systemd-oomd, earlyoom or a person; read {folder.log}",
        )
    codes = (outcome.exit_code, log.exit_code)  # a full disk has no room for error.json
    if log.reason and ExitCode.INFRASTRUCTURE in codes:
        raise InfrastructureError(log.reason, f"read {folder.log}")
    if log.reason and GPU_FAILED.search(log.reason):
        raise InfrastructureError(
            f"a GPU failed during the run ({log.reason})",
            f"look for Xid errors in `dmesg`, and at `nvidia-smi -q -d ECC` and `gbench check`; read {folder.log}",
        )
    why = f" ({log.reason})" if log.reason else ""
    raise RunFailed(f"the run script ended with exit code {outcome.exit_code}{why}", f"read {folder.log}")
