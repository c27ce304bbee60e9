"""error.json: why a rank failed, left by the worker and raised again by the host.

    {"version": 1, "kind": "out_of_memory", "what": "cpu is out of memory ...", "hint": "take a smaller batch ..."}

`kind` is what a program may act on: `out_of_memory`, `usage` (the spec can't be meant with this dataset or script),
`infrastructure` (dataset, disk or network stands in the way) or `failed`; it gives the host's exit code. A folder of an
earlier gbench has none, and a kind that is not known is a failure.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from gbench.errors import GbenchError, InfrastructureError, OutOfMemory, RunFailed, UsageError
from gbench.runfolder.folder import RunFolder

NAME = "error.json"
FAILED = "failed"
KINDS: dict[str, type[GbenchError]] = {
    "out_of_memory": OutOfMemory,
    "usage": UsageError,
    "infrastructure": InfrastructureError,
    FAILED: RunFailed,
}


class WorkerError(BaseModel):
    """Why a rank failed, and what to do."""

    model_config = ConfigDict(frozen=True)

    kind: str = FAILED
    what: str
    hint: str

    def to_raise(self) -> GbenchError:
        """The error that the host raises for it."""
        return KINDS.get(self.kind, RunFailed)(self.what, self.hint)


def write_error(folder: RunFolder, error: GbenchError) -> None:
    """Leave an error for the host. Raises InfrastructureError: the disk refuses it."""
    kind = next((kind for kind, of_it in KINDS.items() if isinstance(error, of_it)), FAILED)
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
