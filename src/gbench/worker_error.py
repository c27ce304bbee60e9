"""error.json: why a rank failed, left by the worker and raised again by the host.

    {"version": 1, "kind": "out_of_memory", "what": "cpu is out of memory ...", "hint": "take a smaller batch ..."}

A folder of an earlier gbench has no `kind`: then it is `failed`.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from gbench.errors import GbenchError, OutOfMemory, RunFailed
from gbench.runfolder import RunFolder

NAME = "error.json"
OUT_OF_MEMORY, FAILED = "out_of_memory", "failed"


class WorkerError(BaseModel):
    """Why a rank failed, and what to do. kind: what a program may act on; one that it does not know is a failure."""

    model_config = ConfigDict(frozen=True)

    kind: str = FAILED
    what: str
    hint: str

    def to_raise(self) -> RunFailed:
        """The error that the host raises for it."""
        return (OutOfMemory if self.kind == OUT_OF_MEMORY else RunFailed)(self.what, self.hint)


def write_error(folder: RunFolder, error: GbenchError) -> None:
    """Leave an error for the host. Raises InfrastructureError: the disk refuses it."""
    kind = OUT_OF_MEMORY if isinstance(error, OutOfMemory) else FAILED
    folder.write(NAME, WorkerError(kind=kind, what=error.what, hint=error.hint).model_dump())


def read_error(folder: RunFolder) -> WorkerError | None:
    """What a rank left; None where none failed with a sentence.

    Raises:
        InfrastructureError: it is there but broken, or of another version.
    """
    return folder.read_as(NAME, WorkerError, f"read {folder.log}")


def forget_error(folder: RunFolder) -> None:
    """Take away what an earlier attempt left."""
    (folder.path / NAME).unlink(missing_ok=True)
