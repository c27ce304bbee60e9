"""The state of a run, in one word."""

from contextlib import suppress

from gbench.base.paths import SPEC
from gbench.errors import GbenchError
from gbench.runfolder.error_file import HUNG, UNWRITTEN, read_error
from gbench.runfolder.evaluation_result import final_of
from gbench.runfolder.folder import RunFolder
from gbench.runners.cluster_job import job_of_its_own


def state_of(folder: RunFolder) -> str:
    """`running`, `complete`, `failed`, `hung`, `stopped`, or `killed` if it ended without recording how.

    `detached`: its job goes on or has ended, and no gbench has taken it up.

    Raises InfrastructureError: a file that it needs is broken.
    """
    if folder.alive:
        return "running"
    if job_of_its_own(folder.path) is not None:
        return "detached"
    host = folder.host()
    error = read_error(folder)
    if host.exit_code or host.failure or host.started_utc is None or error is not None:
        return HUNG if error is not None and error.kind == HUNG else "failed"
    if host.ended_utc is None:
        return "failed" if folder.has(UNWRITTEN) else "killed"
    result = folder.result()
    if host.exit_code != 0 or (result is not None and not result.complete):
        return "stopped"
    return state_of(final) if (final := final_of(folder)).has(SPEC) else "complete"


def is_starting(folder: RunFolder) -> bool:
    """Whether a run is running and has no measured step yet."""
    with suppress(GbenchError):  # damaged
        return folder.alive and all(step.warmup for step in folder.steps(0))
    return False
