"""error.json: why a rank failed, written by the worker and raised again by the host.

    {"version": 1, "kind": "out_of_memory", "what": "cpu is out of memory ...", "hint": "take a smaller batch ..."}

`kind` is for programs, and decides the host's exit code: `out_of_memory`, `usage` (the spec is invalid with this
dataset or script), `hung` (no step came any more), `infrastructure` (a problem of dataset, disk or network) or
`failed`. Folders of an earlier gbench have none; an unknown kind counts as `failed`.
"""

from contextlib import suppress

from pydantic import BaseModel

from gbench.errors import GbenchError, Hung, InfrastructureError, OutOfMemory, RunFailed, UsageError
from gbench.runfolder.folder import RunFolder

NAME = "error.json"
UNWRITTEN = ".unwritten"  # an empty file, for which a full disk has room: host.json could not take the run's end
FAILED = "failed"
HUNG = "hung"
# Ends of the sentence of a run that hangs, where a rank of this host is the one that is missing
IS_STOPPED, IS_BEHIND = "is stopped (SIGSTOP)", "is behind the others"
KINDS: dict[str, type[GbenchError]] = {
    "out_of_memory": OutOfMemory,
    "usage": UsageError,
    HUNG: Hung,
    "infrastructure": InfrastructureError,
    FAILED: RunFailed,
}


class WorkerError(BaseModel, frozen=True):
    """Why a rank failed, and what to do."""

    kind: str = FAILED
    what: str
    hint: str

    def to_raise(self) -> GbenchError:
        """The error to raise on the host."""
        return KINDS.get(self.kind, RunFailed)(self.what, self.hint)


def worker_error(error: GbenchError) -> WorkerError:
    kind = next((kind for kind, of_it in KINDS.items() if isinstance(error, of_it)), FAILED)
    return WorkerError(kind=kind, what=error.what, hint=error.hint)


def write_error(folder: RunFolder, error: GbenchError) -> None:
    """Write an error for the host. Raises InfrastructureError: it can't be written."""
    folder.write(NAME, worker_error(error).model_dump())


def read_error(folder: RunFolder) -> WorkerError | None:
    """The error that a rank wrote, if any. Raises InfrastructureError: the file is broken, or of another version."""
    return folder.read_as(NAME, WorkerError, f"read {folder.log}")


def mark_unwritten_end(folder: RunFolder) -> None:
    """Note that the end of an attempt was seen, and could not be written."""
    with suppress(OSError):
        (folder.path / UNWRITTEN).touch()


def forget_error(folder: RunFolder) -> None:
    """Remove the error of an earlier attempt."""
    for name in (NAME, UNWRITTEN):
        (folder.path / name).unlink(missing_ok=True)
